"""Module: the base of layers and losses. It holds parameters, layers inside it, and workspaces, and no formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from ..backend import scalar, to_host
from ..errors import ArgumentError, ShapeError, StateError
from .arguments import Checked, boolean, float_dtype
from .parameters import Parameters, refuse_too_large
from .state import Stateful
from .validation import check_array
from .workspaces import Array, Memory, Shape, Workspace

Self = TypeVar("Self", bound="Module")


class Cascading(Checked):
    """A checked attribute of a layer. An assignment reaches all layers inside, and the network is told."""

    def __set__(self, owner: Any, value: Any) -> None:
        value = self.checked(owner, value)
        changed = [module for module in owner.modules() if module.__dict__[self.name] != value]
        for module in changed:  # binds again: in inference mode y may be x itself
            module.__dict__.update({self.name: value, "_shape": None})
        network = owner._network and owner._network()
        if changed and network is not None:
            network.refresh_trainable()


class Module(Parameters):
    """Base of layers and losses.

    A module has parameters, which are trained; buffers, which are saved but not trained; and workspaces, which its
    formula overwrites with its results. All three are attributes: ``self.W``, ``self.running_mean``, ``self.y``.
    Assigning to a parameter, its gradient or a buffer copies the values into the existing array. Assigning to any other
    attribute replaces it.

    A layer that is assigned to an attribute, alone or in a list, tuple or dict, is inside this one: its parameters are
    trained, moved, copied and saved with it.

    Attributes
    ----------
    training : bool
        True in training mode, False in inference mode (no dropout, running statistics). Predictions of a network run
        on twins of its layers, in inference mode.
    trainable : bool, default True
        False freezes the parameters, here and in the layers inside, but not buffers such as running statistics. Set it
        between two epochs.
    xp : module
        The array library to compute with: numpy or cupy.
    dtype : numpy.dtype
        The dtype to compute in: float64, unless a network or `astype` sets another.
    """

    training: Any = Cascading(boolean)
    trainable: Any = Cascading(boolean)
    x: Array = None
    y: Array = None
    _shape: Shape | None = None  # of the x that the workspaces are bound to
    _network: Any = None  # a weak reference to the network that the module belongs to
    # Constants in the dtype of the module (see `attach`). exp(log_max) is finite.
    zero, half, one, log_max = np.float64(0), np.float64(0.5), np.float64(1), np.float64(708)

    def __init__(self) -> None:
        super().__init__()
        self.__dict__.update(training=True, trainable=True, _memory=Memory())

    def config(self) -> dict[str, Any]:
        """The arguments that create an equal module, by name: numbers, strings, and layers."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.config().values()))})"

    def set_plain(self, name: str, value: Any) -> None:
        if callable(getattr(Module, name, None)):
            raise ArgumentError(f"{type(self).__name__}: {name} is a method of all layers; choose another name")
        if name in ("dtype", "xp"):
            cure = f"{type(self).__name__}.astype sets the dtype of a layer alone, net.to moves a network"
            raise StateError(f"{self}: {name} cannot be assigned; {cure}")
        if self._network is not None and layers_in(name, value):
            raise StateError(f"{self} belongs to a network, so {name} cannot be another layer; build a new network")
        super().set_plain(name, value)

    def _as_array(self, x: Array, name: str) -> Array:
        x = check_array(x, f"{self}: {name}", expected="numbers, one sample a row", xp=self.xp)
        return self.xp.asarray(x, self.dtype)

    def initialize(self, rng: np.random.Generator) -> None:
        super().initialize(rng)
        for child in self.children().values():
            child.initialize(rng)

    # ---- layers inside

    def children(self) -> dict[str, Module]:
        """The layers in attributes of this one, by name: "inner", or "inner.0" in a list, tuple or dict."""
        found: dict[str, Module] = {}
        for name, value in self.__dict__.items():
            found.update(layers_in(name, value))
        return found

    def named_modules(self, name: str = "") -> dict[str, Module]:
        """This module and all inside it, each after the one that holds it, by dotted names that begin with `name`.

        A StateError if one is held twice.
        """
        found: dict[str, Module] = {}
        places: dict[int, str] = {}
        waiting: list[tuple[str, Module]] = [(name, self)]
        while waiting:
            name, module = waiting.pop()
            if first := places.get(id(module)):
                kind = type(module).__name__
                what = f"{name} and {first} are the same {kind}"
                raise StateError(f"{what}; hold each layer in one place, and create a second one for another")
            places[id(module)], found[name] = name or "the layer", module
            waiting += reversed([(f"{name}.{key}" if name else key, child) for key, child in module.children().items()])
        return found

    def modules(self) -> list[Module]:
        """This module and all inside it."""
        return list(self.named_modules().values())

    def state_parts(self) -> Mapping[str, Stateful]:
        return self.children()

    def can_train(self) -> bool:
        """Whether there are parameters, here or in a layer inside, that are not frozen."""
        return any(module.trainable and module.params for module in self.modules())

    # ---- memory

    def workspaces(self, shape: Shape) -> dict[str, Shape | Workspace]:
        """The arrays that the formula uses for an x of this shape: by name, a shape or a `Workspace`.

        Each is available as an attribute, such as ``self.y``.
        """
        return {"y": shape, "dx": shape}

    def create_workspaces(self, shape: Shape) -> dict[str, Array]:
        """Create the workspaces for an x of this shape, by name."""
        return {
            name: self._memory.cut(name, spec, self.xp, self.dtype) for name, spec in self.workspaces(shape).items()
        }

    def bind(self, shape: Shape) -> None:
        """Point ``self.y``, ``self.dx``, ... to the workspaces for an x of this shape, which are created once."""
        self.note_attributes()
        new = shape not in self._memory.views
        self.__dict__.update(self._memory.bind(shape, self.create_workspaces(shape) if new else None))

    def attach(self, xp: Any, dtype: np.dtype, arrays: dict[str, Array]) -> None:
        """Compute with this library, dtype and arrays (W, dW, ... by name). A network passes views of its vectors."""
        for name in self._memory.names():
            self.__dict__.pop(name, None)
        log_max = math.floor(math.log(np.finfo(dtype).max)) - 1  # so that 1 / exp(log_max) is a normal number
        numbers = {"zero": 0, "half": 0.5, "one": 1, "log_max": log_max}
        constants = {name: scalar(number, xp, dtype) for name, number in numbers.items()}
        self.__dict__.update(arrays, **constants, _arrays=arrays, xp=xp, dtype=dtype, _shape=None, x=None, y=None)
        self.__dict__["_memory"] = Memory()

    def astype(self: Self, dtype: Any) -> Self:
        """Compute in this dtype from now on, and return the module. A module of a network has the network's dtype.

        Raises an ArgumentError if dtype is neither float32 nor float64, or a parameter is too large for it.
        """
        if any(module._network is not None for module in self.modules()):
            raise StateError(f"{self} belongs to a network, which sets the dtype: Network(..., dtype={dtype!r})")
        self.initialize(np.random.default_rng())
        dtype, modules = float_dtype(dtype), self.modules()
        for module in modules:
            refuse_too_large(module, dtype)
        for module in modules:
            module.attach(module.xp, dtype, {name: array.astype(dtype) for name, array in module._arrays.items()})
        return self

    # ---- copies

    def __getstate__(self) -> dict[str, Any]:
        # A copy holds the values, on the host, but no workspaces, and belongs to no network.
        drop = self._memory.names() | {"_memory", "_network", "xp", "x", "y", "_shape", "needs_dx", "index", "shard"}
        drop |= {"zero", "half", "one", "log_max", *self._arrays}
        kept = {name: value for name, value in self.__dict__.items() if name not in drop}
        return kept | {"_arrays": {name: to_host(array) for name, array in self._arrays.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy works alone, even if the original belongs to a network.
        self.__dict__.update(state, _memory=Memory())
        self.attach(self.xp, self.dtype, {name: self.xp.asarray(array) for name, array in self._arrays.items()})


def ignore_underflow(method: Callable[..., Any], *arrays: Array) -> Any:
    """Call a method of a layer or a loss that is used alone: formulas count on underflow to 0.

    Without this, ``np.seterr(all="raise")`` would make it an error.
    """
    with np.errstate(under="ignore"):
        return method(*arrays)


def check_returned(module: Module, method: str, value: Any, shape: Shape, what: str) -> None:
    """Raise a ShapeError that names the class, if what its method returned is not an array of this shape."""
    if isinstance(value, module.xp.ndarray):
        if value.shape == shape:
            return
        received = f"one of shape {value.shape}"
    elif isinstance(value, np.ndarray):
        received = "one of NumPy; compute with self.xp"
    else:
        received = "None" if value is None else f"a {type(value).__name__}"
    raise ShapeError(f"{module}: {method} must return {what}, an array of shape {shape}; it returned {received}")


def layers_in(name: str, value: Any) -> dict[str, Module]:
    """The layers in a value of an attribute, by name: a layer, or those in lists, tuples and dicts."""
    if isinstance(value, Module):
        return {name: value}
    if not isinstance(value, (list, tuple, dict)):
        return {}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {key: each for inner, item in items for key, each in layers_in(f"{name}.{inner}", item).items()}
