"""The data of a training: targets as classes or numbers, and samples in three parts."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import data
from ..base import printable
from ..data import Columns, Dataset, Origin, Pictures, class_weights
from ..data.cells import parse
from ..errors import ArgumentError

MOST_LABELS = 20  # whole numbers with at most so many different values are taken for classes
HELD_OUT = 0.2  # of all samples to test on, and of the rest for validation
MOST_HELD_OUT = 10_000  # samples of each, which is enough to measure an accuracy to half a percent
LEAST = 3  # samples of a class: one for each part
MOST_SHOWN = 12  # names in an error


class Parts(NamedTuple):
    """The data of a training.

    Attributes
    ----------
    title : str
        The name of the source.
    training, validation, test : Dataset
        To learn from, to stop by, and to measure once.
    class_names : list of str or None
        None if the targets are numbers.
    target : str
        The name of what is predicted, or "".
    preprocessing : Columns, Pictures or None
        How the inputs were made.
    origin : Origin
        What is known of the split.
    notes : list of str
        What the user should know about how the source was read.
    """

    title: str
    training: Dataset
    validation: Dataset
    test: Dataset
    class_names: list[str] | None
    target: str
    preprocessing: Columns | Pictures | None
    origin: Origin
    notes: list[str]


def targets(
    values: np.ndarray, name: str, task: str | None, notes: list[str]
) -> tuple[np.ndarray, list[str] | None, np.ndarray]:
    """Targets (n,) of the rows that have one, the names of the classes or None for numbers, and which rows these are.

    Words and booleans are classes, and so are whole numbers of at most `MOST_LABELS` different values; other numbers
    are numbers. `task` decides otherwise.
    """
    cells = parse(values)
    if cells is None:
        raise ArgumentError(f"the target {name!r} holds neither words nor numbers; choose another column")
    kept = ~cells.missing
    if not kept.any():
        raise ArgumentError(f"the target {name!r} has no value; choose another column")
    found = sorted(set(np.array(cells.words(), object)[kept]))
    numeric = _all_numbers(found)
    whole = numeric and all(float(word).is_integer() for word in found)
    if task is None:
        task = "classes" if not numeric or (whole and len(found) <= MOST_LABELS) else "numbers"
        other = "numbers" if task == "classes" else "classes"
        if numeric:
            why = f"{len(found)} different {'whole ' if whole else ''}numbers"
            notes.append(f"{name!r} holds {why}, taken for {task} (else say --task {other})")
    if task == "numbers":
        return cells.numbers(name)[kept].astype("float32"), None, kept
    names = sorted(found, key=float) if numeric else found
    place = {word: i for i, word in enumerate(names)}
    t = np.array([place[word] for word in np.array(cells.words(), object)[kept]])
    return t, names, kept


def _all_numbers(words: list[str]) -> bool:
    try:
        return all(math.isfinite(float(word)) for word in words)
    except ValueError:
        return False


def three_parts(
    t: np.ndarray, names: list[str] | None, seed: int, validation: bool = True, test: bool = True
) -> list[np.ndarray]:
    """The places of the samples to train on, for validation and to test on: at random, each class with its share.

    A part that is not wanted is empty.
    """
    if names is not None:
        if len(names) < 2:
            raise ArgumentError(f"there is one class only, {names[0]!r}; expected at least two to tell apart")
        counts = np.bincount(t, minlength=len(names))
        if (counts < LEAST).any():
            rare = listed(f"{names[i]!r} ({counts[i]})" for i in np.flatnonzero(counts < LEAST))
            what = f"a class needs {LEAST} samples, to train on, for validation and to test on; too few have"
            cure = "remove these rows, or join these classes to others"
            if (counts < LEAST).sum() > len(names) / 2:
                cure = "is this the right column? For numbers say --task numbers"
            raise ArgumentError(f"{what} {rare}; {cure}")
    if len(t) < 10:
        raise ArgumentError(f"there are {len(t)} samples; expected at least 10")
    rest = Dataset(np.arange(len(t), dtype="float64")[:, None], t)
    parts: list[np.ndarray] = []
    for wanted in (test, validation):
        held_out = np.zeros(0, int)
        if wanted:
            rest, part = data.split(rest, _share(len(rest)), seed, names is not None)
            held_out = part.x[:, 0].astype(int)
        parts.append(held_out)
    return [rest.x[:, 0].astype(int), *parts[::-1]]


def _share(n: int) -> int:
    return min(round(n * HELD_OUT), MOST_HELD_OUT)


def listed(names: Any) -> str:
    """Names for a message."""
    shown = [printable(name) for name in names]
    return ", ".join(shown[:MOST_SHOWN]) + (f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else "")


def weighted(parts: Parts, kind: str | None) -> Parts:
    """The same with weights that balance the classes in training and validation, if asked for."""
    if kind is None:
        return parts
    if parts.class_names is None:
        raise ArgumentError("--class-weight is for classes, but the targets are numbers; leave it out")
    training, validation = (Dataset(part.x, part.t, class_weights(part.t, kind)) for part in parts[1:3])
    return parts._replace(training=training, validation=validation)
