"""Model: a network together with the recipe it is trained by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from minibp import Layer, Loss, Network, Optimizer
from minibp.base import at_least_one
from minibp.schedules import Constant, Schedule


@dataclass
class Model:
    """Layers and a loss, and how to train them.

    Attributes
    ----------
    layers, loss
        What the network is made of.
    epochs, batch_size : int
        Passes over the data, and samples a step.
    optimizer : class
        With `options`, its keyword arguments other than the rate and the decay.
    lr, weight_decay : float
        Learning rate at the start, and λ.
    schedule : function (lr, steps) -> Schedule
        How the rate goes on, given all the steps there will be.
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
        """The network; options are those of `Network`: backend, dtype, seed."""
        return Network(self.layers, self.loss, **options)

    def make_optimizer(self, net: Network, samples: int) -> Optimizer:
        """The optimizer, for a training set of so many samples."""
        steps = at_least_one("epochs", self.epochs) * -(-samples // at_least_one("batch_size", self.batch_size))
        lr = self.schedule(self.lr, steps)
        return self.optimizer(net, lr=lr, weight_decay=self.weight_decay, **self.options)
