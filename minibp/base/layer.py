"""Layer: the base of all layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError, ShapeError, StateError
from .arguments import describe_sample
from .module import Array, Module, Shape


class Layer(Module):
    """One differentiable step y = f(x) on a batch.

    To write a layer, write its formula and its gradient (README.md shows one in ten lines):

    - ``formula(x)`` returns y. Here ``x`` is the batch, samples in rows.
    - ``gradient(dy)`` returns dx = ∂C/∂x for dy = ∂C/∂y, and sets the parameters' gradients (``self.dW = ...``).
      It finds the last ``x`` and ``y`` as ``self.x`` and ``self.y``, and never changes ``dy``.

    ``forward`` and ``backward`` check the shapes and call them. A layer works alone, in float64; a network gives it
    another dtype and array library (``self.xp``) and puts its parameters into the network's vectors.

    Results may be workspaces that the next call overwrites: copy what you want to keep, and do not run one layer in
    two threads, or twice before its backward.

    What a layer of one's own keeps from call to call are attributes, which a checkpoint keeps: numbers, texts, lists,
    arrays, generators, objects of these. An array that is part of the network belongs to the parameters,
    ``add_parameter(..., trained=False)``: so it is saved with it, and goes along when the network is moved. One that
    only the next backward needs is best among the `workspaces`, which a checkpoint does not keep. To be saved and
    loaded, a layer that takes arguments gives them by ``config()``.

    Attributes
    ----------
    in_shape : tuple of int or None
        The shape of one sample that the layer takes; None where any will do.
    gives : str or None
        What a row of y is: "numbers" of any size, "probabilities", each in [0, 1], or a "distribution", probabilities
        that sum to 1; "its input" where it only passes that on. A loss refuses what it would take for something else;
        None, in a layer of one's own, is not looked at.
    """

    in_shape: Shape | None = None
    gives: str | None = None
    needs_dx = True  # a network clears it in its first layer with parameters: nobody needs the gradient of the data
    index = 0  # which layer of its network it is, 0, 1, ...

    def formula(self, x: Array) -> Array:
        """y = f(x)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method formula(self, x) that returns y")

    def gradient(self, dy: Array) -> Array:
        """dx = ∂C/∂x, given dy = ∂C/∂y."""
        raise NotImplementedError(f"{type(self).__name__} needs a method gradient(self, dy) that returns dx")

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one sample of y, for one sample of x of this shape."""
        return shape

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return {"y": (shape[0], *self.output_shape(shape[1:])), "dx": shape}

    def forward(self, x: Array) -> Array:
        """y = f(x) for a batch x of shape (N, ...), checked. x must not be changed before the backward.

        Raises
        ------
        ShapeError
            If x is no batch of samples that this layer takes.
        InputError
            If x is empty, or does not hold numbers.
        """
        new = not isinstance(x, self.xp.ndarray) or x.dtype is not self.dtype or x.shape != self._shape
        if new:
            x = self._enter(x)
        here = self.__dict__  # spares two calls of __setattr__
        here["x"] = x
        y = here["y"] = self.formula(x)
        if new and y.shape[1:] != self.output_shape(x.shape[1:]):
            made, fed, expected = map(describe_sample, (y.shape[1:], x.shape[1:], self.output_shape(x.shape[1:])))
            cure = f"define output_shape(self, shape) in {type(self).__name__}"
            raise ShapeError(f"{self} makes {made} of {fed}, expected {expected}; {cure}")
        return y

    def backward(self, dy: Array) -> Array:
        """dx = ∂C/∂x for dy = ∂C/∂y of the last forward; the parameters' gradients are overwritten.

        Raises
        ------
        StateError
            If there was no forward.
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
        """Take in an x of a new shape or type."""
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
