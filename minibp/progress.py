"""The progress of a training: the finished epochs, and the current one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from .base import Array


class Epoch(NamedTuple):
    """The result of an epoch, which `train` yields. ``print(epoch)`` prints a line of a log.

    Attributes
    ----------
    number : int
        1, 2, ...
    loss : float
        Mean loss of the training samples, each taken when its batch was trained on.
    val_loss, val_accuracy : float or None
        Mean loss and accuracy (0..1) on the validation set after the epoch; None without one.
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
            line += f"  val_loss {self.val_loss:.4f}  val_accuracy {self.val_accuracy:.4f}"
        return f"{line}  {self.seconds:.2f} s"


class Progress:
    """The state of a training besides its network and optimizer.

    Attributes
    ----------
    history : list of Epoch
        The finished epochs.
    steps : int
        Steps made in the current epoch.
    seconds : float
        Wall time of these steps.
    order : dict
        The state of the network's generator at the start of the current epoch, from which the order of samples follows.
    losses : array or None
        The loss of each sample of the current epoch; the first ones are filled.
    """

    def __init__(
        self,
        history: Iterable[Epoch] = (),
        steps: int = 0,
        seconds: float = 0.0,
        order: dict[str, Any] | None = None,
        losses: Array = None,
    ):
        self.history, self.steps, self.seconds = [*history], steps, seconds
        self.order, self.losses = order or {}, losses

    def next(self, epoch: Epoch, order: dict[str, Any]) -> None:
        """Finish an epoch, and begin the next one."""
        self.history.append(epoch)
        self.steps, self.seconds, self.order, self.losses = 0, 0.0, order, None
