"""Two peers in bare NumPy: a textbook training loop, and the matrix products of a step alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nets import Task
from . import Peer


class Naive(Peer):
    """A textbook loop: each formula is an expression that allocates a new array."""

    def __init__(self, task: Task, device: str = "cpu", dtype: str = "float32"):
        if device != "cpu":
            raise RuntimeError("NumPy runs on the CPU only")
        super().__init__(task, device)
        self.dtype = np.dtype(dtype)
        self.rng = np.random.default_rng(0)
        self.restart()

    def restart(self) -> None:
        self.params = [array.astype(self.dtype) for layer in self.task.start for array in layer]
        self.m = [np.zeros_like(w) for w in self.params]
        self.v = [np.zeros_like(w) for w in self.params]
        self.steps = 0

    def forward(self, x: np.ndarray) -> list[np.ndarray]:
        """The input of each layer, and the probabilities."""
        inputs = [x.astype(self.dtype) if self.net.floats else x.astype(self.dtype) / 255]
        for i in range(0, len(self.params), 2):
            z = inputs[-1] @ self.params[i] + self.params[i + 1]
            if i == len(self.params) - 2:
                e = np.exp(z - z.max(axis=1, keepdims=True))
                inputs.append(e / e.sum(axis=1, keepdims=True))
            else:
                inputs.append(np.maximum(z, 0) if self.net.activation == "relu" else 1 / (1 + np.exp(-z)))
        return inputs

    def step(self, x: np.ndarray, t: np.ndarray) -> float:
        """Make one step and return the loss."""
        *inputs, y = self.forward(x)
        each = np.arange(len(t))
        loss = -np.log(y[each, t]).mean()
        delta = y.copy()
        delta[each, t] -= 1
        delta /= len(t)
        grads: list[np.ndarray] = []
        for a, W in zip(inputs[::-1], self.params[-2::-2], strict=True):
            grads = [a.T @ delta, delta.sum(axis=0), *grads]
            if a is not inputs[0]:
                delta = delta @ W.T * ((a > 0) if self.net.activation == "relu" else a * (1 - a))
        self.update(grads)
        return float(loss)

    def update(self, grads: list[np.ndarray]) -> None:
        """Make one step of the optimizer."""
        self.steps += 1
        for i, g in enumerate(grads):
            if self.net.optimizer == "adam":
                self.m[i] = 0.9 * self.m[i] + 0.1 * g
                self.v[i] = 0.999 * self.v[i] + 0.001 * g**2
                m, v = self.m[i] / (1 - 0.9**self.steps), self.v[i] / (1 - 0.999**self.steps)
                self.params[i] = self.params[i] - self.net.rate * m / (np.sqrt(v) + 1e-8)
            elif self.net.momentum:
                self.m[i] = self.net.momentum * self.m[i] + g
                self.params[i] = self.params[i] - self.net.rate * self.m[i]
            else:
                self.params[i] = self.params[i] - self.net.rate * g

    def losses(self, order: np.ndarray) -> list[float]:
        return [self.step(self.task.x[rows], self.task.t[rows]) for rows in order.reshape(-1, self.net.batch)]

    def run(self, passes: int) -> None:
        for _ in range(passes):
            self.losses(self.rng.permutation(len(self.task.x)))

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.forward(x)[-1]


class Floor(Peer):
    """The matrix products of a step, written to existing arrays. No step on NumPy can be faster.

    These are x W and xᵀ dy of each layer, and dy Wᵀ of each but the first.
    """

    def __init__(self, task: Task, device: str = "cpu"):
        if device != "cpu":
            raise RuntimeError("NumPy runs on the CPU only")
        super().__init__(task, device)
        *inputs, _ = Naive(task).forward(task.x[: self.net.batch])
        rng = np.random.default_rng(0)
        self.products: list[tuple[Any, Any, Any]] = []
        for i, (x, (W, _)) in enumerate(zip(inputs, task.start, strict=True)):
            y = np.empty((len(x), W.shape[1]), "float32")
            dy = rng.uniform(-1, 1, y.shape).astype("float32")
            self.products += [(x, W, y), (x.T, dy, np.empty_like(W))]
            if i:
                self.products.append((dy, W.T, np.empty_like(x)))

    def run(self, passes: int) -> None:
        for _ in range(passes * (len(self.task.x) // self.net.batch)):
            for a, b, out in self.products:
                np.matmul(a, b, out=out)
