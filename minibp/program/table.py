"""Table: a step of a network as a list of operations, from the gathering of a batch to the update of the parameters.

A row is a call of one operation: which function, where its arrays are, how large they are, and its numbers. What rows a
layer, a loss or an optimizer has is said in `rows.py`. Nothing here needs numba.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from ..base import Array, Shape
from ..errors import ArgumentError

# numba's cache looks for changes in the file of a function, not in those of the functions that it calls. So the types
# that all are compiled for have a field with the checksum of all these files in its name.
FILES = sorted(Path(__file__).parent.glob("*.py"))
VERSION = "version_" + hashlib.sha256(b"".join(path.read_bytes() for path in FILES)).hexdigest()

# The fields of a row; 0 where an operation has none. `operation` is the address of the function, the others are those
# of arrays: x, y and their gradients, targets t, parameters w and b and their gradients, moments m and v, what a
# formula keeps for its gradient, and a random field with the matrices that smooth it.
ADDRESSES = ["operation", "x", "y", "dx", "dy", "t", "w", "b", "dw", "db", "m", "v", "mean", "var", "xhat", "std"]
ADDRESSES += ["kept", "field", "smooth", "down", "across"]
COUNTS = ["size_in", "size", "trains", "needs_dx", "training", "step", "key_1", "key_2", "per_sample", "raw_eps"]
COUNTS += ["key_3", "key_4", "height", "width", "counter"]
NUMBERS = ["number", "beta2", "eps", "decay"]  # `number` is the one of most operations: a slope, a momentum, ...
NUMBERS += ["rotation", "scale", "shear", "translation"]

# What the operations of a run share: the data, the results, the batch that is at work, and the BLAS.
RUN = np.dtype(
    [(name, "int64") for name in ("inputs", "targets", "weights", "order", "samples", "losses", "outputs")]
    + [(name, "int64") for name in ("first", "n", "step", "skip", "gemm", "wide", VERSION)]
    + [(name, "float64") for name in ("rate", "scale", "total")]
)


@cache
def row_dtype(dtype: str) -> np.dtype:
    """A row for a network of this dtype. `one` is 1 in it, from which operations have the dtype."""
    integers, numbers = [(name, "int64") for name in ADDRESSES + COUNTS], [(name, "float64") for name in NUMBERS]
    return np.dtype([*integers, *numbers, ("one", dtype), (VERSION, "int8")], align=True)


class UnknownError(ArgumentError):
    """A network, loss or optimizer has no operations; the text says which, and why."""


class Value(NamedTuple):
    """What layers pass on: the addresses of its numbers and of their gradient, and the shape of one sample."""

    y: int
    dy: int
    shape: Shape

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def address(array: Array) -> int:
    """Where the numbers of an array begin, on the host or on a GPU."""
    return int(array.__array_interface__["data"][0] if isinstance(array, np.ndarray) else array.data.ptr)


class Table:
    """The operations of a step, and the memory that they work in.

    Parameters
    ----------
    dtype : numpy.dtype
        That of the network.
    batch_size : int
        The largest batch.
    training : bool
        Whether gradients are computed, and layers are in training mode.
    xp : module
        The array library, on which the memory lies.

    Attributes
    ----------
    arrays : dict of int to array
        The memory, and the vectors of the network, by address. The memory belongs to this table alone: two threads need
        two tables.
    read : list of (weak reference, name, value)
        The attributes that the rows depend on. A table is of use as long as they are the same.
    counters : list of weak references
        What counts its steps as `step`: layers that draw, and an average. Rows name them by `counter`: 1, 2, ...
    """

    def __init__(self, dtype: np.dtype, batch_size: int, training: bool, xp: Any = np):
        self.dtype, self.batch_size, self.training, self.xp = dtype, batch_size, training, xp
        self.forward: list[dict[str, Any]] = []
        self.backward: list[dict[str, Any]] = []  # in the order of `forward`
        self.arrays: dict[int, Array] = {}
        self.read: list[tuple[Any, str, Any]] = []
        self.counters: list[Callable[[], Any]] = []

    def memory(self, *shape: int) -> int:
        """The address of new memory, which begins at a border of a cache line."""
        size = math.prod(shape) * self.dtype.itemsize
        array = self.xp.zeros(size + 64, "uint8")
        first = -address(array) % 64
        return self.place(array[first : first + size].view(self.dtype))

    def place(self, array: Array) -> int:
        """The address of an array, which stays alive as long as the table."""
        self.arrays[address(array)] = array
        return address(array)

    def value(self, shape: Shape) -> Value:
        """Memory for a batch of samples of this shape, and in training for its gradient."""
        size = self.batch_size, *shape
        return Value(self.memory(*size), self.memory(*size) if self.training else 0, shape)

    def get(self, owner: Any, name: str) -> Any:
        """An attribute of a layer, a network or an optimizer."""
        value = getattr(owner, name)
        self.read.append((ref(owner), name, value))
        return value

    def count(self, owner: Any) -> int:
        """The `counter` of a row, for an object that counts its steps."""
        self.counters.append(ref(owner))
        return len(self.counters)

    def add(self, operation: str, backward: bool = False, **fields: Any) -> None:
        """Add a row; with `backward` also one of `operation`_gradient, which has the same fields."""
        self.forward.append({"operation": operation, **fields})
        if backward:
            self.backward.append({"operation": f"{operation}_gradient", **fields})

    def is_current(self) -> bool:
        """Whether the attributes are those that the table was built with."""
        return all(getattr(owner(), name, None) == value for owner, name, value in self.read)  # None: it is gone

    def rows(self, address_of: Callable[[str, str], int]) -> np.ndarray:
        """All rows, forward and then backward, with the functions at their addresses."""
        rows, dtype = self.forward + self.backward[::-1], str(self.dtype)
        found = np.zeros(len(rows), row_dtype(dtype))
        for place, row in zip(found, rows, strict=True):
            for name, value in row.items():
                place[name] = address_of(value, dtype) if name == "operation" else value
        found["one"] = 1
        return found
