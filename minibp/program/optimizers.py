"""The operations of optimizers.py and optimizer.py: `adam` is the update of Adam.

A row is a part of the flat vectors: the parameters at `w`, their gradients at `dw`, the moments at `m` and `v`
(a single one at `m`). g is the gradient after clipping and decay. It is not written: no optimizer changes gradients.
"""

from __future__ import annotations

import math
from typing import Any

from ..optimizer import FLUSH_EVERY
from .views import cast, jit, matrix, sums, vector


@jit
def factors(row: Any, run: Any) -> tuple[Any, Any, Any]:
    """The factor of clipping, λ and the rate."""
    return cast(run.scale, row.one), cast(penalty(row, run), row.one), cast(run.rate, row.one)


@jit
def penalty(row: Any, run: Any) -> Any:
    """λ; with `per_sample`, λ over the number of samples of this batch, or the sum of their weights."""
    return row.decay / run.total if row.per_sample else row.decay


@jit
def changed(g: Any, w: Any, scale: Any, decay: Any) -> Any:
    """g after clipping and decay."""
    return g * scale + w * decay


def sgd(row: Any, run: Any) -> None:
    """w ← w - lr g."""
    (scale, decay, rate), n = factors(row, run), row.size
    w, dw = vector(row.one, row.w, n), vector(row.one, row.dw, n)
    for i in range(n):
        w[i] -= changed(dw[i], w[i], scale, decay) * rate


def sgd_momentum(row: Any, run: Any) -> None:
    """m ← μ m + g,  w ← w - lr m."""
    (scale, decay, rate), n, mu = factors(row, run), row.size, cast(row.number, row.one)
    w, dw, m = vector(row.one, row.w, n), vector(row.one, row.dw, n), vector(row.one, row.m, n)
    for i in range(n):
        m[i] = m[i] * mu + changed(dw[i], w[i], scale, decay)
        w[i] -= m[i] * rate


def sgd_nesterov(row: Any, run: Any) -> None:
    """m ← μ m + g,  w ← w - lr (g + μ m)."""
    (scale, decay, rate), n, mu = factors(row, run), row.size, cast(row.number, row.one)
    w, dw, m = vector(row.one, row.w, n), vector(row.one, row.dw, n), vector(row.one, row.m, n)
    for i in range(n):
        g = changed(dw[i], w[i], scale, decay)
        m[i] = m[i] * mu + g
        w[i] -= (m[i] * mu + g) * rate


def adagrad(row: Any, run: Any) -> None:
    """v ← v + g²,  w ← w - lr g / (√v + ε)."""
    (scale, decay, rate), n, eps = factors(row, run), row.size, cast(row.eps, row.one)
    w, dw, v = vector(row.one, row.w, n), vector(row.one, row.dw, n), vector(row.one, row.m, n)
    for i in range(n):
        g = changed(dw[i], w[i], scale, decay)
        v[i] += g * g
        w[i] -= g / (math.sqrt(v[i]) + eps) * rate


def rmsprop(row: Any, run: Any) -> None:
    """v ← ρ v + (1 - ρ) g²,  w ← w - lr g / (√v + ε)."""
    (scale, decay, rate), n, eps = factors(row, run), row.size, cast(row.eps, row.one)
    w, dw, v = vector(row.one, row.w, n), vector(row.one, row.dw, n), vector(row.one, row.m, n)
    rho, rest = cast(row.number, row.one), cast(1 - row.number, row.one)
    for i in range(n):
        g = changed(dw[i], w[i], scale, decay)
        v[i] = v[i] * rho + g * g * rest
        w[i] -= g / (math.sqrt(v[i]) + eps) * rate


def adam(row: Any, run: Any) -> None:
    """m ← β₁ m + g,  v ← β₂ v + g²,  w ← w - a m / (√v + e)."""
    adam_step(row, run, penalty(row, run), 0.0)


def adamw(row: Any, run: Any) -> None:
    """w ← w - lr λ w, besides Adam's step."""
    adam_step(row, run, 0.0, row.decay)


@jit
def adam_step(row: Any, run: Any, decay: Any, decoupled: Any) -> None:
    """The step of both, where λ is part of the gradient (`decay`) or not (`decoupled`).

    With `raw_eps`, ε is added to the root of the average before that is corrected for its start at zero.
    """
    n, one, t = row.size, row.one, float(run.step + 1)
    w, dw, m, v = vector(one, row.w, n), vector(one, row.dw, n), vector(one, row.m, n), vector(one, row.v, n)
    r = math.sqrt((1 - row.beta2) / (1 - row.beta2**t))
    a = cast(run.rate * (1 - row.number) / (1 - row.number**t) / r, one)
    e = cast(row.eps / (math.sqrt(1 - row.beta2) if row.raw_eps else r), one)
    beta1, beta2, scale, decay = cast(row.number, one), cast(row.beta2, one), cast(run.scale, one), cast(decay, one)
    kept = cast(1 - run.rate * decoupled, one)
    for i in range(n):
        g = changed(dw[i], w[i], scale, decay)
        m[i] = m[i] * beta1 + g
        v[i] = v[i] * beta2 + g * g
        w[i] = w[i] * kept - m[i] / (math.sqrt(v[i]) + e) * a


# ---- what `Optimizer.step` does besides


def clip(row: Any, run: Any) -> None:
    """The factor that brings the norm of all gradients down to `clip_norm`; NaN if the norm is not finite."""
    g, largest = vector(row.one, row.dw, row.size), cast(0, row.one)
    for i in range(row.size):
        largest = max(largest, abs(g[i]))
    norm = largest * math.sqrt(sum_of_squares(g, row.one / max(largest, cast(row.eps, row.one))))
    run.scale = row.number / max(float(norm), row.number) if math.isfinite(norm) else math.nan


@sums
def sum_of_squares(g: Any, factor: Any) -> Any:
    """Σ (g · factor)²; the factor is one over the largest |g|, against overflow."""
    total = cast(0, factor)
    for i in range(g.size):
        total += (g[i] * factor) * (g[i] * factor)
    return total


def flush(row: Any, run: Any) -> None:
    """`Optimizer._flush` of a moment."""
    if run.step % FLUSH_EVERY == 0:
        m, least, zero = vector(row.one, row.m, row.size), cast(row.eps, row.one), cast(0, row.one)
        for i in range(row.size):
            m[i] = zero if abs(m[i]) < least else m[i] + (m[i] - m[i])  # infinity becomes NaN


def max_norm(row: Any, run: Any) -> None:
    """Scale the columns of W down that are longer than `max_norm`; those that are not finite become NaN."""
    w, factors, one = matrix(row.one, row.w, row.size_in, row.size), vector(row.one, row.kept, row.size), row.one
    largest = cast(row.number, one)
    factors[:] = 0
    for i in range(row.size_in):
        for j in range(row.size):
            factors[j] += w[i, j] * w[i, j]
    for j in range(row.size):
        norm = math.sqrt(factors[j])
        factors[j] = (largest / norm if norm > largest else one) + (norm - norm)
    for i in range(row.size_in):
        for j in range(row.size):
            w[i, j] *= factors[j]


def average(row: Any, run: Any) -> None:
    """a ← a + (1 - d) / (1 - dᵗ) (w - a), where a is in `m`: `WeightAverage.update`."""
    row.step += 1
    w, a = vector(row.one, row.w, row.size), vector(row.one, row.m, row.size)
    counts = cast((1 - row.number) / (1 - row.number ** float(row.step)), row.one)
    for i in range(row.size):
        a[i] += (w[i] - a[i]) * counts
