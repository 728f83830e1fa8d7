"""The attributes that a checkpoint keeps, of layers, loss, optimizer, schedule and early stopping.

They are encoded as JSON and arrays, to the bit and with their types. What could not be restored is refused here, when
it is written; restored.py reads the rest.
"""

from __future__ import annotations

import collections
import copyreg
import enum
import inspect
import pathlib
import re
import types
from typing import Any

import numpy as np

from .. import schedules
from ..backend import to_host
from ..base import COUNTS, Module, hash_values
from ..errors import ArgumentError
from ..network import Network
from ..optimizer import Optimizer
from ..progress import Epoch
from ..schedules import ReduceOnPlateau, Schedule
from ..stopping import EarlyStopping

DEEPEST = 10  # lists and objects in each other
PLAIN = (type(None), bool, int, float, str)
CODE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, np.ufunc, type(np.sum))
CONSTANTS = (complex, bytes, range, slice, pathlib.PurePath, np.dtype, re.Pattern, type(...))  # compared, and not kept
LONG = 1000  # floats in a list, from which on they are kept as an array
MADE_ANEW = {  # by a network, an optimizer or an EarlyStopping
    Module: {"_arrays", "_initializers", "_buffer_names", "dtype"},
    Optimizer: {"net", "schedule", "moments", "xp", "pieces", "compiled", "compile_at"},
    EarlyStopping: {"net", "kept"},
    Network: {
        "layers", "loss", "shapes", "rng", "xp", "dtype", "params", "grads", "buffers", "weights", "weight_count",
        "first_trainable", "chain", "fused_loss", "output_activation", "optimizers", "loops", "_waiting",
        "_output_sizes",
    },
}  # fmt: skip
KEYS = ("numpy", "tuple")  # and plain values: what can be a key of a dict, or in a set
LEFT_OUT, GONE = object(), ["gone"]  # of attributes: one that is not kept, and one of the start that is no more
OURS = "minibp."
SCHEDULES = {OURS + cls.__name__: cls for cls in Schedule.__subclasses__() if cls.__module__ == schedules.__name__}

REPLACED = SCHEDULES.keys() - {OURS + ReduceOnPlateau.__name__}  # it is told losses: a program holds the one it made


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of an object that are its own state: not those that are created again, and no methods."""
    kept = thing.__getstate__() if isinstance(thing, Module) else vars(thing)
    anew = next((names for cls, names in MADE_ANEW.items() if isinstance(thing, cls)), set())
    return {name: value for name, value in kept.items() if name not in anew and not is_method(thing, name)}


def is_method(thing: Any, name: str) -> bool:
    """Whether a class has a method, or a property, of this name."""
    found = inspect.getattr_static(type(thing), name, None)
    return inspect.isroutine(found) or isinstance(found, property)


def is_plain_object(value: Any) -> bool:
    """Whether all that an object holds is in its attributes: not so of files, of a Counter, or with slots."""
    if isinstance(value, (Module, Optimizer, Network, types.SimpleNamespace)):
        return True
    try:
        made, arguments, state, *more = value.__reduce_ex__(2)
    except Exception:  # it says that it cannot, or gives a name
        return False
    by_attributes = made is copyreg.__newobj__ and arguments == (type(value),)  # type: ignore[attr-defined]
    return by_attributes and hasattr(value, "__dict__") and (state is None or isinstance(state, dict)) and not any(more)


class Keeper:
    """Encodes the attributes of all that takes part in a training, and remembers which objects there were.

    Raises
    ------
    ArgumentError
        By its methods, for what cannot be kept.
    """

    def __init__(self, net: Network):
        self.net = net
        self.arrays: dict[str, np.ndarray] = {}  # of the last `encoded`
        self.outer: list[Any] = []  # what is being encoded, from the outside to the inside
        self.objects: dict[int, tuple[int, Any]] = {}  # by id; with the objects themselves, so that no id comes again
        self.first: dict[str, Any] = {}  # lists, arrays and the like of the start, by where they were
        self.several: dict[int, tuple[int, Any]] = {}  # those of now, by id
        self.start: Any = None

    def encoded(self, things: dict[str, Any]) -> dict[str, Any]:
        """The attributes of these objects, by name; an ArgumentError where one cannot be kept."""
        self.arrays, self.several, self.optimizer = {}, {}, things.get("optimizer")
        found = {name: self._object(thing, name) for name, thing in things.items()}
        if self.start is None:
            self.start = found
        for name, now in found.items():
            self._refuse_new(now, self.start[name], name)
        return found

    def _object(self, thing: Any, name: str) -> Any:
        cls = (OURS if type(thing).__module__.startswith(OURS) else "") + type(thing).__name__
        if any(thing is each for each in self.outer):  # it holds what holds it
            return ["again", self._number(thing)]
        self._refuse_deep(name)
        if not is_plain_object(thing):
            cure = "build it of numbers, strings, lists, dicts, arrays, generators, or objects of these"
            raise ArgumentError(f"a checkpoint cannot keep {name}, a {type(thing).__name__}: {cure}")
        self.outer.append(thing)
        # Sorted, as JSON will have them: what is shared is counted as it is met.
        values = {key: self._value(value, f"{name}.{key}") for key, value in sorted(attributes(thing).items())}
        self.outer.pop()
        values = {key: value for key, value in values.items() if value is not LEFT_OUT}
        if isinstance(thing, Module) and not thing._owned and thing._arrays:  # a layer within another
            values["parameters"] = ["network", *(digest(array) for array in thing._arrays.values())]
        # Of minibp's schedules any may take the place of another, and a program may make many.
        return ["object", cls, 0 if cls in SCHEDULES else self._number(thing), values]

    def _number(self, thing: Any) -> int:
        return self.objects.setdefault(id(thing), (len(self.objects), thing))[0]

    def _refuse_deep(self, name: str) -> None:
        if len(self.outer) > DEEPEST:
            raise ArgumentError(f"a checkpoint cannot keep {name}: it lies over {DEEPEST} deep in lists and objects")

    def _value(self, value: Any, name: str) -> Any:
        """A value as JSON can hold it; LEFT_OUT for a view of the network's vectors."""
        if type(value) is int and abs(value) >= COUNTS:
            raise ArgumentError(f"a checkpoint cannot keep {name}, an integer of {value.bit_length()} bits")
        if type(value) in PLAIN:
            return value
        if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
            return ["numpy", value.dtype.str, value.item()]
        if isinstance(value, enum.Enum):
            return ["enum", type(value).__name__, value.value if isinstance(value, enum.Flag) else value.name]
        if isinstance(value, Optimizer) and value is not self.optimizer:
            raise ArgumentError(f"a checkpoint cannot keep {name}, another optimizer than the one that trains")
        if isinstance(value, (*CODE, Optimizer)) or value is self.net or type(value).__module__ == "logging":
            owner = getattr(value, "__self__", None)
            if owner is not None and not isinstance(owner, (*CODE, Module, Network, Optimizer)):
                raise ArgumentError(f"a checkpoint cannot keep {name}, a method of another object: keep the object")
            return ["program", getattr(value, "__qualname__", type(value).__name__), self._number(owner or value)]
        if isinstance(value, Module) and value._owned:
            return ["program", type(value).__name__, self._number(value)]
        if isinstance(value, CONSTANTS):
            return ["constant", repr(value)]
        if isinstance(value, Network):
            return ["network", digest(value.params), digest(value.buffers)]
        if hasattr(value, "__array__"):
            return self._array(value, name)
        if isinstance(value, np.random.Generator):
            if value is self.net.rng:
                raise ArgumentError(f"{name} is the network's generator: give it its own, numpy.random.default_rng(0)")
            return ["generator", self._number(value), self._value(value.bit_generator.state, name)]
        if type(value) in (list, tuple, set, frozenset, collections.deque, dict):
            return self._several(value, name)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return ["record", type(value).__name__, self._several(tuple(value), name)]
        return self._object(value, name)

    def _several(self, value: Any, name: str) -> Any:
        if (again := self._again(value)) is not None:
            return again
        self._refuse_deep(name)
        stays = self._stays(value, name)
        if type(value) is list and len(value) > LONG and all(type(each) is float for each in value):
            return ["floats", self._new_array(np.array(value)), stays]
        self.outer.append(value)
        items = value.items() if isinstance(value, dict) else enumerate(value)
        found = [self._value(each, f"{name}[{key!r}]") for key, each in items]
        self.outer.pop()
        if any(each is LEFT_OUT for each in found):
            raise ArgumentError(f"a checkpoint cannot keep {name}: in it lies a view of the network's vectors; copy it")
        keys = [self._value(key, f"a key of {name}") for key in value] if isinstance(value, dict) else []
        for each in keys or (found if isinstance(value, (set, frozenset)) else []):
            if isinstance(each, list) and each[0] not in KEYS:
                what = "a dict with keys" if isinstance(value, dict) else f"a {type(value).__name__} of things"
                raise ArgumentError(f"a checkpoint cannot keep {name}, {what} that are not numbers or strings")
        if isinstance(value, (set, frozenset)):
            found.sort(key=repr)  # in another process they come in another order
        if isinstance(value, dict):
            found = [list(pair) for pair in zip(keys, found, strict=True)]
        return [type(value).__name__, found, stays, *([value.maxlen] if isinstance(value, collections.deque) else [])]

    def _array(self, value: Any, name: str) -> Any:
        net, xp = self.net, self.net.xp
        of_library = type(value) is np.ndarray or (xp is not np and isinstance(value, xp.ndarray))
        if not of_library or value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            what = f"{type(value).__name__} of {getattr(value, 'dtype', 'unknown values')}"
            raise ArgumentError(f"a checkpoint cannot keep {name}, a {what}: make it an array of numbers")
        vectors = (net.params, net.buffers)
        if isinstance(value, xp.ndarray) and any(xp.may_share_memory(value, each) for each in vectors):
            return LEFT_OUT
        if (again := self._again(value)) is not None:
            return again
        stays, host = self._stays(value, name), to_host(value)
        order = "F" if host.flags.f_contiguous and not host.flags.c_contiguous else "C"
        key = self._new_array(host.astype(host.dtype.newbyteorder("=")))
        return ["array", key, stays, "numpy" if host is value else "cupy", host.dtype.str, order]

    def _new_array(self, array: np.ndarray) -> str:
        key = f"attributes.{len(self.arrays)}"
        self.arrays[key] = array
        return key

    def _again(self, value: Any) -> Any:
        """For what several names share: where it was met first. Each is counted as it is met."""
        if type(value) in (tuple, frozenset):
            return None
        known = len(self.several)
        index, _ = self.several.setdefault(id(value), (known, value))
        return ["same", index] if index < known else None

    def _stays(self, value: Any, name: str) -> bool:
        """Whether it is what the program had there at the start, and may hold: that one gets other values."""
        return (self.first.setdefault(name, value) if self.start is None else self.first.get(name)) is value

    def _refuse_new(self, now: Any, start: Any, name: str) -> None:
        """Refuse what only a program has, and this one had not at its start: it is not found again.

        No class and no function is looked up by its name; but for minibp's schedules. Both are encoded.
        """
        if not isinstance(now, list):
            return
        kind, *of = now
        likeness: list[Any] = start if isinstance(start, list) else [None]
        like, was = likeness[0], likeness[1:]
        if kind == "object":
            same = like == kind and of[:2] == was[:2]
            if not same and of[0] not in REPLACED:
                raise ArgumentError(f"a checkpoint cannot keep {name}, now another object ({of[0]}) than at the start")
            before = was[2] if same else {}
            for key, value in of[2].items():
                self._refuse_new(value, before.get(key), f"{name}.{key}")
            of[2].update(dict.fromkeys(before.keys() - of[2].keys(), GONE))
        elif kind == "network" and now != start:
            raise ArgumentError(f"{name}, another network, has changed: a checkpoint keeps the one that is trained")
        elif kind in ("program", "constant") and now != start:
            raise ArgumentError(f"a checkpoint cannot keep {name}, now {of[0]}, which it was not at the start")
        elif kind == "generator" and (like != kind or of[0] != was[0] or _kind(of[1]) != _kind(was[1])):
            raise ArgumentError(f"a checkpoint cannot keep {name}, now another generator than at the start")
        elif kind == "enum" and (like != kind or of[0] != was[0]):
            raise ArgumentError(f"a checkpoint cannot keep {name}, now of {of[0]}, of which it was not at the start")
        elif kind == "dict":
            before = {repr(key): value for key, value in (was[0] if like == kind else [])}
            for key, value in of[0]:
                self._refuse_new(key, key, name)
                self._refuse_new(value, before.get(repr(key)), f"{name}[{key!r}]")
        elif kind == "record":
            if of[0] != Epoch.__name__ and (like != kind or of[0] != was[0]):
                raise ArgumentError(f"a checkpoint cannot keep {name}, now a {of[0]}, which it was not at the start")
            self._refuse_new(of[1], was[1] if like == kind else None, name)
        elif kind in ("list", "tuple", "deque"):
            before = dict(enumerate(was[0])) if like == kind else {}
            for i, value in enumerate(of[0]):
                self._refuse_new(value, before.get(i), f"{name}[{i}]")


def _kind(state: Any) -> Any:
    """Which generator this is the state of."""
    return next(value for key, value in state[1] if key == "bit_generator")


def digest(*values: Any) -> str:
    """16 digits, which tell arrays, and what JSON can hold, apart that differ by accident."""
    import hashlib
    import json

    found = hashlib.sha256()
    for given in values:
        value = to_host(given) if hasattr(given, "__array__") else given
        if isinstance(value, np.ndarray):
            hash_values(found, value)
        else:
            found.update(json.dumps(value, sort_keys=True, default=str).encode())
    return found.hexdigest()[:16]
