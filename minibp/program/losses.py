"""The operations of losses.py and regression.py: `quadratic` writes the loss of each sample, `quadratic_gradient` dx.

x are predictions and t target rows, (n, size). What `losses` of the run points to are the losses of the whole run.
"""

from __future__ import annotations

from typing import Any

from . import elementary
from .layers import shifted
from .views import cast, jit, matrix, sum_of_row, vector


def quadratic(row: Any, run: Any) -> None:
    """ℓ = ½ Σₖ (x - t)²."""
    n, half = run.n * row.size, cast(0.5, row.one)
    x, t, y = vector(row.one, row.x, n), vector(row.one, row.t, n), vector(row.one, row.y, n)
    each = vector(row.one, row.kept, n)
    for i in range(n):
        y[i] = x[i] - t[i]
        each[i] = half * (y[i] * y[i])
    sum_losses(row, run)


def quadratic_gradient(row: Any, run: Any) -> None:
    """dx = (x - t) / N."""
    n, inv_n = run.n * row.size, cast(1 / run.n, row.one)
    y, dx = vector(row.one, row.y, n), vector(row.one, row.dx, n)
    for i in range(n):
        dx[i] = y[i] * inv_n


def absolute(row: Any, run: Any) -> None:
    """ℓ = Σₖ |x - t|, and y = x - t."""
    n, zero = run.n * row.size, cast(0, row.one)
    x, t, y = vector(row.one, row.x, n), vector(row.one, row.t, n), vector(row.one, row.y, n)
    each = vector(row.one, row.kept, n)
    for i in range(n):
        y[i] = x[i] - t[i]
        each[i] = -y[i] if y[i] < zero else y[i]
    sum_losses(row, run)


def absolute_gradient(row: Any, run: Any) -> None:
    """dx = 1/N where x > t, -1/N where x < t, 0 where they are equal."""
    n, zero, inv_n = run.n * row.size, cast(0, row.one), cast(1 / run.n, row.one)
    y, dx = vector(row.one, row.y, n), vector(row.one, row.dx, n)
    for i in range(n):
        dx[i] = inv_n if y[i] > zero else -inv_n if y[i] < zero else y[i]  # 0, or NaN


def huber(row: Any, run: Any) -> None:
    """ℓ = Σₖ y (r - ½ y), where y is r = x - t, limited to [-δ, δ]."""
    n, delta, half = run.n * row.size, cast(row.number, row.one), cast(0.5, row.one)
    x, t, y = vector(row.one, row.x, n), vector(row.one, row.t, n), vector(row.one, row.y, n)
    each = vector(row.one, row.kept, n)
    for i in range(n):
        residual = x[i] - t[i]
        y[i] = delta if residual > delta else -delta if residual < -delta else residual
        each[i] = y[i] * (residual - half * y[i])
    sum_losses(row, run)


huber_gradient = quadratic_gradient


def quantile(row: Any, run: Any) -> None:
    """ℓ = Σₖ max(q (t - x), (1 - q) (x - t)), and y = x - t."""
    n, zero = run.n * row.size, cast(0, row.one)
    below, above = cast(row.number, row.one), cast(1 - row.number, row.one)
    x, t, y = vector(row.one, row.x, n), vector(row.one, row.t, n), vector(row.one, row.y, n)
    each = vector(row.one, row.kept, n)
    for i in range(n):
        y[i] = x[i] - t[i]
        each[i] = (above if y[i] > zero else -below) * y[i]
    sum_losses(row, run)


def quantile_gradient(row: Any, run: Any) -> None:
    """dx = (1 - q) / N where x > t, -q / N where x < t, 0 where they are equal."""
    n, zero, inv_n = run.n * row.size, cast(0, row.one), cast(1 / run.n, row.one)
    below, above = cast(row.number, row.one), cast(1 - row.number, row.one)
    y, dx = vector(row.one, row.y, n), vector(row.one, row.dx, n)
    for i in range(n):
        slope = above if y[i] > zero else -below if y[i] < zero else y[i]  # 0, or NaN
        dx[i] = slope * inv_n


def poisson(row: Any, run: Any) -> None:
    """ℓ = Σₖ [exp(xₖ) - tₖ xₖ], and y = exp(x)."""
    n = run.n * row.size
    x, t, y = vector(row.one, row.x, n), vector(row.one, row.t, n), vector(row.one, row.y, n)
    each = vector(row.one, row.kept, n)
    for i in range(n):
        y[i] = elementary.exp_or_infinity(x[i])
        each[i] = y[i] - t[i] * x[i]
    sum_losses(row, run)


def softmax_cross_entropy(row: Any, run: Any) -> None:
    """ℓ = log Σₖ exp(xₖ) - Σₖ tₖ xₖ, and y = softmax(x)."""
    smooth(row, run)
    n, k, zero = run.n, row.size, cast(0, row.one)
    x, t, y = matrix(row.one, row.x, n, k), matrix(row.one, row.t, n, k), matrix(row.one, row.y, n, k)
    losses, score, first = vector(row.one, run.losses, run.first + n), vector(row.one, row.kept, n), run.first
    shifted(x, y)
    for i in range(n):
        score[i] = zero
        for j in range(k):
            part = t[i, j] * y[i, j]
            score[i] += part if part < zero else zero  # 0 · -∞ is NaN, and counts as 0
    flat = vector(row.one, row.y, n * k)
    for i in range(flat.size):
        flat[i] = elementary.exp(flat[i])
    for i in range(n):
        total = sum_of_row(y, i)
        losses[first + i] = total
        for j in range(k):
            y[i, j] /= total
    for i in range(n):
        losses[first + i] = elementary.log(losses[first + i]) - score[i]


def softmax_cross_entropy_gradient(row: Any, run: Any) -> None:
    """dx = (y - t) / N, with y = softmax(x), σ(x) or exp(x)."""
    n, inv_n = run.n * row.size, cast(1 / run.n, row.one)
    y, t, dx = vector(row.one, row.y, n), vector(row.one, row.t, n), vector(row.one, row.dx, n)
    for i in range(n):
        dx[i] = (y[i] - t[i]) * inv_n


sigmoid_cross_entropy_gradient = softmax_cross_entropy_gradient
poisson_gradient = softmax_cross_entropy_gradient


def cross_entropy(row: Any, run: Any) -> None:
    """ℓ = -Σₖ tₖ log xₖ."""
    smooth(row, run)
    n, tiny = run.n * row.size, cast(row.eps, row.one)
    x, t, y = vector(row.one, row.x, n), vector(row.one, row.t, n), vector(row.one, row.y, n)
    each = vector(row.one, row.kept, n)
    for i in range(n):
        y[i] = tiny if x[i] < tiny else x[i]
        each[i] = -(t[i] * elementary.log(y[i]))
    sum_losses(row, run)


def cross_entropy_gradient(row: Any, run: Any) -> None:
    """dx = -t / (N x)."""
    n, inv_n = run.n * row.size, cast(1 / run.n, row.one)
    y, t, dx = vector(row.one, row.y, n), vector(row.one, row.t, n), vector(row.one, row.dx, n)
    for i in range(n):
        dx[i] = -(t[i] / y[i] * inv_n)


def sigmoid_cross_entropy(row: Any, run: Any) -> None:
    """ℓ = Σₖ [log(1 + exp(xₖ)) - tₖ xₖ], and y = σ(x), both with e = exp(-|x|), which cannot overflow."""
    n, zero, one = run.n * row.size, cast(0, row.one), row.one
    x, t, y = vector(one, row.x, n), vector(one, row.t, n), vector(one, row.y, n)
    each = vector(one, row.kept, n)
    for i in range(n):
        e = elementary.exp(x[i] if x[i] < zero else -x[i])
        positive = one if x[i] >= zero else zero
        each[i] = (positive - t[i]) * x[i] + elementary.log1p(e)
        y[i] = (one if x[i] >= zero else e) / (one + e)
    sum_losses(row, run)


def binary_cross_entropy(row: Any, run: Any) -> None:
    """ℓ = -Σₖ [tₖ log xₖ + (1 - tₖ) log(1 - xₖ)]."""
    n, tiny, one = run.n * row.size, cast(row.eps, row.one), row.one
    x, t, y = vector(one, row.x, n), vector(one, row.t, n), vector(one, row.y, n)
    each = vector(one, row.kept, n)
    for i in range(n):
        y[i] = tiny if x[i] < tiny else x[i]
        rest = tiny if one - x[i] < tiny else one - x[i]
        each[i] = -(elementary.log(y[i]) * t[i] + elementary.log(rest) * (one - t[i]))
    sum_losses(row, run)


def binary_cross_entropy_gradient(row: Any, run: Any) -> None:
    """dx = ((1 - t) / (1 - x) - t / x) / N."""
    n, tiny, one, inv_n = run.n * row.size, cast(row.eps, row.one), row.one, cast(1 / run.n, row.one)
    x, t, y, dx = vector(one, row.x, n), vector(one, row.t, n), vector(one, row.y, n), vector(one, row.dx, n)
    for i in range(n):
        rest = tiny if one - x[i] < tiny else one - x[i]
        dx[i] = ((one - t[i]) / rest - t[i] / y[i]) * inv_n


@jit
def smooth(row: Any, run: Any) -> None:
    """Write (1 - ε) t + ε/K over t, if there is label smoothing."""
    if row.number > 0:
        n, kept, added = run.n * row.size, cast(1 - row.number, row.one), cast(row.number / row.size, row.one)
        t = vector(row.one, row.t, n)
        for i in range(n):
            t[i] = t[i] * kept + added


@jit
def sum_losses(row: Any, run: Any) -> None:
    """The loss of each sample, from those of its outputs in `kept`."""
    each, losses = matrix(row.one, row.kept, run.n, row.size), vector(row.one, run.losses, run.first + run.n)
    for i in range(run.n):
        losses[run.first + i] = sum_of_row(each, i)
