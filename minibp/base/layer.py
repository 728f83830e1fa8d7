"""Layer: the base of all layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InputError, ShapeError, StateError
from .arguments import describe_sample
from .module import Module, check_returned, ignore_underflow
from .workspaces import Array, Shape


class Layer(Module):
    """Base of all layers: a differentiable function y = f(x) of a batch x, one sample per row.

    To write your own layer, define two methods (docs/guide.md has examples):

    - ``formula(x)`` returns y.
    - ``gradient(dy)`` returns dx = ∂C/∂x for dy = ∂C/∂y, and sets the gradients of the parameters (``self.dW = ...``).
      It reads the last x and y from ``self.x`` and ``self.y``, and must not change dy.

    ``forward`` and ``backward`` check the shapes and call these two. If the samples of y have another shape than those
    of x, define ``output_shape(shape)`` as well. An ``__init__`` begins with ``super().__init__()``. If it takes
    arguments, return them from ``config()``, so that the layer can be saved and loaded. A layer works alone, in
    float64. A network sets its dtype and array library (``self.xp``). Its x are floats, and uint8 is scaled by 1/255: a
    layer that looks up ids takes them as floats, which float32 holds exactly up to 2**24.

    Declare parameters with `add_parameter`. Arrays that later batches need, such as a running mean, are buffers:
    ``add_parameter(..., trained=False)``. Both are saved and moved with the network. Arrays that only the next
    `backward` needs are best declared by `workspaces`: each thread that predicts has its own. A number that later
    batches need, such as a count, belongs to the state that checkpoints keep: ``state_attributes = ("count",)``.

    A frozen layer (``trainable = False``) need not compute the gradients of its parameters: ``if self.trainable:``.

    A layer may hold others: assign them to attributes, call their `forward` in ``formula`` and their `backward` in
    ``gradient``. `Sequential` and `Residual` are such layers.

    Results may be workspaces, which the next call overwrites: copy what you want to keep. Do not run a layer in two
    threads, or twice before its `backward`. A network predicts with shallow copies of its layers, in any thread: a
    formula may assign attributes, but must not change a list, a dict or an array of its own in place.

    Attributes
    ----------
    in_shape : tuple of int or None
        The shape of one sample of x; None for any shape.
    gives : str or None
        The kind of values in a row of y: "numbers" of any size; "positive numbers"; "probabilities", each in [0, 1]; a
        "distribution", probabilities that sum to 1; "its input", if the layer only passes it on; or "its input,
        changed", if it sets some of the values, as dropout does. A loss refuses outputs that it would mistake for
        another kind. With None it looks at the values of the first batch instead.
    """

    in_shape: Shape | None = None
    gives: str | None = None
    needs_dx = True  # False in the first layer that trains: nothing needs the gradient of the data
    index = 0  # its number in the network, in which layers inside others count
    shard: Any = None  # while several processes compute a batch together: the part of it that is x

    @property
    def output_layer(self) -> Layer:
        """The layer that computes y: this one, or the last one of a Sequential."""
        return self

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

    def set_needs_dx(self, needed: bool) -> None:
        """Tell the layer whether the gradient of its x is needed. If not, `gradient` may return None."""
        self.__dict__["needs_dx"] = needed

    def forward(self, x: Array) -> Array:
        """Return y = f(x) for a batch x (N, ...), after checking it. Do not change x before `backward`.

        The next call may overwrite y: copy what you want to keep.

        Raises
        ------
        ShapeError
            If x is not a batch of samples of shape `in_shape`, or y does not have the shape of `output_shape`.
        InputError
            If x is empty or does not hold numbers.
        """
        attributes = self.__dict__  # saves calls of __getattr__ and __setattr__
        new = type(x) is not self.xp.ndarray or x.dtype is not self.dtype or x.shape != attributes.get("_shape")
        if new:
            x = self._enter(x)
        attributes["x"] = x
        # `train`, `evaluate` and `predict` ignore underflow themselves: once for all layers.
        y = self.formula(x) if attributes.get("_network") else ignore_underflow(self.formula, x)
        attributes["y"] = y
        if new:
            self._check_output(x, y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = ∂C/∂x for dy = ∂C/∂y of the last `forward`, and overwrite the gradients of the parameters.

        Raises
        ------
        StateError
            If `forward` was not called.
        ShapeError
            If dy does not have the shape of y.
        InputError
            If dy does not hold numbers.
        """
        attributes = self.__dict__
        y = attributes.get("y")
        if y is None:
            raise StateError(f"{self}: backward was called before forward; call forward(x) first")
        if type(dy) is not type(y) or dy.dtype is not self.dtype or dy.shape != y.shape:
            dy = self._as_array(dy, "dy")
            if dy.shape != y.shape:
                raise ShapeError(f"{self}: backward received dy of shape {dy.shape}, expected {y.shape}, like y")
        return self.gradient(dy) if attributes.get("_network") else ignore_underflow(self.gradient, dy)

    def _check_output(self, x: Array, y: Any) -> None:
        """Refuse, by a ShapeError, a y that is not one sample of shape `output_shape` for each of x."""
        expected = self.output_shape(x.shape[1:])
        if isinstance(y, self.xp.ndarray) and y.ndim > 1 and len(y) == len(x) and y.shape[1:] != expected:
            returned, fed, declared = map(describe_sample, (y.shape[1:], x.shape[1:], expected))
            cure = f"define output_shape(self, shape) in {type(self).__name__}"
            raise ShapeError(f"{self} turns {fed} into {returned}, expected {declared}; {cure}")
        check_returned(self, "formula", y, (len(x), *expected), "y")

    def _enter(self, x: Array) -> Array:
        """Check an x of a new shape or type, and bind the workspaces for it."""
        if self._network is not None and isinstance(x, np.ndarray) and self.xp is not np:
            raise InputError(f"{self} is fed a NumPy array but runs on CuPy; compute x with self.xp")
        x = self._as_array(x, "x")
        if x.shape == self._shape:
            return x
        if x.ndim < 2:
            raise ShapeError(f"{self} received x of shape {x.shape}, expected (N, ...); for one sample use x[None]")
        if x.size == 0:
            raise InputError(f"{self} received an empty batch, x of shape {x.shape}")
        if self.in_shape is not None and x.shape[1:] != self.in_shape:
            fed, takes = describe_sample(x.shape[1:]), describe_sample(self.in_shape)
            raise ShapeError(f"{self} is fed {fed}, but takes {takes}")
        self.bind(x.shape)
        return x


def run_backward(layers: Sequence[Layer], dy: Array, loss: Module | None = None) -> Array:
    """Run layers backward, which run one after the other, and return dx of the first.

    A ShapeError names the layer, or the loss that returned dy, whose `gradient` returned anything but a dx.
    """
    source = loss  # what returned dy
    try:
        for layer in reversed(layers):
            dy, source = layer.backward(dy), layer
    except (InputError, ShapeError):  # of the layer that received it
        if source is not None:
            check_returned(source, "gradient", dy, layer.y.shape, "dx")
        raise
    return dy


def kind_of_rows(layers: Sequence[Layer]) -> str | None:
    """The kind of values that layers give, which run one after the other: a word of `Layer.gives`, or None.

    After a layer that changes them, numbers are still numbers, but probabilities are "changed probabilities".
    """
    kind: str | None = "its input"
    for layer in layers:
        if layer.gives == "its input, changed":
            unlike = {"probabilities": "changed probabilities", "distribution": "changed probabilities"}
            kind = layer.gives if kind == "its input" else unlike.get(kind, kind) if kind else None
        elif layer.gives != "its input":
            kind = layer.gives
    return kind


def mark_needs_dx(layers: Sequence[Layer], needed: bool) -> int:
    """Tell layers, which run one after the other, whether the gradient of their x is needed.

    `needed` says so for the first. If it is not, only those after the first layer that trains need it.

    Returns
    -------
    int
        The number of layers at the beginning that need not run backward.
    """
    first = 0 if needed else next((i for i, layer in enumerate(layers) if layer.can_train()), len(layers))
    for i, layer in enumerate(layers):
        layer.set_needs_dx(needed or i > first)
    return first
