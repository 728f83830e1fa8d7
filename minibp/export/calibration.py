"""Calibration: does a network that is 90 % sure answer right in 90 % of the cases?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BINS = 15  # as in Guo et al. (2017), Table 1: other numbers of bins give errors that do not compare


class Bin(NamedTuple):
    """Answers whose confidence lies in (low, high]: how many, their mean confidence, and the share that is right."""

    low: float
    high: float
    answers: int
    confidence: float
    accuracy: float


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Sort answers by their confidence into bins of equal width; empty bins are left out.

    Parameters
    ----------
    confidence : array (N,)
        The probability of each answer, in 0..1.
    right : array (N,) of bool
        Whether the answer is right.
    bins : int, default 15
        How many bins divide 0..1.
    """
    confidence = confidence.astype(float)
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    chosen = [(i, index == i) for i in np.unique(index).tolist()]
    return [
        Bin(i / bins, (i + 1) / bins, int(own.sum()), float(confidence[own].mean()), float(right[own].mean()))
        for i, own in chosen
    ]


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Mean distance of confidence and accuracy, Σₘ |Bₘ|/N · |accuracy(Bₘ) - confidence(Bₘ)|, in 0..1.

    From Guo et al. (2017), On Calibration of Modern Neural Networks, equation 3. The arguments are those of
    `reliability`.
    """
    found = reliability(confidence, right, bins)
    return sum(each.answers * abs(each.accuracy - each.confidence) for each in found) / len(confidence)
