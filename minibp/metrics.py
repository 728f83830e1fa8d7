"""Metrics: how often the answer is right. They work on the host, on what `Network.predict` returns.

Outputs are rows (N, K), and the answer is the class of the largest; with K = 1 it is class 1 where the output is
above 0.5. Targets are labels (N,), or rows (N, K) that are read in the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import at_least_one, check_array, check_finite
from .errors import ArgumentError, InputError, ShapeError, TargetError

MOST = 10_000  # classes that a confusion matrix is made for unasked, of 0.8 GB
MOST_ASKED = 100_000  # and where K is given, of 80 GB


def classes(rows: Any) -> np.ndarray:
    """The class of each row (N, K), as integers (N,); labels (N,) are returned as they are.

    Works on the arrays of any backend.
    """
    if rows.ndim == 1:
        return rows
    if rows.shape[1] == 1:
        return (rows[:, 0] > 0.5).astype("int64")
    return rows.argmax(axis=1)


def _answers(outputs: Any, t: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The outputs, the classes that they answer, and the true classes (both (N,), int64), checked."""
    outputs = check_array(outputs, "outputs", InputError, expected="numbers on the host")
    t = check_array(t, "targets", TargetError, expected="numbers on the host")
    if outputs.ndim not in (1, 2) or t.ndim not in (1, 2) or 0 in outputs.shape[1:]:
        raise ShapeError(f"outputs have shape {outputs.shape}, targets {t.shape}; expected rows (N, K) or labels (N,)")
    if outputs.ndim == t.ndim == 2 and outputs.shape != t.shape:
        raise ShapeError(f"outputs have shape {outputs.shape}, targets {t.shape}; expected the same, or labels (N,)")
    if len(outputs) != len(t) or len(t) == 0:
        raise TargetError(f"got {len(outputs)} outputs and {len(t)} targets, expected one for each, and at least one")
    cure = "no class can be told from that; has the training diverged?"  # argmax would take NaN for the largest
    check_finite(outputs, "outputs", InputError, cure)
    check_finite(t, "targets", TargetError, cure)
    if t.dtype.kind == "f" and outputs.shape[1:] == (1,):
        t = t.reshape(-1, 1)  # with one output, numbers (N,) are the rows, as for a loss
    said, true = classes(outputs), classes(t)
    for name, labels in (("answers", said), ("targets", true)):
        if labels.dtype.kind not in "biu":
            raise TargetError(f"the {name} must be integer labels, received an array of {labels.dtype}")
        if labels.min() < 0:
            raise TargetError(f"the {name} must be labels of at least 0, received {labels.min()}")
    if outputs.ndim == 2 and true.max() >= max(outputs.shape[1], 2):
        raise TargetError(f"class {true.max()} is among the targets, but there are {outputs.shape[1]} outputs")
    return outputs, said.astype("int64"), true.astype("int64")


def accuracy(outputs: Any, t: Any) -> float:
    """Share of the samples whose answer is right, in 0..1.

    Parameters
    ----------
    outputs : array (N, K), or labels (N,)
        What the network says.
    t : labels (N,), or rows (N, K)
        What is true.

    Raises
    ------
    ShapeError, TargetError
        If the two do not fit together, or a target is NaN or infinite.
    InputError
        If an output is NaN or infinite.
    """
    _, said, true = _answers(outputs, t)
    return float((said == true).mean())


def top_k_accuracy(outputs: Any, t: Any, k: int = 5) -> float:
    """Share of the samples whose true class is among the k largest outputs, in 0..1.

    Where outputs tie, those of lower class numbers count as larger, so that k = 1 is `accuracy`.

    Parameters
    ----------
    outputs : array (N, K), K > 1
        What the network says.
    t : labels (N,), or rows (N, K)
        What is true.
    k : int, default 5
        How many answers each sample may give, 1..K.

    Raises
    ------
    ArgumentError, ShapeError, TargetError
        If k lies outside 1..K, the two do not fit together, or a target is NaN or infinite.
    InputError
        If an output is NaN or infinite.
    """
    outputs, _, true = _answers(outputs, t)
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ShapeError(f"top_k_accuracy needs outputs (N, K) of at least 2 classes, received shape {outputs.shape}")
    if at_least_one("k", k) > outputs.shape[1]:
        raise ArgumentError(f"k must lie in 1..{outputs.shape[1]}, the number of outputs, received {k}")
    last = outputs.shape[1] - 1  # from the right, so that of equal outputs that of the lower class number is the last
    best = last - np.argsort(outputs[:, ::-1], axis=1, kind="stable")[:, ::-1][:, :k]
    return float((best == true[:, None]).any(axis=1).mean())


def confusion_matrix(outputs: Any, t: Any, k: int | None = None) -> np.ndarray:
    """How often true class i was answered by class j: a (K, K) array of counts, row i, column j.

    Parameters
    ----------
    outputs : array (N, K), or labels (N,)
        What the network says.
    t : labels (N,), or rows (N, K)
        What is true.
    k : int, optional
        K, up to 100,000. By default the number of outputs, for labels the largest that occurs + 1; at least 2.

    Raises
    ------
    ArgumentError, ShapeError, TargetError
        If a class lies outside 0..K-1, k outside its range, the two do not fit together, or a target is NaN or
        infinite; if there are labels above 9,999, and neither outputs nor k tell that there are so many classes.
    InputError
        If an output is NaN or infinite.
    """
    outputs, said, true = _answers(outputs, t)
    highest = int(max(said.max(), true.max()))
    if k is None:
        k = max(outputs.shape[1] if outputs.ndim == 2 else highest + 1, 2)
        if outputs.ndim == 1 and k > MOST:
            raise TargetError(f"class {highest} occurs, so there would be {k} classes: are these labels? If so, give k")
    if at_least_one("k", k) > MOST_ASKED:
        raise ArgumentError(f"k must be at most {MOST_ASKED}, for the matrix has k × k counts")
    if k <= highest:
        raise ArgumentError(f"class {highest} occurs, but there are only {k} classes, 0..{k - 1}")
    return np.bincount(true * k + said, minlength=k * k).reshape(k, k)
