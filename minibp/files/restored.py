"""What a checkpoint kept of attributes, given back: first all of it is read and checked, then it is put in place.

It may be a stranger's. Every number of minibp's own classes, and of what is made from them, is checked as where it is
assigned, by an ArgumentError or another ValueError; attributes of other classes are as the file has them. Nothing is
looked up by a name in it but minibp's schedules, and its Epoch.
"""

from __future__ import annotations

import collections
import enum
import inspect
from typing import Any, NamedTuple

import numpy as np

from ..base import COUNTS, Checked, Layer, Loss, Module, boolean, checked_names
from ..errors import ArgumentError
from ..layers import Dense
from ..normalization import Normalization
from ..optimizer import Optimizer
from ..progress import Epoch
from ..schedules import Schedule
from .kept import GONE, OURS, PLAIN, SCHEDULES, attributes, is_method

BOUNDS = {"MT19937": ("pos", 624), "Philox": ("buffer_pos", 4)}  # places in a memory that NumPy does not check
FIXED: dict[type, set[str]] = {Dense: {"n_in", "n_out", "in_shape"}, Normalization: {"n", "in_shape"}}
OF_BASES = (vars(Module).keys() | vars(Layer).keys() | vars(Loss).keys()) - {"in_shape", "gives", "training"}


class Filled(NamedTuple):
    """An object of the program's, and the attributes that it is to have."""

    here: Any
    values: dict[str, Any]


class Advanced(NamedTuple):
    """A generator of the program's, and the state that it is to have."""

    here: np.random.Generator
    state: dict[str, Any]


class Several(NamedTuple):
    """A list, a dict or the like: which of all it is, its values, and whether the program holds it."""

    kind: type
    number: int
    values: Any
    stays: bool
    maxlen: int | None = None


class Same(NamedTuple):
    """What was met before."""

    number: int


class Reader:
    """Reads what was kept, of a file's arrays, and puts it in place."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self.arrays = arrays
        self.met = 0  # lists, dicts, arrays and the like
        self.made: dict[int, Any] = {}

    def read_object(self, plain: Any, here: Any) -> Filled:
        """An object as it was kept, in the place of this one, which is not changed yet.

        Raises
        ------
        ArgumentError
            If it is none that could be there. Also errors of Python, where it is not as `kept` writes it.
        """
        found = self._value(plain, here)
        if not isinstance(found, Filled) or (found.here is not here and not isinstance(here, Schedule)):
            raise ArgumentError(f"where this program has a {type(here).__name__}, the file has something else")
        return found

    def _value(self, plain: Any, here: Any) -> Any:
        if type(plain) is int and abs(plain) >= COUNTS:
            raise ArgumentError("an integer that is too long")
        if isinstance(plain, PLAIN):
            return plain
        kind, *of = plain
        if kind == "numpy":
            return _numbers(np.dtype(of[0])).type(of[1])
        if kind in ("array", "floats", "list", "dict", "set", "deque"):
            self.met += 1
            return self._several(kind, of, here, self.met - 1)
        if kind == "same" and of[0] in range(self.met):
            return Same(of[0])
        if kind in ("tuple", "frozenset"):
            values = [self._value(*pair) for pair in zip(of[0], _beside(of[0], here), strict=True)]
            return tuple(values) if kind == "tuple" else frozenset(values)
        if kind == "record":
            return self._record(of[0], of[1], here)
        if kind in ("program", "constant", "network", "again") and not isinstance(here, PLAIN):
            return here
        if kind == "enum" and isinstance(here, enum.Enum) and of[0] == type(here).__name__:
            return type(here)(of[1]) if isinstance(here, enum.Flag) else type(here)[of[1]]
        if kind == "generator" and isinstance(here, np.random.Generator):
            return Advanced(here, _generator_state(self, of[1], here))
        if kind == "object":
            return self._object(of[0], of[2], here)
        raise ArgumentError(f"where this program has a {type(here).__name__}, the file has a {str(kind)[:40]!r}")

    def _several(self, kind: str, of: list[Any], here: Any, index: int) -> Several:
        stays = of[1] is True
        if kind == "floats":
            return Several(list, index, self.arrays[of[0]].astype("float64").tolist(), stays)
        if kind == "array":
            array = self.arrays[of[0]]
            dtype = _numbers(np.dtype(of[3]))
            if dtype.newbyteorder("=") != array.dtype:
                raise ArgumentError(f"an array of {array.dtype}, where {dtype} is said")
            return Several(np.ndarray, index, (np.array(array, dtype, order=of[4]), of[2] == "cupy"), stays)
        if kind == "dict":
            by_key = here if isinstance(here, dict) else {}
            keys = [self._plain_key(key) for key, _ in of[0]]
            pairs = zip(keys, of[0], strict=True)
            return Several(dict, index, {key: self._value(each[1], by_key.get(key)) for key, each in pairs}, stays)
        values = [self._value(*pair) for pair in zip(of[0], _beside(of[0], here), strict=True)]
        if kind == "deque":
            return Several(collections.deque, index, values, stays, of[2])
        return Several(set if kind == "set" else list, index, set(values) if kind == "set" else values, stays)

    def _plain_key(self, plain: Any) -> Any:
        if isinstance(plain, list) and plain[0] not in ("numpy", "tuple"):
            raise ArgumentError("a key of a dict that is not a number or string")
        return self._value(plain, None)

    def _record(self, cls: str, plain: Any, here: Any) -> Any:
        kind: Any = type(here) if cls == type(here).__name__ else Epoch if cls == Epoch.__name__ else None
        if kind is None or not hasattr(kind, "_make"):
            raise ArgumentError(f"where this program has a {type(here).__name__}, the file has a {cls[:40]!r}")
        return kind._make(self._value(plain, here))

    def _object(self, cls: str, described: dict[str, Any], here: Any) -> Filled:
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
            value = GONE if plain == GONE else self._value(plain, known.get(key))
            check = inspect.getattr_static(type(here), key, None)
            if isinstance(check, Checked) and isinstance(value, Filled):
                check.checked(here, value.here)
            elif isinstance(check, Checked):
                value = check.checked(here, value)
            elif key == "training" and isinstance(here, Module):
                boolean("training", value)
            elif _is_fixed(here, key) and value != known.get(key):
                raise ArgumentError(f"{name}: {key} is {known.get(key)!r}, in the file {value!r}")
            values[key] = value
        if missing := set(checked_names(type(here))) - values.keys():
            raise ArgumentError(f"{name}: the file has no {', '.join(missing)}")
        if isinstance(here, Optimizer):
            _refuse_unfit(here, values)
        return Filled(here, values)

    def put(self, value: Any, here: Any, xp: Any) -> Any:
        """What was read, in the place of `here`: objects, and what the program holds, stay the same ones."""
        if isinstance(value, Filled):
            inside = vars(value.here)
            for name, each in value.values.items():
                if each is GONE:
                    inside.pop(name, None)
                else:
                    inside[name] = self.put(each, inside.get(name), xp)
            return value.here
        if isinstance(value, Advanced):
            value.here.bit_generator.state = value.state
            return value.here
        if isinstance(value, Same):
            return self.made[value.number]
        if isinstance(value, Several):
            self.made[value.number] = self._put_several(value, here, xp)
            return self.made[value.number]
        if isinstance(value, (tuple, frozenset)):
            values = [self.put(each, old, xp) for each, old in zip(value, _beside(value, here), strict=True)]
            return type(value)._make(values) if hasattr(value, "_make") else type(value)(values)
        return value

    def _put_several(self, value: Several, here: Any, xp: Any) -> Any:
        stays = value.stays and type(here) is value.kind
        if value.kind is np.ndarray:
            array, on_device = value.values
            if value.stays and type(here) is (xp if on_device else np).ndarray and here.shape == array.shape:
                here[...] = xp.asarray(array) if on_device else array
                return here
            return xp.asarray(array) if on_device else array
        if value.kind is dict:
            old = here if isinstance(here, dict) else {}
            made: Any = {key: self.put(each, old.get(key), xp) for key, each in value.values.items()}
        elif value.kind is set:
            made = value.values
        else:
            beside = zip(value.values, _beside(value.values, here), strict=True)
            made = [self.put(each, old, xp) for each, old in beside]
            made = collections.deque(made, value.maxlen) if value.kind is collections.deque else made
        if not stays or (value.kind is collections.deque and here.maxlen != value.maxlen):
            return made
        here.clear()
        here.update(made) if value.kind in (dict, set) else here.extend(made)
        return here


def _beside(values: Any, here: Any) -> list[Any]:
    """What the program has in the places of these values; None where it has less."""
    known = list(here) if isinstance(here, (list, tuple, collections.deque)) else []
    return [*known, *[None] * len(values)][: len(values)]


def _is_fixed(thing: Any, name: str) -> bool:
    """Whether it is as the class has it, or what the arrays have their shapes from."""
    of_base = isinstance(thing, Module) and name in OF_BASES
    return of_base or any(isinstance(thing, cls) and name in names for cls, names in FIXED.items())


def _refuse_unfit(optimizer: Optimizer, values: dict[str, Any]) -> None:
    """Refuse, by an ArgumentError, numbers that are right each, but not together."""
    twin = object.__new__(type(optimizer))
    vars(twin).update(vars(optimizer) | values)
    for name in optimizer.config():
        twin.refuse_conflict(name, values[name])


def _generator_state(reader: Reader, plain: Any, here: np.random.Generator) -> dict[str, Any]:
    """The state of a generator of this kind, tried."""
    state = reader.put(reader._value(plain, None), None, np)
    place, most = BOUNDS.get(state["bit_generator"], ("", 0))
    at = state.get(place, state["state"].get(place, 0) if isinstance(state["state"], dict) else 0)
    if type(at) is not int or not 0 <= at <= most:
        raise ArgumentError(f"{place} of a generator must be an integer of 0..{most}, received {at!r}")
    type(here.bit_generator)(0).state = state
    return state


def _numbers(dtype: np.dtype) -> np.dtype:
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ArgumentError(f"expected numbers, received {dtype}")
    return dtype
