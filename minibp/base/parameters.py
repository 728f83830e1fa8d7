"""Parameters: the arrays of a layer or a loss that are trained or kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_library, write
from ..errors import ArgumentError, ShapeError, StateError
from .arguments import Declared
from .state import Stateful
from .validation import check_assigned, check_numbers, check_range
from .workspaces import Array, Shape

TOO_MANY = 1 << 48  # values of a parameter; NumPy raises various errors for more


class Parameter(NamedTuple):
    """The declaration of a parameter or a buffer. `start` is an initializer, or None once there are values."""

    shape: Shape
    start: Callable | None
    trained: bool


class Parameters(Declared, Stateful):
    """An object with parameters, which are trained, and buffers, which are saved but not trained.

    Both are attributes, ``self.W``, and a parameter has its gradient, ``self.dW``. Assigning to one of them copies the
    values into the existing array, which may be a view of a network's vector. Parameters are drawn late, so that a
    network can draw them from its seed.

    Attributes
    ----------
    xp : module
        The array library to compute with: numpy or cupy.
    dtype : numpy.dtype
        The dtype to compute in: float64, unless a network or `Module.astype` sets another.
    """

    xp: Any = np
    dtype = np.dtype("float64")

    def __init__(self) -> None:
        self.__dict__.update(_parameters={}, _arrays={})

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
        self._parameters[name] = Parameter(shape, start if callable(start) else None, trained)
        if not callable(start):
            self.fill_parameter(name, start)

    def fill_parameter(self, name: str, values: Any) -> None:
        """Create the array of a parameter or buffer from these values, and the gradient of a parameter.

        An ArgumentError if `check_values` refuses them.
        """
        shape, _, trained = self._parameters[name]
        array = self.xp.asarray(self.check_values(name, values))
        self._parameters[name] = Parameter(shape, None, trained)  # copies need no initial values
        arrays = {name: array, "d" + name: self.xp.zeros_like(array)} if trained else {name: array}
        self._arrays.update(arrays)
        self.__dict__.update(arrays)

    def check_values(self, name: str, values: Any) -> np.ndarray:
        """New values of a parameter or buffer as an array on the host, checked.

        An ArgumentError if they are not finite numbers of the right shape.
        """
        shape = self._parameters[name].shape
        try:
            with np.errstate(all="ignore"):  # a number too large for the dtype becomes infinity, which is refused
                array = np.array(values, self.dtype)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ArgumentError(f"{type(self).__name__}: {name} must be an initializer or an array: {error}") from None
        if array.shape != shape or not np.isfinite(array).all():
            raise ArgumentError(
                f"{type(self).__name__}: {name} must hold finite numbers, shape {shape}; received shape {array.shape}"
                + (", with NaN or infinity in it" if array.shape == shape else "")
            )
        return array

    def shapes(self) -> dict[str, Shape]:
        """The shapes of all parameters and buffers by name, whether drawn or not, without those of layers inside."""
        return {name: parameter.shape for name, parameter in self._parameters.items()}

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw the parameters that have no values yet; an ArgumentError if an initializer draws NaN or infinity."""
        for name, (shape, start, _) in self._parameters.items():
            if name not in self._arrays:
                assert start is not None
                self.fill_parameter(name, start(shape, rng))

    def __getattr__(self, name: str) -> Any:
        # Called only for a missing attribute. A parameter of a layer that is used alone is drawn at its first use.
        parameters = self.__dict__.get("_parameters")
        if parameters is None and name in ("_parameters", "_arrays", "_memory"):
            cls = type(self).__name__
            raise StateError(f"{cls}: super().__init__() was not called; begin {cls}.__init__ with it")
        if parameters and (name in parameters or (name[:1] == "d" and name[1:] in parameters)):
            self.initialize(np.random.default_rng())
            return self.__dict__[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        # `layer.W = array` and `self.dW = ...` write into the existing array, which may be a view of a network's.
        array = self._arrays.get(name)
        if array is None and name in self._parameters:
            self.initialize(np.random.default_rng())
            array = self._arrays[name]
        if array is None:
            self.set_plain(name, value)
            return
        if value is array:  # changed in place, as in layer.W -= ...
            return
        if name in self._parameters and self._parameters[name].trained:
            check_assigned(value, f"{self}: {name}", self.xp, self.dtype)
        elif not isinstance(value, self.xp.ndarray):
            check_numbers(value, f"{self}: {name}", self.xp)
        value = to_library(value, self.xp, self.dtype)
        if value.shape != array.shape:
            raise ShapeError(f"{self}: {name} has shape {array.shape}, received an array of shape {value.shape}")
        write(array, value, self.xp)

    def set_plain(self, name: str, value: Any) -> None:
        """Assign an attribute that is not an array of this object."""
        super().__setattr__(name, value)

    def settable_names(self) -> list[str]:
        return [*super().settable_names(), *self._parameters]

    def state_names(self) -> list[str]:
        return [*self._parameters, *super().state_names()]

    def load_value(self, name: str, value: Any) -> None:
        if name not in self._parameters:
            super().load_value(name, value)
        else:
            write(getattr(self, name), self.check_values(name, value), self.xp)

    def _group(self, prefix: str, trained: bool) -> Mapping[str, Array]:
        names = [name for name, parameter in self._parameters.items() if parameter.trained == trained]
        return MappingProxyType({name: getattr(self, prefix + name) for name in names})

    @property
    def params(self) -> Mapping[str, Array]:
        """The trained parameters by name. The mapping is read-only, but not the arrays."""
        return self._group("", True)

    @property
    def grads(self) -> Mapping[str, Array]:
        """The gradients of the last `backward`, by the names of the parameters."""
        return self._group("d", True)

    @property
    def buffers(self) -> Mapping[str, Array]:
        """The arrays that are saved but not trained, by name."""
        return self._group("", False)


def refuse_too_large(owner: Parameters, dtype: np.dtype) -> None:
    """Raise an ArgumentError if a parameter or buffer would become infinite in this dtype."""
    for name, array in {**owner.params, **owner.buffers}.items():
        check_range(array, f"{owner}: {name}", dtype)
