"""From turns to figures: medians, ratios round by round with their quartiles, and which peers agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

LIMIT = 0.05  # share of the machine's processors that others may have in a turn; above it the turn is dropped

# Largest relative difference of a loss in the first 20 steps. float32 alone stays within 5e-4 of float64;
# scikit-learn's Adam, which adds ε to √v before its bias is corrected, within 1.3e-3. An Adam without that correction
# is 6e-3 off.
TOLERANCE = 2e-3


class Spread(NamedTuple):
    """A median and its quartiles, of so many values."""

    median: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{digits(self.median)} ({digits(self.low)}-{digits(self.high)})"


def digits(value: float) -> str:
    """A figure with as many digits as mean something."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: Iterable[float]) -> Spread | None:
    """Median and quartiles; None of nothing."""
    found = list(values)
    if not found:
        return None
    low, median, high = np.quantile(found, [0.25, 0.5, 0.75])
    return Spread(float(median), float(low), float(high), len(found))


def by_round(turns: Sequence[dict[str, Any]]) -> dict[int, float]:
    """Seconds a unit of each round, where the turn was kept."""
    return {turn["round"]: turn["seconds"] for turn in turns if turn["kept"]}


def ratio(turns: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> Spread | None:
    """How many times as long as the base: the two of one round are compared, where both were kept."""
    times, bases = by_round(turns), by_round(base)
    return spread(times[number] / bases[number] for number in times.keys() & bases.keys())


def dropped(turns: Sequence[dict[str, Any]]) -> int:
    """Turns that were dropped."""
    return sum(not turn["kept"] for turn in turns)


def fastest(turns: dict[str, list[dict[str, Any]]], names: Iterable[str]) -> str | None:
    """Which of these has the smallest median."""
    medians = {name: spread(by_round(turns[name]).values()) for name in names if name in turns}
    known = {name: found.median for name, found in medians.items() if found}
    return min(known, key=lambda name: known[name]) if known else None


def deviation(found: Sequence[Any] | np.ndarray, reference: Sequence[Any] | np.ndarray) -> float:
    """Largest relative difference of a number; infinite where one is not finite, or where some are missing."""
    if np.shape(found) != np.shape(reference):
        return float("inf")
    far = np.abs(np.array(found) / np.array(reference) - 1).max()
    return float(far) if np.isfinite(far) else float("inf")
