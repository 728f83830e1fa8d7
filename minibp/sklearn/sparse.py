"""Sparse inputs, which become dense batch by batch."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..data import Dataset


def is_sparse(x: Any) -> bool:
    """Whether x is a matrix or an array of scipy.sparse."""
    return hasattr(x, "toarray")


class SparseRows:
    """A sparse matrix (CSR) that looks like an array: the rows that are taken from it are dense."""

    ndim = 2
    flags = SimpleNamespace(c_contiguous=False, aligned=False)  # its numbers do not lie at an address

    def __init__(self, matrix: Any):
        self.matrix, self.dtype, self.shape = matrix, matrix.dtype, matrix.shape
        self.size = math.prod(matrix.shape)
        self.nbytes = self.size * self.dtype.itemsize
        self.min, self.max = matrix.min, matrix.max

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> np.ndarray:
        single = isinstance(rows, (int, np.integer))
        dense = np.asarray(self.matrix[[rows] if single else rows].toarray())
        return dense[0] if single else dense

    def take(self, rows: np.ndarray, axis: int, out: np.ndarray) -> None:
        """Write these rows into `out`."""
        out[...] = self[rows]

    def reshape(self, *shape: int) -> SparseRows:
        """The matrix itself: its rows are samples already."""
        return self


class SparseDataset(Dataset):
    """A data set whose inputs are a sparse matrix that has been checked."""

    def __init__(self, x: Any, *rest: Any):
        super().__init__(np.zeros((x.shape[0], 1)), *rest)
        self.x: Any = SparseRows(x)
