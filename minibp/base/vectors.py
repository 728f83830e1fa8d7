"""The flat vectors of a network: parameters, gradients and buffers. The arrays of the layers are views of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_library, write
from ..errors import ArgumentError
from .module import Module
from .parameters import refuse_too_large
from .validation import check_assigned, check_numbers
from .workspaces import Array


class Span(NamedTuple):
    """A parameter of a network: the module it belongs to, and its place in the vectors."""

    module: Module
    name: str
    start: int
    stop: int


class Vectors(NamedTuple):
    """The vectors, the places of the parameters in them, and the views of each module by name."""

    params: Array
    grads: Array
    buffers: Array
    spans: list[Span]
    views: list[dict[str, Array]]


def flatten(modules: Sequence[Module], xp: Any, dtype: np.dtype) -> Vectors:
    """Copy the arrays of these modules into three new vectors, weights (two or more dimensions) before biases.

    Raises an ArgumentError if a number is too large for the dtype.
    """
    for module in modules:
        refuse_too_large(module, dtype)
    views: list[dict[str, Array]] = [{} for _ in modules]

    def cut(entries: list[tuple[int, str, Array]]) -> tuple[Array, list[Span]]:
        vector, start, spans = xp.empty(sum(value.size for *_, value in entries), dtype), 0, []
        for i, name, value in entries:
            view = vector[start : start + value.size].reshape(value.shape)
            with np.errstate(all="ignore"):  # gradients may overflow: the next backward overwrites them
                view[...] = to_library(value, xp, dtype)
            views[i][name] = view
            spans.append(Span(modules[i], name, start, start + value.size))
            start += value.size
        return vector, spans

    trained = [(i, name, value) for i, module in enumerate(modules) for name, value in module.params.items()]
    trained.sort(key=lambda entry: entry[2].ndim < 2)  # stable: keeps the order of the layers
    params, spans = cut(trained)
    grads, _ = cut([(i, "d" + name, modules[i].grads[name]) for i, name, _ in trained])
    buffers, _ = cut([(i, name, value) for i, module in enumerate(modules) for name, value in module.buffers.items()])
    return Vectors(params, grads, buffers, spans, views)


def trained_ranges(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """The parts of the vectors that are not frozen, from where to where. Neighbours are joined."""
    ranges: list[tuple[int, int]] = []
    for span in spans:
        if not span.module.trainable or span.start == span.stop:
            continue
        start = ranges.pop()[0] if ranges and ranges[-1][1] == span.start else span.start
        ranges.append((start, span.stop))
    return ranges


def check_vector(name: str, values: Any, vector: Array) -> np.ndarray:
    """Values for a vector of a network, on the host; an ArgumentError if they are of another shape or not finite."""
    try:
        array = np.array(values, vector.dtype)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name} must hold numbers: {error}") from None
    if array.shape != vector.shape or not all_finite(np, array):
        expected = f"finite numbers, shape {vector.shape}"
        raise ArgumentError(f"{name} must hold {expected}; received shape {array.shape}")
    return array


def all_finite(xp: Any, *vectors: Array) -> bool:
    """Whether all numbers are finite. Reads from a device once."""
    if xp is np:
        total = 0.0
        with np.errstate(all="ignore"):
            for vector in vectors:
                total += float(np.add.reduce(vector, axis=None))  # needs no memory, but may overflow
        if math.isfinite(total):
            return True
    with nullcontext() if xp is np else vectors[0].device:
        return bool(xp.stack([xp.isfinite(vector).all() for vector in vectors]).all())


def vector_property(name: str, doc: str) -> Any:
    """A property for a vector. Assigned values are copied into it, because layers have views of it."""

    def assign(owner: Any, values: Any) -> None:
        if name == "params":
            check_assigned(values, "the network: params", owner.xp, owner.dtype)
        else:
            check_numbers(values, f"the network: {name}", owner.xp)
        write(owner.__dict__[name], values, owner.xp)

    return property(lambda owner: owner.__dict__[name], assign, doc=doc)
