"""The formulas as compiled loops: one pass over memory where NumPy needs two to ten. Needs the extra `fast` (numba).

A loop computes, element by element, what the formula of its class computes, in the same order, without reassociation
or fused multiply-add. So the results are the same to the bit (a test holds that), and it does not matter whether or
when the loops are used. Layers and losses that have no loop here, and subclasses, run their formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numba
import numpy as np

from .base import Array, Layer, Module
from .layers import Dense, ReLU, Sigmoid, Tanh
from .losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy

if getattr(numba.config, "DISABLE_JIT", 0):  # set when numba is imported, which mypy does not see
    raise ImportError("numba does not compile while NUMBA_DISABLE_JIT is set")

# error_model "numpy" omits the check for division by zero, which would prevent vectorization and make loops 12 times
# slower. One thread only: a second one would compete with those of the BLAS.
jit = numba.njit(error_model="numpy", cache=True)


def use(modules: Iterable[Module]) -> None:
    """Let these layers and losses run loops in place of their formulas, where there are loops."""
    for module in modules:
        module.use_loops(FORMULAS.get(type(module), {}))
        if isinstance(module, Loss) and type(module).one_hot is Loss.one_hot:
            module.use_loops({"one_hot": one_hot})


def works() -> None:
    """Raise an error if numba cannot compile, because it does not fit this NumPy."""
    one = np.ones(1, "float32")
    sgd(one, one, one[0])


# ---- optimizers: one step, see optimizers.py


@jit
def sgd(w: Any, g: Any, rate: Any) -> None:
    """w ← w - lr g."""
    for i in range(w.size):
        w[i] -= g[i] * rate


@jit
def momentum(w: Any, g: Any, m: Any, mu: Any, rate: Any) -> None:
    """m ← μ m + g,  w ← w - lr m."""
    for i in range(w.size):
        m[i] = m[i] * mu + g[i]
        w[i] -= m[i] * rate


@jit
def nesterov(w: Any, g: Any, m: Any, mu: Any, rate: Any) -> None:
    """m ← μ m + g,  w ← w - lr (g + μ m)."""
    for i in range(w.size):
        m[i] = m[i] * mu + g[i]
        w[i] -= (m[i] * mu + g[i]) * rate


@jit
def adagrad(w: Any, g: Any, v: Any, eps: Any, rate: Any) -> None:
    """v ← v + g²,  w ← w - lr g / (√v + ε)."""
    for i in range(w.size):
        v[i] += g[i] * g[i]
        w[i] -= g[i] / (math.sqrt(v[i]) + eps) * rate


@jit
def rmsprop(w: Any, g: Any, v: Any, rho: Any, rest: Any, eps: Any, rate: Any) -> None:
    """v ← ρ v + (1 - ρ) g²,  w ← w - lr g / (√v + ε)."""
    for i in range(w.size):
        v[i] = v[i] * rho + g[i] * g[i] * rest
        w[i] -= g[i] / (math.sqrt(v[i]) + eps) * rate


@jit
def adam(w: Any, g: Any, m: Any, v: Any, beta1: Any, beta2: Any, e: Any, a: Any) -> None:
    """m ← β₁ m + g,  v ← β₂ v + g²,  w ← w - a m / (√v + e)."""
    for i in range(w.size):
        m[i] = m[i] * beta1 + g[i]
        v[i] = v[i] * beta2 + g[i] * g[i]
        w[i] -= m[i] / (math.sqrt(v[i]) + e) * a


# ---- batches


@jit
def gather_scaled(x: Any, rows: Any, scale: Any, out: Any) -> None:
    """out = scale x[rows], for rows of bytes."""
    factor = scale[()]
    for i in range(rows.size):
        row = rows[i]
        for j in range(x.shape[1]):
            out[i, j] = out.dtype.type(x[row, j]) * factor


# ---- layers: formula and gradient of a batch, see layers.py
#
# Narrow arrays, which are stored column by column (see base/workspaces.py), are left to the formulas. The exception is
# softmax, which usually has few columns; its loops add up sums in NumPy's order.


def in_rows(y: Array) -> bool:
    """Whether this is a batch stored row by row."""
    return y.ndim == 2 and y.flags.c_contiguous


def gradient(cls: type[Layer], loop: Callable[..., None]) -> Callable[..., Array]:
    """The gradient of an activation as a loop over (dy, y, dx)."""

    def run(layer: Layer, dy: Array) -> Array:
        if not in_rows(layer.y):
            return cls.gradient(layer, dy)
        loop(dy, layer.y, layer.dx)
        return layer.dx

    return run


@jit
def _add_rows(y: Any, b: Any) -> None:
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] += b[j]


def dense(layer: Dense, x: Array) -> Array:
    """y = x W + b."""
    y = np.matmul(x, layer.W, out=layer.y)
    _add_rows(y, layer.b)
    return y


@jit
def _relu(x: Any, y: Any) -> None:
    zero = y.dtype.type(0)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = zero if x[i, j] <= zero else x[i, j]  # NaN stays NaN


def relu(layer: ReLU, x: Array) -> Array:
    """y = max(x, 0)."""
    if not in_rows(layer.y):
        return ReLU.formula(layer, x)
    _relu(x, layer.y)
    return layer.y


@jit
def _relu_gradient(dy: Any, y: Any, dx: Any) -> None:
    """dx = dy where y > 0, else 0."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            dx[i, j] = dy[i, j] * (one if y[i, j] > zero else zero)


@jit
def _negated(x: Any, largest: Any, y: Any) -> None:
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = largest[()] if -x[i, j] > largest[()] else -x[i, j]


@jit
def _inverse(y: Any) -> None:
    one = y.dtype.type(1)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = one / (y[i, j] + one)


def sigmoid(layer: Sigmoid, x: Array) -> Array:
    """y = 1 / (1 + exp(-x))."""
    y = layer.y
    if not in_rows(y):
        return Sigmoid.formula(layer, x)
    _negated(x, layer.log_max, y)
    np.exp(y, out=y)
    _inverse(y)
    return y


@jit
def _sigmoid_gradient(dy: Any, y: Any, dx: Any) -> None:
    """dx = dy y (1 - y)."""
    one = y.dtype.type(1)
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            dx[i, j] = (one - y[i, j]) * y[i, j] * dy[i, j]


@jit
def _tanh_gradient(dy: Any, y: Any, dx: Any) -> None:
    """dx = dy (1 - y²)."""
    one = y.dtype.type(1)
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            dx[i, j] = (one - y[i, j] * y[i, j]) * dy[i, j]


# ---- losses, see losses.py


@jit
def _one_hot(t: Any, rows: Any) -> None:
    rows[:] = 0
    for i in range(t.size):
        rows[i, t[i]] = 1


def one_hot(loss: Loss, t: Array) -> Array:
    """Target rows for labels."""
    if loss.target_rows.shape[1] == 1:
        return Loss.one_hot(loss, t)
    _one_hot(t, loss.target_rows)
    return loss.target_rows


@jit
def _shifted(x: Any, t: Any, y: Any, row: Any, score: Any) -> None:
    (n, k), zero = x.shape, y.dtype.type(0)
    for i in range(n):
        row[i, 0], score[i, 0] = x[i, 0], 0
    for j in range(1, k):
        for i in range(n):
            row[i, 0] = max(row[i, 0], x[i, j])
    for j in range(k):
        for i in range(n):
            y[i, j] = x[i, j] - row[i, 0]
            part = t[i, j] * y[i, j]
            score[i, 0] += part if part < zero else zero  # 0 · -∞ is NaN, and counts as 0


@jit
def _normalized(y: Any, row: Any) -> None:
    n, k = y.shape
    for i in range(n):
        row[i, 0] = y[i, 0]
    for j in range(1, k):
        for i in range(n):
            row[i, 0] += y[i, j]
    for j in range(k):
        for i in range(n):
            y[i, j] /= row[i, 0]


def softmax_cross_entropy(loss: SoftmaxCrossEntropy, x: Array, t: Array) -> Array:
    """ℓ = log Σₖ exp(xₖ) - Σₖ tₖ xₖ, and y = softmax(x)."""
    y, row, score = loss.y, loss.row, loss.score
    if in_rows(y):
        return SoftmaxCrossEntropy.formula(loss, x, t)
    _shifted(x, t, y, row, score)
    np.exp(y, out=y)
    _normalized(y, row)
    np.log(row, out=row)
    row -= score
    return row[:, 0]


@jit
def _scaled_difference(y: Any, t: Any, inv_n: Any, dx: Any) -> None:
    n, k = y.shape
    for j in range(k):
        for i in range(n):
            dx[i, j] = (y[i, j] - t[i, j]) * inv_n[()]


def fused_gradient(loss: Any) -> Array:
    """dx = (y - t) / N, of a fused loss."""
    if in_rows(loss.dx):
        return type(loss).gradient(loss)
    _scaled_difference(loss.y, loss.t, loss.inv_n, loss.dx)
    return loss.dx


FORMULAS: dict[type[Module], dict[str, Callable[..., Array]]] = {
    Dense: {"formula": dense},
    ReLU: {"formula": relu, "gradient": gradient(ReLU, _relu_gradient)},
    Sigmoid: {"formula": sigmoid, "gradient": gradient(Sigmoid, _sigmoid_gradient)},
    Tanh: {"gradient": gradient(Tanh, _tanh_gradient)},
    SoftmaxCrossEntropy: {"formula": softmax_cross_entropy, "gradient": fused_gradient},
    SigmoidCrossEntropy: {"gradient": fused_gradient},
}
