"""Model: a network together with its training recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from minibp import Layer, Loss, Network, Optimizer
from minibp.base import at_least_one
from minibp.schedules import Constant, Schedule


@dataclass
class Model:
    """Layers, a loss, and a training recipe.

    Attributes
    ----------
    layers, loss
        The parts of the network.
    epochs, batch_size : int
        Passes over the data, and samples per step.
    optimizer : class
        The optimizer.
    lr, weight_decay : float
        Initial learning rate, and λ.
    options : dict
        Other keyword arguments of the optimizer.
    schedule : function (lr, steps) -> Schedule
        Creates the learning-rate schedule for a training of this many steps.
    accuracy : float or None
        The published test accuracy on MNIST, in percent.
    """

    layers: list[Layer]
    loss: Loss
    epochs: int
    batch_size: int
    optimizer: type[Optimizer]
    lr: float
    weight_decay: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    schedule: Callable[[float, int], Schedule] = lambda lr, steps: Constant(lr)
    accuracy: float | None = None

    def network(self, **options: Any) -> Network:
        """Build the network. Options are those of `Network`: backend, dtype, seed."""
        return Network(self.layers, self.loss, **options)

    def make_optimizer(self, net: Network, samples: int) -> Optimizer:
        """Create the optimizer, for a training set of this many samples."""
        steps = at_least_one("epochs", self.epochs) * -(-samples // at_least_one("batch_size", self.batch_size))
        lr = self.schedule(self.lr, steps)
        return self.optimizer(net, lr=lr, weight_decay=self.weight_decay, **self.options)
