"""from_onnx: an ONNX file as a network, if minibp has a layer for each of its nodes.

The graph is followed from its output back to its input, node by node (`walk`). Each node tells the tensor that it takes
and the layer that it stands for. So nothing is read that the output does not depend on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from ..base import Layer, Loss, Shape, infer_shapes, instance, printable
from ..containers import Residual
from ..errors import FileFormatError, MinibpError
from ..files.saving import KNOWN, MOST_LAYERS, NAMES
from ..layers import Sigmoid, Softmax
from ..losses import BinaryCrossEntropy, CrossEntropy, QuadraticLoss
from ..network import Network
from .onnx_graph import Graph
from .onnx_layers import HINTS, OPERATORS, PATTERNS, SCALED, Make, biased, match
from .onnx_writer import onnx_package

DEEPEST = 32  # residuals inside residuals


def walk(graph: Graph, tensor: str, start: str, depth: int = 0) -> list[tuple[Any, Make]]:
    """The nodes that compute a tensor from another, the last one first, and what they stand for."""
    steps: list[tuple[Any, Make]] = []
    while tensor != start:
        node, place = graph.node_of(tensor), graph.places.get(tensor, -1)
        if node is None or place <= graph.places.get(start, -1):
            what = f"{printable(tensor)!r} is not computed from {printable(start)!r} by layers that minibp has"
            raise graph.error(steps[-1][0], what) if steps else FileFormatError(f"{graph.path}: {what}")
        tensor, make = step(graph, node, tensor, depth)
        steps.append((node, make))
    return steps


def step(graph: Graph, node: Any, tensor: str, depth: int) -> tuple[str, Make]:
    """The tensor that a layer takes, and what gives the layer, for the last node of the layer."""
    for cls, pattern in PATTERNS:
        if pattern[0] == node.op_type and (found := match(graph, pattern, tensor, {})):
            return found.pop("x"), lambda shape, cls=cls, found=found: cls(**found)
    if node.op_type == "Add":
        graph.attributes(node)
        a, b = graph.inputs(node, 2)
        a, b = (b, a) if graph.constant(a) is not None else (a, b)
        return biased(graph, node, a, b) if graph.constant(b) is not None else residual(graph, node, a, b, depth + 1)
    if node.op_type not in OPERATORS:
        raise graph.error(node, HINTS.get(node.op_type, "minibp has no such layer"))
    return OPERATORS[node.op_type](graph, node)


def residual(graph: Graph, node: Any, a: str, b: str, depth: int) -> tuple[str, Make]:
    """y = x + f(x), where x is the input that is computed first."""
    if depth > DEEPEST:
        raise graph.error(node, f"over {DEEPEST} residuals are inside each other")
    x, y = sorted((a, b), key=lambda name: graph.places.get(name, -1))
    steps = walk(graph, y, x, depth)
    return x, lambda shape: Residual(*build(graph, steps, shape))


def build(graph: Graph, steps: Sequence[tuple[Any, Make]], shape: Shape | None) -> list[Layer]:
    """The layers that nodes stand for, the last one first, for samples of this shape."""
    layers: list[Layer] = []
    for node, make in reversed(steps):
        try:
            layer = make(shape)
            if layer is not None:
                shape = infer_shapes([layer], shape=shape)[-1]
                layers.append(layer)
        except FileFormatError:
            raise
        except MinibpError as error:  # such as another number of inputs
            raise graph.error(node, error) from None
    return layers


def start_of(graph: Graph) -> str:
    """The tensor that a network begins with: the input, or what scales it by 1/255, as networks scale uint8."""
    if graph.input_type != graph.onnx.TensorProto.UINT8:
        return graph.input
    for node in graph.nodes:
        for pattern in SCALED:
            if node.output and match(graph, pattern, node.output[0], {"x": graph.input}):
                return str(node.output[0])
    raise FileFormatError(f"{graph.path}: its input is uint8, which minibp scales by 1/255, but the file does not")


def loss_of(graph: Graph, layers: Sequence[Layer]) -> Loss:
    """The loss that minibp has written, else one that fits the last layer."""
    if "minibp" in graph.metadata:
        try:
            name, config = json.loads(graph.metadata["loss"])
            loss: Any = KNOWN[name](**config) if issubclass(KNOWN.get(name, object), Loss) else None  # a user's own
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise FileFormatError(f"{graph.path}: its loss cannot be read: {printable(error)}") from None
        if loss is not None and loss.activation not in (None, type(layers[-1])):
            what = f"its loss {loss} contains {loss.activation.__name__}(), but it ends in {layers[-1]}"
            raise FileFormatError(f"{graph.path}: {what}; pass another loss")
        if loss is not None:
            return loss
    return {Softmax: CrossEntropy, Sigmoid: BinaryCrossEntropy}.get(type(layers[-1]), QuadraticLoss)()


def from_onnx(path: str | os.PathLike[str], loss: Loss | None = None) -> Network:
    """Read an ONNX file as a network that can be used and trained on (needs onnx, minibp's extra `onnx`).

    It reads what `to_onnx` writes, and what torch.onnx writes for a sequence of layers that minibp has, with
    ``dynamo=True`` or not: products with biases, activations, softmax, normalizations, flattening, dropout, residuals,
    ``(x - mean) / std`` and, for inputs of uint8, the scale of 1/255. `predict` gives what the file gives.

    A file from a stranger is safe to read. Weights in another file must lie in the folder of this one or below.

    Parameters
    ----------
    path : path
        The file.
    loss : Loss, optional
        What the network is trained with, and how its outputs are meant. Default: the loss in a file of minibp. Else
        CrossEntropy() after softmax, BinaryCrossEntropy() after a sigmoid, and QuadraticLoss() for all other outputs.
        A classifier of PyTorch mostly ends in logits, because softmax is in its loss. With ``SoftmaxCrossEntropy()``,
        `predict` gives their softmax.

    Returns
    -------
    Network
        On NumPy, in the dtype of the file. From a file of minibp it has the names of its classes and columns, but no
        dropout, which is not in the file.

    Raises
    ------
    MissingExtraError
        If onnx is not installed.
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is damaged, not an ONNX file, or holds anything that minibp has no layer for; the message names the node
        and its operator.
    ArgumentError, ShapeError
        If the loss does not fit the outputs.
    OSError
        If it cannot be read.
    """
    onnx = onnx_package("from_onnx")
    if loss is not None:
        instance("loss", loss, Loss, "pass one such as SoftmaxCrossEntropy()")
    graph = Graph(os.fsdecode(path), onnx)
    layers = build(graph, walk(graph, graph.output, start_of(graph)), graph.shape)
    if not 0 < len(layers) <= MOST_LAYERS:
        raise FileFormatError(f"{graph.path} holds {len(layers):,} layers, expected 1 to {MOST_LAYERS:,}")
    dtype = graph.dtype or ("float64" if graph.input_type == onnx.TensorProto.DOUBLE else "float32")
    fits = loss or loss_of(graph, layers)
    if type(layers[-1]) is fits.activation and len(layers) > 1:
        layers.pop()  # the loss contains it
    try:
        net = Network(layers, fits, dtype=dtype)
    except MinibpError as error:
        if loss is not None:
            raise
        raise FileFormatError(f"{graph.path}: {printable(error)}; pass another loss to from_onnx") from None
    try:
        for name in NAMES if "minibp" in graph.metadata else ():
            setattr(net, name, json.loads(graph.metadata.get(name, "null")))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{graph.path}: its {name} cannot be read: {printable(error)}") from None
    return net
