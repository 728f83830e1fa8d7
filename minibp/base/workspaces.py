"""Workspaces: the arrays that formulas write their results to, created once and used again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Shape = tuple[int, ...]
Array = Any  # a NumPy or CuPy array, depending on `xp`

# An array with fewer columns than this, and at least as many rows as columns, is stored column by column. Reducing its
# rows is then 3 to 5 times as fast, and adds up the columns in their order.
NARROW = 32
MAX_SHAPES = 8  # batch shapes to remember: a training needs two, a full batch and the last one


class Workspace(NamedTuple):
    """An array that a formula uses: its shape, its dtype (None for that of the module), and its values.

    `fill` is None if the formula writes the values, a number, or "range" for 0, 1, 2, ... in the order of the elements.
    A formula must not write to a filled workspace.

    `reduced` is for the result of a sum, mean or maximum over the last axis, as ``x.sum(axis=1, out=self.row)``. On
    CuPy it is None: CuPy makes an array for the result, and would copy it to `out`. So a formula goes on with what the
    call returns.
    """

    shape: Shape
    dtype: Any = None
    fill: float | str | None = None
    reduced: bool = False


class Memory:
    """The workspaces of a module. A twin that predicts has its own.

    All batch shapes share one array for each name. The workspace of a shorter batch is the first part of it.

    Attributes
    ----------
    views : dict
        The workspaces by batch shape and name.
    current : dict
        Those that were bound last, as attributes of the module.
    """

    def __init__(self) -> None:
        self.flat: dict[str, Array] = {}
        self.views: dict[Shape, Mapping[str, Array]] = {}
        self.current: Mapping[str, Any] = {}

    def names(self) -> set[str]:
        """The names of all workspaces."""
        return {name for views in self.views.values() for name in views}

    def bind(self, shape: Shape, views: Mapping[str, Array] | None = None) -> Mapping[str, Any]:
        """The workspaces for this batch shape, as attributes; `views` are those of a new shape."""
        if views is not None:
            if len(self.views) >= MAX_SHAPES:
                del self.views[next(iter(self.views))]
            self.views[shape] = views
        self.current = {**self.views[shape], "_shape": shape}
        return self.current

    def cut(self, name: str, spec: Shape | Workspace, xp: Any, dtype: Any) -> Array:
        """Create a workspace: the first part of the array of this name."""
        shape, own_dtype, fill, reduced = spec if isinstance(spec, Workspace) else Workspace(spec)
        if reduced and xp is not np:
            return None
        size, dtype = math.prod(shape), dtype if own_dtype is None else own_dtype
        if fill == "range":  # not shared, because its values depend on the shape
            flat = xp.empty(size, dtype)
        else:
            if name not in self.flat or self.flat[name].size < size:
                self.flat[name] = xp.empty(size, dtype)
                self.views.clear()  # smaller batches use the new array, too
            flat = self.flat[name][:size]
        narrow = xp is np and len(shape) == 2 and shape[1] < NARROW and shape[1] <= shape[0]
        array = flat.reshape(shape[::-1]).T if narrow else flat.reshape(shape)
        if fill == "range":
            array[...] = xp.arange(size, dtype=dtype).reshape(shape)
        elif fill is not None:
            array[...] = fill
        return array
