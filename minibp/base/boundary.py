"""Boundary: where the arrays of a user come into a network, and are checked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import scalar, to_host, to_library, upload
from ..errors import ArgumentError, InputError, ShapeError, TargetError
from .arguments import at_least_one, repeated
from .layer import Layer
from .loss import Loss
from .shapes import infer_shapes
from .validation import check_finite, check_inputs
from .workspaces import Array, Shape

PREDICT = 512  # samples predicted at a time: the workspaces of one piece stay in the cache
PREDICT_BYTES = 32 << 20  # of the widest array of a piece on a GPU, where each piece is waited for: 10,000 MNIST images


class Names:
    """An attribute of a network: the names of its classes, or of the values of a sample; None if they have none."""

    def __init__(self, of_classes: bool):
        self.of_classes = of_classes

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, net: Any, cls: type) -> Any:
        return self if net is None else vars(net).get(self.name)

    def __set__(self, net: Any, names: Any) -> None:
        vars(net)[self.name] = None if names is None else self.checked(net, names)

    def checked(self, net: Any, names: Any) -> list[str]:
        """These names as a list; an ArgumentError if they are not, or not as many as the network has values."""
        given = names.tolist() if isinstance(names, np.ndarray) else names
        if not isinstance(given, (list, tuple)) or not all(isinstance(name, str) and name for name in given):
            raise ArgumentError(f"{self.name} must be a list of strings, received {names!r:.80}")
        if twice := repeated(given):
            raise ArgumentError(f"{self.name} holds {twice[0]!r} twice")
        shape = net.shapes[-1] if self.of_classes else net.layers[0].in_shape or net.shapes[0]
        count = None if shape is None else math.prod(shape)
        if self.of_classes and count == 1:
            count = 2  # the classes 0 and 1
        if count not in (None, len(given)):
            raise ArgumentError(f"{self.name} holds {len(given)} names, expected {count}")
        return [str(name) for name in given]


class Described:
    """An attribute of a network: None, or an object whose `config()` a file keeps, with the inputs of the network."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, net: Any, cls: type) -> Any:
        return self if net is None else vars(net).get(self.name)

    def __set__(self, net: Any, value: Any) -> None:
        if value is not None and not callable(getattr(value, "config", None)):
            raise ArgumentError(f"{self.name} must be None or one of minibp.data, received {value!r:.80}")
        size, shape = getattr(value, "sample_size", None), net.layers[0].in_shape or net.shapes[0]
        if size is not None and shape is not None and size != math.prod(shape):
            raise ArgumentError(f"{self.name} gives {size} inputs, but the network takes {math.prod(shape)}")
        vars(net)[self.name] = value


class Boundary:
    """The part of a network that takes in inputs x and targets t.

    Attributes
    ----------
    layers, loss, xp, dtype
        Those of the network.
    class_names : list of str or None
        The names of the classes: one for each output, or two if there is one output. Saved with the network.
    column_names : list of str or None
        The names of the values of a sample. Saved with the network.
    preprocessing : data.Columns, data.Pictures or None
        How a table or pictures become inputs: ``net.predict(net.preprocessing.encode(table))``. Saved with the network.
    origin : data.Origin or None
        What the network was trained on, and the seed that split it. Saved with the network.
    """

    class_names = Names(of_classes=True)
    column_names = Names(of_classes=False)
    preprocessing = Described()
    origin = Described()
    described = ("class_names", "column_names", "preprocessing", "origin")

    layers: tuple[Layer, ...]
    loss: Loss
    xp: Any
    dtype: np.dtype
    _output_sizes: dict[Shape, int]  # by the shape of a sample: checked once

    def prepare_inputs(self, x: Any, first: int = 0) -> Array:
        """Inputs x as the network computes with them: uint8 scaled by 1/255, on its library, in its dtype.

        An InputError or a ShapeError if x cannot be used. `first` is the number of the first sample, for errors, where
        x is a part of a larger array.
        """
        x = check_inputs(x, self.xp)
        self.output_size(x.shape)
        x = x.reshape(len(x), *self.sample_shape(x.shape))
        if x.dtype.kind == "u":
            values = to_library(x, self.xp, x.dtype).astype(self.dtype)
            values *= scalar(1 / 255, self.xp, self.dtype)
            return values
        lib = np if isinstance(x, np.ndarray) else self.xp  # host arrays are checked before they go to a device
        with np.errstate(all="ignore"):  # a number too large for the dtype becomes infinity, which is refused
            values = lib.asarray(x, self.dtype)
        cure = "clean it first, e.g. by numpy.nan_to_num(x)"
        check_finite(values, "x", InputError, cure, self.dtype, first, lib)
        return to_library(values, self.xp, self.dtype)

    def prepare_targets(self, t: Any, n: int, k: int) -> Array:
        """Targets as the loss computes with them, on the network's library; they are checked on the host.

        A ShapeError or a TargetError if they do not fit n samples, k outputs or the loss.
        """
        t = self.loss.check_targets(to_host(t) if isinstance(t, self.xp.ndarray) else t, n, k)
        if t.ndim == 1:
            return upload(t, self.xp)
        with np.errstate(all="ignore"):
            rows = t.astype(self.dtype, copy=False)
        if not np.isfinite(rows).all():
            raise TargetError(f"the targets hold numbers that are too large for {self.dtype}; scale them")
        return upload(rows, self.xp)

    def sample_shape(self, shape: Shape) -> Shape:
        """Shape of one sample of inputs (N, ...) as the first layer takes it: images as rows, where it takes rows."""
        takes = self.layers[0].in_shape
        return takes if takes == (math.prod(shape[1:]),) else shape[1:]

    def output_size(self, shape: Shape) -> int:
        """K, the number of outputs for inputs (N, ...) of this shape; InputError or ShapeError if they do not fit."""
        if len(shape) < 2:
            raise ShapeError(f"x has shape {shape}, expected a batch (N, ...); for one sample use x[None]")
        if shape[0] == 0:
            raise InputError(f"x is empty (shape {shape}): there is nothing to compute")
        sample = self.sample_shape(shape)
        if sample not in self._output_sizes:
            try:
                last = infer_shapes(self.layers, self.loss, sample)[-1]
            except ShapeError as error:
                raise ShapeError(f"{error}{self._for_one_sample(shape)}") from None
            assert last is not None  # known, because the input's is
            self._output_sizes[sample] = last[0]
        return self._output_sizes[sample]

    def piece_size(self, shape: Shape, asked: int | None = None) -> int:
        """How many samples of inputs (N, ...) to predict at a time: as many as are asked for, if any, or fit.

        An ArgumentError if that is no number of samples, InputError or ShapeError if the inputs do not fit.
        """
        if asked is not None:
            asked = at_least_one("batch_size", asked)
        self.output_size(shape)
        if asked is not None:
            return min(asked, shape[0])
        if self.xp is np:
            return PREDICT
        shapes = [shape[1:], *infer_shapes(self.layers, self.loss, self.sample_shape(shape))]
        widest = max(math.prod(each) for each in shapes if each is not None)
        return max(PREDICT, PREDICT_BYTES // (widest * self.dtype.itemsize))

    def _for_one_sample(self, shape: Shape) -> str:
        """The advice for an x of this shape that is one sample, not a batch; else nothing."""
        try:
            infer_shapes(self.layers, self.loss, self.sample_shape((1, *shape)))
        except ShapeError:
            return ""
        return "; for one sample use x[None]"
