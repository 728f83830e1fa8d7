"""Arrays of either library: where they are, how they move, and how rows are gathered."""

from __future__ import annotations

from typing import Any

import numpy as np


def free_memory(xp: Any) -> float:
    """Bytes that are free on the device; infinite for NumPy, whose arrays are already where they are needed."""
    if xp is np:
        return float("inf")
    return xp.cuda.Device().mem_info[0] + xp.get_default_memory_pool().free_bytes()  # which CuPy keeps for later


def to_host(array: Any) -> np.ndarray:
    """A NumPy array of these values: the array itself where it is one, else a copy from the device."""
    return array if isinstance(array, np.ndarray) else array.get() if hasattr(array, "get") else np.asarray(array)


def to_library(array: Any, xp: Any, dtype: Any) -> Any:
    """These values on this array library in this dtype: the array itself where it is that already.

    From one library to the other they go over the host; a change of dtype alone stays where it is.
    """
    return xp.asarray(array if isinstance(array, xp.ndarray) else to_host(array), dtype)


def gather(array: Any, rows: Any, out: Any) -> None:
    """Write array[rows] into `out`, all three on the same side; rows must lie inside."""
    if isinstance(array, np.ndarray):
        array.take(rows, axis=0, out=out, mode="clip")  # clip: NumPy then writes to `out` without a buffer
    else:
        array.take(rows, axis=0, out=out)
