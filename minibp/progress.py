"""The progress of a training: the finished epochs, and the current one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .backend import to_host
from .base import Array, Stateful, at_least_zero, generator_state, number, refuse_other_names
from .errors import ArgumentError


class Epoch(NamedTuple):
    """The result of an epoch, which `train` yields. ``print(epoch)`` prints a line of a log.

    Attributes
    ----------
    number : int
        1, 2, ...
    loss : float
        Mean loss of the training samples, each taken when its batch was trained on.
    val_loss, val_accuracy : float or None
        Mean loss and accuracy (0..1) on the validation set after the epoch; None without one. The accuracy is NaN, and
        not printed, if the targets are not classes.
    seconds : float
        Wall time of the training, without the validation.
    """

    number: int
    loss: float
    val_loss: float | None
    val_accuracy: float | None
    seconds: float

    def __str__(self) -> str:
        line = f"epoch {self.number:3d}  loss {self.loss:.4f}"
        if self.val_loss is not None:
            line += f"  val_loss {self.val_loss:.4f}"
        if self.val_accuracy is not None and not math.isnan(self.val_accuracy):
            line += f"  val_accuracy {self.val_accuracy:.4f}"
        return f"{line}  {self.seconds:.2f} s"


class Progress(Stateful):
    """The state of a training besides its network and optimizer.

    Attributes
    ----------
    history : list of Epoch
        The finished epochs.
    steps, samples : int
        Steps made in the current epoch, and samples trained on.
    seconds : float
        Wall time of these steps.
    order : dict
        The state of the network's generator at the start of the current epoch, from which the order of samples follows.
    losses : array or None
        The loss of each sample of the current epoch; the first `samples` are filled.
    """

    def __init__(self, order: dict[str, Any] | None = None):
        self.history: list[Epoch] = []
        self.next(order or {})

    def next(self, order: dict[str, Any], epoch: Epoch | None = None) -> None:
        """Finish an epoch, if there is one, and begin the next one."""
        self.history += [epoch] if epoch is not None else []
        self.steps, self.samples, self.seconds, self.order = 0, 0, 0.0, order
        self.losses: Array = None

    def state_dict(self) -> dict[str, Any]:
        rows = [[math.nan if number is None else number for number in epoch[1:]] for epoch in self.history]
        state = {"steps": self.steps, "seconds": self.seconds, "order": self.order}
        state["history"] = np.array(rows, "float64").reshape(-1, 4)
        return state | ({"losses": np.array(to_host(self.losses[: self.samples]))} if self.steps else {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        steps = at_least_zero("steps", state.get("steps"))
        refuse_other_names(self, state, ["steps", "seconds", "order", "history", *(["losses"] if steps else [])])
        rows, losses = np.asarray(state["history"], "float64"), np.asarray(state.get("losses", ()), "float64")
        if rows.ndim != 2 or rows.shape[1] != 4 or losses.ndim != 1:
            shapes = f"history {rows.shape} and losses {losses.shape}"
            raise ArgumentError(f"the state has {shapes}, expected shapes (epochs, 4) and (samples,)")
        self.order = generator_state("order", state["order"], np.random.default_rng(0))
        self.steps, self.seconds = steps, number("seconds", state["seconds"], -math.inf)
        self.samples, self.losses = len(losses), losses if steps else None
        self.history = [
            Epoch(i, loss, None, None, seconds) if math.isnan(val_loss) else Epoch(i, loss, val_loss, accuracy, seconds)
            for i, (loss, val_loss, accuracy, seconds) in enumerate(rows.tolist(), 1)
        ]
