"""Losses: the last layer of a network, fed predictions x (N, K) and targets t.

The loss of a sample is a sum over its K outputs, the loss of a batch the mean over its N samples; so `gradient`
carries 1/N. Targets are integer labels (N,), or rows (N, K); with one output, labels 0/1 are the targets themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import InputError, ShapeError, StateError, TargetError
from .layer import Layer
from .layers import Sigmoid, Softmax
from .part import Array, Part, Shape

ROW_SUM = 1e-5  # how far from 1 a row of class probabilities may sum: float32 probabilities do, hand-typed thirds don't


class Loss(Part):
    """Base of the losses. A loss is written as ``formula(x, t)``, the loss of each sample, and ``gradient()``.

    Attributes
    ----------
    fuses : (layer class, loss class) or None
        The layer before it that this loss merges with, and the loss that does the work of both: a network that ends
        in the two runs the merged one.
    activation : layer class or None
        For a merged loss, the layer that is part of it: what `Network.predict` applies to the logits.
    """

    fuses: tuple[type[Layer], type[Loss]] | None = None
    activation: type[Layer] | None = None
    fewest = 1  # outputs this loss is defined for

    def forward(self, x: Array, t: Array) -> Any:
        """Mean loss of the batch."""
        return self.losses(x, t).mean()

    def losses(self, x: Array, t: Array) -> Array:
        """Loss of each sample, (N,), for predictions x (N, K) and targets t (N,) or (N, K).

        Raises
        ------
        ShapeError, InputError
            If x is no batch of rows of numbers.
        TargetError
            If the targets do not fit x or this loss; the message says how.
        """
        x = self._as_array(x, "x")
        if x.ndim != 2:
            raise ShapeError(f"{self} got x of shape {x.shape}, expected (N, K): one row of K outputs a sample")
        if x.size == 0:
            raise InputError(f"{self} got an empty batch, x of shape {x.shape}")
        if not self.xp.isfinite(x).all():
            raise InputError(f"{self}: x holds NaN or infinity")
        if self.xp is np or not isinstance(t, self.xp.ndarray):
            t = self.xp.asarray(self.check_targets(t, *x.shape))
        return self.each(x, t)

    def backward(self) -> Array:
        """dx = ∂L/∂x (N, K) for the mean loss L of the last forward."""
        if self.__dict__.get("y") is None:
            raise StateError(f"{self}: backward was called before forward; call forward(x, t) first")
        return self.gradient()

    def each(self, x: Array, t: Array) -> Array:
        """Loss of each sample, unchecked: for targets that `check_targets` let pass."""
        if x.shape != self.shape:
            self.bind(x.shape)
        if t.ndim == 2:
            rows = t
        else:
            rows = self.onehot
            if x.shape[1] == 1:
                rows[:, 0] = t
            else:
                self.xp.equal(t[:, None], self.index[:1], out=rows)  # 1 in column t of each row
        self.__dict__["t"] = rows
        return self.formula(x, rows)

    def formula(self, x: Array, t: Array) -> Array:
        """Loss of each sample (N,), for rows t (N, K)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method formula(self, x, t) that returns losses (N,)")

    def gradient(self) -> Array:
        """dx = ∂L/∂x."""
        raise NotImplementedError(f"{type(self).__name__} needs a method gradient(self) that returns dx")

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        column = (shape[0], 1)
        labels = {"onehot": shape, "index": ((1, shape[1]), "int64")}
        return {"y": shape, "dx": shape, "row": column, "score": column} | labels

    def bind(self, shape: Shape) -> None:
        super().bind(shape)
        self.share = self.xp.asarray(1 / shape[0], self.dtype)  # 1/N: what a sample weighs in the mean

    def check_outputs(self, k: int, who: str = "") -> None:
        """Refuse a number of outputs that this loss is not defined for."""
        if k < self.fewest:
            raise ShapeError(
                f"{self} is fed 1 value{who}, but needs at least {self.fewest} outputs: one for each class; "
                "for a yes/no answer from one output use Sigmoid() and BinaryCrossEntropy()"
            )

    def check_targets(self, t: Any, n: int, k: int) -> np.ndarray:
        """Refuse targets on the host that do not fit n samples with k outputs, and return those that do.

        Returns
        -------
        labels (n,), as integers, or rows (n, k), as floats.
        """
        self.check_outputs(k)
        try:
            t = np.asarray(t)
        except ValueError as error:
            raise TargetError(f"{self}: targets must be an array of numbers: {error}") from None
        if t.dtype.kind not in "biuf":
            raise TargetError(f"{self}: targets must be numbers, got an array of {t.dtype}")
        if t.ndim == 0 or len(t) != n:
            count = len(t) if t.ndim else "no"
            raise TargetError(f"{self}: got {count} targets for {n} samples, expected one for each")
        if t.dtype.kind == "f" and not np.isfinite(t).all():
            bad = int(np.argwhere(~np.isfinite(t))[0][0])
            raise TargetError(f"{self}: the target of sample {bad} is {t[bad]}, expected finite numbers")
        if t.ndim == 2 and t.shape[1] == k:
            self.check_rows(t)
            return t
        if t.ndim != 1:
            raise TargetError(
                f"{self}: got targets of shape {t.shape} for {k} outputs, expected labels ({n},) or rows ({n}, {k})"
            )
        if k == 1 and t.dtype.kind == "f":
            self.check_rows(t[:, None])
            return t[:, None]
        return self.check_labels(t, k)

    def check_labels(self, t: np.ndarray, k: int) -> np.ndarray:
        """Refuse labels that are not integers 0..K-1 (0 or 1 for one output)."""
        if t.dtype.kind == "f":
            raise TargetError(
                f"{self}: labels must be integers 0..{k - 1}, got an array of {t.dtype}; use t.astype(int) for labels, "
                f"rows of shape ({len(t)}, {k}) for anything else"
            )
        low, high = int(t.min()), int(t.max())
        if low < 0 or high > max(k - 1, 1):
            bad = int(np.argmax((t < 0) | (t > max(k - 1, 1))))
            expected = f"0..{k - 1}, since there are {k} outputs" if k > 1 else "0 or 1, since there is one output"
            raise TargetError(f"{self}: the label of sample {bad} is {t[bad]}, expected {expected}")
        return t

    def check_rows(self, t: np.ndarray) -> None:
        """Refuse target rows that this loss is not defined for."""


class QuadraticLoss(Loss):
    """Half the sum of squares, ℓ = ½ Σₖ (x - t)²."""

    def formula(self, x: Array, t: Array) -> Array:
        residual = self.xp.subtract(x, t, out=self.y)
        loss = self.xp.multiply(residual, residual, out=self.dx).sum(axis=1, out=self.row[:, 0])
        loss *= self.half
        return loss

    def gradient(self) -> Array:
        """dx = (x - t) / N."""
        return self.xp.multiply(self.y, self.share, out=self.dx)


class Distribution(Loss):
    """Base of the losses whose target rows are probabilities of the K classes."""

    fewest = 2  # with one output softmax is always 1: there is nothing to learn

    def check_rows(self, t: np.ndarray) -> None:
        bad = (t < 0).any(axis=1)
        if bad.any():
            n = int(np.argmax(bad))
            raise TargetError(f"{self}: the target row of sample {n} holds {t[n].min()}, expected no negative values")
        total = t.sum(axis=1, dtype=float)
        bad = abs(total - 1) > (2e-3 if t.dtype == np.float16 else ROW_SUM)
        if bad.any():
            n = int(np.argmax(bad))
            raise TargetError(
                f"{self}: the target row of sample {n} sums to {total[n]:.6g}, expected 1; divide rows by their sums"
            )


class SoftmaxCrossEntropy(Distribution):
    """Softmax and cross-entropy in one, ℓ = log Σₖ exp(xₖ) - Σₖ tₖ xₖ for logits x.

    Equals CrossEntropy of Softmax, but is finite and exact for logits of any size. Rows of t sum to 1.
    """

    activation = Softmax

    def formula(self, x: Array, t: Array) -> Array:
        xp, y, row, score = self.xp, self.y, self.row, self.score
        xp.subtract(x, x.max(axis=1, keepdims=True, out=row), out=y)  # changes nothing, as rows of t sum to 1
        xp.multiply(t, y, out=self.dx).sum(axis=1, keepdims=True, out=score)
        xp.exp(y, out=y)  # the largest exponent is 0: cannot overflow
        y /= y.sum(axis=1, keepdims=True, out=row)  # y = softmax(x)
        xp.log(row, out=row)
        row -= score
        return row[:, 0]

    def gradient(self) -> Array:
        """dx = (y - t) / N  with  y = softmax(x)."""
        dx = self.xp.subtract(self.y, self.t, out=self.dx)
        dx *= self.share
        return dx


class CrossEntropy(Distribution):
    """Cross-entropy, ℓ = -Σₖ tₖ log xₖ for class probabilities x.

    Probabilities below the smallest normal number of the dtype count as that number, so that log(0) is finite.
    """

    fuses = Softmax, SoftmaxCrossEntropy

    def formula(self, x: Array, t: Array) -> Array:
        xp = self.xp
        y = xp.maximum(x, np.finfo(self.dtype).tiny, out=self.y)
        loss = xp.multiply(t, xp.log(y, out=self.dx), out=self.dx).sum(axis=1, out=self.row[:, 0])
        return xp.negative(loss, out=loss)

    def gradient(self) -> Array:
        """dx = -t / (N x)."""
        dx = self.xp.divide(self.t, self.y, out=self.dx)
        dx *= self.share
        return self.xp.negative(dx, out=dx)


class Binary(Loss):
    """Base of the losses with K yes/no answers: target rows hold K probabilities, each by itself."""

    def check_rows(self, t: np.ndarray) -> None:
        bad = ((t < 0) | (t > 1)).any(axis=1)
        if bad.any():
            n = int(np.argmax(bad))
            raise TargetError(f"{self}: the target row of sample {n} is {t[n]}, expected values in [0, 1]")


class SigmoidCrossEntropy(Binary):
    """Sigmoid and binary cross-entropy in one, ℓ = Σₖ log(1 + exp(xₖ)) - tₖ xₖ for logits x.

    Equals BinaryCrossEntropy of Sigmoid, but is finite and exact for logits of any size.
    """

    activation = Sigmoid

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return super().workspaces(shape) | {"part": shape}

    def formula(self, x: Array, t: Array) -> Array:
        xp, y = self.xp, self.y
        loss = xp.maximum(x, self.zero, out=self.dx)  # log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))
        loss -= xp.multiply(t, x, out=self.part)  # first, as it may cancel
        part = xp.negative(xp.abs(x, out=self.part), out=self.part)
        loss += xp.log1p(xp.exp(part, out=part), out=part)
        xp.multiply(x, self.half, out=y)  # y = σ(x), as in the layer Sigmoid
        xp.tanh(y, out=y)
        y *= self.half
        y += self.half
        return loss.sum(axis=1, out=self.row[:, 0])

    def gradient(self) -> Array:
        """dx = (y - t) / N  with  y = σ(x)."""
        dx = self.xp.subtract(self.y, self.t, out=self.dx)
        dx *= self.share
        return dx


class BinaryCrossEntropy(Binary):
    """Binary cross-entropy, ℓ = -Σₖ tₖ log xₖ + (1 - tₖ) log(1 - xₖ) for probabilities x.

    x and 1 - x below the smallest normal number of the dtype count as that number, so that log(0) is finite.
    """

    fuses = Sigmoid, SigmoidCrossEntropy

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
        return loss.sum(axis=1, out=self.row[:, 0])

    def gradient(self) -> Array:
        """dx = ((1 - t) / (1 - x) - t / x) / N."""
        xp, t, dx = self.xp, self.t, self.dx
        xp.subtract(self.one, t, out=dx)
        dx /= self.rest
        dx -= xp.divide(t, self.y, out=self.part)
        dx *= self.share
        return dx
