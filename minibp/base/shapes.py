"""Checks that the layers and the loss of a network fit together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import ArgumentError, ShapeError, StateError
from .arguments import describe_sample
from .layer import Layer
from .loss import Loss
from .workspaces import Shape


def layer_list(layers: Any, owner: str = "a network") -> tuple[Layer, ...]:
    """The layers as a tuple, from a list of layers or a single one; an ArgumentError for anything else."""
    if isinstance(layers, Layer):
        return (layers,)
    if not isinstance(layers, Iterable):
        raise ArgumentError(f"layers must be a list of layers, received {layers!r}")
    layers = tuple(layers)
    if not layers:
        raise ArgumentError(f"{owner} needs at least one layer, received none")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            cure = "; write Sequential(*layers)" if isinstance(layer, (list, tuple)) else brackets(layer)
            raise ArgumentError(f"layer {i}: {layer!r} is not a layer{cure}")
    return layers


def refuse_unusable(layers: Sequence[Layer], loss: Any) -> None:
    """Raise an ArgumentError for anything that is not a loss, a StateError if a layer or the loss is already used."""
    if not isinstance(loss, Loss):
        raise ArgumentError(f"{loss!r} is not a loss{brackets(loss)}; pass one such as CrossEntropy()")
    places: dict[int, str] = {}
    for name, part in [*((f"layer {i}", layer) for i, layer in enumerate(layers)), ("loss", loss)]:
        for place, module in part.named_modules(name).items():
            first = places.setdefault(id(module), place)
            if first != place:
                raise StateError(f"{place}: {module} is {first} again; use each layer once, and create a second one")
            if module._network is not None:
                cure = "create a new one, or use copy.deepcopy"
                raise StateError(f"{place}: {module} belongs to another network; {cure}")
    loss.check_last(layers)


def infer_shapes(
    layers: Sequence[Layer], loss: Loss | None = None, shape: Shape | None = None, owner: str = ""
) -> list[Shape | None]:
    """The shape of one sample of each layer's output, for samples of this shape; None if it depends on the data.

    `owner` is the layer that holds these layers, if they are not those of a network.

    Raises a ShapeError that names both layers if one does not fit the one before, or names the loss.
    """
    shapes: list[Shape | None] = []
    place, source = (f"{owner}: layer", "its input") if owner else ("layer", "the data")
    for i, layer in enumerate(layers):
        takes = layer.in_shape
        if shape is None and takes is not None:
            shape = takes
            if i:
                shapes[-1] = takes  # the layer before must return this
        elif shape is not None and takes is not None and shape != takes:
            fed = f"{place} {i}: {layer} is fed {describe_sample(shape)} by {source}"
            raise ShapeError(f"{fed}, but takes {describe_sample(takes)}{flat(shape, takes)}")
        if shape is not None:
            before, shape = shape, layer.output_shape(shape)
            if takes is not None or shape != before:
                source = f"layer {i}: {layer}"
        shapes.append(shape)
    if loss is not None and shape is not None:
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
