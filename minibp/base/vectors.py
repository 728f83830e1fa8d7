"""The flat vectors of a network: all parameters in one, all gradients in another, and the layers' views of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_library
from .module import Array, Module, refuse_too_large
from .validation import check_assigned


class Vectors(NamedTuple):
    """What `flatten` returns: the vectors, the views of the weight matrices, and each layer's views by name."""

    params: Array
    grads: Array
    buffers: Array
    weights: list[Array]
    views: list[dict[str, Array]]


def flatten(parts: Sequence[Module], xp: Any, dtype: np.dtype) -> Vectors:
    """Copy what these parts hold into three new vectors, weights (of two and more dimensions) before biases.

    Raises
    ------
    ArgumentError
        If a number is too large for the dtype.
    """
    for part in parts:
        refuse_too_large(part, dtype)
    views: list[dict[str, Array]] = [{} for _ in parts]

    def cut(entries: list[tuple[int, str, Array]]) -> Array:
        vector, start = xp.empty(sum(value.size for *_, value in entries), dtype), 0
        for i, name, value in entries:
            view = vector[start : start + value.size].reshape(value.shape)
            with np.errstate(over="ignore"):  # of gradients, which the next backward overwrites
                view[...] = to_library(value, xp, dtype)
            views[i][name] = view
            start += value.size
        return vector

    trained = [(i, name, value) for i, part in enumerate(parts) for name, value in part.params.items()]
    trained.sort(key=lambda entry: entry[2].ndim < 2)  # stable: otherwise the order of the layers
    params = cut(trained)
    grads = cut([(i, "d" + name, parts[i].grads[name]) for i, name, _ in trained])
    buffers = cut([(i, name, value) for i, part in enumerate(parts) for name, value in part.buffers.items()])
    weights = [views[i][name] for i, name, value in trained if value.ndim >= 2]
    return Vectors(params, grads, buffers, weights, views)


def all_finite(xp: Any, *vectors: Array) -> bool:
    """Whether no number in these is NaN or infinite; read back from a device once."""
    if xp is np and math.isfinite(sum(float(np.vdot(each, each)) for each in vectors)):  # quicker, but may overflow
        return True
    return bool(xp.stack([xp.isfinite(vector).all() for vector in vectors]).all())


def vector_property(name: str, doc: str) -> Any:
    """A property for a vector: what is assigned is written into it, for layers have views; ArgumentError for NaN."""

    def put(owner: Any, values: Any) -> None:
        if name == "params":
            check_assigned(values, "the network: params", owner.xp, owner.dtype)
        owner.__dict__[name][...] = to_library(values, owner.xp, owner.dtype)

    return property(lambda owner: owner.__dict__[name], put, doc=doc)
