"""EarlyStopping: keeps the best weights, and tells when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .backend import to_host, to_library
from .base import Array, BestSoFar, Checked, at_least_one, check_vector, instance, number, refuse_other_names
from .network import Network

KEPT = ("best_params", "best_buffers")  # the names of the best weights and buffers in the state


class EarlyStopping(BestSoFar):
    """Keep the best weights, and tell when to stop.

    ::

        best = EarlyStopping(net, patience=5)
        for epoch in train(net, optimizer, train_set, epochs=100, validation=validation_set):
            if best.should_stop(epoch.val_loss):
                break
        best.restore()

    The validation set must not be the test set. Split it off the training set: ``data.split(train_set)``. Before
    another training call ``best.reset()``, or create a new one: the values of two trainings do not compare.

    Parameters
    ----------
    net : Network
        The network whose weights (and buffers) are kept.
    patience : int, default 5
        Epochs without improvement to allow.
    min_delta : float, default 0
        A value is an improvement if it is smaller than the best one by more than this.

    Attributes
    ----------
    best : float
        The best value so far.
    """

    patience: Any = Checked(at_least_one)
    min_delta: Any = Checked(number)
    net: Network
    kept: tuple[Array, Array] | None

    def __init__(self, net: Network, patience: int = 5, min_delta: float = 0.0):
        self.net = instance("net", net, Network, "the network comes first: EarlyStopping(net, patience=5)")
        self.patience, self.min_delta = patience, min_delta
        self.reset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(net, patience={self.patience}, min_delta={self.min_delta})"

    def reset(self) -> None:
        """Forget all epochs and the best weights, before another training."""
        super().reset()
        self.kept = None

    def should_stop(self, value: float | None) -> bool:
        """Take the value of an epoch, and return whether to stop. Smaller is better: give -accuracy, not accuracy."""
        if self.improved(value, self.min_delta):
            self.kept = self.net.params.copy(), self.net.buffers.copy()
            return False
        return self.waited > self.patience

    def restore(self) -> None:
        """Put the best weights back into the network. Without an epoch there are none, and nothing changes."""
        if self.kept is not None:
            for vector, kept in zip((self.net.params, self.net.buffers), self.kept, strict=True):
                vector[...] = to_library(kept, self.net.xp, self.net.dtype)

    def state_dict(self) -> dict[str, Any]:
        kept = zip(KEPT, self.kept or (), strict=False)
        return super().state_dict() | {name: np.array(to_host(vector)) for name, vector in kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        kept = [name for name in KEPT if name in state]
        refuse_other_names(self, state, [*self.state_names(), *(KEPT if kept else ())])
        pairs = zip(kept, (self.net.params, self.net.buffers), strict=False)
        best = [check_vector(f"{type(self).__name__}: {name}", state[name], vector) for name, vector in pairs]
        super().load_state_dict({name: state[name] for name in self.state_names()})
        self.kept = (best[0], best[1]) if kept else None
