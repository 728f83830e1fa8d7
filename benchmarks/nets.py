"""The networks a to g and t, u, v of the comparisons, their initial weights and training data, in NumPy alone."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

PIXELS, CLASSES = 784, 10
ROWS = 12800  # a multiple of every batch size below: each step is a whole batch

# After this many steps (or one pass, if that is longer) all peers restart from the same weights and zero moments, while
# the clock is stopped. Otherwise some units die, or the network memorizes its images. Their gradients are then zero,
# and within 750 steps their moments decay to subnormal numbers, which slow down the arithmetic of every peer several
# times.
FRESH = 500


TINY = 2**20  # multiply-adds of a product; more threads than one gain nothing for one so small


class Net(NamedTuple):
    """A network and its training: fully connected layers, then softmax with cross-entropy.

    `activation` follows each hidden layer. `optimizer` is "sgd" or "adam" (β₁ 0.9, β₂ 0.999, ε 1e-8). The inputs are
    uint8 images, or float32 features with `floats`.
    """

    name: str
    sizes: tuple[int, ...]
    activation: str
    batch: int
    optimizer: str
    rate: float
    momentum: float = 0.0
    floats: bool = False

    @property
    def tiny(self) -> bool:
        """Whether all matrix products of a step are so small that its cost is in the calls: a, t and u."""
        return max(self.batch * i * o for i, o in pairwise(self.sizes)) <= TINY

    def __str__(self) -> str:
        optimizer = "Adam" if self.optimizer == "adam" else "momentum" if self.momentum else "SGD"
        return f"{'-'.join(map(str, self.sizes))} {self.activation}, batch {self.batch}, {optimizer}"


NETS = {
    net.name: net
    for net in (
        Net("a", (784, 30, 10), "sigmoid", 10, "sgd", 0.1),
        Net("b", (784, 100, 10), "sigmoid", 32, "sgd", 0.1),
        Net("c", (784, 128, 10), "relu", 128, "adam", 1e-3),
        Net("d", (784, 512, 512, 10), "relu", 128, "adam", 1e-3),
        Net("e", (784, 512, 512, 10), "relu", 128, "sgd", 0.01, 0.9),
        Net("f", (784, 2048, 2048, 10), "relu", 512, "adam", 1e-3),
        Net("g", (784, 256, 128, 10), "relu", 200, "adam", 1e-3),
        Net("t", (8, 16, 3), "sigmoid", 16, "sgd", 0.1, floats=True),
        Net("u", (30, 64, 64, 2), "relu", 32, "adam", 1e-3, floats=True),
        Net("v", (100, 256, 256, 10), "relu", 256, "adam", 1e-3, floats=True),
    )
}


class Task(NamedTuple):
    """The task of every peer: the network, the initial weights (W, b) of each layer, inputs and labels."""

    net: Net
    start: list[tuple[np.ndarray, np.ndarray]]
    x: np.ndarray
    t: np.ndarray


def task(net: Net, rows: int = ROWS, seed: int = 0) -> Task:
    """The task of a network. The number of rows is rounded down to whole batches."""
    return Task(net, start(net, seed), *inputs(net, max(rows // net.batch, 1) * net.batch, seed))


def start(net: Net, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Initial weights W (I, O), uniform as in Glorot & Bengio, 2010, and biases of zero, in float32."""
    rng = np.random.default_rng([seed, 1])
    layers = []
    for n_in, n_out in pairwise(net.sizes):
        limit = np.sqrt(6 / (n_in + n_out))
        layers.append((rng.uniform(-limit, limit, (n_in, n_out)).astype("float32"), np.zeros(n_out, "float32")))
    return layers


def inputs(net: Net, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (rows, I) for a network, and labels."""
    return features(net.sizes[0], net.sizes[-1], rows, seed) if net.floats else images(rows, seed)


def images(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of the size of MNIST, uint8 (rows, 784), and labels 0..9.

    The images are noise that is a little brighter in some pixels of each class, and three in ten labels are random. So
    no network memorizes them within `FRESH` steps.
    """
    rng = np.random.default_rng([seed, 2])
    t = rng.integers(CLASSES, size=rows)
    bright = rng.random((CLASSES, PIXELS), "float32") * 0.1 + 1
    x = rng.random((rows, PIXELS), "float32")
    x **= 4  # dark, mean 0.2, as MNIST: around 0.5 most units would be on, or off, for all images
    x *= bright[t]
    x *= 255 / 1.1
    wrong = rng.random(rows) < 0.3
    t[wrong] = rng.integers(CLASSES, size=int(wrong.sum()))
    return x.astype("uint8"), t


def features(columns: int, classes: int, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A table as after standardization, float32 (rows, columns), and labels 0..classes - 1.

    Normal noise around a center for each class. As in `images`, three in ten labels are random.
    """
    rng = np.random.default_rng([seed, 3])
    t = rng.integers(classes, size=rows)
    x = rng.standard_normal((rows, columns), "float32")
    x += rng.standard_normal((classes, columns), "float32")[t] * np.float32(2 / np.sqrt(columns))
    wrong = rng.random(rows) < 0.3
    t[wrong] = rng.integers(classes, size=int(wrong.sum()))
    return x, t
