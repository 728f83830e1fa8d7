"""Arrays of either library: how they move between host and device, and how rows are gathered."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

HOST: AbstractContextManager[Any] = nullcontext()
UPLOAD = 32 << 20  # bytes to send to a device at a time


def current_device(xp: Any) -> AbstractContextManager[Any]:
    """A context in which the GPU that is current now is so again; one that does nothing for NumPy.

    Which GPU is current is a matter of each thread. CuPy multiplies matrices of another GPU without a word.
    """
    return HOST if xp is np else xp.cuda.Device()


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

    Between two libraries, or two GPUs, the values pass through the host. A change of dtype alone does not.
    """
    if isinstance(array, xp.ndarray) and (xp is np or array.device == xp.cuda.Device()):
        return xp.asarray(array, dtype)
    return upload(np.asarray(to_host(array), dtype), xp)  # NumPy's error for what are no numbers, on both libraries


def upload(array: np.ndarray, xp: Any) -> Any:
    """An array of the host on this library: the array itself on NumPy, else a copy on the device.

    A large one goes there in pieces. CuPy's `asarray` page-locks as much memory of the host, rounded up to a power of
    two, and keeps it: 64 GB for a memory map of 40 GB. `set` does not.
    """
    if xp is np or array.nbytes <= UPLOAD or not array.ndim:
        return xp.asarray(array)
    there, step = xp.empty(array.shape, array.dtype), max(1, UPLOAD * len(array) // array.nbytes)
    for start in range(0, len(array), step):
        piece = slice(start, start + step)
        there[piece].set(np.ascontiguousarray(array[piece]))
    return there


def write(array: Any, values: Any, xp: Any) -> None:
    """Write these values, of any library and GPU, into an array of this library, which may lie on any GPU."""
    if xp is np:
        array[...] = to_library(values, xp, array.dtype)
        return
    with array.device:
        array[...] = to_library(values, xp, array.dtype)


def squares(array: Any, xp: Any) -> Any:
    """Σ a² over the first axis of a vector or a matrix, without an array of the squares."""
    if xp is np:
        return array.dot(array) if array.ndim == 1 else np.einsum("ij,ij->j", array, array)
    # One kernel. Of `dot` CuPy makes a vector of the squares first, of `einsum` a product of matrices for each column.
    norm = xp.linalg.norm(array, 2, axis=0)
    return norm * norm


def scalar(number: float, xp: Any, dtype: np.dtype) -> Any:
    """A number of a formula, in this dtype.

    NumPy is 0.3 us faster with an array of no dimension than with a number. To CuPy such an array is one more to read,
    and keeps it from taking the others as vectors; a number goes along with the launch.
    """
    return np.asarray(number, dtype) if xp is np else dtype.type(number)


def gather(array: Any, rows: Any, out: Any) -> None:
    """Write array[rows] into `out`. All three belong to one library, and all row numbers are valid."""
    if isinstance(array, np.ndarray):
        array.take(rows, axis=0, out=out, mode="clip")  # with clip, NumPy writes to `out` without a buffer
    else:
        array.take(rows, axis=0, out=out)
