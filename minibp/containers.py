"""Containers: layers made of layers."""

from __future__ import annotations

from typing import Any

from .base import (
    Array,
    Fixed,
    Layer,
    Module,
    Shape,
    describe_sample,
    infer_shapes,
    kind_of_rows,
    layer_list,
    mark_needs_dx,
    run_backward,
)
from .errors import ShapeError


class Sequential(Layer):
    """Layers that run one after the other, as one layer.

    Parameters
    ----------
    *layers : Layer
        From the input to the output.

    Raises
    ------
    ShapeError
        If a layer does not fit the one before; the message names both.
    """

    layers: Any = Fixed(lambda name, layers: layers)
    first = 0  # the first layer that runs backward

    def __init__(self, *layers: Layer):
        super().__init__()
        self.layers = layer_list(layers, f"a {type(self).__name__}")
        self.modules()  # a layer that is used twice is refused
        self.in_shape = next((layer.in_shape for layer in self.layers if not _keeps_shape(layer)), None)
        self.gives = kind_of_rows(self.layers)
        infer_shapes(self.layers, owner=str(self))

    def children(self) -> dict[str, Module]:
        return {name.removeprefix("layers."): layer for name, layer in super().children().items()}

    @property
    def output_layer(self) -> Layer:
        return self.layers[-1].output_layer

    def config(self) -> dict[str, Any]:
        return {"layers": self.layers}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.layers))})"

    def output_shape(self, shape: Shape) -> Shape:
        last = infer_shapes(self.layers, shape=shape, owner=str(self))[-1]
        assert last is not None  # known, because that of the input is
        return last

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return {}  # those of the layers

    def set_needs_dx(self, needed: bool) -> None:
        super().set_needs_dx(needed)
        self.__dict__["first"] = mark_needs_dx(self.layers, needed)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "first"}

    def formula(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def gradient(self, dy: Array) -> Array:
        """dx = dy J_L ... J_1, where J_l is the Jacobian of layer l: the chain rule."""
        return run_backward(self.layers[self.first :], dy)


class Residual(Sequential):
    """y = x + f(x), where f are layers that run one after the other (He et al., 2016).

    A network of many such layers stays trainable: near its start each is close to y = x, and dx = dy + ... always
    contains dy. f must return the shape that it takes.

    Parameters
    ----------
    *layers : Layer
        f, from the input to the output.

    Raises
    ------
    ShapeError
        If a layer does not fit the one before, or f changes the shape.
    """

    def __init__(self, *layers: Layer):
        super().__init__(*layers)
        self.gives = "numbers"
        if self.in_shape is not None:
            self.output_shape(self.in_shape)

    @property
    def output_layer(self) -> Layer:
        return self

    def output_shape(self, shape: Shape) -> Shape:
        returned = super().output_shape(shape)
        if returned != shape:
            turns = f"turns {describe_sample(shape)} into {describe_sample(returned)}"
            raise ShapeError(f"{self} {turns}, but adds them to its input: end with a layer that returns that shape")
        return shape

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return {"y": shape, "dx": shape}

    def formula(self, x: Array) -> Array:
        return self.xp.add(x, super().formula(x), out=self.y)

    def gradient(self, dy: Array) -> Array:
        """dx = dy + dy ∂f/∂x."""
        dx = super().gradient(dy)
        return self.xp.add(dx, dy, out=self.dx) if self.needs_dx else None


def _keeps_shape(layer: Layer) -> bool:
    """Whether a layer takes samples of any shape and returns the same shape."""
    return layer.in_shape is None and type(layer).output_shape is Layer.output_shape
