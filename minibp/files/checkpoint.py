"""Checkpoint: the full state of a training on disk, from which it can be resumed."""

from __future__ import annotations

import errno
import glob
import os
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ..averaging import WeightAverage
from ..backend import describe_blas
from ..base import (
    BestSoFar,
    Stateful,
    all_finite,
    by_part,
    float_dtype,
    instance,
    new_file,
    printable,
    undeclared_attributes,
    writable_path,
    write_atomically,
)
from ..data import Batches
from ..errors import ArgumentError, BackendError, CheckpointError, CheckpointWarning, FileFormatError, OtherFileError
from ..network import Network
from ..optimizer import Optimizer
from ..progress import Epoch, Progress
from ..schedules import Schedule
from ..stopping import EarlyStopping
from ..threads import takes_one_thread
from .facts import facts_of, facts_of_data, same
from .tensorfile import checksum, header, read, split, to_bytes

KIND = "checkpoint"
MOST = 20  # differences listed
COMPILED = "compiled"
OF_NETWORK = ("network", "dtype", "backend", "weights at the start", "attributes at the start", "generator (seed)")
OF_OPTIMIZER = ("optimizer", "moments at the start")

# How the networks and optimizers of this process started, by file: after a `break` the same call goes on.
STARTS: WeakKeyDictionary[Stateful, dict[str, dict[str, str]]] = WeakKeyDictionary()


class Checkpoint:
    """Keep the state of a training in a file, and resume from it when the same training is started again.

    ::

        checkpoint = Checkpoint("run.ckpt", every=5)
        for epoch in train(net, optimizer, train_set, epochs=100, checkpoint=checkpoint):
            print(epoch)

    The same program, started again after it was killed, resumes where the file was written. It ends with exactly the
    weights of an undisturbed run, on the same machine with the same number of threads. Only the remaining epochs are
    yielded; the earlier ones are in ``checkpoint.history``.

    The file is written before the first step, then after every so many epochs or steps, and after the last epoch. After
    an epoch it is written when your loop asks for the next one, so that it contains what your loop did. If you leave
    the loop by ``break``, that epoch is trained again, also by the same call in the same program.

    The file holds the ``state_dict()`` of the network, the optimizer and `stopping`. An attribute of your own class is
    in it if the class declares it: ``state_attributes = ("count",)``. A number, string, array or generator that
    ``__init__`` has set, that is not declared and has changed is an error. Local variables of your loop are not in the
    file: derive what depends on earlier epochs from ``checkpoint.history``.

    The last file but one is kept as ``<path>.previous``. It is used, with a warning, if the newer one is damaged. If a
    later file cannot be written, on a full disk, the training goes on with a warning. A file of another training, with
    another network, optimizer, batch size, seed or other data, is refused. Use one file for one training: of two that
    write to one file, one stops with a CheckpointError; and when the program calls `train` again, network and optimizer
    are set back to what the file holds, with all their settings. Writing a file takes up to twice its size in memory.

    Parameters
    ----------
    path : path
        The file. It is created if needed.
    every : int or str, default 1
        Epochs between two checkpoints, or steps as in ``"200steps"``.
    stopping : EarlyStopping, optional
        The early stopping of your loop. It must be kept, too, for a resumed training to stop at the same epoch.

    Raises
    ------
    ArgumentError
        If `every` is neither, or a file of this name cannot be created.
    NotWritableError
        If the file is read-only, or a folder, a pipe or a device.
    """

    def __init__(self, path: str | os.PathLike[str], every: int | str = 1, stopping: EarlyStopping | None = None):
        self.path, self.stopping = new_file(path), stopping
        self.previous = f"{self.path}.previous"
        if stopping is not None:
            instance("stopping", stopping, EarlyStopping, "create one: EarlyStopping(net)")
        match = re.fullmatch(r"([1-9]\d{0,11})(steps)?", str(every))
        if not match or isinstance(every, bool):
            raise ArgumentError(f'every must be epochs (5) or steps ("200steps"), at least 1; received {every!r}')
        self.every, self.counts_steps = int(match[1]), bool(match[2])
        self.progress = Progress()
        self._whole = False  # whether the file at `path` is intact and can become the previous one
        self._header = b""  # of the file at `path`, which tells it from those of other trainings
        self.asked = self._failing = False
        self._ranks: Any = None  # the processes that train together: the first of them reads and writes

    @property
    def history(self) -> list[Epoch]:
        """The finished epochs, including those before a restart."""
        return self.progress.history

    def interrupt(self) -> None:
        """Make the training write a checkpoint after the current step, and then raise KeyboardInterrupt.

        For signal handlers, which may run in the middle of a step.
        """
        self.asked = True

    # ---- what `train` calls

    def compiled(self) -> bool | None:
        """Whether the steps of the training in the file are compiled; None if there is no such file."""
        for path in (self.path, self.previous):
            with suppress(Exception):  # `begin` says what is wrong with it
                return bool(read(path, KIND)[0]["training"]["steps"] == COMPILED)
        return None

    def begin(
        self,
        net: Network,
        optimizer: Optimizer,
        batches: Batches,
        validation: Batches | None,
        epochs: int,
        compiled: bool,
        average: WeightAverage | None = None,
        ranks: Any = None,
    ) -> Progress:
        """Resume from the file if there is one, else write the first one. `train` says what is refused."""
        self._ranks, self._is_first = ranks, ranks is None or not ranks.rank
        if self._is_first:  # another one, if it is late, would remove what the first one writes
            for left in glob.glob(f"{glob.escape(self.path)}.{'[0-9a-f]' * 16}.part"):  # by a process that was killed
                with suppress(OSError):
                    os.unlink(left)
        if self.stopping is not None and self.stopping.net is not net:
            raise ArgumentError("stopping belongs to another network; create one for this: EarlyStopping(net)")
        self.net, self.optimizer, self.average = net, optimizer, average
        self.batch_size, self.asked = batches.batch_size, False
        self._first, self._mapped = True, batches.mapped
        self.progress, self._resumed = Progress(self._rng_state()), False
        self._blas = describe_blas(1 if takes_one_thread(net, batches.batch_size) else None)
        self._schedule = optimizer.schedule
        self._undeclared = {place: (each, undeclared_attributes(each)) for place, each in self._parts().items()}
        self.facts = facts_of(net, optimizer, self._parts(), self._undeclared) | {
            "generator (seed)": checksum(self.progress.order, {})[:16],
            "training data": facts_of_data(batches),
            "validation data": "none" if validation is None else facts_of_data(validation),
            "batch size": str(batches.batch_size),
            "early stopping": repr(self.stopping),
            "steps": COMPILED if compiled else "by the formulas",
            **({"average": repr(average)} if average is not None else {}),
        }
        found = self._read() if ranks is None else ranks.first(self._read)
        if found is None:
            self._remember_start()
            self._on_first(self._write)
            return self.progress
        path, contents, arrays = found
        known = STARTS.get(net, {}).get(self.path, {})
        self.facts |= known | STARTS.get(optimizer, {}).get(self.path, {})
        self._refuse_other(path, contents, arrays, epochs)
        self._remember_start()
        if known and self._is_first:
            what = f"this program has trained the network already: it is set back to what {path} holds"
            warnings.warn(f"{what}, with all its settings. For another training use another file", CheckpointWarning, 3)
        try:
            self._restore(contents, arrays, len(batches))
        except (MemoryError, BackendError):
            raise
        except Exception as error:  # the file may contain anything
            said = printable(error)
            raise FileFormatError(f"{path} contradicts itself: {type(error).__name__}: {said}") from None
        return self.progress

    def _remember_start(self) -> None:
        for owner, names in ((self.net, OF_NETWORK), (self.optimizer, OF_OPTIMIZER)):
            STARTS.setdefault(owner, {})[self.path] = {name: self.facts[name] for name in names}

    def settle(self) -> None:
        """Before the first epoch: numbers drawn since `begin` count in a new training; in a resumed one they have."""
        if self._resumed:
            self.net.rng.bit_generator.state = self.progress.order
        else:
            self.progress.order = self._rng_state()

    def _on_first(self, function: Callable[[], None]) -> None:
        """Call a function, of several processes on the first, whose errors all raise."""
        if self._ranks is None:
            function()
        else:
            self._ranks.first(function)

    def step_done(self, asked: bool) -> None:
        """After each step, with whether to write and stop.

        An ArgumentError if an attribute has changed that a checkpoint does not keep.
        """
        if self._first:
            self._rng_at_start, self._first = self._rng_state(), False
            self._refuse_lost()
        if asked or (self.counts_steps and self.optimizer.steps % self.every == 0):
            if not self._mapped and self._rng_at_start != self._rng_state():
                what = "each step draws from the network's generator net.rng"
                raise ArgumentError(f"{what}, so the order of the epoch cannot be restored: use another generator")
            self._keep(asked)

    def epoch_done(self, epoch: Epoch, last: bool, asked: bool) -> None:
        """After each epoch, when the loop asks for the next one; an ArgumentError as above."""
        self.progress.next(self._rng_state(), epoch)
        self._first = True
        if last or asked or (not self.counts_steps and len(self.history) % self.every == 0):
            self._keep(asked)

    def _rng_state(self) -> dict[str, Any]:
        """The state of the network's generator; an ArgumentError if it is not of the kind that a network creates."""
        if not isinstance(getattr(self.net.rng, "bit_generator", None), np.random.PCG64):
            cure = "net.rng = numpy.random.default_rng(seed)"
            raise ArgumentError(f"a checkpoint keeps a generator of PCG64, but net.rng is {self.net.rng!r}; use {cure}")
        return dict(self.net.rng.bit_generator.state)

    def _keep(self, asked: bool) -> None:
        self._on_first(lambda: self._try_to_write(asked))
        if asked:
            raise KeyboardInterrupt

    def _try_to_write(self, asked: bool) -> None:
        """Write it. If the disk is full, warn."""
        try:
            self._write()
            self._failing = False
        except (OSError, MemoryError) as error:
            if asked or not self._failing:  # warn once: a disk stays full for long
                why = getattr(error, "strerror", None) or str(error) or type(error).__name__
                what = f"the checkpoint {self.path} could not be written after step {self.optimizer.steps}: {why}"
                left = next(filter(os.path.isfile, (self.path, self.previous)), "")
                held = f"The last intact one, {left}, is still there" if left else "There is none on the disk"
                then = "" if asked else "; the training goes on, and tries again"
                warnings.warn(f"{what}. {held}{then}", CheckpointWarning, 7)
            self._failing = True

    # ---- the file

    def _things(self) -> dict[str, Stateful]:
        """The objects whose state is kept, by name."""
        things: dict[str, Stateful] = {"network": self.net, "progress": self.progress}
        things |= {"early stopping": self.stopping} if self.stopping is not None else {}
        things |= {"average": self.average} if self.average is not None else {}
        return things | {"optimizer": self.optimizer}  # last, because it may replace its schedule

    def _parts(self) -> dict[str, Stateful]:
        """The objects whose state is kept, and all parts of them, by dotted name."""
        return {place: each for name, thing in self._things().items() for place, each in thing.with_parts(name).items()}

    def _refuse_lost(self) -> None:
        """Refuse, by an ArgumentError, an attribute or a schedule that a file could not bring back."""
        parts = self._parts()
        for place, (each, before) in self._undeclared.items():
            now = undeclared_attributes(each) if parts.get(place) is each else before
            for name in before:
                if not same(before[name], now.get(name)):
                    line = f"state_attributes = {(*vars(type(each)).get('state_attributes', ()), name)}"
                    cure = f"declare it in class {type(each).__name__}, {line}, and begin another file"
                    raise ArgumentError(f"{place}: {name} has changed, and a checkpoint does not keep it; {cure}")
        if (schedule := self.optimizer.schedule) is not self._schedule:
            for each in schedule.with_parts("schedule").values():
                if type(each).__module__ != Schedule.__module__ or isinstance(each, BestSoFar):  # the program holds it
                    what = f"the schedule is now another {type(each).__name__} than at the start"
                    raise ArgumentError(f"{what}, which no file can bring back; create the optimizer with it")

    def _write(self) -> None:
        """Write it, unless weights or moments are not finite, which must not replace the last intact file."""
        net = self.net
        self._refuse_lost()
        if not all_finite(net.xp, net.params, net.buffers, *self.optimizer.moments):
            return
        plain, arrays = split({owner: thing.state_dict() for owner, thing in self._things().items()})
        about = {"backend": net.backend, "dtype": str(net.dtype), "blas": self._blas, "process": os.getpid()}
        content = to_bytes(KIND, {"state": plain, "training": self.facts, **about}, arrays)
        path = writable_path(self.path)
        try:
            write_atomically(path, content, self.previous if self._whole else None, self._refuse_to_share)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not (self._whole and os.path.exists(self.previous)):
                raise
            os.unlink(self.previous)  # the disk has room for two files, not for three
            write_atomically(path, content, self.previous, self._refuse_to_share)
        self._header, self._whole = content[: 8 + int.from_bytes(content[:8], "little")], True

    def _refuse_to_share(self) -> None:
        """Refuse, by a CheckpointError, to replace a file that this training has neither written nor found."""
        if header(self.path) in (b"", self._header):
            return
        try:
            theirs = read(self.path, KIND)[0]
            who = f"process {theirs['process']} has written it after step {theirs['state']['optimizer']['steps']}"
        except (FileFormatError, OSError, LookupError, TypeError):
            who = "another program has changed it"
        ours = f"this training (process {os.getpid()}, step {self.optimizer.steps}) wrote"
        cure = "It stops, because one of the two would be lost; give each training a file of its own"
        raise CheckpointError(f"{self.path} is no longer the file that {ours}: {printable(who)}. {cure}")

    def _read(self) -> tuple[str, dict[str, Any], dict[str, np.ndarray]] | None:
        """The newest intact checkpoint; None if there is no file."""
        faults, self._whole, self._header = [], False, header(self.path)
        for path in (self.path, self.previous):
            try:
                contents, arrays = read(path, KIND)
            except OtherFileError:  # not damaged: it must not be overwritten
                raise
            except (FileNotFoundError, FileFormatError) as error:
                faults.append(error)
            else:
                self._whole = path == self.path
                if faults:
                    what = f"{faults[0]}. Resuming from the one before, {path}; to start over, {self._to_start_over()}"
                    warnings.warn(what, CheckpointWarning, 4)
                return path, contents, arrays
        if any(isinstance(error, FileFormatError) for error in faults):
            found = "; ".join(map(str, faults))
            raise FileFormatError(f"no checkpoint to resume from: {found}. To start over, {self._to_start_over()}")
        return None

    def _to_start_over(self) -> str:
        return f"choose another file, or remove {self.path} and {self.previous}"

    def _refuse_other(self, path: str, contents: dict[str, Any], arrays: dict[str, Any], epochs: int) -> None:
        """Refuse a file of another training. Several processes go on by the formulas after one with compiled steps."""
        try:
            theirs, begun = contents["training"], len(arrays["progress.history"])
            begun += contents["state"]["progress"]["steps"] > 0
            differ = [
                f"  {printable(name)}\n    here         {self.facts.get(name, 'none')}\n"
                f"    in the file  {printable(theirs.get(name, 'none'))}"
                for name in {**self.facts, **theirs}
                if self.facts.get(name) != theirs.get(name) and not (name == "steps" and self._ranks is not None)
            ]
        except (KeyError, TypeError, AttributeError):
            raise FileFormatError(f"{path} does not say which training it belongs to") from None
        if begun > epochs:
            differ.append(f"  epochs\n    here         {epochs}\n    in the file  {begun} have been started")
        if differ:
            rate = " (a learning rate may depend on the number of epochs)" if "  optimizer\n" in "".join(differ) else ""
            cure = f"Start it with the same settings{rate}; or, to start over, {self._to_start_over()}"
            if made := self.optimizer.steps:
                cure = f"This optimizer has made {made:,} steps: create it and the network again. {cure}"
            lines = "\n".join(differ[:MOST])
            raise CheckpointError(f"{path} is a checkpoint of another training:\n{lines}\n{cure}")

    def _restore(self, contents: dict[str, Any], arrays: dict[str, np.ndarray], samples: int) -> None:
        """Restore this state. If any of it is refused, all is as it was before."""
        net, things = self.net, self._things()
        where, theirs = (contents["backend"], float_dtype(contents["dtype"])), printable(contents["blas"])
        if where[0] not in ("numpy", "cupy"):
            raise ArgumentError(f"its backend is {where[0]!r}")
        if contents["state"].keys() != things.keys():
            raise ArgumentError(f"it has {', '.join(contents['state'])}, expected {', '.join(things)}")
        others, of = by_part(arrays, things)
        if others:
            raise ArgumentError(f"it has arrays that belong to nothing: {', '.join(others)}")
        states = {owner: {**state, **of[owner]} for owner, state in contents["state"].items()}
        schedule = self.optimizer.schedule
        before = (net.backend, net.dtype), {owner: thing.state_dict() for owner, thing in things.items()}
        try:
            self._put(where, states)
            done = self.progress.steps * self.batch_size
            if self.progress.samples != min(done, samples) or done >= samples + self.batch_size:
                raise ArgumentError(f"it has {self.progress.steps} steps in an epoch of {samples} samples")
        except BaseException:
            self.optimizer.schedule = schedule
            self._put(*before)
            raise
        net.rng.bit_generator.state = self.progress.order
        self._resumed = bool(self.history or self.progress.steps)
        if theirs != self._blas and self._is_first:
            what = f"the checkpoint was written with the BLAS {theirs}, this program has {self._blas}"
            warnings.warn(f"{what}: the weights may differ in rounding from an undisturbed run", CheckpointWarning, 5)

    def _put(self, where: tuple[str, Any], states: dict[str, dict[str, Any]]) -> None:
        if (self.net.backend, self.net.dtype) != where:
            self.net.to(*where)
        for owner, thing in self._things().items():
            thing.load_state_dict(states[owner])
