"""Ranks: the processes of a training. Each computes its part of every batch, and the gradients are summed."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import numpy as np

from ..averaging import WeightAverage
from ..backend import to_host
from ..base import Array, Layer, hash_values
from ..data import Batches, part_of
from ..errors import ArgumentError, RankError, TrainingWarning
from ..files import Checkpoint
from ..files.tensorfile import checksum, split
from ..network import Network
from ..optimizer import Optimizer
from ..progress import Epoch, Progress
from .agreement import PATIENCE, Agreement, agreed
from .sums import Sums

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
LATE = 0.2  # seconds after which a signal has reached all ranks


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


class Ranks(Agreement):
    """The processes of a training, which make its steps together.

    Attributes
    ----------
    asked : bool
        Whether any rank was asked to stop by a signal, as of the last step or epoch: the same on all.
    signal : int or None
        The signal that this rank received.
    """

    asked = False
    signal: int | None = None
    _signalled = 0.0  # when this one was
    _left: Any = None  # memory of a message that is still on its way

    def __init__(self, comm: Any):
        super().__init__(comm)
        self.shard, self._sums = Shard(self.comm), Sums(self)
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
        """Replace the values of a vector by their sums over the ranks. All ranks get the same bits."""
        self._sums.sum(array)

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
        self._sums.prepare(net.grads, net.xp)
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
                    if self.asked:
                        raise agreed(KeyboardInterrupt())
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
        """A context in which signals, where the program has not said what they do, ask all ranks to stop."""
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

    def _on_signal(self, number: int, _: Any) -> None:
        """Note the signal. A second one, later than a launcher passes it on, ends this rank where it is."""
        if self._signalled and time.monotonic() > self._signalled + 1:
            raise KeyboardInterrupt
        self._signalled, self.signal = self._signalled or time.monotonic(), number

    def check_equal(self, net: Network, optimizer: Optimizer, number: int, seconds: float) -> float:
        """Refuse, by a RankError, networks that are no longer the same to the bit; returns the seconds of rank 0."""
        vectors = {"weights": net.params, "buffers": net.buffers}
        vectors |= {f"moments {i}": moment for i, moment in enumerate(optimizer.moments)}
        hashes = {name: hash_of(vector) for name, vector in vectors.items()}
        parts = net.named_modules().items()
        hashed = {f"{place}.{name}" for place, part in parts for name in (*part.params, *part.buffers)}
        declared = {name: value for name, value in net.state_dict().items() if name not in hashed}  # by the classes
        hashes["attributes"] = checksum(*split({"network": declared}))
        everyone = self.comm.allgather((hashes, seconds))
        for rank, (theirs, _) in enumerate(everyone):
            if differ := [name for name, value in theirs.items() if value != everyone[0][0][name]]:
                what = f"after epoch {number}, the {differ[0]} of rank {rank} are not those of rank 0"
                cause = "a layer of your own computes them from its part of the batch, or the loop changed one network"
                raise agreed(RankError(f"{what}. Likely cause: {cause}"))
        return everyone[0][1]

    def _go_on(self, going: bool, number: int) -> None:
        """Agree on whether the loop asks for another epoch; a RankError on those that do if others have left it.

        One that leaves does not wait for long: if it does so by an error, others may wait for it in the loop.
        """
        if self.mpi.Is_finalized():  # a loop that the end of the program closes
            return
        own, everyone = np.array([going, self._is_asked()], "uint8"), np.empty((self.size, 2), "uint8")
        request, until = self.comm.Iallgather(own, everyone), time.monotonic() + PATIENCE
        while not going and not request.Test():
            if time.monotonic() > until:
                self._left = request, own, everyone  # MPI fills them when the others come
                return
            time.sleep(0.001)
        request.Wait()
        self.asked = bool(everyone[:, 1].any())
        left = np.flatnonzero(everyone[:, 0] == 0)
        if going and left.size:
            time.sleep(PATIENCE)  # if it was by an error, that is the one to print
            ranks = f"rank{'s' * (len(left) > 1)} {', '.join(map(str, left))}"
            what = f"{ranks} left the loop after epoch {number}, but rank {self.rank} has not"
            raise RankError(f"{what}: decide by what is the same on all ranks, as the losses of an Epoch are")


def hash_of(array: Array) -> str:
    """A hash of an array, in hexadecimal digits."""
    digest = blake2b(digest_size=8)
    hash_values(digest, to_host(array))
    return digest.hexdigest()
