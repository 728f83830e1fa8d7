"""The optimizers' formulas as compiled loops: one pass over memory where NumPy takes up to ten. Needs the extra `fast`.

Each does, element by element, what `update` of its class does, in the same order and without reassociation or fused
multiply-add: so the results are the same to the bit (a test holds that), whether numba is there or not.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

# error_model "numpy": no check for division by zero, which would keep the loop from being vectorized, and 12 times
# slower. One thread: a second one would fight with those of the BLAS.
compiled = njit(error_model="numpy", cache=True)


@compiled
def sgd(w: Any, g: Any, rate: Any) -> None:
    """w ← w - lr g."""
    for i in range(w.size):
        w[i] -= g[i] * rate


@compiled
def momentum(w: Any, g: Any, m: Any, mu: Any, rate: Any) -> None:
    """m ← μ m + g,  w ← w - lr m."""
    for i in range(w.size):
        m[i] = m[i] * mu + g[i]
        w[i] -= m[i] * rate


@compiled
def nesterov(w: Any, g: Any, m: Any, mu: Any, rate: Any) -> None:
    """m ← μ m + g,  w ← w - lr (g + μ m)."""
    for i in range(w.size):
        m[i] = m[i] * mu + g[i]
        w[i] -= (m[i] * mu + g[i]) * rate


@compiled
def adagrad(w: Any, g: Any, v: Any, eps: Any, rate: Any) -> None:
    """v ← v + g²,  w ← w - lr g / (√v + ε)."""
    for i in range(w.size):
        v[i] += g[i] * g[i]
        w[i] -= g[i] / (math.sqrt(v[i]) + eps) * rate


@compiled
def rmsprop(w: Any, g: Any, v: Any, rho: Any, rest: Any, eps: Any, rate: Any) -> None:
    """v ← ρ v + (1 - ρ) g²,  w ← w - lr g / (√v + ε)."""
    for i in range(w.size):
        v[i] = v[i] * rho + g[i] * g[i] * rest
        w[i] -= g[i] / (math.sqrt(v[i]) + eps) * rate


@compiled
def adam(w: Any, g: Any, m: Any, v: Any, beta1: Any, beta2: Any, e: Any, a: Any) -> None:
    """m ← β₁ m + g,  v ← β₂ v + g²,  w ← w - a m / (√v + e)."""
    for i in range(w.size):
        m[i] = m[i] * beta1 + g[i]
        v[i] = v[i] * beta2 + g[i] * g[i]
        w[i] -= m[i] / (math.sqrt(v[i]) + e) * a
