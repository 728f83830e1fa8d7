"""EarlyStopping: remembers the best weights, and says when it is time to stop."""

from __future__ import annotations

import math
from typing import Any

from .backend import moved
from .checks import Checked, at_least_one, at_least_zero, instance, of_an_epoch
from .network import Network
from .part import Array


class EarlyStopping:
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
    best: Any = Checked(of_an_epoch)
    waited: Any = Checked(at_least_zero)

    def __init__(self, net: Network, patience: int = 5):
        self.net = instance("net", net, Network, "give the network first: EarlyStopping(net, patience=5)")
        self.patience = patience
        self.best, self.waited = float("inf"), 0
        self.kept: tuple[Array, Array] | None = None

    def should_stop(self, value: float | None) -> bool:
        """Take in an epoch's value, smaller being better (for an accuracy give -accuracy); True: stop now.

        Raises
        ------
        ArgumentError
            If value is no number: None where `train` was called without a validation set.
        """
        value = of_an_epoch("early stopping", value)
        if math.isfinite(value) and value < self.best:  # NaN is no improvement
            self.best, self.waited = value, 0
            self.kept = self.net.params.copy(), self.net.state.copy()
            return False
        self.waited += 1
        return self.waited > self.patience

    def restore(self) -> None:
        """Put the best weights back into the network; without any, it is left as it is."""
        if self.kept is not None:
            for vector, kept in zip((self.net.params, self.net.state), self.kept, strict=True):
                vector[...] = moved(kept, self.net.xp, self.net.dtype)
