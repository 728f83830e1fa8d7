"""Dropout: in training, each value is left out by chance."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Checked, Layer, Shape, Workspace, at_least_zero, fraction

ROUNDS = (16, 0x21F0AAAD), (15, 0xD35A2D97)  # of lowbias32: a shift and a multiplier
LAST = 15  # its last shift


class Dropout(Layer):
    """Inverted dropout, y = x m / (1 - rate), with m = 0 by chance `rate` and else 1; in use y = x.

    Srivastava et al., 2014; divided in training already, so that nothing is left to do in use.

    The mask is no state that runs on, but a function of (seed, place of the layer, step, index): the same on every
    array library, and a run that is resumed needs only the step. It is a hash of the index, "lowbias32" (Wellons,
    2018), keyed twice; the keys are the same hash of seed, place and step.

    Parameters
    ----------
    rate : float
        Share of the values that is left out, in [0, 1). 0.5 for hidden layers and 0.2 for inputs are usual.
    seed : int, optional
        Draws the masks. Without it a network draws one from its own seed.

    Raises
    ------
    ArgumentError
        If rate lies outside [0, 1), or seed is no integer of at least 0.
    """

    gives = "its input"
    rate: Any = Checked(fraction)
    seed: Any = Checked(lambda name, value: None if value is None else at_least_zero(name, value))
    step: Any = Checked(at_least_zero)  # how many masks were drawn

    def __init__(self, rate: float, seed: int | None = None):
        self.rate, self.seed, self.step = rate, seed, 0

    def config(self) -> dict[str, Any]:
        return {"rate": self.rate}

    def initialize(self, rng: np.random.Generator) -> None:
        if self.seed is None:
            self.seed = int(rng.integers(2**63))

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        hashes = {"hash": Workspace(shape, "uint32"), "shifted": Workspace(shape, "uint32")}
        masks = {"mask": shape, "kept": Workspace(shape, bool), "counter": Workspace(shape, "uint32", fill="range")}
        return super().workspaces(shape) | masks | hashes

    def formula(self, x: Array) -> Array:
        if not self.training:
            return x
        if self.seed is None:
            self.initialize(np.random.default_rng())
        self.__dict__["step"] += 1  # past the check of assignments, which this is none of
        kept = self.xp.greater_equal(self.draw(), np.uint32(self.rate * 2**32), out=self.kept)
        mask = self.xp.multiply(kept, 1 / (1 - self.rate), out=self.mask)
        return self.xp.multiply(x, mask, out=self.y)

    def gradient(self, dy: Array) -> Array:
        """dx = dy m / (1 - rate)."""
        return self.xp.multiply(dy, self.mask, out=self.dx) if self.training else dy

    def draw(self) -> Array:
        """32 random bits for each value of this step."""
        xp, shifted = self.xp, self.shifted
        assert self.seed is not None
        first, second = (key(start, self.seed, self.index, self.step) for start in (0, 1))
        h = xp.add(self.counter, np.uint32(first), out=self.hash)
        for shift, multiplier in ROUNDS:
            h ^= xp.right_shift(h, np.uint32(shift), out=shifted)
            h *= np.uint32(multiplier)
            h ^= np.uint32(second)  # two keys: else the masks of two steps would be shifted copies of each other
        h ^= xp.right_shift(h, np.uint32(LAST), out=shifted)
        return h


def key(start: int, seed: int, index: int, step: int) -> int:
    """32 bits that these numbers make, chained by the hash."""
    h = hashed(start + seed)
    while seed := seed >> 32:  # a long seed, word by word
        h = hashed(h + seed)
    return hashed(hashed(h + index) + step)


def hashed(number: int) -> int:
    """What `Dropout.draw` does to each of its values, without a second key, to the last 32 bits of a number."""
    h = number % 2**32
    for shift, multiplier in ROUNDS:
        h = (h ^ h >> shift) * multiplier % 2**32
    return h ^ h >> LAST
