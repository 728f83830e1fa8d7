"""minibp, by its public names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..nets import Task
from . import Peer


class Minibp(Peer):
    """minibp with every extra: steps and predictions are compiled from the first on. With `core`, without any extra."""

    settle = 50

    def __init__(self, task: Task, device: str = "cpu", core: bool = False):
        super().__init__(task, device)
        if core:
            sys.modules["numba"] = None  # type: ignore[assignment]  # makes its import fail, as if it were not installed
        import minibp

        activation = {"sigmoid": minibp.Sigmoid, "relu": minibp.ReLU}[self.net.activation]
        layers: list[minibp.Layer] = []
        for W, b in task.start:
            layers += [minibp.Dense(len(W), len(b), W=W, b=b), activation()]
        layers[-1] = minibp.Softmax()
        self.minibp = minibp
        self.network = minibp.Network(layers, minibp.CrossEntropy(), backend="cupy" if device == "cuda" else "numpy")
        if self.net.optimizer == "adam":
            self.optimizer: minibp.Optimizer = minibp.Adam(self.network, lr=self.net.rate)
        else:
            self.optimizer = minibp.SGD(self.network, lr=self.net.rate, momentum=self.net.momentum)
        self.compiled = not core and find_spec("numba") is not None
        self.first = self.network.params.copy()

    def train(self, x: np.ndarray, t: np.ndarray, epochs: int = 10**9, **options: Any) -> Iterator[Any]:
        """minibp.train on these data, by default endless."""
        dataset = self.minibp.data.Dataset(x, t)
        options = {"compiled": self.compiled, **options}
        return self.minibp.train(self.network, self.optimizer, dataset, epochs, self.net.batch, **options)

    @cached_property
    def epochs(self) -> Iterator[Any]:
        """The endless training of `run`."""
        return self.train(self.task.x, self.task.t)

    @cached_property
    def predictor(self) -> Any:
        """The network that predicts."""
        return self.minibp.compile(self.network) if self.compiled else self.network

    def restart(self) -> None:
        self.optimizer.steps = 0
        self.network.params[...] = self.first
        for moment in self.optimizer.moments:
            moment[...] = 0

    def losses(self, order: np.ndarray) -> list[float]:
        batches = order.reshape(-1, self.net.batch)
        return [next(self.train(self.task.x[rows], self.task.t[rows])).loss for rows in batches]

    def run(self, passes: int) -> None:
        for _ in range(passes):
            next(self.epochs)  # reads the mean loss, and so waits for the GPU

    def run_first(self) -> None:
        next(self.train(self.task.x, self.task.t, epochs=1, compiled=None))  # it decides what one epoch is worth

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.predictor.predict(x)
