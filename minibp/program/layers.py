"""The operations of layers.py and dropout.py: `relu` is the formula of ReLU, `relu_gradient` its gradient.

An operation takes a row of the table, which says where its numbers are, and the run, which says how many samples the
batch has. Arrays of which all elements are treated alike are vectors here, of all samples one after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dropout import LAST, ROUNDS
from . import elementary
from .products import product
from .views import cast, jit, matrix, product_of_rows, sum_of_row, vector

(SHIFT_1, FACTOR_1), (SHIFT_2, FACTOR_2) = ROUNDS
GELU_CUBIC = 0.044715
GELU_SCALE = 0.7978845608028654  # √(2/π)


def dense(row: Any, run: Any) -> None:
    """y = x W + b."""
    n, size = run.n, row.size
    product(row, run, row.x, False, row.w, False, row.y, n, size, row.size_in)
    y, b = matrix(row.one, row.y, n, size), vector(row.one, row.b, size)
    for i in range(n):
        for j in range(size):
            y[i, j] += b[j]


def dense_gradient(row: Any, run: Any) -> None:
    """dW = xᵀ dy,  db = Σₙ dy,  dx = dy Wᵀ."""
    n, size = run.n, row.size
    if row.trains:
        product(row, run, row.x, True, row.dy, False, row.dw, row.size_in, size, n)
        dy, db = matrix(row.one, row.dy, n, size), vector(row.one, row.db, size)
        db[:] = 0
        for i in range(n):
            for j in range(size):
                db[j] += dy[i, j]
    if row.needs_dx and row.kept:  # memory for Wᵀ, if W is small
        transpose(matrix(row.one, row.w, row.size_in, size), matrix(row.one, row.kept, size, row.size_in))
        product(row, run, row.dy, False, row.kept, False, row.dx, n, row.size_in, size)
    elif row.needs_dx:
        product(row, run, row.dy, False, row.w, True, row.dx, n, row.size_in, size)


def relu(row: Any, run: Any) -> None:
    """y = max(x, 0)."""
    n, zero = run.n * row.size, cast(0, row.one)
    x, y = vector(row.one, row.x, n), vector(row.one, row.y, n)
    for i in range(n):
        y[i] = zero if x[i] <= zero else x[i]  # NaN stays NaN


def relu_gradient(row: Any, run: Any) -> None:
    """dx = dy where x > 0, else 0."""
    n, one, zero = run.n * row.size, row.one, cast(0, row.one)
    y, dy, dx = vector(one, row.y, n), vector(one, row.dy, n), vector(one, row.dx, n)
    for i in range(n):
        dx[i] = dy[i] * (one if y[i] > zero else zero)


def leaky_relu(row: Any, run: Any) -> None:
    """y = x where x > 0, else slope x."""
    n, slope = run.n * row.size, cast(row.number, row.one)
    x, y = vector(row.one, row.x, n), vector(row.one, row.y, n)
    for i in range(n):
        y[i] = x[i] if x[i] > x[i] * slope else x[i] * slope


def leaky_relu_gradient(row: Any, run: Any) -> None:
    """dx = dy where x > 0, else slope dy."""
    n, one, slope, zero = run.n * row.size, row.one, cast(row.number, row.one), cast(0, row.one)
    x, dy, dx = vector(one, row.x, n), vector(one, row.dy, n), vector(one, row.dx, n)
    for i in range(n):
        dx[i] = dy[i] * (one if x[i] > zero else slope)


def elu(row: Any, run: Any) -> None:
    """y = x where x > 0, else α (exp(x) - 1)."""
    n, alpha, zero = run.n * row.size, cast(row.number, row.one), cast(0, row.one)
    x, y = vector(row.one, row.x, n), vector(row.one, row.y, n)
    for i in range(n):
        below = alpha * elementary.expm1(zero if x[i] > zero else x[i])
        y[i] = x[i] if x[i] > zero else below


def elu_gradient(row: Any, run: Any) -> None:
    """dx = dy where x > 0, else dy α exp(x)."""
    n, one, alpha, zero = run.n * row.size, row.one, cast(row.number, row.one), cast(0, row.one)
    x, dy, dx = vector(one, row.x, n), vector(one, row.dy, n), vector(one, row.dx, n)
    for i in range(n):
        below = alpha * elementary.exp(zero if x[i] > zero else x[i])
        dx[i] = dy[i] * (one if x[i] > zero else below)


def gelu(row: Any, run: Any) -> None:
    """y = ½ x (1 + tanh u),  u = √(2/π) (x + 0.044715 x³). The tanh is kept for the gradient."""
    n, one = run.n * row.size, row.one
    half, cubic, scale = cast(0.5, one), cast(GELU_CUBIC, one), cast(GELU_SCALE, one)
    x, y, tanh = vector(one, row.x, n), vector(one, row.y, n), vector(one, row.kept, n)
    for i in range(n):
        tanh[i] = elementary.tanh((x[i] * x[i] * cubic + one) * x[i] * scale)
        y[i] = (tanh[i] + one) * x[i] * half


def gelu_gradient(row: Any, run: Any) -> None:
    """dx = dy (½ (1 + tanh u) + ½ x (1 - tanh² u) u′),  u′ = √(2/π) (1 + 3 · 0.044715 x²)."""
    n, one = run.n * row.size, row.one
    half, cubic, scale = cast(0.5, one), cast(3 * GELU_CUBIC, one), cast(GELU_SCALE, one)
    x, tanh = vector(one, row.x, n), vector(one, row.kept, n)
    dy, dx = vector(one, row.dy, n), vector(one, row.dx, n)
    for i in range(n):
        du = (x[i] * x[i] * cubic + one) * scale
        dx[i] = dy[i] * half * (one + tanh[i] + x[i] * (one - tanh[i] * tanh[i]) * du)


def sigmoid(row: Any, run: Any) -> None:
    """y = 1 / (1 + exp(-x))."""
    n = run.n * row.size
    x, y = vector(row.one, row.x, n), vector(row.one, row.y, n)
    for i in range(n):
        y[i] = elementary.sigmoid(x[i])


def sigmoid_gradient(row: Any, run: Any) -> None:
    """dx = dy y (1 - y)."""
    n, one = run.n * row.size, row.one
    y, dy, dx = vector(one, row.y, n), vector(one, row.dy, n), vector(one, row.dx, n)
    for i in range(n):
        dx[i] = (one - y[i]) * y[i] * dy[i]


def exp(row: Any, run: Any) -> None:
    """y = exp(x)."""
    n = run.n * row.size
    x, y = vector(row.one, row.x, n), vector(row.one, row.y, n)
    for i in range(n):
        y[i] = elementary.exp_or_infinity(x[i])


def exp_gradient(row: Any, run: Any) -> None:
    """dx = dy y."""
    n = run.n * row.size
    y, dy, dx = vector(row.one, row.y, n), vector(row.one, row.dy, n), vector(row.one, row.dx, n)
    for i in range(n):
        dx[i] = dy[i] * y[i]


def softplus(row: Any, run: Any) -> None:
    """y = log(1 + exp(x)), as max(x, 0) + log(1 + exp(-|x|))."""
    n, zero = run.n * row.size, cast(0, row.one)
    x, y = vector(row.one, row.x, n), vector(row.one, row.y, n)
    for i in range(n):
        above = zero if x[i] <= zero else x[i]
        y[i] = above + elementary.log1p(elementary.exp(x[i] if x[i] <= zero else -x[i]))


def softplus_gradient(row: Any, run: Any) -> None:
    """dx = dy σ(x), and σ(x) = 1 - exp(-y)."""
    n = run.n * row.size
    y, dy, dx = vector(row.one, row.y, n), vector(row.one, row.dy, n), vector(row.one, row.dx, n)
    for i in range(n):
        dx[i] = -elementary.expm1(-y[i]) * dy[i]


def tanh(row: Any, run: Any) -> None:
    """y = tanh(x)."""
    n = run.n * row.size
    x, y = vector(row.one, row.x, n), vector(row.one, row.y, n)
    for i in range(n):
        y[i] = elementary.tanh(x[i])


def tanh_gradient(row: Any, run: Any) -> None:
    """dx = dy (1 - y²)."""
    n, one = run.n * row.size, row.one
    y, dy, dx = vector(one, row.y, n), vector(one, row.dy, n), vector(one, row.dx, n)
    for i in range(n):
        dx[i] = (one - y[i] * y[i]) * dy[i]


def softmax(row: Any, run: Any) -> None:
    """Each row of a sample; samples have `size_in` rows."""
    n = run.n * row.size_in
    x, y = matrix(row.one, row.x, n, row.size), matrix(row.one, row.y, n, row.size)
    shifted(x, y)
    flat = vector(row.one, row.y, n * row.size)
    for i in range(flat.size):
        flat[i] = elementary.exp(flat[i])
    for i in range(n):
        total = sum_of_row(y, i)
        for j in range(row.size):
            y[i, j] /= total


def softmax_gradient(row: Any, run: Any) -> None:
    """dx = y (dy - Σⱼ dyⱼ yⱼ)."""
    n = run.n * row.size_in
    y, dy = matrix(row.one, row.y, n, row.size), matrix(row.one, row.dy, n, row.size)
    dx = matrix(row.one, row.dx, n, row.size)
    for i in range(n):
        along = product_of_rows(dy, y, i)
        for j in range(row.size):
            dx[i, j] = (dy[i, j] - along) * y[i, j]


def dropout(row: Any, run: Any) -> None:
    """y = x m / (1 - rate), with the bits of `RandomLayer.bits`. The mask is kept for the gradient."""
    n, zero = run.n * row.size, cast(0, row.one)
    x, y, mask = vector(row.one, row.x, n), vector(row.one, row.y, n), vector(row.one, row.kept, n)
    row.step += 1
    first, second = lowbias32(row.key_1 + row.step), lowbias32(row.key_2 + row.step)
    least, factor = np.uint32(np.int64(row.number * 4294967296.0)), cast(1 / (1 - row.number), row.one)
    for i in range(n):
        mask[i] = factor if bits(i, first, second) >= least else zero
        y[i] = x[i] * mask[i]


def dropout_gradient(row: Any, run: Any) -> None:
    """dx = dy m / (1 - rate)."""
    n = run.n * row.size
    mask, dy, dx = vector(row.one, row.kept, n), vector(row.one, row.dy, n), vector(row.one, row.dx, n)
    for i in range(n):
        dx[i] = dy[i] * mask[i]


def residual(row: Any, run: Any) -> None:
    """y = x + f(x), where f(x) is in `kept`."""
    n = run.n * row.size
    x, inner, y = vector(row.one, row.x, n), vector(row.one, row.kept, n), vector(row.one, row.y, n)
    for i in range(n):
        y[i] = x[i] + inner[i]


def residual_gradient(row: Any, run: Any) -> None:
    """dx = dy + dy ∂f/∂x, where the second is in `kept`."""
    n = run.n * row.size
    inner, dy, dx = vector(row.one, row.kept, n), vector(row.one, row.dy, n), vector(row.one, row.dx, n)
    for i in range(n):
        dx[i] = inner[i] + dy[i]


@jit
def bits(number: Any, first: Any, second: Any) -> Any:
    """`RandomLayer.bits` for one number, with the two keys of a step."""
    h = np.uint32(np.uint32(number) + first)
    h = np.uint32(np.uint32((h ^ (h >> np.uint32(SHIFT_1))) * np.uint32(FACTOR_1)) ^ second)
    h = np.uint32(np.uint32((h ^ (h >> np.uint32(SHIFT_2))) * np.uint32(FACTOR_2)) ^ second)
    return np.uint32(h ^ (h >> np.uint32(LAST)))


@jit
def lowbias32(number: Any) -> Any:
    """`minibp.dropout.lowbias32`."""
    h = np.uint32(number & 0xFFFFFFFF)
    h = np.uint32((h ^ (h >> np.uint32(SHIFT_1))) * np.uint32(FACTOR_1))
    h = np.uint32((h ^ (h >> np.uint32(SHIFT_2))) * np.uint32(FACTOR_2))
    return np.uint32(h ^ (h >> np.uint32(LAST)))


@jit
def transpose(w: Any, out: Any) -> None:
    """out = wᵀ."""
    for j in range(w.shape[1]):
        for i in range(w.shape[0]):
            out[j, i] = w[i, j]


@jit
def shifted(x: Any, y: Any) -> None:
    """y = x minus the largest of each row, which does not change its softmax."""
    for i in range(x.shape[0]):
        largest = x[i, 0]
        for j in range(1, x.shape[1]):
            largest = x[i, j] if x[i, j] > largest else largest
        for j in range(x.shape[1]):
            y[i, j] = x[i, j] - largest
