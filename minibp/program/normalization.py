"""The operations of normalization.py: `batch_norm` is the formula of BatchNorm, `batch_norm_gradient` its gradient.

`w` and `b` of a row are γ and β. `xhat` (n, size) and `std` are kept for the gradient; `kept` holds three vectors.
"""

from __future__ import annotations

import math
from typing import Any

from .views import cast, jit, matrix, product_of_rows, sum_of_row, vector


def batch_norm(row: Any, run: Any) -> None:
    """y = γ x̂ + β, with μ and σ² of the batch, or at inference with the running averages."""
    n, k, one = run.n, row.size, row.one
    x, y, xhat = matrix(one, row.x, n, k), matrix(one, row.y, n, k), matrix(one, row.xhat, n, k)
    gamma, beta, std = vector(one, row.w, k), vector(one, row.b, k), vector(one, row.std, k)
    running_mean, running_var = vector(one, row.mean, k), vector(one, row.var, k)
    parts = matrix(one, row.kept, 3, k)
    mean, var, first = parts[0], parts[1], parts[2]
    if row.training:
        first[:] = x[0]
        moments_of_columns(x, xhat, first, mean, var)
        if n > 1:
            momentum = cast(row.number, one)
            rest, unbiased = cast(1 - row.number, one), cast((1 - row.number) * (n / (n - 1)), one)
            for j in range(k):
                before, now = running_mean[j], mean[j] + first[j]
                after = before + (now - before) * rest
                running_mean[j] = now if after == before else after
                running_var[j] = running_var[j] * momentum + var[j] * unbiased
    else:
        var[:] = running_var
        for i in range(n):
            for j in range(k):
                xhat[i, j] = x[i, j] - running_mean[j]
    for j in range(k):
        std[j] = root(var[j], cast(row.eps, one))
    for i in range(n):
        for j in range(k):
            xhat[i, j] /= std[j]
            y[i, j] = xhat[i, j] * gamma[j] + beta[j]


def batch_norm_gradient(row: Any, run: Any) -> None:
    """As `Normalization.gradient`, over the batch; at inference dx = dy γ / √(σ² + ε)."""
    n, k, one = run.n, row.size, row.one
    xhat, dy, dx = matrix(one, row.xhat, n, k), matrix(one, row.dy, n, k), matrix(one, row.dx, n, k)
    gamma, std = vector(one, row.w, k), vector(one, row.std, k)
    parts = matrix(one, row.kept, 3, k)
    along, total = parts[0], parts[1]
    sums_of_columns(dy, xhat, along, total)
    if row.trains:
        dgamma, dbeta = vector(one, row.dw, k), vector(one, row.db, k)
        dgamma[:] = along
        dbeta[:] = total
    if row.needs_dx:
        weight = cast(1 / n if row.training else 0.0, one)  # at inference μ and σ² are constants
        for i in range(n):
            for j in range(k):
                centered = dy[i, j] - total[j] * weight - xhat[i, j] * (along[j] * weight)
                dx[i, j] = centered * gamma[j] / std[j]


def layer_norm(row: Any, run: Any) -> None:
    """y = γ x̂ + β, with μ and σ² of each sample."""
    n, k, one = run.n, row.size, row.one
    x, y, xhat = matrix(one, row.x, n, k), matrix(one, row.y, n, k), matrix(one, row.xhat, n, k)
    gamma, beta, std = vector(one, row.w, k), vector(one, row.b, k), vector(one, row.std, n)
    count = cast(k, one)
    for i in range(n):
        first = x[i, 0]
        for j in range(k):
            xhat[i, j] = x[i, j] - first
        mean = sum_of_row(xhat, i) / count
        for j in range(k):
            xhat[i, j] -= mean
        std[i] = root(product_of_rows(xhat, xhat, i) / count, cast(row.eps, one))
        for j in range(k):
            xhat[i, j] /= std[i]
            y[i, j] = xhat[i, j] * gamma[j] + beta[j]


def layer_norm_gradient(row: Any, run: Any) -> None:
    """As `Normalization.gradient`, over each sample."""
    n, k, one = run.n, row.size, row.one
    xhat, dy, dx = matrix(one, row.xhat, n, k), matrix(one, row.dy, n, k), matrix(one, row.dx, n, k)
    gamma, std = vector(one, row.w, k), vector(one, row.std, n)
    if row.trains:
        sums_of_columns(dy, xhat, vector(one, row.dw, k), vector(one, row.db, k))
    if row.needs_dx:
        count = cast(k, one)
        for i in range(n):
            for j in range(k):
                dx[i, j] = dy[i, j] * gamma[j]
            along, mean = product_of_rows(dx, xhat, i) / count, sum_of_row(dx, i) / count
            for j in range(k):
                dx[i, j] = (dx[i, j] - mean - xhat[i, j] * along) / std[i]


def standardize(row: Any, run: Any) -> None:
    """y = (x - μ) / σ."""
    n, k, one = run.n, row.size, row.one
    x, y = matrix(one, row.x, n, k), matrix(one, row.y, n, k)
    mean, std = vector(one, row.mean, k), vector(one, row.std, k)
    for i in range(n):
        for j in range(k):
            y[i, j] = (x[i, j] - mean[j]) / std[j]


def standardize_gradient(row: Any, run: Any) -> None:
    """dx = dy / σ."""
    n, k, one = run.n, row.size, row.one
    dy, dx, std = matrix(one, row.dy, n, k), matrix(one, row.dx, n, k), vector(one, row.std, k)
    for i in range(n):
        for j in range(k):
            dx[i, j] = dy[i, j] / std[j]


@jit
def root(var: Any, eps: Any) -> Any:
    """√(σ² + ε), and NaN if σ² is infinite: else x̂ would be 0."""
    var += eps
    return var / math.sqrt(var)


@jit
def moments_of_columns(x: Any, xhat: Any, first: Any, mean: Any, var: Any) -> None:
    """μ - first and σ² of each column, and x - μ in xhat. `Normalization.center` says why `first` is subtracted."""
    n, k = x.shape
    count = cast(n, x[0, 0])
    mean[:] = 0
    var[:] = 0
    for i in range(n):
        for j in range(k):
            mean[j] += x[i, j] - first[j]
    for j in range(k):
        mean[j] /= count
    for i in range(n):
        for j in range(k):
            xhat[i, j] = (x[i, j] - first[j]) - mean[j]
            var[j] += xhat[i, j] * xhat[i, j]
    for j in range(k):
        var[j] /= count


@jit
def sums_of_columns(dy: Any, xhat: Any, along: Any, total: Any) -> None:
    """Σₙ dy x̂ and Σₙ dy."""
    along[:] = 0
    total[:] = 0
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            along[j] += dy[i, j] * xhat[i, j]
            total[j] += dy[i, j]
