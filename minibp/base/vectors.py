"""The flat vectors of a network: parameters, gradients and buffers. The arrays of the layers are views of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_library
from .module import Array, Module, refuse_too_large
from .validation import check_assigned


class Vectors(NamedTuple):
    """The vectors, the views of the weight matrices, and the views of each module by name."""

    params: Array
    grads: Array
    buffers: Array
    weights: list[Array]
    views: list[dict[str, Array]]


def flatten(modules: Sequence[Module], xp: Any, dtype: np.dtype) -> Vectors:
    """Copy the arrays of these modules into three new vectors, weights (two or more dimensions) before biases.

    Raises an ArgumentError if a number is too large for the dtype.
    """
    for module in modules:
        refuse_too_large(module, dtype)
    views: list[dict[str, Array]] = [{} for _ in modules]

    def cut(entries: list[tuple[int, str, Array]]) -> Array:
        vector, start = xp.empty(sum(value.size for *_, value in entries), dtype), 0
        for i, name, value in entries:
            view = vector[start : start + value.size].reshape(value.shape)
            with np.errstate(over="ignore"):  # gradients may overflow: the next backward overwrites them
                view[...] = to_library(value, xp, dtype)
            views[i][name] = view
            start += value.size
        return vector

    trained = [(i, name, value) for i, module in enumerate(modules) for name, value in module.params.items()]
    trained.sort(key=lambda entry: entry[2].ndim < 2)  # stable: keeps the order of the layers
    params = cut(trained)
    grads = cut([(i, "d" + name, modules[i].grads[name]) for i, name, _ in trained])
    buffers = cut([(i, name, value) for i, module in enumerate(modules) for name, value in module.buffers.items()])
    weights = [views[i][name] for i, name, value in trained if value.ndim >= 2]
    return Vectors(params, grads, buffers, weights, views)


def all_finite(xp: Any, *vectors: Array) -> bool:
    """Whether all numbers are finite. Reads from a device once."""
    if xp is np and math.isfinite(sum(float(np.vdot(each, each)) for each in vectors)):  # faster, but may overflow
        return True
    return bool(xp.stack([xp.isfinite(vector).all() for vector in vectors]).all())


def vector_property(name: str, doc: str) -> Any:
    """A property for a vector. Assigned values are copied into it, because layers have views of it."""

    def assign(owner: Any, values: Any) -> None:
        if name == "params":
            check_assigned(values, "the network: params", owner.xp, owner.dtype)
        owner.__dict__[name][...] = to_library(values, owner.xp, owner.dtype)

    return property(lambda owner: owner.__dict__[name], assign, doc=doc)
