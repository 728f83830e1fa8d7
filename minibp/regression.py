"""Losses for numbers: the formulas. Targets are rows (N, K), or numbers (N,) for one output, never classes.

As in losses.py, the loss of a sample is a sum over its K outputs, the loss of a batch the mean over its N samples. For
half the squares of the errors, take QuadraticLoss.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Checked, Loss, Shape, inner_fraction, positive
from .errors import TargetError
from .layers import Exp


class AbsoluteLoss(Loss):
    """Sum of the absolute errors, ℓ = Σₖ |x - t|. Its minimum is the median of the targets."""

    of_numbers = True

    def formula(self, x: Array, t: Array) -> Array:
        residual = self.xp.subtract(x, t, out=self.y)
        return self.xp.abs(residual, out=self.dx).sum(axis=1, out=self.sums)

    def gradient(self) -> Array:
        """dx = 1/N where x > t, -1/N where x < t, 0 where they are equal."""
        dx = self.xp.sign(self.y, out=self.dx)
        dx *= self.inv_n
        return dx


class HuberLoss(Loss):
    """Quadratic for errors up to δ, linear beyond, so that outliers have a bounded gradient (Huber, 1964).

    ℓ = Σₖ h(x - t),  h(r) = ½ r² where |r| <= δ, else δ (|r| - ½ δ).

    Parameters
    ----------
    delta : float, default 1
        δ, above 0, in the unit of the targets.
    """

    of_numbers = True
    delta: Any = Checked(positive)

    def __init__(self, delta: float = 1.0):
        super().__init__()
        self.delta = delta

    def config(self) -> dict[str, Any]:
        return {"delta": self.delta}

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return super().workspaces(shape) | {"residual": shape}

    def formula(self, x: Array, t: Array) -> Array:
        """As h(r) = y (r - ½ y), where y is r, limited to [-δ, δ]."""
        xp = self.xp
        residual = xp.subtract(x, t, out=self.residual)
        y = xp.minimum(residual, self.delta, out=self.y)
        xp.maximum(y, -self.delta, out=y)
        loss = xp.multiply(y, self.half, out=self.dx)
        xp.subtract(residual, loss, out=loss)
        loss *= y
        return loss.sum(axis=1, out=self.sums)

    def gradient(self) -> Array:
        """dx = (x - t) / N, limited to [-δ/N, δ/N]."""
        return self.xp.multiply(self.y, self.inv_n, out=self.dx)


class QuantileLoss(Loss):
    """Quantile or pinball loss, ℓ = Σₖ max(q (t - x), (1 - q) (x - t)) (Koenker & Bassett, 1978).

    Its minimum is the q-quantile of the targets: trained with q = 0.9, nine of ten targets lie below the output. With
    q = 0.5 it is half of AbsoluteLoss.

    Parameters
    ----------
    quantile : float, default 0.5
        q in (0, 1).
    """

    of_numbers = True
    quantile: Any = Checked(inner_fraction)

    def __init__(self, quantile: float = 0.5):
        super().__init__()
        self.quantile = quantile

    def config(self) -> dict[str, Any]:
        return {"quantile": self.quantile}

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return super().workspaces(shape) | {"part": shape}

    def formula(self, x: Array, t: Array) -> Array:
        xp, q = self.xp, self.quantile
        residual = xp.subtract(x, t, out=self.y)
        loss = xp.maximum(residual, self.zero, out=self.dx)
        loss *= 1 - q
        below = xp.minimum(residual, self.zero, out=self.part)
        below *= q
        loss -= below
        return loss.sum(axis=1, out=self.sums)

    def gradient(self) -> Array:
        """dx = (1 - q) / N where x > t, -q / N where x < t, 0 where they are equal."""
        xp, q = self.xp, self.quantile
        dx = xp.greater(self.y, self.zero, out=self.dx)
        dx *= 1 - q
        below = xp.less(self.y, self.zero, out=self.part)
        below *= q
        dx -= below
        dx *= self.inv_n
        return dx


class PoissonLoss(Loss):
    """Exponential and Poisson loss in one, ℓ = Σₖ [exp(xₖ) - tₖ xₖ], for counts or rates t and x = log of the rate.

    It is the negative log-likelihood without log t!, which does not depend on x (McCullagh & Nelder, 1989, chapter 6),
    so it may be negative. `Network.predict` gives the rates exp(x). The loss is infinite if an x is above 88 in
    float32, 709 in float64, and a training reports that; no x is too small.
    """

    activation = Exp
    takes = ("numbers",)
    advice = "it contains Exp(); end the network in the Dense() before"
    of_numbers = True

    def check_rows(self, t: np.ndarray) -> None:
        bad = (t < 0).any(axis=1)
        if bad.any():
            n = int(np.argmax(bad))
            what = f"the target row of sample {n} holds {t[n].min()}, expected counts or rates of at least 0"
            raise TargetError(f"{self}: {what}")

    def formula(self, x: Array, t: Array) -> Array:
        xp = self.xp
        y = xp.exp(x, out=self.y)
        loss = xp.multiply(t, x, out=self.dx)
        xp.subtract(y, loss, out=loss)
        return loss.sum(axis=1, out=self.sums)

    def gradient(self) -> Array:
        """dx = (exp(x) - t) / N."""
        dx = self.xp.subtract(self.y, self.t, out=self.dx)
        dx *= self.inv_n
        return dx
