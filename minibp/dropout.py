"""Dropout: in training, values are set to zero at random. And the random numbers of layers that draw some."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .base import Array, Checked, Layer, Shape, Workspace, at_least_zero, fraction

ROUNDS = (16, 0x21F0AAAD), (15, 0xD35A2D97)  # lowbias32: a shift and a multiplier for each round
LAST = 15  # and its last shift


class RandomLayer(Layer):
    """Base of layers that draw random numbers in training, for each step new ones. At inference they return x.

    The numbers are a function of (seed, index of the layer, step, number of the element). So they are the same on every
    array library, and a training that is resumed needs only the step. They are a hash of the element's number,
    "lowbias32" (Wellons, 2018), with two keys, which are the same hash of seed, index and step.
    """

    gives = "its input, changed"
    seed: Any = Checked(lambda name, value: None if value is None else at_least_zero(name, value))
    step: Any = Checked(at_least_zero)  # how often the layer has drawn

    def __init__(self, seed: int | None = None):
        super().__init__()
        self.seed, self.step = seed, 0

    def initialize(self, rng: np.random.Generator) -> None:
        if self.seed is None:
            self.seed = int(rng.integers(2**63))

    def bind(self, shape: Shape) -> None:
        if self.training:
            super().bind(shape)
        else:  # nothing is computed, so no memory is needed
            self.__dict__["_shape"] = shape

    def next_step(self) -> None:
        """Count a step, whose numbers are drawn next."""
        if self.seed is None:
            self.initialize(np.random.default_rng())
        self.__dict__["step"] += 1  # not an assignment by a user: no check

    def bits(self, counter: Array, out: Array, shifted: Array, start: int = 0) -> Array:
        """32 random bits for each number in `counter`, for this step, in `out`.

        `shifted` is memory. Those of another `start`, which is even, are independent.
        """
        xp, seed = self.xp, self.seed
        assert seed is not None
        first, second = (lowbias32(key(start + i, seed, self.index) + self.step) for i in (0, 1))
        if self.shard is not None:  # x is a part of a batch, and numbers count from the start of that
            first += self.shard.start * math.prod(counter.shape[1:])
        h = xp.add(counter, np.uint32(first % 2**32), out=out)
        for shift, multiplier in ROUNDS:
            h ^= xp.right_shift(h, np.uint32(shift), out=shifted)
            h *= np.uint32(multiplier)
            h ^= np.uint32(second)  # without a second key, the numbers of two steps would be shifted copies
        h ^= xp.right_shift(h, np.uint32(LAST), out=shifted)
        return h


class Dropout(RandomLayer):
    """Inverted dropout, y = x m / (1 - rate), where m is 0 with probability `rate` and else 1; at inference y = x.

    Srivastava et al., 2014. The division in training leaves nothing to do at inference.

    The mask is a function of (seed, index of the layer, step, number of the element). So it is the same on every array
    library, and a training that is resumed needs only the step.

    Parameters
    ----------
    rate : float
        The fraction of values that are set to zero, in [0, 1). 0.5 for hidden layers and 0.2 for inputs are usual.
    seed : int, optional
        Draws the masks. Without it, a network draws a seed from its own.
    """

    rate: Any = Checked(fraction)

    def __init__(self, rate: float, seed: int | None = None):
        super().__init__(seed)
        self.rate = rate

    def config(self) -> dict[str, Any]:
        return {"rate": self.rate}

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        hashes = {"hash": Workspace(shape, "uint32"), "shifted": Workspace(shape, "uint32")}
        masks = {"mask": shape, "kept": Workspace(shape, bool), "counter": Workspace(shape, "uint32", fill="range")}
        return super().workspaces(shape) | masks | hashes

    def formula(self, x: Array) -> Array:
        if not self.training:
            return x
        self.next_step()
        drawn = self.bits(self.counter, self.hash, self.shifted)
        kept = self.xp.greater_equal(drawn, np.uint32(self.rate * 2**32), out=self.kept)
        mask = self.xp.multiply(kept, self.dtype.type(1 / (1 - self.rate)), out=self.mask)
        return self.xp.multiply(x, mask, out=self.y)

    def gradient(self, dy: Array) -> Array:
        """dx = dy m / (1 - rate)."""
        return self.xp.multiply(dy, self.mask, out=self.dx) if self.training else dy


def key(start: int, seed: int, index: int) -> int:
    """32 bits from these numbers, chained by the hash. Those of a step follow from them and its number."""
    h = lowbias32(start + seed)
    while seed := seed >> 32:  # a long seed, word by word
        h = lowbias32(h + seed)
    return lowbias32(h + index)


def lowbias32(number: int) -> int:
    """lowbias32 of the last 32 bits of a number: `RandomLayer.bits` for one value, without the second key."""
    h = number % 2**32
    for shift, multiplier in ROUNDS:
        h = (h ^ h >> shift) * multiplier % 2**32
    return h ^ h >> LAST
