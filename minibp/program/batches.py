"""The operations that take a batch out of the data, and outputs out of the batch.

The samples of a run are in `order`. Every number that is read from the data is bounded: what points nowhere gives NaN,
which a training reports, and never reads or writes elsewhere.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .views import cast, jit, matrix, vector


def gather_bytes(row: Any, run: Any) -> None:
    """y = x[order] / 255, for bytes."""
    gather(row, run, matrix(np.uint8(0), run.inputs, run.samples, row.size), cast(row.number, row.one))


def gather_float32(row: Any, run: Any) -> None:
    """y = x[order]."""
    gather(row, run, matrix(np.float32(0), run.inputs, run.samples, row.size), row.one)


def gather_float64(row: Any, run: Any) -> None:
    """y = x[order]."""
    gather(row, run, matrix(np.float64(0), run.inputs, run.samples, row.size), row.one)


@jit
def gather(row: Any, run: Any, x: Any, scale: Any) -> None:
    """y = scale x[order], for rows of any dtype."""
    y, order = matrix(row.one, row.y, run.n, row.size), vector(run.first, run.order, run.first + run.n)
    for i in range(run.n):
        sample = order[run.first + i]
        if 0 <= sample < run.samples:
            for j in range(row.size):
                y[i, j] = cast(x[sample, j], row.one) * scale
        else:
            y[i, :] = math.nan


def one_hot(row: Any, run: Any) -> None:
    """Target rows for labels."""
    y, order = matrix(row.one, row.y, run.n, row.size), vector(run.first, run.order, run.first + run.n)
    labels = vector(run.first, run.targets, run.samples)
    for i in range(run.n):
        sample = order[run.first + i]
        label = labels[sample] if 0 <= sample < run.samples else -1
        if 0 <= label < row.size:
            y[i, :] = 0
            y[i, label] = row.one
        else:
            y[i, :] = math.nan


def target_rows(row: Any, run: Any) -> None:
    """t[order]."""
    gather(row, run, matrix(row.one, run.targets, run.samples, row.size), row.one)


def weights(row: Any, run: Any) -> None:
    """y = w[order]. A batch in which no sample counts makes no step."""
    y, order = vector(row.one, row.y, run.n), vector(run.first, run.order, run.first + run.n)
    w, losses = vector(row.one, run.weights, run.samples), vector(row.one, run.losses, run.first + run.n)
    total = cast(0, row.one)
    for i in range(run.n):
        sample = order[run.first + i]
        y[i] = w[sample] if 0 <= sample < run.samples else cast(math.nan, row.one)
        total += y[i]
        losses[run.first + i] = 0
    run.skip, run.total = total == 0, total


def weigh_losses(row: Any, run: Any) -> None:
    """ℓ ← w ℓ."""
    y, losses = vector(row.one, row.y, run.n), vector(row.one, run.losses, run.first + run.n)
    for i in range(run.n):
        losses[run.first + i] *= y[i]


def weigh_gradient(row: Any, run: Any) -> None:
    """dx ← dx N w / Σ w, for a dx that contains 1/N."""
    w, dx = vector(row.one, row.y, run.n), matrix(row.one, row.dx, run.n, row.size)
    total = cast(0, row.one)
    for i in range(run.n):
        total += w[i]
    for i in range(run.n):
        factor = w[i] * cast(run.n, row.one) / total
        for j in range(row.size):
            dx[i, j] *= factor


def give(row: Any, run: Any) -> None:
    """Copy the outputs of the batch to those of the run."""
    start = run.first * row.size
    x, out = vector(row.one, row.x, run.n * row.size), vector(row.one, run.outputs, start + run.n * row.size)
    for i in range(x.size):
        out[start + i] = x[i]
