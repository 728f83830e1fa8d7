"""WeightAverage: the exponential moving average of the weights of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .backend import to_host, to_library, write
from .base import (
    Array,
    Checked,
    Declared,
    Stateful,
    at_least_zero,
    check_vector,
    fraction,
    instance,
    refuse_other_names,
)
from .network import Network

VECTORS = "params", "buffers"  # of a network, that are averaged


class WeightAverage(Declared, Stateful):
    """Averages the weights over the last steps of a training, and gives the average to the network between epochs.

    ::

        average = WeightAverage(net)
        for epoch in train(net, optimizer, train_set, epochs=30, validation=validation_set, average=average):
            print(epoch)

    Each step ends with a ← a + (1 - d) / (1 - dᵗ) (w - a) after t steps, for all parameters and buffers. That is the
    average of w with weights that decay by d a step, corrected for its start (as Adam's; Kingma & Ba, 2015). It is less
    noisy than w, and often generalizes better (Polyak & Juditsky, 1992; Tarvainen & Valpola, 2017).

    The steps go on from w. But while your loop runs between two epochs, the network holds the average: `validation` is
    evaluated with it, and `evaluate`, `predict`, `save` and EarlyStopping see it, too. It stays there after the
    training, however that ends. If you change the weights of the network then, as by another training or by
    ``stopping.restore()``, the next steps go on from these.

    Parameters
    ----------
    net : Network
        The network.
    decay : float, default 0.999
        d, in [0, 1). The average is that of about the last 1 / (1 - d) steps, so 1,000. These should be a few epochs:
        with few steps in an epoch take a smaller one.

    Attributes
    ----------
    step : int
        The number of steps averaged so far.
    params, buffers : arrays
        The average.
    weights : tuple of arrays (params, buffers), or None
        Those of the last step, while the network holds the average.
    """

    decay: Any = Checked(fraction)
    step: Any = Checked(at_least_zero)
    net: Network
    params: Array
    buffers: Array
    weights: tuple[Array, Array] | None = None
    _scratch: Array = None  # memory for a change; None: not moved yet

    def __init__(self, net: Network, decay: float = 0.999):
        self.net = instance("net", net, Network, "the network comes first: WeightAverage(net, decay=0.999)")
        self.decay, self.step = decay, 0
        self.params, self.buffers = net.params.copy(), net.buffers.copy()
        self.sync()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(net, decay={self.decay})"

    def update(self) -> None:
        """Take the weights of a step: a ← a + (1 - d) / (1 - dᵗ) (w - a)."""
        net, xp, rate = self.net, self.net.xp, (1 - self.decay) / (1 - self.decay ** (self.step + 1))
        for average, now in ((self.params, net.params), (self.buffers, net.buffers)):
            change = xp.subtract(now, average, out=self._scratch[: now.size])
            change *= rate
            average += change
        self.__dict__["step"] += 1  # saves a check

    def give(self) -> None:
        """Let the network hold the average, and keep its weights for the next step."""
        net = self.net
        if self.weights is None and self.step:
            self.weights = net.params.copy(), net.buffers.copy()
            net.params[...], net.buffers[...] = self.params, self.buffers

    def take(self) -> None:
        """Let the network hold the weights of the last step again, unless it no longer holds the average."""
        net, kept, self.weights = self.net, self.weights, None
        if kept is not None and (net.params == self.params).all() and (net.buffers == self.buffers).all():
            net.params[...], net.buffers[...] = kept

    def sync(self) -> None:
        """Move to where the network is."""
        net, before = self.net, self.params
        with net.device:
            self.params, self.buffers = (to_library(each, net.xp, net.dtype) for each in (self.params, self.buffers))
            if self.params is before and self._scratch is not None:
                return
            if self.weights is not None:
                self.weights = tuple(to_library(each, net.xp, net.dtype) for each in self.weights)
            self._scratch = net.xp.empty(max(net.params.size, net.buffers.size), net.dtype)

    def __getstate__(self) -> dict[str, Any]:
        held = {name: to_host(getattr(self, name)) for name in VECTORS}
        weights = None if self.weights is None else tuple(map(to_host, self.weights))
        return {**self.__dict__, **held, "weights": weights, "_scratch": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.sync()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {name: np.array(to_host(getattr(self, name))) for name in VECTORS}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        refuse_other_names(self, state, [*self.state_names(), *VECTORS])
        vectors = {name: getattr(self.net, name) for name in VECTORS}
        values = {name: check_vector(f"WeightAverage: {name}", state[name], vectors[name]) for name in VECTORS}
        super().load_state_dict({name: state[name] for name in self.state_names()})
        self.sync()
        for name in VECTORS:
            write(getattr(self, name), values[name], self.net.xp)
        self.weights = None


def swap(average: WeightAverage | None, given: bool) -> None:
    """Let the network hold the average, or the weights of the last step, if there is an average."""
    if average is not None:
        average.sync()
        with average.net.device:
            average.give() if given else average.take()
