"""What a checkpoint kept of attributes, given back: first all of it is read and checked, then it is put in place.

It may be a stranger's. Every number of minibp's own classes, and of what is made from them, is checked as where it is
assigned, by an ArgumentError or another ValueError; attributes of other classes are as the file has them. Nothing is
looked up by a name in it but minibp's schedules.
"""

from __future__ import annotations

import collections
import enum
import inspect
from typing import Any, NamedTuple

import numpy as np

from .checks import COUNTS, Checked
from .errors import ArgumentError
from .kept import GONE, OURS, PLAIN, SCHEDULES, attributes, is_method
from .layer import Layer
from .layers import Dense
from .loss import Loss
from .normalization import Normalization
from .optimizer import Optimizer
from .schedules import Schedule

BOUNDS = {"MT19937": ("pos", 624), "Philox": ("buffer_pos", 4)}  # places in a memory that NumPy does not check
SEVERAL = {"list": list, "tuple": tuple, "set": set}
FIXED: dict[type, set[str]] = {Dense: {"n_in", "n_out"}, Normalization: {"n"}}


class Filled(NamedTuple):
    """An object of the program's, and the attributes that it is to have."""

    here: Any
    values: dict[str, Any]


class Advanced(NamedTuple):
    """A generator of the program's, and the state that it is to have."""

    here: np.random.Generator
    state: dict[str, Any]


class OnDevice(NamedTuple):
    """An array that lay where the network was."""

    array: np.ndarray


def read(plain: Any, here: Any, arrays: dict[str, np.ndarray]) -> Any:
    """A value as it was kept; `here` is what the program has there, which is not changed yet.

    Raises
    ------
    ArgumentError
        If it is none that could be there. Also errors of Python, where it is not as `kept` writes it.
    """
    if type(plain) is int and abs(plain) >= COUNTS:
        raise ArgumentError("an integer that is too long")
    if isinstance(plain, PLAIN):
        return plain
    kind, *of = plain
    if kind == "numpy":
        return _numbers(np.dtype(of[0])).type(of[1])
    if kind == "array":
        _numbers(arrays[of[0]].dtype)
        return OnDevice(arrays[of[0]]) if of[1] == "cupy" else arrays[of[0]]
    if kind in ("list", "tuple", "set", "deque"):
        known = [*(here if isinstance(here, (list, tuple, collections.deque)) else []), *[None] * len(of[0])]
        values = [read(value, old, arrays) for value, old in zip(of[0], known, strict=False)]
        return collections.deque(values, of[1]) if kind == "deque" else SEVERAL[kind](values)
    if kind == "dict":
        by_key = here if isinstance(here, dict) else {}
        pairs = [(read(key, None, arrays), value) for key, value in of[0]]
        return {key: read(value, by_key.get(key), arrays) for key, value in pairs}
    if kind in ("program", "constant", "network", "again") and not isinstance(here, PLAIN):
        return here
    if kind == "enum" and isinstance(here, enum.Enum) and of[0] == type(here).__name__:
        return type(here)[of[1]]
    if kind == "generator" and isinstance(here, np.random.Generator):
        return Advanced(here, _state(read(of[1], None, arrays), here))
    if kind == "object":
        return _object(of[0], of[2], here, arrays)
    raise ArgumentError(f"where this program has a {type(here).__name__}, the file has a {str(kind)[:40]!r}")


def read_object(plain: Any, here: Any, arrays: dict[str, np.ndarray]) -> Filled:
    """An object as it was kept, in the place of this one; an ArgumentError where it is none that could be there."""
    found = read(plain, here, arrays)
    if not isinstance(found, Filled) or (found.here is not here and not isinstance(here, Schedule)):
        raise ArgumentError(f"where this program has a {type(here).__name__}, the file has something else")
    return found


def _object(cls: str, described: dict[str, Any], here: Any, arrays: dict[str, np.ndarray]) -> Filled:
    """An object: the program's, or one of minibp's schedules, of which any may take the place of another."""
    name = (OURS if type(here).__module__.startswith(OURS) else "") + type(here).__name__
    if cls != name:
        if cls not in SCHEDULES:
            raise ArgumentError(f"where this program has a {name}, the file has a {str(cls)[:40]!r}")
        here = SCHEDULES[cls].__new__(SCHEDULES[cls])
    known, values = attributes(here), {}
    for key, plain in described.items():
        if isinstance(plain, list) and plain[:1] == ["network"] and key not in known:
            continue
        if is_method(here, key) or (key in vars(here) and key not in known):
            raise ArgumentError(f"{key} is no attribute of a {name} that a file could give")
        value = GONE if plain == GONE else read(plain, known.get(key), arrays)
        check = inspect.getattr_static(type(here), key, None)
        if isinstance(check, Checked) and isinstance(value, Filled):
            check.checked(here, value.here)
        elif isinstance(check, Checked):
            value = check.checked(here, value)
        elif _is_fixed(here, key) and value != known.get(key):
            raise ArgumentError(f"{name}: {key} is {known.get(key)!r}, in the file {value!r}")
        values[key] = value
    if missing := checks(here) - values.keys():
        raise ArgumentError(f"{name}: the file has no {', '.join(missing)}")
    if isinstance(here, Optimizer):
        _refuse_unfit(here, values)
    return Filled(here, values)


def _is_fixed(thing: Any, name: str) -> bool:
    """Whether it is as the class has it, or as the arrays have their shapes from."""
    of_base = any(isinstance(thing, cls) and hasattr(cls, name) for cls in (Layer, Loss, Optimizer))
    return of_base or any(isinstance(thing, cls) and name in names for cls, names in FIXED.items())


def checks(thing: Any) -> set[str]:
    """The names of its attributes that minibp checks."""
    return {name for cls in type(thing).__mro__ for name, value in vars(cls).items() if isinstance(value, Checked)}


def _refuse_unfit(optimizer: Optimizer, values: dict[str, Any]) -> None:
    """Refuse, by an ArgumentError, numbers that are right each, but not together."""
    twin = object.__new__(type(optimizer))
    vars(twin).update(vars(optimizer) | values)
    for name in optimizer.config():
        twin.fits(name, values[name])


def _state(state: dict[str, Any], here: np.random.Generator) -> dict[str, Any]:
    """The state of a generator of this kind, tried."""
    place, most = BOUNDS.get(state["bit_generator"], ("", 0))
    at = state.get(place, state["state"].get(place, 0) if isinstance(state["state"], dict) else 0)
    if type(at) is not int or not 0 <= at <= most:
        raise ArgumentError(f"{place} of a generator must be an integer of 0..{most}, got {at!r}")
    type(here.bit_generator)(0).state = state
    return state


def _numbers(dtype: np.dtype) -> np.dtype:
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ArgumentError(f"expected numbers, got {dtype}")
    return dtype


def put(value: Any, here: Any, xp: Any) -> Any:
    """What was read, in the place of `here`: lists, dicts, arrays, objects and generators stay the same ones."""
    if isinstance(value, Filled):
        inside = vars(value.here)
        for name, each in value.values.items():
            if each is GONE:
                inside.pop(name, None)
            else:
                inside[name] = put(each, inside.get(name), xp)
        return value.here
    if isinstance(value, Advanced):
        value.here.bit_generator.state = value.state
        return value.here
    if isinstance(value, OnDevice):
        made: Any = xp.asarray(value.array)
    elif isinstance(value, dict):
        made = {key: put(each, here.get(key) if type(here) is dict else None, xp) for key, each in value.items()}
    elif isinstance(value, (list, tuple, collections.deque)):
        known = [*(here if type(here) is type(value) else []), *[None] * len(value)]
        made = [put(each, old, xp) for each, old in zip(value, known, strict=False)]
        if isinstance(value, collections.deque):
            made = collections.deque(made, value.maxlen)
        made = tuple(made) if isinstance(value, tuple) else made
    else:
        made = value
    return _in_place(made, here)


def _in_place(made: Any, here: Any) -> Any:
    """What a program may hold stays, with other things in it."""
    if type(made) is not type(here) or made is here:
        return made
    if isinstance(made, (dict, set)):
        here.clear()
        here.update(made)
        return here
    if isinstance(made, list) or (isinstance(made, collections.deque) and made.maxlen == here.maxlen):
        here.clear()
        here.extend(made)
        return here
    if isinstance(made, np.ndarray) and (made.shape, made.dtype) == (here.shape, here.dtype) and here.flags.writeable:
        here[...] = made
        return here
    return made
