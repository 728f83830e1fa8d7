"""Origin: which samples a network was trained on, so that a test never counts them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ..base import at_least_zero, hash_values
from ..errors import ArgumentError


class Origin:
    """The data that a network was trained on, and the seed that split them. Assign it to `net.origin`; `save` keeps it.

    Parameters
    ----------
    name : str
        The name of the data.
    seed : int
        The seed of the split.
    sha256 : str, default ""
        What `fingerprint` gives for all of the data, before the split; empty for a data set that the name tells.
    """

    def __init__(self, name: str, seed: int, sha256: str = ""):
        self.name, self.seed, self.sha256 = name, at_least_zero("seed", seed), sha256
        if not isinstance(name, str) or not isinstance(sha256, str):
            raise ArgumentError(f"Origin: received {name!r:.80} and {sha256!r:.80}, expected strings")

    def config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        return {"name": self.name, "seed": self.seed, "sha256": self.sha256}

    def __repr__(self) -> str:
        return f"Origin({self.name!r}, seed={self.seed})"


def fingerprint(x: np.ndarray, t: np.ndarray) -> str:
    """A hash of inputs and targets, whatever their order in memory."""
    digest = hashlib.sha256(f"{x.shape} {x.dtype} {t.shape}".encode())
    for array in (x, t.astype("float64")):
        hash_values(digest, array)
    return digest.hexdigest()
