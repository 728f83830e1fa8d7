"""Losses: the formulas. A loss takes predictions x (N, K) and targets t.

The loss of a sample is a sum over its K outputs, the loss of a batch the mean over its N samples, so `gradient`
contains 1/N. Targets are integer labels (N,) or rows (N, K). With one output, the labels 0 and 1 are the rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Binary, Distribution, Loss, Shape, Workspace
from .layers import Sigmoid, Softmax


class QuadraticLoss(Loss):
    """Half the sum of squares, ℓ = ½ Σₖ (x - t)²."""

    def formula(self, x: Array, t: Array) -> Array:
        residual = self.xp.subtract(x, t, out=self.y)
        loss = self.xp.multiply(residual, residual, out=self.dx).sum(axis=1, out=self.sums)
        loss *= self.half
        return loss

    def gradient(self) -> Array:
        """dx = (x - t) / N."""
        return self.xp.multiply(self.y, self.inv_n, out=self.dx)


class SoftmaxCrossEntropy(Distribution):
    """Softmax and cross-entropy in one, ℓ = log Σₖ exp(xₖ) - Σₖ tₖ xₖ for logits x.

    Equals CrossEntropy of Softmax, but is exact for logits of any size. Rows of t sum to 1. The loss is infinite only
    if a logit whose t is not 0 lies below the largest logit by more than the largest number of the dtype. With
    ``label_smoothing=ε`` in [0, 1), t stands for (1 - ε) t + ε/K (Szegedy et al., 2016), also in evaluations.
    """

    activation = Softmax
    takes = ("numbers",)
    advice = "it contains Softmax(); end the network in the Dense() before"

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        column = Workspace((shape[0], 1), reduced=True)
        return super().workspaces(shape) | {"row": column, "score": column}

    def formula(self, x: Array, t: Array) -> Array:
        xp, y = self.xp, self.y
        largest = x.max(axis=1, keepdims=True, out=self.row)
        xp.subtract(x, largest, out=y)  # does not change the loss, as rows of t sum to 1
        parts = xp.multiply(t, y, out=self.dx)
        xp.fmin(parts, self.zero, out=parts)  # 0 · -∞ is NaN, and counts as 0; all others are ≤ 0
        score = parts.sum(axis=1, keepdims=True, out=self.score)
        xp.exp(y, out=y)  # the largest exponent is 0: cannot overflow
        row = y.sum(axis=1, keepdims=True, out=self.row)
        y /= row  # y = softmax(x)
        xp.log(row, out=row)
        row -= score
        return row[:, 0]

    def gradient(self) -> Array:
        """dx = (y - t) / N  with  y = softmax(x)."""
        dx = self.xp.subtract(self.y, self.t, out=self.dx)
        dx *= self.inv_n
        return dx


class CrossEntropy(Distribution):
    """Cross-entropy, ℓ = -Σₖ tₖ log xₖ for class probabilities x.

    Probabilities below the smallest normal number of the dtype count as that number, so that the loss is finite. With
    ``label_smoothing=ε`` in [0, 1), t stands for (1 - ε) t + ε/K (Szegedy et al., 2016), also in evaluations.
    """

    fuses = Softmax, SoftmaxCrossEntropy
    takes = ("distribution",)
    advice = "end the network in Softmax(), or use SoftmaxCrossEntropy() without it"

    def formula(self, x: Array, t: Array) -> Array:
        xp = self.xp
        y = xp.maximum(x, np.finfo(self.dtype).tiny, out=self.y)
        loss = xp.multiply(t, xp.log(y, out=self.dx), out=self.dx).sum(axis=1, out=self.sums)
        return xp.negative(loss, out=loss)

    def gradient(self) -> Array:
        """dx = -t / (N x)."""
        dx = self.xp.divide(self.t, self.y, out=self.dx)
        dx *= self.inv_n
        return self.xp.negative(dx, out=dx)


class SigmoidCrossEntropy(Binary):
    """Sigmoid and binary cross-entropy in one, ℓ = Σₖ [log(1 + exp(xₖ)) - tₖ xₖ] for logits x.

    Equals BinaryCrossEntropy of Sigmoid, but is finite and exact for logits of any size.
    """

    activation = Sigmoid
    takes = ("numbers",)
    advice = "it contains Sigmoid(); end the network in the Dense() before"

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return super().workspaces(shape) | {"e": shape, "part": shape, "positive": shape}

    def formula(self, x: Array, t: Array) -> Array:
        """As Σₖ [max(x, 0) - t x + log(1 + e)] with e = exp(-|x|), which cannot overflow."""
        xp, part = self.xp, self.part
        e = xp.abs(x, out=self.e)
        xp.exp(xp.negative(e, out=e), out=e)
        positive = xp.greater_equal(x, self.zero, out=self.positive)  # 1 where x >= 0, else 0

        loss = xp.subtract(positive, t, out=self.dx)
        loss *= x  # max(x, 0) - t x
        loss += xp.log1p(e, out=part)

        y = xp.maximum(positive, e, out=self.y)  # y = σ(x): 1 / (1 + e) where x >= 0, else e / (1 + e)
        y /= xp.add(e, self.one, out=part)
        return loss.sum(axis=1, out=self.sums)

    def gradient(self) -> Array:
        """dx = (y - t) / N  with  y = σ(x)."""
        dx = self.xp.subtract(self.y, self.t, out=self.dx)
        dx *= self.inv_n
        return dx


class BinaryCrossEntropy(Binary):
    """Binary cross-entropy, ℓ = -Σₖ [tₖ log xₖ + (1 - tₖ) log(1 - xₖ)] for probabilities x.

    x and 1 - x below the smallest normal number of the dtype count as that number, so that the loss is finite.
    """

    fuses = Sigmoid, SigmoidCrossEntropy
    takes = "probabilities", "distribution"
    advice = "end the network in Sigmoid(), or use SigmoidCrossEntropy() without it"

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return super().workspaces(shape) | {"rest": shape, "part": shape}

    def formula(self, x: Array, t: Array) -> Array:
        xp, y, rest, part, tiny = self.xp, self.y, self.rest, self.part, np.finfo(self.dtype).tiny
        xp.maximum(x, tiny, out=y)
        xp.maximum(xp.subtract(self.one, x, out=rest), tiny, out=rest)  # 1 - x
        xp.log(rest, out=part)
        part *= xp.subtract(self.one, t, out=self.dx)
        loss = xp.multiply(xp.log(y, out=self.dx), t, out=self.dx)
        loss += part
        xp.negative(loss, out=loss)
        return loss.sum(axis=1, out=self.sums)

    def gradient(self) -> Array:
        """dx = ((1 - t) / (1 - x) - t / x) / N."""
        xp, t, dx = self.xp, self.t, self.dx
        xp.subtract(self.one, t, out=dx)
        dx /= self.rest
        dx -= xp.divide(t, self.y, out=self.part)
        dx *= self.inv_n
        return dx
