"""Checks of arguments. Each returns the value, or raises an ArgumentError that says what was expected."""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

import numpy as np

from ..errors import ArgumentError, StateError, UnknownNameError

COUNTS = 1 << 256  # counts and seeds are below this, so that they are finite as floats


class Checked:
    """An attribute that is checked whenever it is assigned: ``eps = Checked(positive)``.

    The value is stored as a plain attribute of the object, so reading it costs nothing.
    """

    def __init__(self, check: Callable[[str, Any], Any]):
        self.check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def checked(self, owner: Any, value: Any) -> Any:
        """Return the checked value; an ArgumentError names the class and the attribute."""
        try:
            return self.check(self.name, value)
        except ArgumentError as error:
            raise ArgumentError(f"{type(owner).__name__}: {error}") from None

    def __set__(self, owner: Any, value: Any) -> None:
        vars(owner)[self.name] = self.checked(owner, value)


class Fixed:
    """An attribute that ``__init__`` sets and nobody changes: arrays depend on it. ``n_in = Fixed(at_least_one)``."""

    def __init__(self, check: Callable[[str, Any], Any]):
        self.rule = Checked(check)

    def __set_name__(self, owner: type, name: str) -> None:
        self.rule.__set_name__(owner, name)

    def __set__(self, owner: Any, value: Any) -> None:
        name, value = self.rule.name, self.rule.checked(owner, value)
        before = vars(owner).setdefault(name, value)
        if before is not value and before != value:
            cls = type(owner).__name__
            raise StateError(f"{owner}: {name} is {before!r} and cannot be changed; create a new {cls} in its place")


def checked_names(cls: type, kind: type[Checked] = Checked) -> list[str]:
    """The names of the checked attributes of a class, with those of its bases first."""
    found = [name for base in reversed(cls.__mro__) for name, each in vars(base).items() if isinstance(each, kind)]
    return [name for name in dict.fromkeys(found) if isinstance(inspect.getattr_static(cls, name), kind)]


def of_minibp(cls: type) -> bool:
    """Whether a class is one of minibp's own, not a user's."""
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


class Declared:
    """An object of minibp has the attributes that its class declares, by a value or an annotation, and no others.

    So ``optimizer.learning_rate = 0.01`` is an error, and not an attribute that nothing reads. Objects of a user's
    subclass take any.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        cls = type(self)
        new = name not in self.__dict__ and not hasattr(cls, name)
        if new and of_minibp(cls) and not any(name in inspect.get_annotations(base) for base in cls.__mro__):
            raise UnknownNameError(f"attribute of {cls.__name__}", name, self.settable_names())
        super().__setattr__(name, value)

    def settable_names(self) -> list[str]:
        """The attributes that users may assign, for an error."""
        return checked_names(type(self))


def _as_float(name: str, value: Any) -> float:
    """The value as a float; NaN if it is not a number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # an integer, which may be too long to print
        raise ArgumentError(f"{name} is too large for a float") from None


def number(name: str, value: Any, least: float = 0.0) -> float:
    """A finite number of at least `least`."""
    result = _as_float(name, value)
    if not (math.isfinite(result) and result >= least):
        bound = f" of at least {least:g}" if math.isfinite(least) else ""
        raise ArgumentError(f"{name} must be a finite number{bound}, received {value!r}")
    return result


def instance(name: str, value: Any, kind: type, cure: str) -> Any:
    """An instance of `kind`; `cure` tells the user how to create one."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise ArgumentError(f"{name} must be {article} {kind.__name__}, received {type(value).__name__}; {cure}")
    return value


def positive(name: str, value: Any) -> float:
    """A finite number above 0."""
    result = number(name, value)
    if result == 0:
        raise ArgumentError(f"{name} must be above 0, received {value!r}")
    return result


def positive_or_none(name: str, value: Any) -> float | None:
    """A finite number above 0, or None."""
    return None if value is None else positive(name, value)


def fraction(name: str, value: Any) -> float:
    """A number in [0, 1)."""
    result = _as_float(name, value)
    if not 0 <= result < 1:
        raise ArgumentError(f"{name} must lie in [0, 1), received {value!r}")
    return result


def inner_fraction(name: str, value: Any) -> float:
    """A number in (0, 1)."""
    result = _as_float(name, value)
    if not 0 < result < 1:
        raise ArgumentError(f"{name} must lie in (0, 1), received {value!r}")
    return result


def boolean(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentError(f"{name} must be True or False, received {value!r}")
    return bool(value)


def describe_sample(shape: tuple[int, ...]) -> str:
    """The shape of a sample in words, for errors: '4 values', or 'samples of shape (28, 28)'."""
    if len(shape) == 1:
        return f"{shape[0]} value{'s' if shape[0] != 1 else ''}"
    return f"samples of shape {shape}"


def integer(name: str, value: Any, least: int | None = None) -> int:
    """An integer, of at least `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or (least is not None and int(value) < least):
        bound = "" if least is None else f" of at least {least}"
        raise ArgumentError(f"{name} must be an integer{bound}, received {value!r}")
    return int(value)


def at_least_zero(name: str, value: Any) -> int:
    """An integer of at least 0 and below `COUNTS`."""
    if integer(name, value, 0) >= COUNTS:
        raise ArgumentError(f"{name} must be an integer of at least 0, received one of more than 77 digits")
    return int(value)


def at_least_one(name: str, value: Any) -> int:
    """An integer of at least 1."""
    return integer(name, value, 1)


def epoch_value(who: str, value: Any) -> float:
    """The loss or metric of an epoch. NaN and infinity are allowed; None, for lack of a validation set, is not."""
    try:
        return float(value)
    except (TypeError, ValueError):
        cure = ": train with train(..., validation=...)" if value is None else ""
        raise ArgumentError(f"{who} received {value!r}, expected a number{cure}") from None


def generator(seed: int | None) -> np.random.Generator:
    """A random generator from a seed: an integer of at least 0, or None for a different one each time."""
    if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__") or int(seed) < 0):
        raise ArgumentError(f"seed must be an integer of at least 0, received {seed!r}")
    return np.random.default_rng(seed)


def float_dtype(dtype: Any) -> np.dtype:
    """A dtype to compute in, float32 or float64."""
    for known in (np.dtype("float32"), np.dtype("float64")):  # NumPy's own objects: `forward` compares with `is`
        try:
            if dtype is not None and np.dtype(dtype) == known:
                return known
        except TypeError:
            break
    raise ArgumentError(f"dtype must be 'float32' or 'float64', received {str(dtype)!r}")


def repeated(names: Iterable[str]) -> list[str]:
    """The names that are there more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)
