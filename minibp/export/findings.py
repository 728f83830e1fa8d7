"""What a report says about a network, in numbers: its answers on a test set, its errors, its first weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..backend import to_host
from ..base import kind_of_rows
from ..data import Dataset
from ..metrics import classes, confusion_matrix, mean_absolute_error, mean_squared_error, r2_score
from ..network import Network
from .layers import PROBABLE, layers_at_inference

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)  # of the residuals


class Answers(NamedTuple):
    """The answers of a network that tells classes apart, an entry for each of N samples.

    Attributes
    ----------
    names : list of str
        The K classes, at least two.
    true, predicted : array (N,) of int
        The classes.
    confidence, of_true : array (N,)
        The output for the predicted and for the true class.
    probable : bool
        Whether these are probabilities.
    matrix : array (K, K)
        How often class i (row) was predicted as class j.
    """

    names: list[str]
    true: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    of_true: np.ndarray
    probable: bool
    matrix: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Whether each answer is right."""
        return self.predicted == self.true

    @property
    def mistakes(self) -> np.ndarray:
        """The samples that are answered wrong, the most confident first."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]

    def confusions(self) -> list[tuple[int, int, int]]:
        """The pairs (true class, answer, count) that were confused, the most frequent first."""
        rows, columns = np.nonzero(self.matrix - np.diag(np.diag(self.matrix)))
        pairs = zip(rows.tolist(), columns.tolist(), self.matrix[rows, columns].tolist(), strict=True)
        return sorted(pairs, key=lambda pair: -pair[2])

    def per_class(self) -> list[tuple[str, int, int, float, float]]:
        """Name, samples, right answers, recall and precision of each class; NaN where nothing is to be divided."""
        right, samples, answers = np.diag(self.matrix), self.matrix.sum(axis=1), self.matrix.sum(axis=0)
        with np.errstate(invalid="ignore"):
            columns = samples, right, right / samples, right / answers
        return list(zip(self.names, *(column.tolist() for column in columns), strict=True))


def find_answers(net: Network, test: Dataset) -> Answers:
    """The answers of a network on a test set whose targets are classes, as `evaluate` has found."""
    outputs = net.predict(test.x)
    k = outputs.shape[1]
    t = test.t.reshape(len(test), -1)
    true = classes(t) if t.shape[1] > 1 or t.dtype.kind == "f" else t[:, 0].astype(int)
    predicted = classes(outputs)
    rows = np.hstack([1 - outputs, outputs]) if k == 1 else outputs
    each = np.arange(len(test))
    kind = kind_of_rows(layers_at_inference(net)) or (*net.fused_loss.takes, "numbers")[0]
    names = net.class_names or [str(label) for label in range(rows.shape[1])]
    matrix = confusion_matrix(outputs, t=test.t)
    return Answers(names, true, predicted, rows[each, predicted], rows[each, true], kind in PROBABLE, matrix)


class Errors(NamedTuple):
    """How far the outputs of a network for numbers are off.

    Attributes
    ----------
    names : list of str
        The K outputs.
    t, outputs : array (N, K)
        Targets and predictions.
    """

    names: list[str]
    t: np.ndarray
    outputs: np.ndarray

    @property
    def residuals(self) -> np.ndarray:
        """Prediction minus target (N, K)."""
        return self.outputs - self.t

    @property
    def of_samples(self) -> np.ndarray:
        """The root mean square of the residuals of each sample (N,)."""
        return np.sqrt(np.square(self.residuals).mean(axis=1))

    def per_output(self) -> list[tuple[str, float, float, float]]:
        """Name, mean squared error, mean absolute error and R² of each output; R² is NaN for a single sample."""
        found = []
        for name, x, t in zip(self.names, self.outputs.T, self.t.T, strict=True):
            r2 = r2_score(x, t=t) if len(t) > 1 else math.nan
            found.append((name, mean_squared_error(x, t=t), mean_absolute_error(x, t=t), r2))
        return found


def find_errors(net: Network, test: Dataset) -> Errors:
    """The errors of a network on a test set whose targets are numbers."""
    outputs = net.predict(test.x).astype(float)
    k = outputs.shape[1]
    names = net.class_names if net.class_names and len(net.class_names) == k else [str(i) for i in range(k)]
    return Errors(names, test.t.reshape(len(test), -1).astype(float), outputs)


def picture_shape(x: np.ndarray) -> tuple[int, ...] | None:
    """The shape of the pictures that inputs x (N, ...) are: (height, width) or (height, width, 3); else None."""
    shape = x.shape[1:-1] if x.ndim == 4 and x.shape[-1] == 1 else x.shape[1:]
    return shape if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3) else None


def first_weights(net: Network, shape: tuple[int, ...]) -> np.ndarray | None:
    """The weights of each unit of the first layer as pictures of this shape, (units, ...); None if they are none."""
    if not net.weights or net.weights[0].shape[:-1] != (math.prod(shape),):
        return None
    return to_host(net.weights[0]).T.reshape(-1, *shape)
