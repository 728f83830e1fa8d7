"""Checks that the layers and the loss of a network fit together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import ArgumentError, ShapeError, StateError
from .arguments import describe_sample
from .layer import Layer
from .loss import Loss
from .module import Shape


def layer_list(layers: Any) -> tuple[Any, ...]:
    """The layers as a tuple, from a list of layers or a single one; an ArgumentError for anything else."""
    if isinstance(layers, Layer):
        return (layers,)
    if not isinstance(layers, Iterable):
        raise ArgumentError(f"layers must be a list of layers, received {layers!r}")
    return tuple(layers)


def refuse_unusable(layers: Sequence[Any], loss: Any) -> None:
    """Raise an ArgumentError for anything that is not a layer or a loss, a StateError if one is already used."""
    if not layers:
        raise ArgumentError("a network needs at least one layer, received none")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ArgumentError(f"layer {i}: {layer!r} is not a layer{brackets(layer)}")
    if not isinstance(loss, Loss):
        raise ArgumentError(f"{loss!r} is not a loss{brackets(loss)}; pass one such as CrossEntropy()")
    places: dict[int, int] = {}
    for i, layer in enumerate([*layers, loss]):
        first = places.setdefault(id(layer), i)
        if first < i:
            raise StateError(f"layer {i}: {layer} is layer {first} again; use each layer once, and create a second one")
        if layer._owned:
            raise StateError(f"layer {i}: {layer} belongs to another network; create a new one, or use copy.deepcopy")
    # The loss sees the outputs of the last layer that does more than pass on its input.
    loss.check_last(next((layer for layer in reversed(layers) if layer.gives != "its input"), layers[0]))


def infer_shapes(layers: Sequence[Layer], loss: Loss, shape: Shape | None = None) -> list[Shape | None]:
    """The shape of one sample of each layer's output, for samples of this shape; None if it depends on the data.

    Raises a ShapeError that names both layers if one does not fit the one before.
    """
    shapes: list[Shape | None] = []
    source = "the data"
    for i, layer in enumerate(layers):
        takes = layer.in_shape
        if shape is None and takes is not None:
            shape = takes
            if i:
                shapes[-1] = takes  # the layer before must return this
        elif shape is not None and takes is not None and shape != takes:
            fed = f"layer {i}: {layer} is fed {describe_sample(shape)} by {source}"
            raise ShapeError(f"{fed}, but takes {describe_sample(takes)}{flat(shape, takes)}")
        if shape is not None:
            before, shape = shape, layer.output_shape(shape)
            if takes is not None or shape != before:
                source = f"layer {i}: {layer}"
        shapes.append(shape)
    if shape is not None:
        if len(shape) != 1:
            raise ShapeError(f"{loss} is fed {describe_sample(shape)} by {source}, but takes rows{flat(shape)}")
        loss.check_outputs(shape[0], f" by {source}")
    return shapes


def brackets(thing: Any) -> str:
    """The advice to write brackets, if a class was passed; else nothing."""
    return " (pass an instance, not the class: write it with brackets)" if isinstance(thing, type) else ""


def flat(shape: Shape, takes: Shape | None = None) -> str:
    """The advice to put Flatten() before a layer, if that helps; else nothing."""
    return "; put Flatten() before it" if len(shape) > 1 and takes in (None, (math.prod(shape),)) else ""
