"""EarlyStopping: remembers the best weights, and says when it is time to stop."""

from __future__ import annotations

from typing import Any

from .backend import to_library
from .base import Array, BestSoFar, Checked, at_least_one, instance
from .network import Network


class EarlyStopping(BestSoFar):
    """Remembers the best weights, and says when it is time to stop.

    ::

        best = EarlyStopping(net, patience=5)
        for epoch in train(net, optimizer, train_set, epochs=100, validation=validation_set):
            if best.should_stop(epoch.val_loss):
                break
        best.restore()

    The validation set must not be the test set: split one off the training set, ``data.split(train_set)``.

    Parameters
    ----------
    net : Network
        Whose weights (and running statistics) to keep.
    patience : int, default 5
        Epochs without improvement that are let pass.

    Attributes
    ----------
    best : float
        The smallest value so far.

    Raises
    ------
    ArgumentError
        If net is no Network, or patience no integer of at least 1.
    """

    patience: Any = Checked(at_least_one)

    def __init__(self, net: Network, patience: int = 5):
        self.net = instance("net", net, Network, "give the network first: EarlyStopping(net, patience=5)")
        self.patience = patience
        self.start_over()
        self.kept: tuple[Array, Array] | None = None

    def should_stop(self, value: float | None) -> bool:
        """Take in an epoch's value, smaller being better (for an accuracy give -accuracy); True: stop now.

        Raises
        ------
        ArgumentError
            If value is no number: None where `train` was called without a validation set.
        """
        if self.improved(value):
            self.kept = self.net.params.copy(), self.net.buffers.copy()
            return False
        return self.waited > self.patience

    def restore(self) -> None:
        """Put the best weights back into the network; without any, it is left as it is."""
        if self.kept is not None:
            for vector, kept in zip((self.net.params, self.net.buffers), self.kept, strict=True):
                vector[...] = to_library(kept, self.net.xp, self.net.dtype)
