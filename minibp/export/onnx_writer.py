"""to_onnx: a network as an ONNX file, which other programs run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import __version__
from ..augmentation import ElasticDistortion, GaussianNoise, RandomAffine
from ..backend import to_host
from ..base import Layer, Shape, instance, kind_of_rows, new_file, write_atomically
from ..containers import Residual, Sequential
from ..dropout import Dropout
from ..errors import ArgumentError, MissingExtraError, ShapeError
from ..layers import ELU, GELU, Dense, Exp, Flatten, LeakyReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from ..network import Network
from ..normalization import BatchNorm, LayerNorm, Standardize
from .layers import PROBABLE, entry, layers_at_inference

OPSET, IR = 17, 8  # the oldest with LayerNormalization: programs refuse files that are newer than themselves
LARGEST = 2**31 - 2**20  # bytes of a file, which protobuf limits


def onnx_package(purpose: str) -> Any:
    """The package onnx; a MissingExtraError if it is not there."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx>=1.17", "onnx", purpose) from error
    return onnx


class Writer:
    """Collects the nodes and the weights of an ONNX graph.

    Called as ``writer("Gemm", x, layer.W, layer.b)`` it adds a node and returns the name of its output. Inputs are the
    names of tensors, parameters of the layer that is being written, and numbers.
    """

    def __init__(self, net: Network, onnx: Any):
        self.onnx, self.dtype = onnx, net.dtype
        self.places = {id(module): place for place, module in net.named_modules().items()}
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.layer: Layer | None = None

    def __call__(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        place = self.places.get(id(self.layer), "output")
        name = f"{place}.{operator}.{len(self.nodes)}"
        names = [each if isinstance(each, str) else self.constant(place, each) for each in inputs]
        self.nodes.append(self.onnx.helper.make_node(operator, names, [name], name, **attributes))
        return name

    def constant(self, place: str, value: Any) -> str:
        """The name of a number, or of a parameter of the layer, which is added to the file."""
        if isinstance(value, float):
            name = str(value)
        else:
            assert self.layer is not None
            arrays = {**self.layer.params, **self.layer.buffers}
            name = f"{place}.{next(name for name, array in arrays.items() if array is value)}"
        self.constants[name] = self.onnx.numpy_helper.from_array(np.asarray(to_host(value), self.dtype), name)
        return name

    def run(self, layers: Iterable[Layer], x: str) -> str:
        """Add layers, which run one after the other; returns the name of the output."""
        for layer in layers:
            self.layer = layer
            x = entry(FORMS, layer, "ONNX")(self, layer, x)
        return x


def gelu(f: Writer, layer: Any, x: str) -> str:
    """y = ½ x (1 + tanh u), u = √(2/π) (x + 0.044715 x³). The operator Gelu is newer than opset 17."""
    cubic = f("Mul", layer.cubic, f("Mul", x, f("Mul", x, x)))
    u = f("Mul", layer.scale, f("Add", x, cubic))
    return f("Mul", 0.5, f("Mul", x, f("Add", 1.0, f("Tanh", u))))


def elu(f: Writer, layer: Any, x: str) -> str:
    """Elu, which ONNX Runtime has in float32 only; in float64 y = max(x, 0) + α (exp(min(x, 0)) - 1)."""
    if f.dtype == np.float32:
        return f("Elu", x, alpha=layer.alpha)
    return f("Add", f("Relu", x), f("Mul", layer.alpha, f("Sub", f("Exp", f("Min", x, 0.0)), 1.0)))


def softplus(f: Writer, layer: Any, x: str) -> str:
    """Softplus, which ONNX Runtime has in float32 only; in float64 y = max(x, 0) + log(1 + exp(-|x|))."""
    if f.dtype == np.float32:
        return f("Softplus", x)
    return f("Add", f("Relu", x), f("Log", f("Add", 1.0, f("Exp", f("Neg", f("Abs", x))))))


def batch_norm(f: Writer, layer: Any, x: str) -> str:
    """By the running statistics, as at inference."""
    inputs = x, layer.gamma, layer.beta, layer.running_mean, layer.running_var
    return f("BatchNormalization", *inputs, epsilon=layer.eps, momentum=layer.momentum)


def residual(f: Writer, layer: Any, x: str) -> str:
    """y = x + f(x)."""
    y = f.run(layer.layers, x)
    f.layer = layer
    return f("Add", x, y)


# What is written for each class. A layer at inference is an expression of ONNX's operators.
FORMS: dict[type[Layer], Callable[[Writer, Any, str], str]] = {
    Dense: lambda f, layer, x: f("Gemm", x, layer.W, layer.b),
    Flatten: lambda f, layer, x: f("Flatten", x),
    Sigmoid: lambda f, layer, x: f("Sigmoid", x),
    Tanh: lambda f, layer, x: f("Tanh", x),
    Softmax: lambda f, layer, x: f("Softmax", x, axis=-1),
    ReLU: lambda f, layer, x: f("Relu", x),
    LeakyReLU: lambda f, layer, x: f("LeakyRelu", x, alpha=layer.slope),
    ELU: elu,
    GELU: gelu,
    Exp: lambda f, layer, x: f("Exp", x),
    Softplus: softplus,
    BatchNorm: batch_norm,
    LayerNorm: lambda f, layer, x: f("LayerNormalization", x, layer.gamma, layer.beta, axis=-1, epsilon=layer.eps),
    Standardize: lambda f, layer, x: f("Div", f("Sub", x, layer.mean), layer.std),
    **dict.fromkeys((Dropout, GaussianNoise, RandomAffine, ElasticDistortion), lambda f, layer, x: x),
    Sequential: lambda f, layer, x: f.run(layer.layers, x),
    Residual: residual,
}


def to_onnx(
    net: Network,
    path: str | os.PathLike[str],
    *,
    scale_uint8: bool = False,
    sample_shape: Shape | None = None,
) -> None:
    """Write a network to an ONNX file, as it runs at inference (needs onnx, minibp's extra `onnx`).

    The input is ``x`` (N, ...), any number of samples, and the output is what `predict` returns: ``probabilities``
    (N, K), also where softmax or sigmoid are part of the loss, or ``y`` (N, K) if these are no probabilities. Dropout
    and augmentation are left out. The file has opset 17 and IR version 8, one array for each parameter, named as in
    files of `save` (``layers.0.W``), and in its metadata the version of minibp, the layers, the loss, and the names of
    the classes and the columns. `from_onnx` reads it.

    ONNX holds `eps` and slopes in float32. So a network of float64 agrees with its file to about 1e-8.

    Parameters
    ----------
    net : Network
        The network, on any array library.
    path : path
        Where to write it, usually ``*.onnx``. At `path` there is always a complete file, the old or the new one.
    scale_uint8 : bool, default False
        True makes x uint8, and the file scales it by 1/255, as minibp does. Without it x is of the network's dtype, and
        whoever runs the file has to scale images.
    sample_shape : tuple of int, optional
        The shape of a sample. Default: the rows or images that the first layer takes. For a network that begins with
        rows of 784 values, (28, 28) makes a file that takes images.

    Raises
    ------
    MissingExtraError
        If onnx is not installed.
    ArgumentError
        If a layer is a class of your own, the shape of a sample is not known or does not fit, or the file would exceed
        2 GB; or no file can be created there.
    DivergenceError
        If a weight is NaN or infinite.
    NotWritableError, OSError
        If the file cannot be written. One that was there before is still there.
    """
    onnx = onnx_package("to_onnx")
    instance("net", net, Network, "call to_onnx(net, path)")
    path = new_file(path)
    shape = _sample_shape(net, sample_shape)
    net.check_weights()
    if (size := net.dtype.itemsize * (net.params.size + net.buffers.size)) > LARGEST:
        raise ArgumentError(f"an ONNX file holds up to 2 GB, and the weights of this network take {size:,} bytes")
    layers, helper, writer = layers_at_inference(net), onnx.helper, Writer(net, onnx)
    kind = helper.np_dtype_to_tensor_dtype(net.dtype)
    x = "x"
    if scale_uint8:
        x = writer("Mul", writer("Cast", x, to=kind), 1 / 255)
    if net.sample_shape((1, *shape)) != shape:
        x = writer("Flatten", x)
    x = writer.run(layers, x)
    if x == "x":
        x = writer("Identity", x)
    of_classes = kind_of_rows(layers) in PROBABLE and not net.loss.of_numbers
    name = "probabilities" if of_classes else "y"
    writer.nodes[-1].output[0] = name  # which gives the output, so nothing else takes it
    takes = helper.make_tensor_value_info("x", onnx.TensorProto.UINT8 if scale_uint8 else kind, ["N", *shape])
    gives = helper.make_tensor_value_info(name, kind, ["N", net.output_size((1, *shape))])
    graph = helper.make_graph(writer.nodes, "network", [takes], [gives], list(writer.constants.values()))
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="minibp",
        producer_version=__version__,
    )
    helper.set_model_props(model, _card(net))
    write_atomically(path, model.SerializeToString())


def _sample_shape(net: Network, given: Any) -> Shape:
    """The shape of a sample: the one given, or that of the first layer; an ArgumentError if it does not fit."""
    shape = given if given is not None else net.layers[0].in_shape or net.shapes[0]  # what Flatten() gives, it takes
    if shape is None:
        what = "the shape of a sample does not follow from the layers"
        raise ArgumentError(f"{what}; give it: to_onnx(net, path, sample_shape=(28, 28))")
    try:
        shape = tuple(int(n) for n in shape)
        net.output_size((1, *shape))
    except (TypeError, ValueError, ShapeError) as error:
        raise ArgumentError(f"sample_shape {shape!r} does not fit the network: {error}") from None
    return shape


def _card(net: Network) -> dict[str, str]:
    """What the file says about the network."""
    names = {"class_names": net.class_names, "column_names": net.column_names}
    return {
        "minibp": __version__,
        "layers": ", ".join(map(str, net.layers)),
        "loss": json.dumps([type(net.loss).__name__, net.loss.config()]),
        "parameters": str(net.params.size),
    } | {name: json.dumps(value, ensure_ascii=False) for name, value in names.items() if value is not None}
