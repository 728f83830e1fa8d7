"""What a checkpoint keeps besides arrays, as JSON can hold it, and back; and a training in words, to tell it by.

What comes back may be a stranger's: every value is checked, by an ArgumentError or another ValueError.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from . import schedules
from .batches import Batches
from .errors import ArgumentError, ShapeError
from .layers import Dense
from .losses import QuadraticLoss
from .network import Network
from .optimizer import Optimizer
from .optimizers import OPTIMIZERS
from .progress import Epoch
from .schedules import Schedule

COUNTS = 1 << 256  # counts and seeds are below this: as floats they are finite
PIECE = 1 << 22  # bytes of the data that are hashed at a time: a data set may be larger than memory


def epoch_of(row: list[Any], expected: int, validated: bool) -> Epoch:
    """One row of the history, with the two numbers of a validation where there is one."""
    numbered, *values = row
    here = (0.0, 0.0, 0.0, 0.0) if validated else (0.0, None, None, 0.0)
    if numbered != expected or any((value is None) != (like is None) for value, like in zip(values, here, strict=True)):
        raise ValueError(f"its epoch {expected} is {row}")
    return Epoch(expected, *(number_like(value, like) for value, like in zip(values, here, strict=True)))


def config_of(described: dict[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """The numbers of an optimizer; a ShapeError where it has others."""
    if described.keys() != optimizer.config().keys():
        raise ShapeError(f"its optimizer has {', '.join(described)}")
    config: Any = {name: number_like(value) for name, value in described.items()}
    if type(optimizer) in OPTIMIZERS.values():  # whose arguments have the names of its numbers, and are checked
        config = type(optimizer)(Network([Dense(1, 1)], QuadraticLoss()), **config).config()
    return config


def kept_by(net: Network) -> list[dict[str, Any]]:
    """What the layers keep besides arrays; an ArgumentError where that could not be given back."""
    return [{name: _kept(layer, name) for name in layer.keeps} for layer in net.layers]


def _kept(layer: Any, name: str) -> Any:
    value = getattr(layer, name)
    try:
        return number_like(value, value)
    except ArgumentError as error:
        raise ArgumentError(f"{layer} keeps {name}, but a checkpoint cannot: {error}; use an int or float") from None


def numbers_of(schedule: Schedule) -> list[Any]:
    """A schedule as its class and its numbers, which may be schedules again. Whatever else it has is the program's.

    An ArgumentError for numbers that JSON has not: 0.1 as a float32 would come back as another type, with other
    products.
    """
    values: dict[str, Any] = {}
    for name, value in vars(schedule).items():
        if isinstance(value, Schedule):
            values[name] = numbers_of(value)
        elif isinstance(value, (int, float, np.integer)):
            values[name] = value.item() if isinstance(value, np.number) else value
        elif isinstance(value, np.number):
            what = f"{type(schedule).__name__}: a checkpoint cannot keep {name}, which is a {value.dtype}"
            raise ArgumentError(f"{what}; make it a number of Python: float({name})")
    return [type(schedule).__name__, values]


def schedule_of(described: list[Any], here: Any) -> Schedule:
    """A schedule as described: of the class of the one that is here, or one of minibp's."""
    import inspect

    name, values = described
    known = {cls.__name__: cls for cls in vars(schedules).values() if isinstance(cls, type)}
    cls = type(here) if name == type(here).__name__ else known[name]
    if not issubclass(cls, Schedule):
        raise ArgumentError(f"{name} is no schedule")
    values = {
        key: schedule_of(value, getattr(here, key, None)) if isinstance(value, list) else value
        for key, value in values.items()
    }
    if cls is known.get(name):  # its arguments have the names of its numbers, and are checked
        made = cls(**{key: values.pop(key) for key in list(inspect.signature(cls).parameters) if key in values})
        like = vars(made)
    else:
        made, like = copy.copy(here), {}  # what it may hold the program knows
    for key, value in values.items():
        if callable(getattr(cls, key, None)):
            raise ArgumentError(f"{name} has a method {key}, not a number")
        if not isinstance(value, Schedule):
            value = number_like(value, like.get(key))
        elif isinstance(vars(made).get(key), (int, float)):
            raise ArgumentError(f"{name} has a number {key}, not a schedule")
        vars(made)[key] = value
    return made


def put_into(here: Any, made: Schedule) -> Schedule:
    """Put these numbers into the schedule that is here, for a program may hold it; another class takes its place."""
    if type(here) is not type(made):
        return made
    for name, value in vars(made).items():
        vars(here)[name] = put_into(vars(here).get(name), value) if isinstance(value, Schedule) else value
    return here


def number_like(value: Any, here: Any = None) -> Any:
    """A number that can stand where this one is: for a count a count. Where there is none, any will do, or None."""
    if here is None:
        if value is not None and not isinstance(value, (bool, int, float)):
            raise ArgumentError(f"expected a number, got {value!r}")
        return value
    if isinstance(here, int):
        return count(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ArgumentError(f"expected a number, got {value!r}")
    return float(value)


def count(value: Any) -> int:
    """A count that is one; ArgumentError for what is none."""
    if type(value) is not int or not 0 <= value < COUNTS:
        raise ArgumentError(f"expected a count, an integer of at least 0, got {value!r}")
    return value


def data_in_words(batches: Batches) -> str:
    """A data set: how many samples of what, and a hash of all."""
    x, t = batches.dataset
    blocks = f", shuffled in blocks of {batches.stretch}, {batches.lot} at a time" if batches.mapped else ""
    return f"{len(x)} samples of {x.shape[1:]} {x.dtype}, {sha256(x, t)}{blocks}"


def schedule_in_words(described: list[Any]) -> str:
    """A schedule, as `numbers_of` gives it, as it would be made."""
    name, values = described
    return call_in_words(name, {k: schedule_in_words(v) if isinstance(v, list) else v for k, v in values.items()})


def call_in_words(name: str, values: dict[str, Any]) -> str:
    """A class and its arguments, as it would be made."""
    return f"{name}({', '.join(f'{key}={value}' for key, value in values.items())})"


def sha256(*values: Any) -> str:
    """16 digits, which tell arrays and texts apart that differ by accident."""
    import hashlib

    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, str):
            digest.update(value.encode())
            continue
        digest.update(repr((value.dtype.str, value.shape)).encode())
        rows = max(1, PIECE * len(value) // max(value.nbytes, 1)) if value.size else 1
        for start in range(0, len(value), rows):
            digest.update(np.ascontiguousarray(value[start : start + rows]).reshape(-1).view("u1").data)
    return digest.hexdigest()[:16]
