"""Loss: the base of all losses, and the checks of targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backend import scalar, to_host, to_library
from ..errors import ArgumentError, InputError, ShapeError, StateError, TargetError, UnknownNameError
from .arguments import Fixed, describe_sample, fraction
from .layer import Layer, kind_of_rows
from .module import Module, check_returned, ignore_underflow
from .validation import check_array, check_finite
from .workspaces import Array, Shape, Workspace

ROW_SUM = 1e-5  # tolerance for sums of probabilities: float32 rows pass, thirds typed as 0.33 do not
PREDICTED_SUM = 0.05  # the same for predictions, which may be typed with two digits
ROWS = {  # the words of `Layer.gives` and `Loss.takes`
    "numbers": "numbers of any size",
    "positive numbers": "positive numbers",
    "probabilities": "independent probabilities",
    "distribution": "probabilities that sum to 1",
    "its input": "its own input",
    "its input, changed": "its own input with values changed",
    "changed probabilities": "probabilities with values changed",
}


class Weights(NamedTuple):
    """The weights (N,) of the samples of a batch, and their sum, on the host."""

    values: Array
    total: float


class Loss(Module):
    """Base of the losses.

    To write your own loss, define two methods: ``formula(x, t)`` returns the loss of each sample (N,), and
    ``gradient()`` returns ∂L/∂x for their mean L.

    Attributes
    ----------
    fuses : (layer class, loss class) or None
        The layer that this loss can be fused with, and the fused loss that replaces both at the end of a network. It is
        created with the same ``config()``.
    activation : layer class or None
        The layer that a fused loss contains. `Network.predict` applies it to the logits.
    takes : tuple of str
        The kinds of predictions it accepts, in the words of `Layer.gives`; empty for any.
    min_outputs : int
        The smallest number of outputs K for which it is defined.
    of_numbers : bool
        Whether targets are numbers to approximate, never classes: with one output (N,) of any type are the rows, labels
        for several are refused, and there is no accuracy.
    x, t : arrays (N, K)
        The last predictions and target rows, for `gradient`. Do not change them before it.
    total : float
        N, or the sum of the weights of the last batch.
    """

    fuses: tuple[type[Layer], type[Loss]] | None = None
    activation: type[Layer] | None = None
    takes: tuple[str, ...] = ()
    advice = ""  # how to end a network for this loss
    min_outputs = 1
    of_numbers = False
    unseen = False  # whether the last layer of the network is undeclared, so that the first batch is to be checked

    def forward(self, x: Array, t: Array) -> Any:
        """Mean loss of the batch.

        Raises
        ------
        InputError, ShapeError, TargetError
            See `losses`.
        """
        return self.losses(x, t).mean()

    def losses(self, x: Array, t: Array) -> Array:
        """Loss of each sample (N,), for predictions x (N, K) and targets t (N,) or (N, K).

        The next call may overwrite the result: copy what you want to keep.

        Raises
        ------
        ShapeError, InputError
            If x does not hold rows of finite numbers, or of probabilities if the loss needs them.
        TargetError
            If the targets do not fit x or this loss.
        """
        x = self._as_array(x, "x")
        if x.ndim != 2:
            raise ShapeError(f"{self} received x of shape {x.shape}, expected (N, K): one row of K outputs a sample")
        if x.size == 0:
            raise InputError(f"{self} received an empty batch, x of shape {x.shape}")
        if not self.xp.isfinite(x).all():
            raise InputError(f"{self}: x holds NaN or infinity")
        t = self.check_targets(to_host(t) if isinstance(t, self.xp.ndarray) else t, *x.shape)
        self.check_predictions(x)
        with np.errstate(over="ignore"):  # a target too large for the dtype has an infinite loss
            t = to_library(t, self.xp, t.dtype if t.ndim == 1 else self.dtype)
        return ignore_underflow(self.unchecked_losses, x, t)

    def backward(self) -> Array:
        """dx = ∂L/∂x (N, K) for the mean loss L of the last `forward`.

        Raises
        ------
        StateError
            If `forward` was not called.
        """
        if self.__dict__.get("y") is None:
            raise StateError(f"{self}: backward was called before forward; call forward(x, t) first")
        return ignore_underflow(self.gradient)

    def unchecked_losses(self, x: Array, t: Array, weights: Weights | None = None) -> Array:
        """Loss of each sample (N,), for predictions and targets that have been checked.

        With weights, `inv_n` is the weight of each sample in the mean, a column (N, 1).
        """
        new = x.shape != self._shape
        if new:
            if self.unseen:
                self.check_predictions(x)
                self.__dict__["unseen"] = False
            self.bind(x.shape)
        attributes = self.__dict__  # saves two calls of __setattr__
        attributes["x"] = x
        rows = attributes["t"] = self.as_rows(t)
        if weights is not None:
            inv_n = (weights.values / weights.total)[:, None]
            attributes.update(inv_n=inv_n, total=weights.total, _shape=None)  # the next call binds 1/N again
        losses = self.formula(x, rows)
        if new:
            check_returned(self, "formula", losses, x.shape[:1], "the loss of each sample")
        return losses

    def as_rows(self, t: Array) -> Array:
        """Target rows (N, K), for rows or labels t."""
        return t if t.ndim == 2 else self.one_hot(t)

    def one_hot(self, t: Array) -> Array:
        """Target rows (N, K) for labels t (N,): 1 in column t, else 0. With one output, the labels themselves."""
        rows = self.target_rows
        if rows.shape[1] == 1:
            rows[:, 0] = t
            return rows
        return self.xp.equal(t[:, None], self.classes[:1], out=rows)

    def formula(self, x: Array, t: Array) -> Array:
        """Loss of each sample (N,), for rows t (N, K)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method formula(self, x, t) that returns losses (N,)")

    def gradient(self) -> Array:
        """dx = ∂L/∂x."""
        raise NotImplementedError(f"{type(self).__name__} needs a method gradient(self) that returns dx")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "t"}

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        labels = {"target_rows": shape, "classes": Workspace((1, shape[1]), "int64", fill="range")}
        return {"y": shape, "dx": shape, "sums": Workspace(shape[:1], reduced=True)} | labels

    def create_workspaces(self, shape: Shape) -> dict[str, Array]:
        inv_n = scalar(1 / shape[0], self.xp, self.dtype)  # 1/N, the weight of a sample in the mean
        return super().create_workspaces(shape) | {"inv_n": inv_n, "total": shape[0]}

    def check_outputs(self, k: int, who: str = "") -> None:
        """Raise a ShapeError if this loss is not defined for k outputs."""
        if k < self.min_outputs:
            needed = f"{self.min_outputs} outputs: one for each class" if self.min_outputs > 1 else "1 output"
            advice = "; for a yes/no answer from one output use Sigmoid() and BinaryCrossEntropy()" if k == 1 else ""
            raise ShapeError(f"{self} is fed {describe_sample((k,))}{who}, but needs at least {needed}{advice}")

    def check_last(self, layers: Sequence[Layer]) -> None:
        """Raise an ArgumentError if this loss would mistake the outputs of these layers for another kind.

        The layer that this loss fuses with takes what the fused loss takes: a second softmax is refused either way.
        """
        working = [layer for layer in layers if layer.gives != "its input"] or layers[:1]
        kind, last = kind_of_rows(layers), working[-1]
        if kind and kind not in ROWS:
            raise UnknownNameError(f"kind of outputs that {last} gives,", kind, list(ROWS))
        if self.takes and kind and kind not in self.takes:
            cure = self.advice and f": {self.advice}"
            raise ArgumentError(f"{self} takes {ROWS[self.takes[0]]}, but {last} gives {ROWS[kind]}{cure}")
        if self.fuses and type(last) is self.fuses[0]:
            kind, takes = kind_of_rows(working[:-1]), self.fuses[1].takes
            if kind and kind[:9] != "its input" and kind not in takes:
                what = f"{last} before {self} takes {ROWS[takes[0]]}, but {working[-2]} gives {ROWS[kind]}"
                raise ArgumentError(f"{what}: remove one of the two")

    def check_predictions(self, x: Array) -> None:
        """Raise an InputError if this loss takes probabilities, and x holds numbers that are none."""
        if "distribution" not in self.takes:
            return
        advice = self.advice and f"; {self.advice}"
        if ((x < 0) | (x > 1 + ROW_SUM)).any():
            values = f"values from {float(x.min()):g} to {float(x.max()):g}"
            raise InputError(f"{self}: received {values}, expected probabilities{advice}")
        total = x.sum(axis=1)
        if "probabilities" not in self.takes and (abs(total - 1) > PREDICTED_SUM).any():
            sums = f"rows that sum to {float(total.min()):g} to {float(total.max()):g}"
            raise InputError(f"{self}: received {sums}, expected probabilities that sum to 1{advice}")

    def check_targets(self, t: Any, n: int, k: int) -> np.ndarray:
        """Raise a TargetError or ShapeError if the targets do not fit n samples, k outputs or this loss.

        Returns
        -------
        array
            Labels (n,) as integers, or numbers (n, 1) for one output, a copy; or rows (n, k). On the host.
        """
        self.check_outputs(k)
        t = np.asarray(check_array(t, f"{self}: targets", TargetError))  # a memory map is slower to index
        if t.ndim == 0 or len(t) != n:
            count = len(t) if t.ndim else "no"
            raise TargetError(f"{self}: received {count} targets for {n} samples, expected one for each")
        check_finite(t, f"{self}: targets", TargetError, "remove these samples, or replace the values")
        if t.ndim == 2 and t.shape[1] == k:
            self.check_rows(t)
            return t
        if t.ndim != 1 or (self.of_numbers and k > 1):
            short = f"labels ({n},) or " if not self.of_numbers else f"numbers ({n},) or " if k == 1 else ""
            raise TargetError(f"{self}: received targets {t.shape} for {k} outputs, expected {short}rows ({n}, {k})")
        if k == 1 and (self.of_numbers or t.dtype.kind == "f"):
            t = t[:, None].astype(t.dtype if t.dtype.kind == "f" else float)  # a copy
            self.check_rows(t)
            return t
        return self.check_labels(t, k)

    def check_labels(self, t: np.ndarray, k: int) -> np.ndarray:
        """A copy of labels, or a TargetError if they are not integers in 0..k-1 (0 or 1 for one output).

        A copy, because labels must not change after they were checked.
        """
        if t.dtype.kind == "f":
            bad = t != np.floor(t)
            detail = f" that holds {t[bad][0]:g}" if bad.any() else "; convert it: t.astype(int)"
            raise TargetError(f"{self}: labels must be integers 0..{k - 1}, received an array of {t.dtype}{detail}")
        native = "uint8" if t.dtype.kind == "b" else t.dtype.newbyteorder("=")
        t = t.astype(native)
        low, high = int(t.min()), int(t.max())
        if low < 0 or high > max(k - 1, 1):
            n = int(np.argmax((t < 0) | (t > max(k - 1, 1))))
            expected = f"0..{k - 1}, since there are {k} outputs" if k > 1 else "0 or 1 for one output, or floats"
            raise TargetError(f"{self}: the label of sample {n} is {t[n]}, expected {expected}")
        return t

    def check_rows(self, t: np.ndarray) -> None:
        """Raise a TargetError if this loss is not defined for these target rows."""


class Distribution(Loss):
    """Base of the losses whose target rows are probabilities of K classes.

    Parameters
    ----------
    label_smoothing : float, default 0
        ε in [0, 1). The loss is that for the target rows (1 - ε) t + ε/K, which keep logits from growing without end
        (Szegedy et al., 2016, section 7). It is part of the loss, so evaluations have it, too.
    """

    min_outputs = 2  # the softmax of one output is always 1
    label_smoothing: Any = Fixed(fraction)  # a network gives it to the fused loss

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__()
        self.label_smoothing = label_smoothing

    def config(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing} if self.label_smoothing else {}

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return super().workspaces(shape) | ({"smoothed": shape} if self.label_smoothing else {})

    def as_rows(self, t: Array) -> Array:
        """Target rows (N, K), smoothed."""
        rows = super().as_rows(t)
        if not self.label_smoothing:
            return rows
        smoothed = self.xp.multiply(rows, 1 - self.label_smoothing, out=self.smoothed)
        smoothed += self.label_smoothing / smoothed.shape[1]
        return smoothed

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
                f"{self}: the target row of sample {n} sums to {total[n]:.6g}, expected 1; divide counts by their "
                "sums; to give classes or samples more weight, repeat samples instead"
            )


class Binary(Loss):
    """Base of the losses for K yes/no answers: a target row holds K independent probabilities."""

    def check_rows(self, t: np.ndarray) -> None:
        bad = ((t < 0) | (t > 1)).any(axis=1)
        if bad.any():
            n = int(np.argmax(bad))
            raise TargetError(f"{self}: the target row of sample {n} is {t[n]}, expected values in [0, 1]")
