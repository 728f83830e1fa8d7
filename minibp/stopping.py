"""EarlyStopping: keeps the best weights, and tells when to stop."""

from __future__ import annotations

from typing import Any

from .backend import to_library
from .base import Array, BestSoFar, Checked, at_least_one, instance
from .network import Network


class EarlyStopping(BestSoFar):
    """Keep the best weights, and tell when to stop.

    ::

        best = EarlyStopping(net, patience=5)
        for epoch in train(net, optimizer, train_set, epochs=100, validation=validation_set):
            if best.should_stop(epoch.val_loss):
                break
        best.restore()

    The validation set must not be the test set. Split it off the training set: ``data.split(train_set)``.

    Parameters
    ----------
    net : Network
        The network whose weights (and buffers) are kept.
    patience : int, default 5
        Epochs without improvement to allow.

    Attributes
    ----------
    best : float
        The smallest value so far.
    """

    patience: Any = Checked(at_least_one)

    def __init__(self, net: Network, patience: int = 5):
        self.net = instance("net", net, Network, "the network comes first: EarlyStopping(net, patience=5)")
        self.patience = patience
        self.start_over()
        self.kept: tuple[Array, Array] | None = None

    def should_stop(self, value: float | None) -> bool:
        """Take the value of an epoch, and return whether to stop. Smaller is better: give -accuracy, not accuracy."""
        if self.improved(value):
            self.kept = self.net.params.copy(), self.net.buffers.copy()
            return False
        return self.waited > self.patience

    def restore(self) -> None:
        """Put the best weights back into the network. Without an epoch there are none, and nothing changes."""
        if self.kept is not None:
            for vector, kept in zip((self.net.params, self.net.buffers), self.kept, strict=True):
                vector[...] = to_library(kept, self.net.xp, self.net.dtype)
