"""Arrays of either library: how they move between host and device, and how rows are gathered."""

from __future__ import annotations

from typing import Any

import numpy as np


def free_memory(xp: Any) -> float:
    """Free memory of the device in bytes; infinity for NumPy, which needs no transfer."""
    if xp is np:
        return float("inf")
    return xp.cuda.Device().mem_info[0] + xp.get_default_memory_pool().free_bytes()  # CuPy keeps freed memory in a pool


def to_host(array: Any) -> np.ndarray:
    """These values as a NumPy array: the array itself if it is one, else a copy from the device."""
    return array if isinstance(array, np.ndarray) else array.get() if hasattr(array, "get") else np.asarray(array)


def to_library(array: Any, xp: Any, dtype: Any) -> Any:
    """These values as an array of this library and dtype: the array itself if it is one already.

    Between two libraries the values pass through the host. A change of dtype alone does not.
    """
    return xp.asarray(array if isinstance(array, xp.ndarray) else to_host(array), dtype)


def gather(array: Any, rows: Any, out: Any) -> None:
    """Write array[rows] into `out`. All three belong to one library, and all row numbers are valid."""
    if isinstance(array, np.ndarray):
        array.take(rows, axis=0, out=out, mode="clip")  # with clip, NumPy writes to `out` without a buffer
    else:
        array.take(rows, axis=0, out=out)
