"""Metrics: how often the predicted class is right, and how far numbers are off. They work on the host.

For classes, outputs are rows (N, K), and the predicted class is that of the largest output. With K = 1 it is class 1 if
the output is above 0.5. Targets are labels (N,), or rows (N, K) of probabilities that are read in the same way. With
K = 1 they must be 0 or 1. A column (N, 1) of integers holds labels, for outputs and for targets. Other numbers, such as
those of a regression, or a target of 0.7, name no classes.

For numbers, outputs and targets are both (N, K); a column (N, 1) is the same as (N,). The result is the mean over all
outputs.

Targets are given by name, ``accuracy(net.predict(x), t=labels)``: scikit-learn expects them first, PyTorch second, and
a confusion matrix of labels in the wrong order is transposed without a word.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import at_least_one, check_array, check_finite, check_sample_weights, relative_weights
from .errors import ArgumentError, InputError, ShapeError, TargetError

MOST = 10_000  # classes of a confusion matrix by default: 0.8 GB
MOST_ASKED = 100_000  # and if k is given: 80 GB


def classes(rows: Any) -> np.ndarray:
    """The class of each row (N, K), as integers (N,); labels (N,) are returned unchanged. For arrays of any backend."""
    if rows.ndim == 1:
        return rows
    if rows.shape[1] == 1:
        return (rows[:, 0] > 0.5).astype("int64")
    return rows.argmax(axis=1)


def name_classes(t: np.ndarray) -> bool:
    """Whether targets name classes: labels do, rows that sum to 1, and 0 and 1 for one output."""
    if t.ndim == 1:
        return True
    if t.shape[1] == 1:
        return bool(((t == 0) | (t == 1)).all())
    return bool((t >= 0).all() and (abs(t.sum(axis=1, dtype=float) - 1) < 0.01).all())


def _without_column(labels: np.ndarray) -> np.ndarray:
    """A column (N, 1) of integers as labels (N,), and any other array unchanged. 0 and 1 mean the same either way."""
    return labels[:, 0] if labels.shape[1:] == (1,) and labels.dtype.kind in "biu" else labels


def _checked(outputs: Any, t: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The outputs, the predicted classes and the true classes (both (N,), int64), after all checks."""
    outputs = check_array(outputs, "outputs", InputError, expected="numbers on the host")
    t = check_array(t, "targets", TargetError, expected="numbers on the host")
    if outputs.ndim not in (1, 2) or t.ndim not in (1, 2) or 0 in outputs.shape[1:]:
        raise ShapeError(f"outputs have shape {outputs.shape}, targets {t.shape}; expected rows (N, K) or labels (N,)")
    outputs, t = _without_column(outputs), _without_column(t)
    if outputs.ndim == t.ndim == 2 and outputs.shape != t.shape:
        raise ShapeError(f"outputs have shape {outputs.shape}, targets {t.shape}; expected the same, or labels (N,)")
    if len(outputs) != len(t) or len(t) == 0:
        raise TargetError(f"received {len(outputs)} outputs and {len(t)} targets, expected as many, and at least one")
    cure = "no class can be told from that; has the training diverged?"  # argmax would take NaN for the largest
    check_finite(outputs, "outputs", InputError, cure)
    check_finite(t, "targets", TargetError, cure)
    if t.dtype.kind == "f" and outputs.shape[1:] == (1,):
        t = t.reshape(-1, 1)  # with one output, numbers (N,) are rows, as for a loss
    if not name_classes(t):
        expected = "0 and 1" if t.shape[1] == 1 else "rows that sum to 1"
        raise TargetError(f"the targets hold numbers that name no classes, expected labels, or {expected}")
    predicted, true = classes(outputs), classes(t)
    for name, labels in (("predictions", predicted), ("targets", true)):
        if labels.dtype.kind not in "biu":
            raise TargetError(f"the {name} must be integer labels, received an array of {labels.dtype}")
        if labels.min() < 0:
            raise TargetError(f"the {name} must be labels of at least 0, received {labels.min()}")
    if outputs.ndim == 2 and true.max() >= max(outputs.shape[1], 2):
        raise TargetError(f"class {true.max()} is among the targets, but there are {outputs.shape[1]} outputs")
    return outputs, predicted.astype("int64"), true.astype("int64")


def accuracy(outputs: Any, *, t: Any, weights: Any = None) -> float:
    """The fraction of samples whose predicted class is right, in 0..1.

    Parameters
    ----------
    outputs : array (N, K), or labels (N,) or (N, 1)
        The outputs of a network.
    t : labels (N,) or (N, 1), or rows (N, K)
        The targets.
    weights : array (N,), optional
        How much each sample counts.

    Raises
    ------
    ShapeError, TargetError
        If the two do not fit together, a target is NaN or infinite, or the targets name no classes.
    InputError
        If the outputs are not numbers, or one is NaN or infinite.
    ArgumentError
        If weights are not N finite numbers of at least 0, or all are 0.
    """
    _, predicted, true = _checked(outputs, t)
    return _mean(predicted == true, weights)


def _mean(values: np.ndarray, weights: Any) -> float:
    """The mean over the samples, by their weights if there are any."""
    if weights is None:
        return float(values.mean())
    return float(np.average(values, weights=relative_weights(check_sample_weights("weights", weights, len(values)))))


def top_k_accuracy(outputs: Any, *, t: Any, k: int = 5, weights: Any = None) -> float:
    """The fraction of samples whose true class is among the k largest outputs, in 0..1.

    Of equal outputs, that of the lower class counts as larger, so that k = 1 gives `accuracy`.

    Parameters
    ----------
    outputs : array (N, K), K > 1
        The outputs of a network.
    t : labels (N,) or (N, 1), or rows (N, K)
        The targets.
    k : int, default 5
        In 1..K.
    weights : array (N,), optional
        How much each sample counts.

    Raises
    ------
    ArgumentError, ShapeError, TargetError
        If k lies outside 1..K, weights are not N finite numbers of at least 0 or all are 0, the two do not fit
        together, a target is NaN or infinite, or the targets name no classes.
    InputError
        If the outputs are not numbers, or one is NaN or infinite.
    """
    outputs, _, true = _checked(outputs, t)
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ShapeError(f"top_k_accuracy needs outputs (N, K) of at least 2 classes, received shape {outputs.shape}")
    if at_least_one("k", k) > outputs.shape[1]:
        raise ArgumentError(f"k must lie in 1..{outputs.shape[1]}, the number of outputs, received {k}")
    last = outputs.shape[1] - 1  # sorted from the right, so that the lower class comes last among equal outputs
    best = last - np.argsort(outputs[:, ::-1], axis=1, kind="stable")[:, ::-1][:, :k]
    return _mean((best == true[:, None]).any(axis=1), weights)


def confusion_matrix(outputs: Any, *, t: Any, k: int | None = None) -> np.ndarray:
    """How often class i was predicted as class j: a (K, K) array of counts, row i, column j.

    Parameters
    ----------
    outputs : array (N, K), or labels (N,) or (N, 1)
        The outputs of a network.
    t : labels (N,) or (N, 1), or rows (N, K)
        The targets.
    k : int, optional
        K, up to 100,000. Default: the number of outputs; for labels, the largest one + 1; at least 2.

    Raises
    ------
    ArgumentError, ShapeError, TargetError
        If a class lies outside 0..K-1, k is outside its range, the two do not fit together, a target is NaN or
        infinite, or the targets name no classes; or if there are labels above 9,999 and neither outputs nor k confirm
        so many classes.
    InputError
        If the outputs are not numbers, or one is NaN or infinite.
    """
    outputs, predicted, true = _checked(outputs, t)
    highest = int(max(predicted.max(), true.max()))
    if k is None:
        k = max(outputs.shape[1] if outputs.ndim == 2 else highest + 1, 2)
        if outputs.ndim == 1 and k > MOST:
            raise TargetError(f"class {highest} occurs, which makes {k} classes: are these labels? If so, give k")
    if at_least_one("k", k) > MOST_ASKED:
        raise ArgumentError(f"k must be at most {MOST_ASKED}, because the matrix has k × k counts")
    if k <= highest:
        raise ArgumentError(f"class {highest} occurs, but there are only {k} classes, 0..{k - 1}")
    return np.bincount(true * k + predicted, minlength=k * k).reshape(k, k)


def _numbers(outputs: Any, t: Any) -> tuple[np.ndarray, np.ndarray]:
    """The outputs and the targets as rows (N, K) in float64, after all checks."""
    outputs = check_array(outputs, "outputs", InputError, expected="numbers on the host")
    t = check_array(t, "targets", TargetError, expected="numbers on the host")
    outputs, t = (each[:, None] if each.ndim == 1 else each for each in (outputs, t))
    if outputs.ndim != 2 or outputs.shape != t.shape or not outputs.size:
        shapes = f"outputs {outputs.shape} and targets {t.shape}"
        raise ShapeError(f"received {shapes}, expected the same shape, (N, K) or (N,), and at least one sample")
    cure = "remove these samples from both; or has the training diverged?"
    check_finite(outputs, "outputs", InputError, cure)
    check_finite(t, "targets", TargetError, cure)
    return outputs.astype(float), t.astype(float)


def mean_squared_error(outputs: Any, *, t: Any, weights: Any = None) -> float:
    """The mean of (x - t)² over all outputs of all samples.

    It is not `QuadraticLoss`, which is half the sum over the outputs of a sample.

    Parameters
    ----------
    outputs : array (N, K) or (N,)
        The outputs of a network, x.
    t : array (N, K) or (N,)
        The targets.
    weights : array (N,), optional
        How much each sample counts.

    Raises
    ------
    ShapeError
        If the two do not have the same shape; a column (N, 1) is the same as (N,).
    InputError, TargetError
        If they are not numbers, or one is NaN or infinite.
    ArgumentError
        If weights are not N finite numbers of at least 0, or all are 0.
    """
    outputs, t = _numbers(outputs, t)
    return _mean(np.square(outputs - t).mean(axis=1), weights)


def mean_absolute_error(outputs: Any, *, t: Any, weights: Any = None) -> float:
    """The mean of |x - t| over all outputs of all samples.

    Parameters
    ----------
    outputs : array (N, K) or (N,)
        The outputs of a network, x.
    t : array (N, K) or (N,)
        The targets.
    weights : array (N,), optional
        How much each sample counts.

    Raises
    ------
    ShapeError
        If the two do not have the same shape; a column (N, 1) is the same as (N,).
    InputError, TargetError
        If they are not numbers, or one is NaN or infinite.
    ArgumentError
        If weights are not N finite numbers of at least 0, or all are 0.
    """
    outputs, t = _numbers(outputs, t)
    return _mean(abs(outputs - t).mean(axis=1), weights)


def r2_score(outputs: Any, *, t: Any, weights: Any = None) -> float:
    """The coefficient of determination, R² = 1 - Σₙ (x - t)² / Σₙ (t - mean of t)², the mean over the K outputs.

    1 is perfect, and 0 is what the mean of the targets gets. For an output whose targets are all the same, R² counts as
    1 if it is always right, else as 0, as in scikit-learn.

    Parameters
    ----------
    outputs : array (N, K) or (N,), N > 1
        The outputs of a network, x.
    t : array (N, K) or (N,)
        The targets.
    weights : array (N,), optional
        How much each sample counts.

    Raises
    ------
    ShapeError
        If the two do not have the same shape; a column (N, 1) is the same as (N,).
    InputError, TargetError
        If they are not numbers, one is NaN or infinite, or only one sample counts, whose target is the mean.
    ArgumentError
        If weights are not N finite numbers of at least 0, or all are 0.
    """
    outputs, t = _numbers(outputs, t)
    w = np.ones(len(t)) if weights is None else relative_weights(check_sample_weights("weights", weights, len(t)))
    outputs, t, w = outputs[w > 0], t[w > 0], w[w > 0]
    if len(t) < 2:
        raise TargetError("r2_score received 1 sample that counts, expected at least 2: it compares with their mean")
    off, spread = (w @ np.square(t - guess) for guess in (outputs, np.average(t, axis=0, weights=w)))
    same = (t == t[0]).all(axis=0)  # their mean may be rounded
    scores = np.where(same, off == 0, 1 - off / np.where(same, 1, spread))
    return float(scores.mean())
