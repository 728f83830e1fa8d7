"""Hashes of arrays of any size."""

from __future__ import annotations

from typing import Any

import numpy as np

PIECE = 1 << 22  # bytes to hash at a time; a memory map may be larger than memory


def hash_values(digest: Any, array: np.ndarray, label: tuple[str, ...] = ()) -> None:
    """Update a hashlib hash with an array: its label, dtype, shape and values."""
    digest.update(repr((*label, array.dtype.str, array.shape)).encode())
    hash_bytes(digest, array)


def hash_bytes(digest: Any, array: np.ndarray) -> None:
    """Update a hashlib hash with only the values of an array."""
    array = np.atleast_1d(array)
    rows = max(1, PIECE * len(array) // max(array.nbytes, 1))
    for start in range(0, len(array), rows):
        digest.update(np.ascontiguousarray(array[start : start + rows]).reshape(-1).view("u1").data)
