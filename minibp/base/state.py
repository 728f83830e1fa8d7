"""Stateful: objects that give their state as plain values by name, and take it back. Checkpoints keep it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..backend import to_host
from ..errors import ArgumentError
from .arguments import checked_names, of_minibp


class Stateful:
    """Base of all objects that a training depends on: layers, losses, networks, optimizers, schedules, early stopping.

    The state is what later steps depend on: the checked numbers of minibp's classes, parameters, buffers, and
    the attributes that a class of your own names.

    Attributes
    ----------
    state_attributes : tuple of str
        The attributes that methods change and later steps need: ``state_attributes = ("count",)``. They may be numbers,
        strings, arrays, and generators of ``numpy.random.default_rng``. For anything else override the two methods.
    """

    state_attributes: tuple[str, ...] = ()

    def state_dict(self) -> dict[str, Any]:
        """The state by name: numbers, strings, lists and dicts of them, and NumPy arrays. All of it is a copy.

        The state of a part has its name before it, "layers.0.W".
        """
        state = {name: _plain(f"{type(self).__name__}: {name}", getattr(self, name)) for name in self.state_names()}
        for name, each in self.state_parts().items():
            state |= nested(name, each.state_dict())
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back the state that `state_dict` returned. Each value is checked as if it were assigned.

        Raises
        ------
        ArgumentError
            If a value is missing, unknown, or not one that the attribute may have.
        """
        names, parts = self.state_names(), self.state_parts()
        own, inner = by_part(state, parts)
        refuse_other_names(self, own, names)
        for name in names:
            self.load_value(name, own[name])
        for name, each in parts.items():
            try:
                each.load_state_dict(inner[name])
            except ArgumentError as error:
                raise ArgumentError(f"{name}: {error}") from None

    def state_names(self) -> list[str]:
        """The attributes that belong to the state: those of the base classes, too."""
        named = list[str]()
        for cls in reversed(type(self).__mro__):
            declared = vars(cls).get("state_attributes", ())
            named += [declared] if isinstance(declared, str) else declared  # ("count") is a string
        return list(dict.fromkeys([*checked_names(type(self)), *named]))

    def state_parts(self) -> Mapping[str, Stateful]:
        """The objects inside whose state belongs to this one, by name."""
        return {}

    def with_parts(self, name: str) -> dict[str, Stateful]:
        """This object and all parts of parts, by dotted names that begin with `name`."""
        found: dict[str, Stateful] = {name: self}
        for key, each in self.state_parts().items():
            found |= each.with_parts(f"{name}.{key}")
        return found

    def note_attributes(self) -> None:
        """Note, once, which attributes a user's ``__init__`` has set. To be called before other methods set more."""
        if "_init_names" not in vars(self):
            vars(self)["_init_names"] = frozenset(undeclared_attributes(self))

    def load_value(self, name: str, value: Any) -> None:
        """Assign a value of a state to an attribute, if it may have it; else an ArgumentError."""
        current, place = getattr(self, name), f"{type(self).__name__}: {name}"
        if isinstance(current, np.random.Generator):
            current.bit_generator.state = generator_state(place, value, current)
            return
        if name not in checked_names(type(self)):
            _refuse_other_kind(place, value, current)
        if isinstance(value, np.ndarray):
            xp = np if isinstance(current, np.ndarray) else getattr(self, "xp", np)
            value = xp.array(value) if value.ndim or isinstance(current, xp.ndarray) else value[()]
        setattr(self, name, value)


def _plain(place: str, value: Any) -> Any:
    if isinstance(value, np.random.Generator):
        return generator_state(place, value.bit_generator.state, value)
    if hasattr(value, "__array__"):  # also a number of NumPy, as an array without dimensions
        return np.array(to_host(value))
    return copy.deepcopy(value)


def _refuse_other_kind(place: str, value: Any, current: Any) -> None:
    """Raise an ArgumentError for a string in place of a number, and the like.

    None may stand for anything, and an array for a number: an average that starts as 0 becomes one.
    """
    kind = next((each for each in (str, list, dict) if isinstance(current, each)), (bool, int, float, np.ndarray))
    if current is not None and value is not None and not isinstance(value, kind):
        raise ArgumentError(f"{place} is a {type(current).__name__}, the state has a {type(value).__name__}")


def refuse_other_names(owner: Any, state: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise an ArgumentError if a state has other names than these."""
    missing, unknown = set(names) - state.keys(), state.keys() - set(names)
    if missing or unknown:
        faults = [f"no {', '.join(sorted(missing))}"] if missing else []
        faults += [f"the unknown {', '.join(sorted(map(str, unknown)))}"] if unknown else []
        raise ArgumentError(f"{type(owner).__name__}: the state has {' and '.join(faults)}")


def generator_state(name: str, state: Any, generator: np.random.Generator) -> dict[str, Any]:
    """The state for this generator, checked. An ArgumentError for any but one of ``numpy.random.default_rng``.

    NumPy does not check the states of some others. A wrong one would make them read outside their memory.
    """
    if not isinstance(generator.bit_generator, np.random.PCG64):
        kind = type(generator.bit_generator).__name__
        raise ArgumentError(f"{name} is a generator of {kind}; use numpy.random.default_rng, of PCG64")
    trial = np.random.PCG64(0)
    try:
        trial.state = state
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError, DeprecationWarning) as error:
        # The last is of NumPy 1, which takes a negative number for a large one unless warnings are errors.
        raise ArgumentError(f"{name}: not the state of a generator of PCG64 ({error!r:.80})") from None
    return dict(trial.state)


def undeclared_attributes(thing: Stateful) -> dict[str, Any]:
    """Copies of the plain attributes of a user's object that are not part of its state, by name.

    Those that a class of minibp defines are its own affair. Those that `note_attributes` has not noted are set by other
    methods than ``__init__``, each time again.
    """
    ours = [cls for cls in type(thing).__mro__ if of_minibp(cls)]
    if type(thing) in ours:
        return {}
    known, found = {*thing.state_names(), *getattr(thing, "_arrays", ())}, dict[str, Any]()
    has, numeric = dict(vars(thing)), (np.ndarray, np.generic, getattr(thing, "xp", np).ndarray)
    for cls in type(thing).__mro__:  # a number of the class may have become one of the object
        plain = [name for name, value in vars(cls).items() if isinstance(value, (bool, int, float, str))]
        has = {name: getattr(thing, name) for name in plain if cls not in ours and name[:2] != "__"} | has
    for name in (has.keys() & has.get("_init_names", has.keys())) - known:
        value = has[name]
        if any(hasattr(cls, name) for cls in ours):
            continue
        if isinstance(value, np.random.Generator):
            found[name] = str(value.bit_generator.state)
        elif isinstance(value, (bool, int, float, str)):
            found[name] = value
        elif isinstance(value, numeric) and value.dtype.kind in "biuf":
            found[name] = np.array(to_host(value))
    return found


def nested(name: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """A state with this name before each of its names: "inner", {"W": ...} becomes {"inner.W": ...}."""
    return {f"{name}.{key}": value for key, value in state.items()}


def by_part(state: Any, parts: Iterable[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A state without its parts, and the states of the parts: what `nested` has joined."""
    if not isinstance(state, Mapping):
        raise ArgumentError(f"the state is a {type(state).__name__}, expected a dict that state_dict() returned")
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {name: {} for name in parts}
    longest = max(map(len, inner), default=0)
    for name, value in state.items():
        name = str(name)
        dots = (i for i, char in enumerate(name[: longest + 1]) if char == "." and name[:i] in inner)
        at = next(dots, None)
        if at is None:
            own[name] = value
        else:
            inner[name[:at]][name[at + 1 :]] = value
    return own, inner
