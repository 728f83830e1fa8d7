"""Checkpoint: the full state of a training on disk, from which it can be resumed."""

from __future__ import annotations

import glob
import os
import re
import warnings
from contextlib import suppress
from typing import Any

import numpy as np

from ..backend import to_host, to_library
from ..base import at_least_zero, float_dtype, instance, new_file, number
from ..data import Batches
from ..errors import (
    ArgumentError,
    BackendError,
    CheckpointError,
    CheckpointWarning,
    FileFormatError,
    OtherFileError,
    ShapeError,
)
from ..network import Network
from ..optimizer import Optimizer
from ..progress import Epoch, Progress
from ..stopping import EarlyStopping
from .fingerprint import mismatches, training_facts
from .kept import Keeper
from .restored import Reader
from .tensorfile import printable, read, to_bytes, write_file

KIND = "checkpoint"


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
    an epoch it is written when your loop asks for the next one, so that it contains what your loop did (a schedule's
    update, early stopping). If you leave the loop by ``break``, that epoch is trained again. All attributes of layers,
    loss, optimizer, schedule and `stopping` are kept, also those of your own classes: numbers, strings, lists, dicts,
    arrays, generators, and objects of these. Anything that could not be restored is an error.

    The last file but one is kept as ``<path>.previous``. It is used, with a warning, if the newer one is damaged. If a
    file cannot be written, on a full disk, the training goes on with a warning, except for the first file. Two
    trainings must not use one file at the same time.

    A file belongs to a training if the network, the optimizer, the batch size, their initial values and the data are
    the same. For this the data are read once more when `train` is called. Local variables of your loop are not in the
    file: derive what depends on earlier epochs from ``checkpoint.history``.

    Parameters
    ----------
    path : path
        The file. It is created if needed.
    every : int or str, default 1
        Epochs between two checkpoints, or steps as in ``"200steps"``.
    stopping : EarlyStopping, optional
        Kept too, with its best weights.

    Raises
    ------
    ArgumentError
        If `every` is neither, or a file of this name cannot be created.
    """

    def __init__(self, path: str | os.PathLike[str], every: int | str = 1, stopping: EarlyStopping | None = None):
        self.path, self.stopping = os.path.realpath(new_file(os.fspath(path))), stopping  # the target of a link
        self.previous = f"{self.path}.previous"
        if stopping is not None:
            instance("stopping", stopping, EarlyStopping, "create one: EarlyStopping(net)")
        match = re.fullmatch(r"([1-9]\d{0,11})(steps)?", str(every))
        if not match or isinstance(every, bool):
            raise ArgumentError(f'every must be epochs (5) or steps ("200steps"), at least 1; received {every!r}')
        self.every, self.counts_steps = int(match[1]), bool(match[2])
        self.progress = Progress()
        self._whole = False  # whether the file at `path` is intact and can become the previous one
        self._asked = self._failing = False

    @property
    def history(self) -> list[Epoch]:
        """The finished epochs, including those before a restart."""
        return self.progress.history

    def interrupt(self) -> None:
        """Make the training write a checkpoint after the current step, and then raise KeyboardInterrupt.

        For signal handlers, which may run in the middle of a step.
        """
        self._asked = True

    # ---- what `train` calls

    def begin(
        self, net: Network, optimizer: Optimizer, batches: Batches, validation: Batches | None, epochs: int
    ) -> Progress:
        """Resume from the file if there is one, else write the first one. `train` says what is refused."""
        for left in glob.glob(f"{glob.escape(self.path)}.{'[0-9a-f]' * 16}.part"):  # left by a process that was killed
            with suppress(OSError):
                os.unlink(left)
        if self.stopping is not None and self.stopping.net is not net:
            raise ArgumentError("stopping belongs to another network; create one for this: EarlyStopping(net)")
        self.net, self.optimizer, self.batch_size, self._asked = net, optimizer, batches.batch_size, False
        self._first, self._mapped = True, batches.mapped
        self.progress, self._resumed = Progress(order=dict(net.rng.bit_generator.state)), False
        if self.progress.order["bit_generator"] != "PCG64":
            raise ArgumentError("a checkpoint keeps the generator that a network creates, but net.rng is another")
        self.keeper = Keeper(net)
        self.keeper.encoded(self._things())
        self.facts = training_facts(self.keeper, optimizer, batches, validation, self.progress.order)
        found = self._read()
        if found is None:
            if not self._write():
                raise ArgumentError("the moments of the optimizer hold NaN or infinity; create it again")
            return self.progress
        path, contents, arrays = found
        self._refuse_other(path, contents, arrays, epochs)
        try:
            self._restore(contents, arrays, len(batches))
        except (MemoryError, BackendError):
            raise
        except Exception as error:  # the file may contain anything
            said = printable(error)
            raise FileFormatError(f"{path} contradicts itself: {type(error).__name__}: {said}") from None
        return self.progress

    def settle(self) -> None:
        """Before the first epoch: numbers drawn since `begin` count in a new training; in a resumed one they have."""
        generator = self.net.rng.bit_generator
        if self._resumed:
            generator.state = self.progress.order
        else:
            self.progress.order = dict(generator.state)

    def step_done(self) -> None:
        """After each step; an ArgumentError if, for example, a layer has a new attribute that cannot be kept."""
        if self._first:
            self._drawn, self._first = self.net.rng.bit_generator.state, False
        if self._asked or (self.counts_steps and self.optimizer.steps % self.every == 0):
            if not self._mapped and self._drawn != self.net.rng.bit_generator.state:
                what = "each step draws from the network's generator net.rng"
                raise ArgumentError(f"{what}, so the order of the epoch cannot be restored: use another generator")
            self._keep()

    def epoch_done(self, last: bool) -> None:
        """After each epoch, when the loop asks for the next one; an ArgumentError as above."""
        self._first = True
        if last or self._asked or (not self.counts_steps and len(self.history) % self.every == 0):
            self._keep()

    def _keep(self) -> None:
        try:
            self._write()
            self._failing = False
        except OSError as error:
            if self._asked or not self._failing:  # warn once: a disk stays full for long
                what = f"the checkpoint {self.path} could not be written after step {self.optimizer.steps}: {error}"
                then = "" if self._asked else "; the training goes on, and tries again"
                warnings.warn(f"{what}. The last intact one is still there{then}", CheckpointWarning, 4)
            self._failing = True
        if self._asked:
            raise KeyboardInterrupt

    # ---- the file

    def _things(self) -> dict[str, Any]:
        """The objects whose attributes are kept, by name."""
        things: dict[str, Any] = {f"layer {i}": layer for i, layer in enumerate(self.net.layers)}
        things |= {"loss": self.net.loss, "optimizer": self.optimizer, "schedule": self.optimizer.schedule}
        things |= {"early stopping": self.stopping} if self.stopping is not None else {}
        return things | ({"network": self.net} if type(self.net) is not Network else {})

    def _write(self) -> bool:
        """Write it; False if weights or moments are not finite, which must not replace the last intact file."""
        net, optimizer, progress, stopping = self.net, self.optimizer, self.progress, self.stopping
        arrays = {"params": net.params, "buffers": net.buffers}
        arrays |= {f"moments.{i}": vector for i, vector in enumerate(optimizer.moments)}
        if stopping is not None and stopping.kept is not None:
            best = (to_library(vector, net.xp, net.dtype) for vector in stopping.kept)
            arrays["best.params"], arrays["best.buffers"] = best
        arrays = {name: to_host(array) for name, array in arrays.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            return False
        if progress.losses is not None:
            arrays["losses"] = to_host(progress.losses[: progress.steps * self.batch_size])
        arrays["history"] = np.array([epoch[1:] for epoch in progress.history], "float64").reshape(-1, 4)
        contents = {
            "objects": self.keeper.encoded(self._things()),
            "training": self.facts,
            "backend": net.backend,
            "steps": progress.steps,
            "seconds": progress.seconds,
            "order": progress.order,
        }
        content = to_bytes(KIND, contents, arrays | self.keeper.arrays)
        write_file(self.path, content, self.previous if self._whole else None)
        self._whole = True
        return True

    def _read(self) -> tuple[str, dict[str, Any], dict[str, np.ndarray]] | None:
        """The newest intact checkpoint; None if there is no file."""
        there = [path for path in (self.path, self.previous) if os.path.exists(path)]
        faults = [f"{self.path} is missing"] if there and there[0] != self.path else []
        for path in there:
            try:
                contents, arrays = read(path, KIND)
            except OtherFileError:  # not damaged: it must not be overwritten
                raise
            except FileFormatError as error:
                faults.append(str(error))
            else:
                self._whole = path == self.path
                if faults:
                    what = f"{faults[0]}. Resuming from the one before, {path}; to start over, {self._to_start_over()}"
                    warnings.warn(what, CheckpointWarning, 4)
                return path, contents, arrays
        if faults:
            found = "; ".join(faults)
            raise FileFormatError(f"no checkpoint to resume from: {found}. To start over, {self._to_start_over()}")
        return None

    def _to_start_over(self) -> str:
        return f"choose another file, or remove {self.path} and {self.previous}"

    def _refuse_other(
        self, path: str, contents: dict[str, Any], arrays: dict[str, np.ndarray], epochs: int
    ) -> None:
        theirs, steps, history = contents.get("training"), contents.get("steps"), arrays.get("history")
        if not isinstance(theirs, dict) or history is None or not history.ndim or not isinstance(steps, int):
            raise FileFormatError(f"{path} does not say which training it belongs to")
        differ = mismatches(self.facts, theirs)
        begun = len(history) + (steps > 0)
        if begun > epochs:
            differ.append(f"  epochs\n    here         {epochs}\n    in the file  {begun} have been started")
        if differ:
            rate = " (a learning rate may depend on the number of epochs)" if "learning rate" in str(differ) else ""
            cure = f"Start it with the same settings{rate}; or, to start over, {self._to_start_over()}"
            lines = "\n".join(differ)
            raise CheckpointError(f"{path} is a checkpoint of another training:\n{lines}\n{cure}")

    def _restore(self, contents: dict[str, Any], arrays: dict[str, np.ndarray], samples: int) -> None:
        """Restore this state: all of it is checked first, and then put in place."""
        net, optimizer, stopping = self.net, self.optimizer, self.stopping
        steps, backend = at_least_zero("steps", contents["steps"]), contents["backend"]
        dtype = float_dtype(arrays["params"].dtype)
        if backend not in ("numpy", "cupy"):
            raise ArgumentError(f"its backend is {backend!r}")
        shapes = {"params": net.params.shape, "buffers": net.buffers.shape}
        shapes |= {f"moments.{i}": vector.shape for i, vector in enumerate(optimizer.moments)}
        if stopping is not None and "best.params" in arrays:
            shapes |= {"best.params": net.params.shape, "best.buffers": net.buffers.shape}
        if steps:
            if steps > -(-samples // self.batch_size):
                raise ShapeError(f"it has {steps} steps in an epoch of {samples} samples")
            shapes["losses"] = (min(steps * self.batch_size, samples),)
        expected = {name: (shape, dtype) for name, shape in shapes.items()}
        expected["history"] = ((len(arrays["history"]), 4), np.dtype("float64"))
        found = {n: (array.shape, array.dtype) for n, array in arrays.items() if not n.startswith("attributes.")}
        if found != expected:
            raise ShapeError(f"it has arrays {found}, expected {expected}")
        if not all(np.isfinite(arrays[name]).all() for name in shapes if name != "losses"):
            raise ShapeError("it has NaN or infinity in it")

        generator = np.random.PCG64()
        generator.state = contents["order"]
        order = dict(generator.state)
        seconds = number("seconds", contents["seconds"])
        things = self._things()
        if contents["objects"].keys() != things.keys():
            raise ArgumentError(f"it has {', '.join(contents['objects'])}, expected {', '.join(things)}")
        reader = Reader(arrays)
        # In the order of writing, because shared objects are numbered in that order.
        values = {name: reader.read_object(contents["objects"][name], thing) for name, thing in things.items()}
        made = at_least_zero("steps", values["optimizer"].values["steps"])

        if (backend, dtype) != (net.backend, net.dtype):
            net.to(backend, dtype)
        targets = [net.params, net.buffers, *optimizer.moments]
        for name, target in zip(shapes, targets, strict=False):
            target[...] = to_library(arrays[name], net.xp, net.dtype)
        net.rng.bit_generator.state = order
        placed = {name: reader.put(value, things[name], net.xp) for name, value in values.items()}
        optimizer.schedule, optimizer.steps = placed["schedule"], made
        optimizer.sync()
        if stopping is not None:
            stopping.kept = (arrays["best.params"], arrays["best.buffers"]) if "best.params" in arrays else None
        history = _epochs(arrays["history"], validated=self.facts["validation data"] != "none")
        self.progress = Progress(history, steps, seconds, order, arrays.get("losses"))
        self._resumed = bool(history or steps)


def _epochs(rows: np.ndarray, validated: bool) -> list[Epoch]:
    """The history; without a validation set, its two numbers are None."""
    epochs = [Epoch(i, *row) for i, row in enumerate(rows.tolist(), 1)]
    return epochs if validated else [epoch._replace(val_loss=None, val_accuracy=None) for epoch in epochs]
