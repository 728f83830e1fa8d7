"""minibp, by its public names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..nets import Task
from . import Peer


class Minibp(Peer):
    """minibp as its README uses it. With `core`, without any extra."""

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
        self.settle = 50
        self.first = self.network.params.copy()
        self.epochs = self.train(task.x, task.t)

    def train(self, x: np.ndarray, t: np.ndarray) -> Iterator[Any]:
        """An endless minibp.train on these data."""
        dataset = self.minibp.data.Dataset(x, t)
        return self.minibp.train(
            self.network, self.optimizer, dataset, 10**9, self.net.batch, compiled=self.compiled
        )

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

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.network.predict(x)
