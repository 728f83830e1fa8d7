"""Data-parallel training on MPI: each rank computes its part of every batch, and the gradients are summed."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, TypeVar

import numpy as np

from .averaging import WeightAverage
from .backend import describe_blas, to_host
from .base import Array, Layer, hash_values, undeclared_attributes
from .data import Batches, part_of
from .errors import ArgumentError, MissingExtraError, RankError, TrainingWarning
from .files import Checkpoint, facts_of, facts_of_data
from .network import Network
from .optimizer import Optimizer
from .progress import Epoch, Progress

Result = TypeVar("Result")

PATIENCE = 2.0  # seconds that a rank with an error waits for the others to have one, too
SIGNALS = signal.SIGINT, signal.SIGTERM
LATE = 0.2  # seconds after which a signal has reached all ranks
# Where launchers say how many processes they start: MPICH and Intel MPI, Open MPI, Slurm.
LAUNCHED = "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"


class Shard:
    """The part of a batch that this rank computes, as layers see it.

    Attributes
    ----------
    start : int
        The index in the batch of the first sample here.
    sizes : list of int
        The number of samples of each rank. One without any computes a sample that does not count.
    """

    start = 0
    sizes: list[int]

    def __init__(self, comm: Any):
        self.comm = comm

    def cut(self, n: int) -> slice:
        """Begin a batch of n samples; returns the part of this rank."""
        parts = [part_of(n, rank, self.comm.size) for rank in range(self.comm.size)]
        own, self.sizes = parts[self.comm.rank], [part.stop - part.start for part in parts]
        self.start = own.start
        return own

    def gather(self, values: Array, xp: Any) -> Array:
        """The values of all ranks (R, ...), each rank's of one shape; zeros of one without samples."""
        own = np.ascontiguousarray(to_host(values))
        if not self.sizes[self.comm.rank]:
            own[...] = 0
        everyone = np.empty((self.comm.size, *own.shape), own.dtype)
        self.comm.Allgather(own, everyone)
        return xp.asarray(everyone)


class Ranks:
    """The processes of a training: the ranks of an MPI communicator of at least two.

    What all of them call at once (`sum`, `together`, ...) ends on all of them in the same way. An error that only some
    of them have ends all processes: the others wait in a call of MPI, which nothing else would end.

    Attributes
    ----------
    asked : bool
        Whether any rank was asked to stop by a signal, as of the last step or epoch: the same on all.
    """

    asked = False
    _signalled = 0.0  # when this one was

    def __init__(self, comm: Any):
        from mpi4py import MPI

        self.mpi, self.of, self.rank, self.size = MPI, comm, comm.rank, comm.size
        self.comm, self.errors = comm.Dup(), comm.Dup()  # so that our messages are not taken for those of the program
        self.shard = Shard(self.comm)
        self.checkpoint: Checkpoint | None = None

    def check(self, samples: int, batch_size: int, compiled: bool | None) -> None:
        """Refuse, by an ArgumentError, what cannot be trained on several processes; warn if some have nothing to do."""
        if compiled:
            what = "compiled=True: a training on several processes (comm=) runs the formulas"
            raise ArgumentError(f"{what}; leave it out, or train in one process")
        if samples < self.size:
            raise ArgumentError(f"{self.size} ranks cannot share {samples} samples: start at most {samples}")
        if batch_size < self.size and not self.rank:
            what = f"batches of {batch_size} samples leave {self.size - batch_size} of {self.size} ranks without work"
            warnings.warn(f"{what}: start fewer, or take larger batches", TrainingWarning, 5)

    # ---- a step

    def sum(self, array: Array) -> None:
        """Replace the values of an array by their sums over the ranks. All ranks get the same bits."""
        if isinstance(array, np.ndarray):
            self.comm.Allreduce(self.mpi.IN_PLACE, array)
        else:
            host = to_host(array)
            self.comm.Allreduce(self.mpi.IN_PLACE, host)
            array.set(host)

    def part(self, n: int) -> slice:
        """Which of n samples are those of this rank."""
        return part_of(n, self.rank, self.size)

    def train(
        self,
        net: Network,
        optimizer: Optimizer,
        batches: Batches,
        progress: Progress,
        every: int,
        average: WeightAverage | None,
    ) -> Iterator[None]:
        """Make the steps of an epoch, or the rest of them, and yield after each. All ranks make the same step."""
        for n, x, t, weights in batches.shards(net.rng, progress.steps, self.rank, self.size):
            part, told = self.shard.cut(n), np.zeros(n + 1)  # the losses, and how many ranks were asked to stop
            if weights.total:  # else no sample of the batch counts
                losses = net.unchecked_losses(x, t, weights) * weights.values
                told[part] = to_host(losses)[: part.stop - part.start]
                net.backward()
                if part.stop == part.start:
                    net.grads[...] = 0
                self.sum(net.grads)
                optimizer.step()
                if average is not None:
                    average.update()
            told[n] = self._is_asked()
            self.sum(told)
            self.asked, done = bool(told[n]), slice(progress.samples, progress.samples + n)
            progress.losses[done] = net.xp.asarray(told[:n], net.dtype)
            progress.samples, progress.steps = done.stop, progress.steps + 1
            yield

    # ---- an epoch

    def run(self, net: Network, epochs: Iterator[Epoch], checkpoint: Checkpoint | None) -> Iterator[Epoch]:
        """Yield these epochs. Signals and errors are those of all ranks, and all leave the loop at once."""
        self.asked, self.checkpoint = False, checkpoint
        with self._signals():
            while True:
                with self._shards(net):
                    try:
                        epoch = next(epochs, None)
                    except BaseException as error:
                        self.meet(error)
                        raise
                if epoch is None:
                    return
                try:
                    yield epoch
                except GeneratorExit:
                    self._go_on(False, epoch.number)
                    raise
                self._go_on(True, epoch.number)

    def _is_asked(self) -> bool:
        return self._signalled > 0 or (self.checkpoint is not None and self.checkpoint.asked)

    @contextmanager
    def _shards(self, net: Network) -> Iterator[None]:
        """A context in which the layers know their shard. Copies that are made outside it know none."""
        layers = [module for module in net.modules() if isinstance(module, Layer)]
        for layer in layers:
            layer.__dict__["shard"] = self.shard
        try:
            yield
        finally:
            for layer in layers:
                layer.__dict__["shard"] = None

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """A context in which SIGINT and SIGTERM, where the program has not said what they do, ask all ranks to stop."""
        before = {}
        if threading.current_thread() is threading.main_thread():
            plain = signal.default_int_handler, signal.SIG_DFL
            before = {each: signal.getsignal(each) for each in SIGNALS if signal.getsignal(each) in plain}
        self._signalled = 0.0
        for each in before:
            signal.signal(each, self._on_signal)
        try:
            yield
        finally:
            if self.asked:
                time.sleep(LATE)
            for each, handler in before.items():
                signal.signal(each, handler)

    def _on_signal(self, *_: Any) -> None:
        """Note the signal. A second one, later than a launcher passes it on, ends this rank where it is."""
        if self._signalled and time.monotonic() > self._signalled + 1:
            raise KeyboardInterrupt
        self._signalled = self._signalled or time.monotonic()

    def check_equal(self, net: Network, optimizer: Optimizer, number: int, seconds: float) -> float:
        """Refuse, by a RankError, networks that are no longer the same to the bit; returns the seconds of rank 0."""
        vectors = {"weights": net.params, "buffers": net.buffers}
        vectors |= {f"moments {i}": moment for i, moment in enumerate(optimizer.moments)}
        everyone = self.comm.allgather(({name: _hash(vector) for name, vector in vectors.items()}, seconds))
        for rank, (hashes, _) in enumerate(everyone):
            if differ := [name for name, value in hashes.items() if value != everyone[0][0][name]]:
                what = f"after epoch {number}, the {differ[0]} of rank {rank} are not those of rank 0"
                cause = "a layer of your own computes them from its part of the batch, or the loop changed one network"
                raise _agreed(RankError(f"{what}. Likely cause: {cause}"))
        return everyone[0][1]

    def _go_on(self, going: bool, number: int) -> None:
        """Agree on whether the loop asks for another epoch; a RankError on those that do if others have left it."""
        if self.mpi.Is_finalized():  # a loop that the end of the program closes
            return
        everyone = self.comm.allgather((going, self._is_asked()))
        self.asked = any(asked for _, asked in everyone)
        left = [rank for rank, (goes, _) in enumerate(everyone) if not goes]
        if going and left:
            time.sleep(PATIENCE)  # if it was by an error, that is the one to print
            ranks = f"rank{'s' * (len(left) > 1)} {', '.join(map(str, left))}"
            what = f"{ranks} left the loop after epoch {number}, but rank {self.rank} has not"
            raise RankError(f"{what}: decide by what is the same on all ranks, as the losses of an Epoch are")

    # ---- agreement

    def together(self, function: Callable[[], Result]) -> Result:
        """Call a function on all ranks. If it fails on any, all raise: their own error, or one that names the rank."""
        error = result = None
        try:
            result = function()
        except Exception as raised:
            error = raised
        everyone = self.comm.allgather(_describe(error))
        if error is not None:
            raise _agreed(error)
        for rank, what in enumerate(everyone):
            if what:
                raise _agreed(RankError(f"rank {rank} of {self.size}: {what}"))
        return result  # type: ignore[return-value]

    def first(self, function: Callable[[], Result]) -> Result:
        """Call a function on rank 0; returns its result, or raises its error, on all."""
        error = result = None
        if self.rank == 0:
            try:
                result = function()
            except Exception as raised:
                error = raised
        result, what = self.comm.bcast((result, _describe(error)))
        if what:
            raise _agreed(error or RankError(f"rank 0 of {self.size}: {what}"))
        return result

    def compare(self, facts: dict[str, str]) -> None:
        """Refuse, by a RankError on all ranks, a training that was not started in the same way on all."""
        everyone = self.comm.allgather(facts)
        lines = []
        for name in facts:
            values = [theirs.get(name, "none") for theirs in everyone]
            if other := [rank for rank, value in enumerate(values) if value != values[0]]:
                lines += [f"  {name}", f"    rank 0  {values[0]}", f"    rank {other[0]}  {values[other[0]]}"]
        if lines:
            listed = "\n".join(lines)
            cure = "Start all ranks with the same arguments, seeds, data and versions"
            raise _agreed(RankError(f"the ranks were not started in the same way:\n{listed}\n{cure}"))

    def meet(self, error: BaseException) -> None:
        """After an error: if all ranks have one, each goes on with its own; else end all processes."""
        if getattr(error, "agreed", False):
            return
        request, until = self.errors.Ibarrier(), time.monotonic() + PATIENCE
        while not request.Test():
            if time.monotonic() > until:
                self.abort(error)
            time.sleep(0.01)
        _agreed(error)

    def abort(self, error: BaseException) -> None:
        """Print an error and the rank, and end all processes."""
        who = f"rank {self.rank} of {self.size} on {platform.node()}"
        sys.stderr.write(f"{''.join(traceback.format_exception(error))}{who}: it ends all ranks by this error\n")
        sys.stderr.flush()
        self.mpi.COMM_WORLD.Abort(1)


def ranks_of(comm: Any) -> Ranks | None:
    """The ranks of a communicator; None if there is only one.

    Raises
    ------
    ArgumentError
        If it is not a communicator of mpi4py.
    MissingExtraError
        If mpi4py is missing.
    """
    if comm is None:
        return None
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise MissingExtraError("mpi4py>=4", "mpi", "a training on several processes (comm=)") from error
    if not isinstance(comm, MPI.Intracomm):
        what = f"comm must be a communicator of mpi4py, as MPI.COMM_WORLD, received {comm!r:.80}"
        raise ArgumentError(what)
    if comm.size == 1:
        told = [(name, os.environ[name]) for name in LAUNCHED if os.environ.get(name, "1") != "1"]
        if told and MPI.COMM_WORLD.size == 1:
            name, value = told[0]
            library = " ".join(MPI.Get_library_version().splitlines()[0].strip(" \0").split()).partition(",")[0]
            what = f"this process was started as one of {value} ({name}), but its MPI ({library}) sees no others"
            warnings.warn(f"{what}: it trains alone. Start it by the mpiexec of that MPI", TrainingWarning, 3)
        return None
    for known in _known:
        if known.of == comm:
            return known
    _known.append(Ranks(comm))
    if len(_known) == 1:
        _end_all_by_errors()
    return _known[-1]


_known: list[Ranks] = []  # of this process; each has communicators of its own


def _end_all_by_errors() -> None:
    """Let an error that nothing catches end all processes: the others would wait for this one for ever.

    Errors that all ranks agree on are printed by one of them.
    """
    before = sys.excepthook

    def hook(kind: Any, error: BaseException, trace: Any) -> None:
        if not getattr(error, "agreed", False):
            _known[0].abort(error)
        if not _known[0].rank:
            before(kind, error, trace)

    sys.excepthook = hook


def facts_of_start(
    net: Network,
    optimizer: Optimizer,
    batches: Batches,
    validation: Batches | None,
    epochs: int,
    checkpoint: Checkpoint | None,
    average: WeightAverage | None,
) -> dict[str, str]:
    """What must be the same on all ranks, by name."""
    things = {"network": net, "optimizer": optimizer}
    parts = {place: each for name, thing in things.items() for place, each in thing.with_parts(name).items()}
    undeclared = {place: (each, undeclared_attributes(each)) for place, each in parts.items()}
    return {
        "minibp": sys.modules["minibp"].__version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "BLAS": describe_blas(1),
        **facts_of(net, optimizer, parts, undeclared),
        "generator (seed)": _hash(np.frombuffer(repr(net.rng.bit_generator.state).encode(), "uint8")),
        "training data": facts_of_data(batches),
        "validation data": "none" if validation is None else facts_of_data(validation),
        "batch size": str(batches.batch_size),
        "epochs": str(epochs),
        "checkpoint": "none" if checkpoint is None else f"every {checkpoint.every}, stopping {checkpoint.stopping!r}",
        "average": repr(average),
    }


def _hash(array: Array) -> str:
    digest = blake2b(digest_size=8)
    hash_values(digest, to_host(array))
    return digest.hexdigest()


def _describe(error: BaseException | None) -> str:
    return "" if error is None else f"{type(error).__name__}: {error}"


def _agreed(error: BaseException) -> BaseException:
    """Mark an error that all ranks raise, each this one or its own."""
    error.agreed = True  # type: ignore[attr-defined]
    return error
