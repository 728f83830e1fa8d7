"""Layer: the base of all layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError, ShapeError, StateError
from .arguments import describe_sample
from .module import Array, Module, Shape


class Layer(Module):
    """One differentiable step y = f(x) on a batch.

    A layer of your own has two methods (README.md shows one in ten lines):

    - ``formula(x)`` returns y. x is a batch, one sample a row.
    - ``gradient(dy)`` returns dx = ∂C/∂x for dy = ∂C/∂y, and sets the gradients of the parameters (``self.dW = ...``).
      It finds the last x and y as ``self.x`` and ``self.y``, and does not change dy.

    ``forward`` and ``backward`` check the shapes and call the two. A layer works alone, in float64. A network gives it
    another dtype and array library (``self.xp``), and puts its parameters into the vectors of the network.

    Results are workspaces that the next call overwrites: copy what you want to keep. Do not run one layer in two
    threads, nor twice before its `backward`.

    An array that a batch leaves for the next ones, such as a running mean, is a buffer:
    ``add_parameter(..., trained=False)``. It is saved and moved with the network. An array that only the next
    `backward` needs is best a workspace. Other attributes (numbers, strings, lists, arrays, generators) are kept in
    checkpoints. To be saved and loaded, a layer that takes arguments returns them from ``config()``.

    Attributes
    ----------
    in_shape : tuple of int or None
        The shape of one sample that the layer takes; None for any shape.
    gives : str or None
        What a row of y is: "numbers" of any size; "probabilities", each in [0, 1]; a "distribution", probabilities
        that sum to 1; or "its input", if the layer only passes it on. A loss refuses outputs that it would mistake for
        something else. None is not checked.
    """

    in_shape: Shape | None = None
    gives: str | None = None
    needs_dx = True  # False in the first layer with parameters: nobody needs the gradient of the data
    index = 0  # its number in the network

    def formula(self, x: Array) -> Array:
        """y = f(x)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method formula(self, x) that returns y")

    def gradient(self, dy: Array) -> Array:
        """dx = ∂C/∂x, given dy = ∂C/∂y."""
        raise NotImplementedError(f"{type(self).__name__} needs a method gradient(self, dy) that returns dx")

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one sample of y, for a sample of x of this shape."""
        return shape

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return {"y": (shape[0], *self.output_shape(shape[1:])), "dx": shape}

    def forward(self, x: Array) -> Array:
        """y = f(x) for a batch x (N, ...), checked. Do not change x before the `backward`.

        Raises
        ------
        ShapeError
            If x is not a batch of samples that this layer takes.
        InputError
            If x is empty, or does not hold numbers.
        """
        new = not isinstance(x, self.xp.ndarray) or x.dtype is not self.dtype or x.shape != self._shape
        if new:
            x = self._enter(x)
        here = self.__dict__  # saves two calls of __setattr__
        here["x"] = x
        y = here["y"] = self.formula(x)
        if new and y.shape[1:] != self.output_shape(x.shape[1:]):
            made, fed, expected = map(describe_sample, (y.shape[1:], x.shape[1:], self.output_shape(x.shape[1:])))
            cure = f"define output_shape(self, shape) in {type(self).__name__}"
            raise ShapeError(f"{self} makes {made} of {fed}, expected {expected}; {cure}")
        return y

    def backward(self, dy: Array) -> Array:
        """dx = ∂C/∂x for dy = ∂C/∂y of the last `forward`; the gradients of the parameters are overwritten.

        Raises
        ------
        StateError
            If there was no `forward`.
        ShapeError
            If dy does not have the shape of y.
        InputError
            If dy does not hold numbers.
        """
        y = self.__dict__.get("y")
        if y is None:
            raise StateError(f"{self}: backward was called before forward; call forward(x) first")
        if not isinstance(dy, self.xp.ndarray) or dy.dtype is not self.dtype or dy.shape != y.shape:
            dy = self._as_array(dy, "dy")
            if dy.shape != y.shape:
                raise ShapeError(f"{self}: backward received dy of shape {dy.shape}, expected {y.shape}, as the last y")
        return self.gradient(dy)

    def _enter(self, x: Array) -> Array:
        """Check an x of a new shape or type, and bind the workspaces for it."""
        if self._owned and isinstance(x, np.ndarray) and self.xp is not np:
            raise InputError(f"{self} is fed a NumPy array, on CuPy: the layer before must compute with self.xp")
        x = self._as_array(x, "x")
        if x.shape == self._shape:
            return x
        if x.ndim < 2:
            raise ShapeError(f"{self} received x of shape {x.shape}, expected a batch (N, ...); one sample is x[None]")
        if x.size == 0:
            raise InputError(f"{self} received an empty batch, x of shape {x.shape}")
        if self.in_shape is not None and x.shape[1:] != self.in_shape:
            fed, takes = describe_sample(x.shape[1:]), describe_sample(self.in_shape)
            raise ShapeError(f"{self} is fed {fed}, but takes {takes}")
        self.bind(x.shape)
        return x
