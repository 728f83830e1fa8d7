"""What the nodes of an ONNX graph stand for: patterns of several nodes, and operators that are a layer alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import Layer
from ..dropout import Dropout
from ..layers import ELU, GELU, Dense, Exp, Flatten, LeakyReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from ..normalization import BatchNorm, LayerNorm, Standardize
from .onnx_graph import Graph

Make = Callable[[Any], Any]  # gives the layer for samples of a shape, or None where nothing is to do
ONLY_TANH = 'minibp has GELU in its tanh form only; build the network with nn.GELU(approximate="tanh")'
HINTS = {
    "Erf": ONLY_TANH,
    "LogSoftmax": "leave it out of the file, and pass loss=SoftmaxCrossEntropy()",
    "Conv": "minibp has no convolutions",
}


# ---- layers that are several nodes


def one_plus_tanh(cube: Any) -> Any:
    """1 + tanh u of GELU, u = √(2/π) (x + 0.044715 x³)."""
    return ("Add", 1.0, ("Tanh", ("Mul", GELU.scale, ("Add", "x", ("Mul", GELU.cubic, cube)))))


# A pattern is an operator with its inputs: patterns, numbers, "x" (the input of the layer), and names of numbers.
PATTERNS: list[tuple[type[Layer], Any]] = [
    (GELU, ("Mul", 0.5, ("Mul", "x", one_plus_tanh(("Mul", "x", ("Mul", "x", "x")))))),  # minibp, torch
    (GELU, ("Mul", "x", ("Mul", 0.5, one_plus_tanh(("Pow", "x", 3.0))))),  # torch with dynamo=True
    (ELU, ("Add", ("Relu", "x"), ("Mul", "alpha", ("Sub", ("Exp", ("Min", "x", 0.0)), 1.0)))),  # minibp, float64
    (Softplus, ("Add", ("Relu", "x"), ("Log", ("Add", 1.0, ("Exp", ("Neg", ("Abs", "x"))))))),  # minibp, float64
    (Softplus, ("Where", ("Greater", "x", 20.0), "x", ("Softplus", "x"))),  # torch with dynamo=True; 2e-9 from Softplus
]
SCALED = ("Mul", ("Cast", "x"), 1 / 255), ("Div", ("Cast", "x"), 255.0)  # inputs of uint8
COMMUTE = ("Add", "Mul", "Min")


def match(graph: Graph, pattern: Any, tensor: str, found: dict[str, Any]) -> dict[str, Any] | None:
    """What the names in a pattern stand for, if the tensor is computed as it says; else None."""
    if isinstance(pattern, str):
        value = tensor if pattern == "x" else graph.number(tensor)
        return found | {pattern: value} if value is not None and found.get(pattern, value) == value else None
    if isinstance(pattern, float):
        number = graph.number(tensor)
        return found if number is not None and math.isclose(number, pattern, rel_tol=1e-6) else None
    operator, *parts = pattern
    node = graph.node_of(tensor)
    if node is None or node.op_type != operator or len(node.input) != len(parts):
        return None
    if operator == "Cast":
        cast(graph, node)
    elif node.attribute:
        return None
    for order in [parts, parts[::-1]] if operator in COMMUTE else [parts]:
        now: dict[str, Any] | None = found
        for part, name in zip(order, node.input, strict=True):
            now = match(graph, part, name, now) if now is not None else None
        if now is not None:
            return now
    return None


# ---- layers that are one node, or two


def plain(cls: type[Layer], **arguments: tuple[str, float]) -> Callable[[Graph, Any], tuple[str, Make]]:
    """An operator that is a layer without weights; its arguments by the operator's attributes and their defaults."""

    def read(graph: Graph, node: Any) -> tuple[str, Make]:
        given = graph.attributes(node, **dict(arguments.values()))
        (x,) = graph.inputs(node, 1)
        return x, lambda shape: cls(**{name: given[attribute] for name, (attribute, _) in arguments.items()})

    return read


def dense(graph: Graph, node: Any, W: str, b: str = "", transposed: bool = False) -> Dense:
    """Dense with these constants as its weights and biases."""
    sizes = graph.sizes(node, W)
    if len(sizes) != 2:
        raise graph.error(node, f"its weights have the shape {sizes}, expected a matrix")
    weights = graph.array(node, W, sizes)
    weights = weights.T if transposed else weights
    n_in, n_out = weights.shape
    return Dense(n_in, n_out, weights, graph.array(node, b, (n_out,)) if b else np.zeros(n_out))


def gemm(graph: Graph, node: Any) -> tuple[str, Make]:
    """y = x W + b."""
    given = graph.attributes(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    if (given["alpha"], given["beta"], given["transA"]) != (1, 1, 0):
        raise graph.error(node, "minibp has no factors alpha and beta, and does not transpose inputs")
    x, W, b = graph.inputs(node, 2, 3)
    return x, lambda shape: dense(graph, node, W, b, bool(given["transB"]))


def matmul(graph: Graph, node: Any, b: str = "") -> tuple[str, Make]:
    """y = x W, or with the biases b that another node adds."""
    graph.attributes(node)
    x, W = graph.inputs(node, 2)
    return x, lambda shape: dense(graph, node, W, b)


def biased(graph: Graph, node: Any, y: str, b: str) -> tuple[str, Make]:
    """y = x W + b, where b is added by a node of its own."""
    product = graph.node_of(y)
    if product is None or product.op_type != "MatMul":
        raise graph.error(node, "it adds a constant, but not to a MatMul")
    return matmul(graph, product, b)


def standardize(graph: Graph, node: Any) -> tuple[str, Make]:
    """y = (x - μ) / σ, of two nodes or one."""
    graph.attributes(node)
    x, given = graph.inputs(node, 2)
    before = graph.node_of(x)
    mean, std = (given, "") if node.op_type == "Sub" else ("", given)
    if std and before is not None and before.op_type == "Sub":
        graph.attributes(before)
        x, mean = graph.inputs(before, 2)

    def make(shape: Any) -> Layer:
        if shape is None:
            raise graph.error(node, "the file does not give the shape of its input")
        arrays = [graph.array(node, each, shape) if each else None for each in (mean, std)]
        return Standardize(*(np.full(shape, i, float) if each is None else each for i, each in enumerate(arrays)))

    return x, make


def batch_norm(graph: Graph, node: Any) -> tuple[str, Make]:
    """BatchNorm with running statistics."""
    given = graph.attributes(node, epsilon=1e-5, momentum=0.9, training_mode=0)
    x, *tensors = graph.inputs(node, 5)
    if given["training_mode"] or len(node.output) > 1:
        raise graph.error(node, "it is in training mode; export the network in inference mode: model.eval()")
    arrays = dict(zip(("gamma", "beta", "running_mean", "running_var"), tensors, strict=True))
    config = {"momentum": given["momentum"], "eps": given["epsilon"]}
    return x, lambda shape: normalization(graph, node, BatchNorm, arrays, **config)


def layer_norm(graph: Graph, node: Any) -> tuple[str, Make]:
    """LayerNorm of rows, whose last axis is their first."""
    given = graph.attributes(node, axis=-1, epsilon=1e-5, stash_type=1)
    x, gamma, beta = graph.inputs(node, 2, 3)
    if given["axis"] not in (-1, 1):
        raise graph.error(node, f"its axis is {given['axis']}; minibp normalizes rows, axis -1")
    return x, lambda shape: normalization(graph, node, LayerNorm, {"gamma": gamma, "beta": beta}, eps=given["epsilon"])


def normalization(graph: Graph, node: Any, cls: type[Layer], tensors: dict[str, str], **config: float) -> Layer:
    """A normalization with these constants as its arrays."""
    n = math.prod(graph.sizes(node, tensors["gamma"]))
    layer = cls(n, **config)  # type: ignore[call-arg]  # both take n
    for name, tensor in tensors.items():
        layer.fill_parameter(name, graph.array(node, tensor, (n,)) if tensor else np.zeros(n))
    return layer


def softmax(graph: Graph, node: Any) -> tuple[str, Make]:
    """Softmax of rows. Before opset 13 it was that of all axes from 1 on."""
    axis = graph.attributes(node, axis=-1 if graph.opset >= 13 else 1)["axis"]
    (x,) = graph.inputs(node, 1)

    def make(shape: Any) -> Layer:
        rows = shape is not None and len(shape) == 1 and axis in (-1, 1)
        if not rows and (axis != -1 or graph.opset < 13):
            raise graph.error(node, f"its axis is {axis}; minibp has the softmax of rows, axis -1")
        return Softmax()

    return x, make


def flatten(graph: Graph, node: Any) -> tuple[str, Make]:
    """Flatten, where the samples stay the first axis."""
    if graph.attributes(node, axis=1)["axis"] != 1:
        raise graph.error(node, "minibp makes rows of samples, axis 1")
    (x,) = graph.inputs(node, 1)
    return x, lambda shape: Flatten()


def reshape(graph: Graph, node: Any) -> tuple[str, Make]:
    """Flatten, as the shape (N, the values of a sample), where -1 stands for one of both and 0 for N."""
    samples = [graph.batch] if graph.batch > 0 else []
    samples += [] if graph.attributes(node, allowzero=0)["allowzero"] else [0]
    x, to = graph.inputs(node, 2)

    def make(shape: Any) -> Layer:
        n = math.prod(shape) if shape else None
        sizes = graph.integers(to) or []
        if not (len(sizes) == 2 and (sizes == [-1, n] or (sizes[0] in samples and sizes[1] in (-1, n)))):
            raise graph.error(node, f"it gives {sizes or 'a computed shape'}; minibp makes rows of samples, (0, -1)")
        return Flatten()

    return x, make


def dropout(graph: Graph, node: Any) -> tuple[str, Make]:
    """Dropout, which is not at work at inference. Its rate was an attribute before opset 12."""
    old = graph.opset < 12
    given = graph.attributes(node, **({"ratio": 0.5} if old else {"seed": 0}))
    x, rate, training = graph.inputs(node, 1, 3)
    if training and graph.number(training) != 0:
        raise graph.error(node, "it is in training mode; export the network in inference mode: model.eval()")
    value: Any = given["ratio"] if old else graph.number(rate) if rate else 0.5
    return x, lambda shape: Dropout(value)


def gelu(graph: Graph, node: Any) -> tuple[str, Make]:
    """GELU in its tanh form."""
    if graph.attributes(node, approximate="none")["approximate"] != "tanh":
        raise graph.error(node, ONLY_TANH)
    return graph.inputs(node, 1)[0], lambda shape: GELU()


def identity(graph: Graph, node: Any) -> tuple[str, Make]:
    """No layer."""
    graph.attributes(node)
    return graph.inputs(node, 1)[0], lambda shape: None


def cast(graph: Graph, node: Any) -> tuple[str, Make]:
    """No layer, if it gives the floats that the network computes with anyway."""
    types = graph.onnx.TensorProto
    if graph.attributes(node, to=0, saturate=1, round_mode="up")["to"] not in (types.FLOAT, types.DOUBLE):
        raise graph.error(node, "minibp computes with float32 and float64")
    return graph.inputs(node, 1)[0], lambda shape: None


# What each operator stands for; Add, which may be a residual, is in `step`.
OPERATORS: dict[str, Callable[[Graph, Any], tuple[str, Make]]] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "Sub": standardize,
    "Div": standardize,
    "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm,
    "Sigmoid": plain(Sigmoid),
    "Tanh": plain(Tanh),
    "Relu": plain(ReLU),
    "LeakyRelu": plain(LeakyReLU, slope=("alpha", 0.01)),
    "Elu": plain(ELU, alpha=("alpha", 1.0)),
    "Exp": plain(Exp),
    "Softplus": plain(Softplus),
    "Gelu": gelu,
    "Softmax": softmax,
    "Dropout": dropout,
    "Flatten": flatten,
    "Reshape": reshape,
    "Identity": identity,
    "Cast": cast,
}
