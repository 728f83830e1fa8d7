"""What a checkpoint keeps besides vectors: the attributes of layers, loss, optimizer and schedule, as JSON, and back.

`encode` refuses at once what could not be given back. What comes back may be a stranger's: every value of minibp's own
classes is checked, by an ArgumentError or another ValueError.
"""

from __future__ import annotations

import copy
import enum
import inspect
import types
from itertools import zip_longest
from typing import Any

import numpy as np

from . import schedules
from .errors import ArgumentError
from .layers import Dense
from .losses import QuadraticLoss
from .network import Network
from .optimizer import Optimizer
from .part import Part
from .schedules import Schedule

COUNTS = 1 << 256  # counts and seeds are below this: as floats they are finite
DEEPEST = 5  # lists and objects in each other
LARGEST = 10_000  # values of an array
PLAIN = (type(None), bool, int, float, str)
CODE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, np.ufunc)
OF_NETWORKS = {"_held", "_starts", "_state", "dtype", "training"}  # attributes of a layer that a network makes
OF_OPTIMIZERS = {"net", "schedule", "vectors", "xp", "pieces", "compiled", "decays", "late"}
MARK = "minibp."
SCHEDULES = {MARK + n: cls for n, cls in vars(schedules).items() if isinstance(cls, type) and issubclass(cls, Schedule)}


def ours(thing: Any) -> bool:
    """Whether it is of one of minibp's own classes, whose attributes are known."""
    return type(thing).__module__.startswith(MARK)


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of a layer, a loss, an optimizer or any other object that are its own state."""
    kept = vars(thing)
    if isinstance(thing, Part):
        kept = {name: value for name, value in thing.__getstate__().items() if name not in OF_NETWORKS}
        kept = {name: value for name, value in kept.items() if not _holds_array(value)}  # they are of the last batch
    elif isinstance(thing, Optimizer) and ours(thing):
        kept = {"steps": thing.steps, **thing.config()}
    elif isinstance(thing, Optimizer):
        kept = {name: value for name, value in kept.items() if name not in OF_OPTIMIZERS}
    # But for a method that a program has put another in the place of.
    return {name: value for name, value in kept.items() if not callable(getattr(type(thing), name, None))}


def _holds_array(value: Any) -> bool:
    if isinstance(value, (list, tuple, dict)):
        return any(map(_holds_array, value.values() if isinstance(value, dict) else value))
    return hasattr(value, "__array__") and not isinstance(value, np.generic)


def _is_programs(value: Any) -> bool:
    """Whether it is no state, but what every start of the program makes again."""
    return isinstance(value, (*CODE, Network, Optimizer)) or (isinstance(value, Part) and value._taken)


# ---- to the file


def encoded(thing: Any, name: str) -> dict[str, Any]:
    """All attributes of an object that are its own state, as JSON can hold them."""
    return {key: encode(value, f"{name}: {key}") for key, value in attributes(thing).items()}


def encode(value: Any, name: str, depth: int = 0) -> Any:
    """A value as JSON can hold it, to the bit; an ArgumentError, by its name, where that cannot be."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        return ["numpy", value.dtype.str, value.item()]
    if _is_programs(value):
        return ["program", getattr(value, "__qualname__", type(value).__name__)]
    if isinstance(value, enum.Enum):
        return ["enum", type(value).__name__, value.name]
    if depth == DEEPEST:
        raise ArgumentError(f"a checkpoint cannot keep {name}: lists or objects lie in each other, over {DEEPEST} deep")

    def inner(value: Any, at: str) -> Any:
        return encode(value, f"{name}{at}", depth + 1)

    if type(value) in (list, tuple):
        return [type(value).__name__, [inner(each, f"[{i}]") for i, each in enumerate(value)]]
    if type(value) is dict:
        return ["dict", [[inner(key, " (key)"), inner(each, f"[{key!r}]")] for key, each in value.items()]]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.size <= LARGEST:
        return ["array", value.dtype.str, list(value.shape), value.reshape(-1).tolist()]
    if isinstance(value, np.random.Generator):
        return ["generator", inner(value.bit_generator.state, ".bit_generator.state")]
    if hasattr(value, "__dict__") and not hasattr(value, "__array__"):
        kind = (MARK if MARK + type(value).__name__ in SCHEDULES and ours(value) else "") + type(value).__name__
        return ["object", kind, {key: inner(each, f".{key}") for key, each in attributes(value).items()}]
    what = f"{type(value).__name__} of shape {value.shape}" if hasattr(value, "shape") else type(value).__name__
    raise ArgumentError(f"a checkpoint cannot keep {name}, a {what}: use numbers, texts, lists, dicts, small arrays")


def refuse_new(now: Any, start: Any, name: str) -> None:
    """Refuse, by an ArgumentError, what only a program has and this one had not at its start: it is not found again.

    Both are encoded. No class and no function is looked up by its name; but for minibp's schedules.
    """
    if isinstance(now, dict):
        for key, value in now.items():
            refuse_new(value, start.get(key) if isinstance(start, dict) else None, f"{name}: {key}")
    elif isinstance(now, list):
        kind, *of = now
        like, *was = start if isinstance(start, list) else [None]
        same = kind == like and (kind not in ("object", "enum", "program") or of[0] == was[0])
        found = same or (kind == "object" and of[0] in SCHEDULES)
        if kind in ("program", "generator", "enum", "object") and not found:
            what = kind if kind == "generator" else of[0]
            raise ArgumentError(f"a checkpoint cannot keep {name}, which has become {what}: give it one at the start")
        if kind == "object":
            refuse_new(of[1], was[1] if same else None, name)
        elif kind in ("list", "tuple", "dict"):
            before: Any = was[0] if same else []
            for value, old in zip_longest(of[0], before[: len(of[0])]):
                if kind == "dict":
                    value, old = value[1], old[1] if old else None
                refuse_new(value, old, f"a value of {name}")


# ---- from the file


def restore(described: dict[str, Any], thing: Any, in_place: bool) -> None:
    """Give an object the attributes that `encoded` gave; or only see whether they can be, by an ArgumentError."""
    here = attributes(thing)
    values = {name: decode(value, here.get(name), in_place) for name, value in described.items()}
    if ours(thing):
        _check(values, thing, here)
    if in_place:
        vars(thing).update(values)


def _check(values: dict[str, Any], thing: Any, here: dict[str, Any]) -> None:
    """Refuse attributes that no object of minibp's would have in the place of this one."""
    if values.keys() != here.keys():
        raise ArgumentError(f"{type(thing).__name__} has {', '.join(here)}; in the file {', '.join(map(str, values))}")
    config = {name: values[name] for name in thing.config()}
    if isinstance(thing, Part):
        made: Any = type(thing)(**config)
        fits = made.shapes() == thing.shapes()
    else:
        made = type(thing)(Network([Dense(1, 1)], QuadraticLoss()), **config)
        fits = made.moments == thing.moments
    if not fits:
        raise ArgumentError(f"it has parameters or moments for {made}, here is {thing}")
    values.update({name: getattr(made, name) for name, value in config.items() if not isinstance(value, np.generic)})
    for name in values.keys() - config.keys():
        if type(here[name]) is int:  # a counter or a seed
            count(values[name])
        elif values[name] != here[name]:
            raise ArgumentError(f"{thing}: {name} is {here[name]}, the file has {values[name]!r}")


def decode(plain: Any, here: Any, in_place: bool) -> Any:
    """What `encode` was given. `here` is what the program has there; objects are changed, in place or in a copy."""
    if isinstance(plain, PLAIN):
        return plain
    kind, *of = plain
    if kind == "numpy":
        return _dtype(of[0]).type(of[1])
    if kind == "array":
        return np.array(of[2], _dtype(of[0])).reshape(of[1])
    if kind in ("list", "tuple"):
        known = [*(here if isinstance(here, (list, tuple)) else []), *[None] * len(of[0])]
        values = [decode(value, old, in_place) for value, old in zip(of[0], known, strict=False)]
        return tuple(values) if kind == "tuple" else values
    if kind == "dict":
        by_key = here if isinstance(here, dict) else {}
        pairs = [(decode(key, None, in_place), value) for key, value in of[0]]
        return {key: decode(value, by_key.get(key), in_place) for key, value in pairs}
    if kind == "program" and _is_programs(here):
        return here
    if kind == "enum" and isinstance(here, enum.Enum) and of[0] == type(here).__name__:
        return type(here)[of[1]]
    if kind == "generator" and isinstance(here, np.random.Generator):
        made = here if in_place else copy.deepcopy(here)
        made.bit_generator.state = decode(of[0], None, in_place)
        return made
    if kind == "object" and of[0] in SCHEDULES:
        return _schedule(SCHEDULES[of[0]], of[1], here, in_place)
    if kind == "object" and of[0] == type(here).__name__:
        made = here if in_place else copy.copy(here)
        vars(made).update({key: decode(value, vars(here).get(key), in_place) for key, value in of[1].items()})
        return made
    raise ArgumentError(f"where this program has a {type(here).__name__}, the file has a {str(kind)[:40]!r}")


def _schedule(cls: type[Schedule], described: dict[str, Any], here: Any, in_place: bool) -> Schedule:
    """One of minibp's schedules, of which any may take the place of another. They are checked where they are made."""
    old = vars(here) if type(here) is cls else {}
    values = {key: decode(value, old.get(key), in_place) for key, value in described.items()}
    # Its arguments have the names of its numbers.
    made = cls(**{key: values[key] for key in inspect.signature(cls).parameters})
    for key, value in values.items():
        if callable(getattr(cls, key, None)):
            raise ArgumentError(f"{cls.__name__} has a method {key}, the file {value!r}")
        like = vars(made).get(key)
        if like is not None and not isinstance(like, Schedule):
            number_like(value, like)
        if not isinstance(like, Schedule):
            vars(made)[key] = value
    if not in_place or type(here) is not cls:
        return made
    vars(here).update(vars(made))
    return here


def _dtype(name: str) -> np.dtype:
    dtype = np.dtype(name)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ArgumentError(f"expected numbers, got {dtype}")
    return dtype


def number_like(value: Any, here: Any) -> Any:
    """A number that can stand where this one is: for a count a count."""
    value = value.item() if isinstance(value, np.generic) else value
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
