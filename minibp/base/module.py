"""Module: the base of layers and losses. It holds parameters, buffers and workspaces, and no formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..backend import to_host, to_library
from ..errors import ArgumentError, ShapeError, StateError
from .arguments import Checked, float_dtype, generator
from .validation import check_array, check_assigned, check_range

Shape = tuple[int, ...]
Self = TypeVar("Self", bound="Module")
Array = Any  # a NumPy or CuPy array, depending on `xp`

# An array with fewer columns than this, and at least as many rows as columns, is stored column by column. Reducing its
# rows is then 3 to 5 times as fast, and adds up the columns in their order (compiled.py does the same).
NARROW = 32
TOO_MANY = 1 << 48  # values of a parameter; NumPy raises various errors for more
MAX_SHAPES = 8  # batch shapes to remember: training and inference need two each, a full batch and the last one


class Workspace(NamedTuple):
    """An array that a formula uses: its shape, its dtype (None for that of the module), and its values.

    `fill` is None if the formula writes the values, a number, or "range" for 0, 1, 2, ... in the order of the elements.
    A formula must not write to a filled workspace.
    """

    shape: Shape
    dtype: Any = None
    fill: float | str | None = None


class Module:
    """Base of layers and losses.

    A module holds parameters, which are trained; buffers, which are saved but not trained; and workspaces, which its
    formula overwrites with its results. All three are attributes: ``self.W``, ``self.running_mean``, ``self.y``.
    Assigning to a parameter, its gradient or a buffer copies the values into the existing array, which may be a view
    of a network's vector. Assigning to any other attribute replaces it.

    Attributes
    ----------
    training : bool
        True in training mode, False in inference mode (no dropout, running statistics). A network sets it.
    xp : module
        The array library to compute with: numpy or cupy.
    dtype : numpy.dtype
        The dtype to compute in: float64, unless a network or `astype` sets another.
    """

    xp: Any = np
    dtype = np.dtype("float64")
    training = True
    _shape: Shape | None = None  # of the x that the workspaces are bound to
    # Constants in the dtype of the module (see `attach`). exp(log_max) is finite.
    zero, half, one, log_max = np.float64(0), np.float64(0.5), np.float64(1), np.float64(708)

    def config(self) -> dict[str, Any]:
        """The arguments that create an equal module, by name, as plain numbers and strings."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.config().values()))})"

    def _as_array(self, x: Array, name: str) -> Array:
        x = check_array(x, f"{self}: {name}", expected="numbers, one sample a row", xp=self.xp)
        return self.xp.asarray(x, self.dtype)

    # ---- parameters: drawn late, so that a network can draw them from its seed

    def __new__(cls: type[Self], *args: Any, **kwargs: Any) -> Self:
        # Not in __init__, so that your own layer need not call super().__init__().
        if (args or kwargs) and cls.__init__ is object.__init__:  # object relies on __new__ to refuse arguments
            raise TypeError(f"{cls.__name__}() takes no arguments")
        self = super().__new__(cls)
        self.__dict__.update(_initializers={}, _buffer_names=[], _arrays={})
        self.__dict__.update(_memory={}, _bound={}, _loops={}, _owned=False)
        return self

    def add_parameter(self, name: str, shape: Shape, start: Callable | Any, trained: bool = True) -> None:
        """Declare a parameter. ``self.W`` is then the array and ``self.dW`` its gradient.

        Parameters
        ----------
        name : str
            Its name, for example "W".
        shape : tuple of int
            Its shape. Arrays of two or more dimensions are weights, which weight decay applies to; others are biases.
        start : initializer or array
            An initializer, called as ``start(shape, rng)``; or the initial values, which are copied.
        trained : bool, default True
            False declares a buffer: an array that is saved and moved with the network but not trained, such as running
            statistics. It has no gradient.

        Raises
        ------
        ArgumentError
            If the values have another shape or are not finite.
        """
        if isinstance(start, type):
            raise ArgumentError(f"{type(self).__name__}: {name} received a class; write {start.__name__}()")
        if math.prod(shape) >= TOO_MANY:
            raise ArgumentError(f"{type(self).__name__}: {name} of shape {shape} has more values than fit into memory")
        self._initializers[name] = (shape, start)
        if not trained:
            self._buffer_names.append(name)
        if not callable(start):
            self._fill(name, start)

    def _fill(self, name: str, value: Any) -> None:
        """Create the array of a parameter or buffer from these values, and the gradient of a parameter."""
        shape, _ = self._initializers[name]
        try:
            array = np.array(value, self.dtype)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"{type(self).__name__}: {name} must be an initializer or an array: {error}") from None
        if array.shape != shape or not np.isfinite(array).all():
            raise ArgumentError(
                f"{type(self).__name__}: {name} must hold finite numbers, shape {shape}; received shape {array.shape}"
                + (", with NaN or infinity in it" if array.shape == shape else "")
            )
        self._initializers[name] = (shape, None)  # copies of the module do not need the initial values
        array = self.xp.asarray(array)
        arrays = {name: array} if name in self._buffer_names else {name: array, "d" + name: self.xp.zeros_like(array)}
        self._arrays.update(arrays)
        self.__dict__.update(arrays)

    def shapes(self) -> dict[str, Shape]:
        """The shapes of all parameters and buffers by name, whether drawn or not."""
        return {name: shape for name, (shape, _) in self._initializers.items()}

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw the parameters that have no values yet; an ArgumentError if an initializer draws NaN or infinity."""
        for name, (shape, start) in self._initializers.items():
            if name not in self._arrays:
                self._fill(name, start(shape, rng))

    def seeded(self, seed: int | None) -> None:
        """Draw the parameters now if there is a seed, else at the first use."""
        if seed is not None:
            self.initialize(generator(seed))

    def __getattr__(self, name: str) -> Any:
        # Called only for a missing attribute. A parameter of a layer that is used alone is drawn at its first use.
        starts = self.__dict__.get("_initializers", {})
        if name in starts or (name[:1] == "d" and name[1:] in starts):
            self.initialize(np.random.default_rng())
            return self.__dict__[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        # `layer.W = array` and `self.dW = array` write into the existing array, which may be a view of a network's.
        array = self._arrays.get(name)
        if array is None and name in self._initializers:
            self.initialize(np.random.default_rng())
            array = self._arrays[name]
        if array is None:
            check = getattr(type(self), name, None)
            self.__dict__[name] = check.checked(self, value) if isinstance(check, Checked) else value
            return
        if value is array:  # changed in place, as in layer.W -= ...
            return
        if name in self._initializers and name not in self._buffer_names:
            check_assigned(value, f"{self}: {name}", self.xp, self.dtype)
        value = to_library(value, self.xp, self.dtype)
        if value.shape != array.shape:
            raise ShapeError(f"{self}: {name} has shape {array.shape}, received an array of shape {value.shape}")
        array[...] = value

    def _group(self, prefix: str, buffers: bool) -> Mapping[str, Array]:
        names = [name for name in self._initializers if (name in self._buffer_names) == buffers]
        return MappingProxyType({name: getattr(self, prefix + name) for name in names})

    @property
    def params(self) -> Mapping[str, Array]:
        """The trained parameters by name. The mapping is read-only, but not the arrays."""
        return self._group("", False)

    @property
    def grads(self) -> Mapping[str, Array]:
        """The gradients of the last `backward`, by the names of the parameters."""
        return self._group("d", False)

    @property
    def buffers(self) -> Mapping[str, Array]:
        """The arrays that are saved but not trained, by name."""
        return self._group("", True)

    # ---- memory

    def workspaces(self, shape: Shape) -> dict[str, Shape | Workspace]:
        """The arrays that the formula uses for an x of this shape: by name, a shape or a `Workspace`.

        Each is available as an attribute, such as ``self.y``.
        """
        return {"y": shape, "dx": shape}

    def attach(self, xp: Any, dtype: np.dtype, arrays: dict[str, Array]) -> None:
        """Compute with this library, dtype and arrays (W, dW, ... by name). A network passes views of its vectors."""
        self.drop_loops()
        for name in self._workspace_names():
            self.__dict__.pop(name, None)
        self._memory.clear()
        self._bound.clear()
        # As 0-d arrays: NumPy is 0.3 us faster with them than with Python numbers, and CuPy launches no copy.
        log_max = math.floor(math.log(np.finfo(dtype).max)) - 1  # so that 1 / exp(log_max) is a normal number
        numbers = {"zero": 0, "half": 0.5, "one": 1, "log_max": log_max}
        constants = {name: xp.asarray(number, dtype) for name, number in numbers.items()}
        self.__dict__.update(arrays, **constants, _arrays=arrays, xp=xp, dtype=dtype, _shape=None, x=None, y=None)

    def astype(self: Self, dtype: Any) -> Self:
        """Compute in this dtype from now on, and return the module. A module of a network has the network's dtype.

        Raises an ArgumentError if dtype is neither float32 nor float64, or a parameter is too large for it.
        """
        if self._owned:
            raise StateError(f"{self} belongs to a network, which sets the dtype: Network(..., dtype={dtype!r})")
        self.initialize(np.random.default_rng())
        refuse_too_large(self, float_dtype(dtype))
        self.attach(self.xp, float_dtype(dtype), {name: array.astype(dtype) for name, array in self._arrays.items()})
        return self

    def use_loops(self, loops: Mapping[str, Callable]) -> None:
        """Replace the methods of these names by functions of (module, ...), until `attach` or `drop_loops`."""
        self._loops.update(loops)
        self.__dict__.update({name: partial(function, self) for name, function in loops.items()})

    def drop_loops(self) -> None:
        """Undo `use_loops`."""
        for name in self._loops:
            self.__dict__.pop(name, None)
        self._loops.clear()

    def bind(self, shape: Shape) -> None:
        """Point ``self.y``, ``self.dx``, ... to the workspaces for an x of this shape, which are created once."""
        key = (self.training, shape)  # by mode, so that a prediction does not disturb a training step
        if key not in self._bound:
            if len(self._bound) >= MAX_SHAPES:
                del self._bound[next(iter(self._bound))]
            self._bound[key] = self.create_workspaces(shape)
        self.__dict__.update(self._bound[key], _shape=shape)

    def create_workspaces(self, shape: Shape) -> dict[str, Array]:
        """Create the workspaces for an x of this shape, by name."""
        return {name: self._cut(name, spec) for name, spec in self.workspaces(shape).items()}

    def _cut(self, name: str, spec: Shape | Workspace) -> Array:
        """A workspace: the first part of the memory of that name, which all batch shapes share."""
        shape, dtype, fill = spec if isinstance(spec, Workspace) else Workspace(spec)
        size, key, dtype = math.prod(shape), (self.training, name), self.dtype if dtype is None else dtype
        if fill == "range":  # not shared, because its values depend on the shape
            self._memory[key] = self.xp.empty(size, dtype)
        elif key not in self._memory or self._memory[key].size < size:
            self._memory[key] = self.xp.empty(size, dtype)
            self._bound.clear()  # smaller batches use the new memory, too
        flat = self._memory[key][:size]
        narrow = self.xp is np and len(shape) == 2 and shape[1] < NARROW and shape[1] <= shape[0]
        array = flat.reshape(shape[::-1]).T if narrow else flat.reshape(shape)
        if fill == "range":
            array[...] = self.xp.arange(size, dtype=dtype).reshape(shape)
        elif fill is not None:
            array[...] = fill
        return array

    def _workspace_names(self) -> set[str]:
        return {name for views in self._bound.values() for name in views}

    def __getstate__(self) -> dict[str, Any]:
        # A copy holds the values, on the host, but no workspaces, and belongs to no network.
        drop = self._workspace_names() | {"_memory", "_bound", "_owned", "xp", "x", "y", "_shape", "needs_dx", "index"}
        drop |= {"zero", "half", "one", "log_max", *self._arrays, "_loops", *self._loops}
        kept = {name: value for name, value in self.__dict__.items() if name not in drop}
        return kept | {"_arrays": {name: to_host(array) for name, array in self._arrays.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy works alone, even if the original belongs to a network.
        self.__dict__.update(state)
        self.attach(self.xp, self.dtype, {name: self.xp.asarray(array) for name, array in self._arrays.items()})


def refuse_too_large(module: Module, dtype: np.dtype) -> None:
    """Raise an ArgumentError if a parameter or buffer would become infinite in this dtype."""
    for name, array in {**module.params, **module.buffers}.items():
        check_range(array, f"{module}: {name}", dtype)
