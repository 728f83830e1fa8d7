"""hash_values(): arrays of any size, fed into a hash."""

from __future__ import annotations

from typing import Any

import numpy as np

PIECE = 1 << 22  # bytes at a time: a memory map may be larger than memory


def hash_values(digest: Any, array: np.ndarray, label: tuple[str, ...] = ()) -> None:
    """Feed an array into a hash of hashlib's: the label, the type, the shape and the values."""
    digest.update(repr((*label, array.dtype.str, array.shape)).encode())
    hash_bytes(digest, array)


def hash_bytes(digest: Any, array: np.ndarray) -> None:
    """Feed only the values of an array into a hash."""
    array = np.atleast_1d(array)
    rows = max(1, PIECE * len(array) // max(array.nbytes, 1))
    for start in range(0, len(array), rows):
        digest.update(np.ascontiguousarray(array[start : start + rows]).reshape(-1).view("u1").data)
