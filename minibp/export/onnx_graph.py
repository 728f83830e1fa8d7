"""The graph in an ONNX file. The file may be a stranger's: sizes are compared with the bytes there are, before use."""

from __future__ import annotations

import math
import os
import stat
from typing import Any

import numpy as np

from ..base import Shape, printable
from ..errors import FileFormatError

OPSETS = range(9, 29)  # the versions of the operators that this reads
MOST_NODES = 100_000
MOST_SHARED = 8  # times that a constant goes from node to node
SPARE = 1 << 20  # values that layers may take beyond the bytes of the file, such as a mean given as one number


class Graph:
    """The nodes of an ONNX file by the tensors that they compute, and its constants.

    Attributes
    ----------
    nodes : list
        The nodes, each after those that it needs.
    places : dict
        For each tensor that is computed the place of its node in `nodes`; -1 for the input.
    input, output : str
        The names of the two tensors.
    input_type : int
        The type of the input, as in `onnx.TensorProto`.
    shape : tuple of int or None
        The shape of a sample, if the file tells it.
    batch : int
        The number of samples, if the file fixes it, else 0.
    dtype : numpy.dtype or None
        That of the constants that have been read.
    metadata : dict of str
        What the file says about itself.

    A FileFormatError if the file holds no such graph, or has more inputs or outputs than one.
    """

    def __init__(self, path: str, onnx: Any):
        self.path, self.onnx = path, onnx
        model = self._parse(_contents(path))
        graph, types = model.graph, onnx.TensorProto
        versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
        if not graph.node or len(versions) != 1:
            raise FileFormatError(f"{path} is not an ONNX file, or holds no graph")
        if versions[0] not in OPSETS:
            known = f"this minibp reads {OPSETS[0]} to {OPSETS[-1]}"
            raise FileFormatError(f"{path} has opset {versions[0]}, {known}; export it with another opset_version")
        if len(graph.node) > MOST_NODES or len(graph.sparse_initializer):
            raise FileFormatError(f"{path} has over {MOST_NODES:,} nodes, or sparse weights: minibp has no such layers")
        self.opset: int = versions[0]
        self.nodes: list[Any] = list(graph.node)
        self.stored = {each.name: each for each in graph.initializer}
        inputs = [each for each in graph.input if each.name not in self.stored]  # IR 3 lists the weights there, too
        if len(inputs) != 1 or len(graph.output) != 1:
            counts = f"{len(inputs)} inputs and {len(graph.output)} outputs"
            raise FileFormatError(f"{path} has {counts}; a network of minibp has one of each")
        (self.input,), self.output = [each.name for each in inputs], graph.output[0].name
        if len(self.stored) != len(graph.initializer):
            raise FileFormatError(f"{path} is damaged: it has two arrays of the same name")
        self.places = self._order()
        takes = inputs[0].type.tensor_type
        sizes = [each.dim_value for each in takes.shape.dim]  # 0 if a size is left open
        self.shape: Shape | None = tuple(sizes[1:]) if sizes and min(sizes[1:], default=0) > 0 else None
        self.batch, self.input_type = (sizes[0] if sizes else 0), takes.elem_type
        if self.input_type not in (types.FLOAT, types.DOUBLE, types.UINT8):
            what = f"its input is of ONNX's type {self.input_type}"
            raise FileFormatError(f"{path}: {what}; minibp takes float32, float64 and uint8")
        self.dtype: Any = None
        self.metadata = {each.key: each.value for each in model.metadata_props}

    def _parse(self, content: bytes) -> Any:
        self.left = len(content) + SPARE  # values that layers may still take
        self._files: set[str] = set()
        try:
            return self.onnx.ModelProto.FromString(content)
        except Exception as error:  # protobuf has errors of its own
            raise FileFormatError(f"{self.path} is not an ONNX file: {printable(error)}") from None

    def _order(self) -> dict[str, int]:
        """The places of the nodes by what they compute; an error if one needs what is not there before it."""
        places, there = {self.input: -1}, {"", self.input, *self.stored}
        for place, node in enumerate(self.nodes):
            if node.domain not in ("", "ai.onnx"):
                raise self.error(node, f"it is of the domain {node.domain}, and minibp knows only ONNX's own operators")
            if missing := [name for name in node.input if name not in there]:
                raise self.error(node, f"it needs {missing[0]!r}, which no node before it computes")
            for name in node.output:
                if name and name in there:
                    raise self.error(node, f"it computes {name!r}, which is there already")
                there.add(name)
            if node.output and node.output[0]:
                places[node.output[0]] = place
        return places

    def error(self, node: Any, why: Any) -> FileFormatError:
        """An error that names a node and its operator."""
        name = printable(node.name or next(iter(node.output), ""))
        return FileFormatError(f"{self.path}: node {name!r}, {printable(node.op_type)}: {printable(why)}")

    # ---- nodes

    def node_of(self, tensor: str) -> Any:
        """The node that computes a tensor, or None. Only first outputs count: others are masks and statistics."""
        place = self.places.get(tensor, -1)
        return self.nodes[place] if place >= 0 else None

    def attributes(self, node: Any, **defaults: Any) -> Any:
        """The attributes of a node, those given here being all that it may have; floats as short as in the source."""
        found = dict(defaults)
        if len({each.name for each in node.attribute}) != len(node.attribute):
            raise self.error(node, "it has an attribute twice")
        for each in node.attribute:
            try:
                value = self.onnx.helper.get_attribute_value(each)
                value = value.decode() if isinstance(value, bytes) else value
            except (ValueError, AttributeError):
                value = None
            if each.name not in defaults or type(value) is not type(defaults[each.name]):
                raise self.error(node, f"minibp has no layer with its attribute {each.name}")
            found[each.name] = float(str(np.float32(value))) if isinstance(value, float) else value
        return found

    def inputs(self, node: Any, least: int, most: int = 0) -> list[str]:
        """The inputs of a node, "" for those left out at the end; an error if there are fewer or more."""
        most = max(least, most)
        names = list(node.input)
        if not least <= len(names) <= most or "" in names[:least]:
            raise self.error(node, f"it has the inputs {names}, expected {least} to {most}")
        return names + [""] * (most - len(names))

    # ---- constants

    def constant(self, tensor: str) -> Any:
        """The stored values of a tensor (a TensorProto), or None if it depends on the input."""
        for _ in range(MOST_SHARED):
            node = self.node_of(tensor)
            if node is None:
                return self.stored.get(tensor)
            if node.op_type == "Constant":
                held = [each.t for each in node.attribute if each.name == "value" and each.type == each.TENSOR]
                return held[0] if len(node.attribute) == 1 == len(held) else None
            if node.op_type != "Identity" or len(node.input) != 1:  # torch shares equal weights by Identity
                return None
            tensor = node.input[0]
        return None

    def number(self, tensor: str) -> float | None:
        """The value of a constant that holds a single number, else None."""
        stored = self.constant(tensor)
        if stored is None or tuple(stored.dims) not in ((), (1,)):
            return None
        return float(self._values(stored).reshape(()))

    def integers(self, tensor: str) -> list[int] | None:
        """The values of a constant list of a few integers, else None."""
        stored = self.constant(tensor)
        if stored is None or len(stored.dims) != 1 or not 0 < stored.dims[0] <= 8:
            return None
        values = self._values(stored)
        return values.tolist() if values.dtype == np.int64 else None

    def sizes(self, node: Any, tensor: str) -> Shape:
        """The shape of a constant."""
        stored = self.constant(tensor)
        if stored is None:
            raise self.error(node, f"{tensor!r} is computed, and minibp has fixed weights there")
        if min(stored.dims, default=1) < 1:
            raise self.error(node, f"{tensor!r} has the shape {tuple(stored.dims)}, which holds no values")
        return tuple(stored.dims)

    def array(self, node: Any, tensor: str, shape: Shape) -> np.ndarray:
        """The values of a constant as an array of this shape, which it may also be broadcast to."""
        given = self.sizes(node, tensor)
        self.left -= math.prod(shape)
        if self.left < 0:
            raise self.error(node, f"weights of shape {shape} are more than the file holds")
        values = self._values(self.constant(tensor))
        if values.dtype.kind != "f" or (self.dtype is not None and values.dtype != self.dtype):
            raise self.error(node, f"{tensor!r} is {values.dtype}; the weights must all be float32, or all float64")
        self.dtype = values.dtype
        if len(given) == len(shape) + 1 and given[0] == 1:  # as a batch of one
            given = given[1:]
        try:
            return np.broadcast_to(values.reshape(given), shape)
        except ValueError:
            raise self.error(node, f"{tensor!r} has the shape {given}, expected {shape}") from None

    def _values(self, stored: Any) -> np.ndarray:
        """The values of a TensorProto, whose size is compared with the bytes that it holds."""
        types, name = self.onnx.TensorProto, printable(stored.name)
        known = {types.FLOAT: 4, types.DOUBLE: 8, types.INT64: 8, types.BOOL: 1}
        if stored.data_type not in known:
            what = f"the weights {name!r} are of ONNX's type {stored.data_type}"
            raise FileFormatError(f"{self.path}: {what}; minibp reads float32 and float64")
        try:
            if stored.data_location == types.EXTERNAL:
                size = math.prod(stored.dims) * known[stored.data_type]
                values = types(dims=stored.dims, data_type=stored.data_type, raw_data=self._external(stored, size))
            else:
                values = stored
            return self.onnx.numpy_helper.to_array(values)
        except (ValueError, TypeError, OverflowError, OSError) as error:
            raise FileFormatError(f"{self.path}: the weights {name!r} cannot be read: {printable(error)}") from None

    def _external(self, stored: Any, size: int) -> bytes:
        """Weights in another file, which must be in the folder of the graph or below."""
        where = {each.key: each.value for each in stored.external_data}
        folder = os.path.realpath(os.path.dirname(self.path))
        path = os.path.realpath(os.path.join(folder, where.get("location", "")))
        offset, length = int(where.get("offset", 0)), int(where.get("length", size))
        if not path.startswith(os.path.join(folder, "")):
            raise ValueError(f"they are in {where.get('location')!r}, outside the folder of the file")
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) or length != size or not 0 <= offset <= found.st_size - size:
            raise ValueError(f"{size} bytes at {offset} are expected in {path}, which has {found.st_size}")
        if path not in self._files:
            self._files.add(path)
            self.left += found.st_size
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)


def _contents(path: str) -> bytes:
    """The bytes of a file; a FileFormatError if it is a folder, a pipe or a device."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block
            raise FileFormatError(f"{path} is not an ONNX file: it is a folder, a pipe or a device")
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {path}") from None
