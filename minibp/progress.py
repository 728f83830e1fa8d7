"""How far a training is: the epochs behind it, and the one it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .base import Array


class Epoch(NamedTuple):
    """What `train` yields after each pass over the data; ``print(epoch)`` is a line of a log.

    Attributes
    ----------
    number : int
        1, 2, ...
    loss : float
        Mean loss of the training samples, each at the moment it was learnt from.
    val_loss, val_accuracy : float or None
        Mean loss and share of right answers (0..1) on the validation set after the epoch; None without one.
    seconds : float
        Wall time of the epoch's training, validation not counted.
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


@dataclass
class Progress:
    """What a training knows of itself besides its network and optimizer.

    Attributes
    ----------
    history : list of Epoch
        The epochs that are over.
    steps : int
        Steps made in the epoch that is not.
    seconds : float
        Wall time of these steps.
    order : dict
        The state of the network's generator at the start of that epoch: its order of samples follows from it.
    losses : array
        Of each sample of the epoch, the first ones filled.
    """

    history: list[Epoch] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    order: dict[str, Any] = field(default_factory=dict)
    losses: Array = None

    def next(self, epoch: Epoch, order: dict[str, Any]) -> None:
        """An epoch is over, and the next one begins."""
        self.history.append(epoch)
        self.steps, self.seconds, self.order, self.losses = 0, 0.0, order, None
