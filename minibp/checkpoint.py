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
from .checks import instance, new_file, number
from .errors import ArgumentError, CheckpointError, CheckpointWarning, FileFormatError, ShapeError
from .kept import (
    call_in_words,
    config_of,
    count,
    data_in_words,
    epoch_of,
    kept_by,
    number_like,
    numbers_of,
    put_into,
    schedule_in_words,
    schedule_of,
    sha256,
)
from .network import Network
from .optimizer import Optimizer
from .progress import Epoch, Progress
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

    The file is written before the first step, then after every so many epochs or steps, and after the last epoch; what
    follows is made again where a loop is left by ``break``. An epoch's is
    written when the caller's loop asks for the next, so that what the loop did (a schedule told the loss, early
    stopping) is in it. The one before is kept as ``<path>.previous``: where the newer is damaged, it is taken, with a
    warning. A file that cannot be written, on a full disk, is a warning too, and the training goes on; but for the
    first one, which is an error. Two trainings must not use one file at once.

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
        self.path, self.stopping = new_file(os.fspath(path)), stopping
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
            If it is damaged beyond use, and the one before too, or contradicts itself.
        ArgumentError
            If the network has a generator of another kind than its own, or `stopping` is another network's; or if what
            a layer `keeps`, or a schedule has, are no counts or numbers of Python.
        OSError
            If the file cannot be read, or the first one not be written.
        """
        for left in glob.glob(f"{glob.escape(self.path)}.{'[0-9a-f]' * 16}.part"):  # of a process that was killed
            with suppress(OSError):
                os.unlink(left)
        if self.stopping is not None and self.stopping.net is not net:
            raise ArgumentError("stopping is another network's; make one for this: EarlyStopping(net)")
        self.net, self.optimizer, self.batch_size, self._asked = net, optimizer, batches.batch_size, False
        self.progress = Progress(order=dict(net.rng.bit_generator.state))
        if self.progress.order["bit_generator"] != "PCG64":
            raise ArgumentError("a checkpoint keeps the generator that a network makes, but net.rng is another")
        self.fit = self._fit(batches, validation)
        found = self._read()
        if found is None:
            self._write()
            return self.progress
        path, contents, arrays = found
        self._refuse_other(path, contents, epochs)
        try:
            self._restore(contents, arrays, len(batches))
        except Exception as error:  # whatever a stranger wrote into it
            said = printable(error)
            raise FileFormatError(f"{path} contradicts itself: {type(error).__name__}: {said}") from None
        return self.progress

    def step_done(self) -> None:
        """After each step; an ArgumentError if a layer keeps what is no number any more."""
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

    def _write(self) -> None:
        net, optimizer, progress, stopping = self.net, self.optimizer, self.progress, self.stopping
        arrays = {"params": net.params, "state": net.state}
        arrays |= {f"moments.{i}": vector for i, vector in enumerate(optimizer.vectors)}
        if progress.losses is not None:
            arrays["losses"] = progress.losses[: progress.steps * self.batch_size]
        if stopping is not None and stopping.kept is not None:
            arrays["best.params"], arrays["best.state"] = stopping.kept
        arrays = {name: to_host(array) for name, array in arrays.items()}
        if not all(np.isfinite(array).all() for name, array in arrays.items() if name != "losses"):
            return  # lost: the last good one must not be, and `train` says what happened
        contents = {
            "fit": self.fit,
            "steps": progress.steps,
            "seconds": progress.seconds,
            "order": progress.order,
            "history": [list(epoch) for epoch in progress.history],
            "layers": kept_by(net),
            "optimizer": {"steps": optimizer.steps, "config": optimizer.config()},
            "schedule": numbers_of(optimizer.schedule),
            "stopping": None if stopping is None else {"best": stopping.best, "waited": stopping.waited},
        }
        write_atomically(self.path, to_bytes(KIND, contents, arrays), self.previous if self._whole else None)
        self._whole = True

    def _read(self) -> tuple[str, dict[str, Any], dict[str, np.ndarray]] | None:
        """The newest checkpoint that is whole; None where there is no file."""
        faults = []
        for path in (self.path, self.previous):
            try:
                contents, arrays = read(path, KIND)
            except FileNotFoundError:
                faults += [f"{path} is missing"] if path == self.path else []
            except FileFormatError as error:
                faults.append(str(error))
            else:
                self._whole = path == self.path
                if faults:
                    what = f"{faults[0]}. Going on from the one before, {path}; to begin anew, {self._anew()}"
                    warnings.warn(what, CheckpointWarning, 4)
                return path, contents, arrays
        if faults[0].endswith(" is missing") and len(faults) == 1:
            return None
        raise FileFormatError(f"no checkpoint to go on from: {'; '.join(faults)}. To begin anew, {self._anew()}")

    def _anew(self) -> str:
        return f"give another file, or remove {self.path} and {self.previous}"

    def _fit(self, batches: Batches, validation: Batches | None) -> dict[str, str]:
        """What must be the same for a training to go on, by name, in words."""
        net, optimizer, stopping = self.net, self.optimizer, self.stopping
        start = [net.params, net.state, *optimizer.vectors]
        numbers = repr((optimizer.steps, self.progress.order, kept_by(net)))
        return {
            "network": repr(net),
            "dtype": str(net.dtype),
            "backend": net.backend,
            "starting weights and generators (seed)": sha256(*map(to_host, start), numbers),
            "training data": data_in_words(batches),
            "validation data": "none" if validation is None else data_in_words(validation),
            "batch size": str(batches.batch_size),
            "optimizer": call_in_words(type(optimizer).__name__, optimizer.config()),
            "learning rate": schedule_in_words(numbers_of(optimizer.schedule)),
            "early stopping": "none" if stopping is None else f"patience {stopping.patience}",
        }

    def _refuse_other(self, path: str, contents: dict[str, Any], epochs: int) -> None:
        theirs = contents.get("fit")
        steps, history = contents.get("steps"), contents.get("history")
        if not isinstance(theirs, dict) or not isinstance(history, list) or not isinstance(steps, int):
            raise FileFormatError(f"{path} does not say which training it is of")
        differ = [
            f"  {printable(name)}\n    here         {self.fit.get(name, 'none')}\n"
            f"    in the file  {printable(theirs.get(name, 'none'))}"
            for name in {**self.fit, **theirs}
            if self.fit.get(name) != theirs.get(name)
        ]
        begun = len(history) + (steps > 0)
        if begun > epochs:
            differ.append(f"  epochs\n    here         {epochs}\n    in the file  {begun} are begun already")
        if differ:
            cure = f"Start it as it was begun; or, to begin anew, {self._anew()}"
            lines = "\n".join(differ)
            raise CheckpointError(f"{path} is a checkpoint of another training:\n{lines}\n{cure}")

    def _restore(self, contents: dict[str, Any], arrays: dict[str, np.ndarray], samples: int) -> None:
        """Put the training into this state: all of it is checked first, and then put in place."""
        net, optimizer, stopping = self.net, self.optimizer, self.stopping
        targets = {"params": net.params, "state": net.state}
        targets |= {f"moments.{i}": vector for i, vector in enumerate(optimizer.vectors)}
        steps = count(contents["steps"])
        expected = {name: target.shape for name, target in targets.items()}
        if steps:
            if steps > -(-samples // self.batch_size):
                raise ShapeError(f"it has {steps} steps in an epoch of {samples} samples")
            expected["losses"] = (min(steps * self.batch_size, samples),)
        best = {name: arrays.get(f"best.{name}") for name in ("params", "state")} if stopping is not None else {}
        if best and best["params"] is not None:
            expected |= {f"best.{name}": targets[name].shape for name in best}
        found = {name: array.shape for name, array in arrays.items()}
        if found != expected or any(array.dtype != net.dtype for array in arrays.values()):
            raise ShapeError(f"it has arrays {found}, expected {expected}, all {net.dtype}")
        if not all(np.isfinite(array).all() for name, array in arrays.items() if name != "losses"):
            raise ShapeError("it has NaN or infinity in it")

        generator = np.random.PCG64()
        generator.state = contents["order"]
        order = dict(generator.state)
        validated = self.fit["validation data"] != "none"
        history = [epoch_of(row, i, validated) for i, row in enumerate(contents["history"], 1)]
        seconds = number("seconds", contents["seconds"])
        made = count(contents["optimizer"]["steps"])
        config = config_of(contents["optimizer"]["config"], optimizer)
        schedule = schedule_of(contents["schedule"], optimizer.schedule)
        number("the learning rate", schedule(made))
        layers = [
            {name: number_like(kept[name], getattr(layer, name)) for name in layer.keeps}
            for layer, kept in zip(net.layers, contents["layers"], strict=True)
        ]
        if stopping is not None:
            waited = count(contents["stopping"]["waited"])
            lowest = number_like(contents["stopping"]["best"], stopping.best)

        for name, target in targets.items():
            target[...] = moved(arrays[name], net.xp, net.dtype)
        net.rng.bit_generator.state = order
        for layer, kept in zip(net.layers, layers, strict=True):
            vars(layer).update(kept)
        vars(optimizer).update(config, steps=made)
        optimizer.schedule = put_into(optimizer.schedule, schedule)
        optimizer.follow()
        if stopping is not None:
            stopping.best, stopping.waited = lowest, waited
            stopping.kept = (best["params"], best["state"]) if best["params"] is not None else None
        self.progress = Progress(history, steps, seconds, order, arrays.get("losses"))
