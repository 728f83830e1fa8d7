"""Statistics of turns: medians, ratios round by round with quartiles, and deviations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

LIMIT = 0.05  # share of all processors that others may use during a turn; above it the turn is dropped

# Largest relative difference of a loss in the first 20 steps. float32 alone stays within 5e-4 of float64. Adam of
# scikit-learn, which adds ε to √v before the bias correction, stays within 1.3e-3. An Adam without the correction is
# 6e-3 off.
TOLERANCE = 2e-3


class Spread(NamedTuple):
    """The median and the quartiles of n values."""

    median: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{digits(self.median)} ({digits(self.low)}-{digits(self.high)})"


def digits(value: float) -> str:
    """A number with its significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: Iterable[float]) -> Spread | None:
    """The median and quartiles, or None without values."""
    found = list(values)
    if not found:
        return None
    low, median, high = np.quantile(found, [0.25, 0.5, 0.75])
    return Spread(float(median), float(low), float(high), len(found))


def by_round(turns: Sequence[dict[str, Any]]) -> dict[int, float]:
    """Seconds per unit, by round, of the turns that were kept."""
    return {turn["round"]: turn["seconds"] for turn in turns if turn["kept"]}


def ratio(turns: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> Spread | None:
    """Time relative to the base, compared within each round in which both turns were kept."""
    times, bases = by_round(turns), by_round(base)
    return spread(times[number] / bases[number] for number in times.keys() & bases.keys())


def dropped(turns: Sequence[dict[str, Any]]) -> int:
    """The number of dropped turns."""
    return sum(not turn["kept"] for turn in turns)


def fastest(turns: dict[str, list[dict[str, Any]]], names: Iterable[str]) -> str | None:
    """The name with the smallest median, or None."""
    medians = {name: spread(by_round(turns[name]).values()) for name in names if name in turns}
    known = {name: found.median for name, found in medians.items() if found}
    return min(known, key=lambda name: known[name]) if known else None


def deviation(found: Sequence[Any] | np.ndarray, reference: Sequence[Any] | np.ndarray) -> float:
    """The largest relative difference; infinite if a number is not finite or missing."""
    if np.shape(found) != np.shape(reference):
        return float("inf")
    far = np.abs(np.array(found) / np.array(reference) - 1).max()
    return float(far) if np.isfinite(far) else float("inf")
