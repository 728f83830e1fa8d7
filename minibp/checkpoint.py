"""Checkpoint: the full state of a training on disk, from which it goes on as if nothing had happened."""

from __future__ import annotations

import glob
import os
import re
import warnings
from contextlib import suppress
from typing import Any

import numpy as np

from .backend import moved, to_host
from .batches import Batches
from .checks import instance, new_file, number, real
from .errors import (
    ArgumentError,
    BackendError,
    CheckpointError,
    CheckpointWarning,
    FileFormatError,
    OtherFileError,
    ShapeError,
)
from .fit import differences, fit
from .kept import attributes, count, decode, encode, encoded, number_like, refuse_new, restore
from .network import Network
from .optimizer import Optimizer
from .progress import Epoch, Progress
from .schedules import Schedule
from .stopping import EarlyStopping
from .tensorfile import printable, read, to_bytes, write_atomically

KIND = "checkpoint"


class Checkpoint:
    """Keeps the state of a training in a file, and takes it from there when the same training is started again.

    ::

        checkpoint = Checkpoint("run.ckpt", every=5)
        for epoch in train(net, optimizer, train_set, epochs=100, checkpoint=checkpoint):
            print(epoch)

    The same program, started again after it was killed, goes on where the file was written and ends with exactly the
    weights of a run that nothing disturbed, on the same machine with the same number of threads. Only the epochs that
    are still to be trained are yielded; those before are in ``checkpoint.history``.

    The file is written before the first step, then after every so many epochs or steps, and after the last epoch. An
    epoch's is written when the caller's loop asks for the next, so that what the loop did (a schedule told the loss,
    early stopping) is in it; the epoch at which a loop is left by ``break`` is trained again. All attributes of layers,
    loss, optimizer and schedule are kept, also of classes of your own, but for arrays of layers (see `Layer`).

    The file before is kept as ``<path>.previous``: where the newer is damaged, it is taken, with a warning. A file that
    cannot be written, on a full disk, is a warning too, and the training goes on; but for the first one, which is an
    error. Two trainings must not use one file at once.

    Whether a file is of this training is seen from the network, the optimizer, the batch size, the starting weights and
    the data, of which a hash is taken when `train` is called: they are read once more.

    Parameters
    ----------
    path : path
        The file. There need not be one yet.
    every : int or str, default 1
        Epochs between two checkpoints, or steps as in ``"200steps"``.
    stopping : EarlyStopping, optional
        Kept too, with its best weights.

    Raises
    ------
    ArgumentError
        If `every` is neither, or there can be no file of that name.
    """

    def __init__(self, path: str | os.PathLike[str], every: int | str = 1, stopping: EarlyStopping | None = None):
        self.path, self.stopping = os.path.realpath(new_file(os.fspath(path))), stopping  # where a link leads
        self.previous = f"{self.path}.previous"
        if stopping is not None:
            instance("stopping", stopping, EarlyStopping, "make one: EarlyStopping(net)")
        match = re.fullmatch(r"([1-9]\d{0,11})(steps)?", str(every))
        if not match or isinstance(every, bool):
            raise ArgumentError(f'every must be epochs, as 5, or steps, as "200steps", each at least 1; got {every!r}')
        self.every, self.counts_steps = int(match[1]), bool(match[2])
        self.progress = Progress()
        self._whole = False  # whether what lies at `path` is good enough to become the previous one
        self._asked = self._failing = False

    @property
    def history(self) -> list[Epoch]:
        """The epochs that are over, those before a restart too."""
        return self.progress.history

    def interrupt(self) -> None:
        """Have the training write a checkpoint after the step it is in, and then raise KeyboardInterrupt.

        For a handler of a signal: at any other moment a step is half done.
        """
        self._asked = True

    # ---- what `train` calls

    def begin(
        self, net: Network, optimizer: Optimizer, batches: Batches, validation: Batches | None, epochs: int
    ) -> Progress:
        """Go on from the file where there is one, else write the first.

        Raises
        ------
        CheckpointError
            If the file is of another training.
        FileFormatError
            If it is damaged beyond use, and the one before too, is none of this kind, or contradicts itself.
        ArgumentError
            If the network has a generator of another kind than its own, or shares it with a layer; if `stopping` is
            another network's; if an average of the optimizer is NaN or infinite; or if a layer, the loss, the optimizer
            or the schedule has an attribute that a checkpoint cannot keep.
        OSError
            If the file cannot be read, or the first one not be written.
        """
        for left in glob.glob(f"{glob.escape(self.path)}.{'[0-9a-f]' * 16}.part"):  # of a process that was killed
            with suppress(OSError):
                os.unlink(left)
        if self.stopping is not None and self.stopping.net is not net:
            raise ArgumentError("stopping is another network's; make one for this: EarlyStopping(net)")
        self.net, self.optimizer, self.batch_size, self._asked = net, optimizer, batches.batch_size, False
        self.parts = {f"layer {i}": layer for i, layer in enumerate(net.layers)} | {"loss": net.loss}
        self.progress, self._resumed = Progress(order=dict(net.rng.bit_generator.state)), False
        if self.progress.order["bit_generator"] != "PCG64":
            raise ArgumentError("a checkpoint keeps the generator that a network makes, but net.rng is another")
        for part in self.parts.values():
            if any(value is net.rng for value in attributes(part).values()):
                cure = "give it its own, numpy.random.default_rng(0)"
                raise ArgumentError(f"{part} draws from the network's generator, so no order can be kept: {cure}")
        self.fit = fit(net, optimizer, batches, validation, self.stopping, self.progress.order)
        self.start = self._state()
        found = self._read()
        if found is None:
            if not self._write():
                raise ArgumentError("the optimizer's averages hold NaN or infinity; make it anew")
            return self.progress
        path, contents, arrays = found
        self._refuse_other(path, contents, arrays, epochs)
        try:
            self._restore(contents, arrays, len(batches))
        except (MemoryError, BackendError):
            raise
        except Exception as error:  # whatever a stranger wrote into it
            said = printable(error)
            raise FileFormatError(f"{path} contradicts itself: {type(error).__name__}: {said}") from None
        return self.progress

    def settle(self) -> None:
        """Before the first epoch: what the program drew since `begin` counts in a training that starts, else it did."""
        generator = self.net.rng.bit_generator
        if self._resumed:
            generator.state = self.progress.order
        else:
            self.progress.order = dict(generator.state)

    def step_done(self) -> None:
        """After each step; an ArgumentError if a layer, say, has an attribute now that cannot be kept."""
        if self._asked or (self.counts_steps and self.optimizer.steps % self.every == 0):
            self._keep()

    def epoch_done(self, last: bool) -> None:
        """After each epoch, when the caller's loop has done with it; an ArgumentError as above."""
        if last or self._asked or (not self.counts_steps and len(self.history) % self.every == 0):
            self._keep()

    def _keep(self) -> None:
        try:
            self._write()
            self._failing = False
        except OSError as error:
            if self._asked or not self._failing:  # a disk stays full for long: once is enough
                what = f"the checkpoint {self.path} could not be written after step {self.optimizer.steps}: {error}"
                then = "" if self._asked else "; the training goes on, and tries again each time"
                warnings.warn(f"{what}. The last good one is still there{then}", CheckpointWarning, 4)
            self._failing = True
        if self._asked:
            raise KeyboardInterrupt

    # ---- the file

    def _state(self) -> dict[str, Any]:
        """The attributes of all that takes part."""
        return {
            "parts": {name: encoded(part, str(part)) for name, part in self.parts.items()},
            "optimizer": encoded(self.optimizer, "the optimizer"),
            "schedule": encode(self.optimizer.schedule, "the schedule"),
        }

    def _write(self) -> bool:
        """Write it; False where weights or averages are lost: the last good one must not be, `train` says the rest."""
        net, optimizer, progress, stopping = self.net, self.optimizer, self.progress, self.stopping
        arrays = {"params": net.params, "state": net.state}
        arrays |= {f"moments.{i}": vector for i, vector in enumerate(optimizer.vectors)}
        if stopping is not None and stopping.kept is not None:
            arrays["best.params"], arrays["best.state"] = stopping.kept
        arrays = {name: to_host(array) for name, array in arrays.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            return False
        if progress.losses is not None:
            arrays["losses"] = to_host(progress.losses[: progress.steps * self.batch_size])
        arrays["history"] = np.array([epoch[1:] for epoch in progress.history], "float64").reshape(-1, 4)
        state = self._state()
        for name, now in state.items():
            refuse_new(now, self.start[name], name)
        contents = state | {
            "fit": self.fit,
            "backend": net.backend,
            "steps": progress.steps,
            "seconds": progress.seconds,
            "order": progress.order,
            "stopping": None if stopping is None else {"best": stopping.best, "waited": stopping.waited},
        }
        write_atomically(self.path, to_bytes(KIND, contents, arrays), self.previous if self._whole else None)
        self._whole = True
        return True

    def _read(self) -> tuple[str, dict[str, Any], dict[str, np.ndarray]] | None:
        """The newest checkpoint that is whole; None where there is no file."""
        there = [path for path in (self.path, self.previous) if os.path.exists(path)]
        faults = [f"{self.path} is missing"] if there and there[0] != self.path else []
        for path in there:
            try:
                contents, arrays = read(path, KIND)
            except OtherFileError:  # not damaged: it must not be written over
                raise
            except FileFormatError as error:
                faults.append(str(error))
            else:
                self._whole = path == self.path
                if faults:
                    what = f"{faults[0]}. Going on from the one before, {path}; to begin anew, {self._anew()}"
                    warnings.warn(what, CheckpointWarning, 4)
                return path, contents, arrays
        if faults:
            raise FileFormatError(f"no checkpoint to go on from: {'; '.join(faults)}. To begin anew, {self._anew()}")
        return None

    def _anew(self) -> str:
        return f"give another file, or remove {self.path} and {self.previous}"

    def _refuse_other(
        self, path: str, contents: dict[str, Any], arrays: dict[str, np.ndarray], epochs: int
    ) -> None:
        theirs, steps, history = contents.get("fit"), contents.get("steps"), arrays.get("history")
        if not isinstance(theirs, dict) or history is None or not history.ndim or not isinstance(steps, int):
            raise FileFormatError(f"{path} does not say which training it is of")
        differ = differences(self.fit, theirs)
        begun = len(history) + (steps > 0)
        if begun > epochs:
            differ.append(f"  epochs\n    here         {epochs}\n    in the file  {begun} are begun already")
        if differ:
            rate = " (a learning rate may depend on the number of epochs)" if "learning rate" in str(differ) else ""
            cure = f"Start it as it was begun{rate}; or, to begin anew, {self._anew()}"
            lines = "\n".join(differ)
            raise CheckpointError(f"{path} is a checkpoint of another training:\n{lines}\n{cure}")

    def _restore(self, contents: dict[str, Any], arrays: dict[str, np.ndarray], samples: int) -> None:
        """Put the training into this state: all of it is checked first, and then put in place."""
        net, optimizer, stopping = self.net, self.optimizer, self.stopping
        steps, backend, dtype = count(contents["steps"]), contents["backend"], real(arrays["params"].dtype)
        if backend not in ("numpy", "cupy"):
            raise ArgumentError(f"its backend is {backend!r}")
        shapes = {"params": net.params.shape, "state": net.state.shape}
        shapes |= {f"moments.{i}": vector.shape for i, vector in enumerate(optimizer.vectors)}
        if stopping is not None and "best.params" in arrays:
            shapes |= {"best.params": net.params.shape, "best.state": net.state.shape}
        if steps:
            if steps > -(-samples // self.batch_size):
                raise ShapeError(f"it has {steps} steps in an epoch of {samples} samples")
            shapes["losses"] = (min(steps * self.batch_size, samples),)
        expected = {name: (shape, dtype) for name, shape in shapes.items()}
        expected["history"] = ((len(arrays["history"]), 4), np.dtype("float64"))
        found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
        if found != expected:
            raise ShapeError(f"it has arrays {found}, expected {expected}")
        if not all(np.isfinite(arrays[name]).all() for name in shapes if name != "losses"):
            raise ShapeError("it has NaN or infinity in it")

        generator = np.random.PCG64()
        generator.state = contents["order"]
        order = dict(generator.state)
        seconds = number("seconds", contents["seconds"])
        restore(contents["optimizer"], optimizer, in_place=False)
        schedule = decode(contents["schedule"], optimizer.schedule, in_place=False)
        if not isinstance(schedule, Schedule):
            raise ArgumentError(f"its schedule is a {type(schedule).__name__}")
        made = count(contents["optimizer"]["steps"])
        number("the learning rate", float(schedule(made)))
        for name, part in self.parts.items():
            restore(contents["parts"][name], part, in_place=False)
        if stopping is not None:
            waited = count(contents["stopping"]["waited"])
            lowest = number_like(contents["stopping"]["best"], stopping.best)

        if (backend, dtype) != (net.backend, net.dtype):
            net.to(backend, dtype)
        targets = [net.params, net.state, *optimizer.vectors]
        for name, target in zip(shapes, targets, strict=False):
            target[...] = moved(arrays[name], net.xp, net.dtype)
        net.rng.bit_generator.state = order
        for name, part in self.parts.items():
            restore(contents["parts"][name], part, in_place=True)
        restore(contents["optimizer"], optimizer, in_place=True)
        optimizer.steps, optimizer.schedule = made, decode(contents["schedule"], optimizer.schedule, in_place=True)
        optimizer.follow()
        if stopping is not None:
            stopping.best, stopping.waited = lowest, waited
            stopping.kept = (arrays["best.params"], arrays["best.state"]) if "best.params" in arrays else None
        history = _epochs(arrays["history"], validated=self.fit["validation data"] != "none")
        self.progress = Progress(history, steps, seconds, order, arrays.get("losses"))
        self._resumed = bool(history or steps)


def _epochs(rows: np.ndarray, validated: bool) -> list[Epoch]:
    """The history; without a validation its two numbers are None."""
    epochs = [Epoch(i, *row) for i, row in enumerate(rows.tolist(), 1)]
    return epochs if validated else [epoch._replace(val_loss=None, val_accuracy=None) for epoch in epochs]
