"""Exchange with PyTorch: the weights as a state dict in a safetensors file, out and back."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..backend import to_host
from ..base import Layer, instance, new_file, printable, write_atomically
from ..errors import ArgumentError, ShapeError
from ..files.tensorfile import read_arrays
from ..layers import Dense
from ..network import Network
from ..normalization import BatchNorm, LayerNorm, Standardize
from .layers import entry, layers_at_inference
from .torch_source import LAYERS, source

# PyTorch's names for the arrays of a layer.
NAMES: dict[type, dict[str, str]] = {
    Dense: {"weight": "W", "bias": "b"},
    BatchNorm: {"weight": "gamma", "bias": "beta", "running_mean": "running_mean", "running_var": "running_var"},
    LayerNorm: {"weight": "gamma", "bias": "beta"},
    Standardize: {"mean": "mean", "std": "std"},
}
COUNT = "num_batches_tracked"  # of BatchNorm: PyTorch keeps it, but only needs it without a momentum
MOST_FAULTS = 8  # that an error lists


def to_torch(net: Network, path: str | os.PathLike[str]) -> str:
    """Write the weights for PyTorch, and return the Python text of the same network in PyTorch.

    The text defines ``model``, an ``nn.Sequential`` of the same layers. After ``model.eval()`` it gives what
    `Network.predict` gives, so it ends in the Softmax, Sigmoid or Exp that a loss contains. The text also defines
    ``loss(x, t)``, the loss that minibp trains with. It leaves that last layer out where PyTorch's loss contains it.

    A training in PyTorch follows the same formulas. The running statistics of `BatchNorm` are the same: both keep the
    unbiased variance, and PyTorch's momentum is 1 minus minibp's. But there PyTorch refuses to train on one sample, and
    its masks of dropout are others. Augmentation is left out: an ``nn.Identity()`` stands in its place.

    The file holds the state dict: ``0.weight`` of shape (out, in), ``0.bias``, ... The numbers before the dot are those
    of the layers in ``net.layers``. ``num_batches_tracked`` is 0, since minibp does not count. Which layers are frozen
    is not written.

    Parameters
    ----------
    net : Network
        A network of minibp's own layers.
    path : path
        The safetensors file to write. It is written whole or not at all.

    Returns
    -------
    str
        A Python program that needs only torch. It is not written, so that no program of yours is replaced.

    Raises
    ------
    ArgumentError
        If a layer is of a class of your own; or no file can be created there.
    DivergenceError
        If a weight is NaN or infinite.
    NotWritableError, OSError
        If the file cannot be written.
    """
    from safetensors.numpy import save

    instance("net", net, Network, "call to_torch(net, path)")
    text = source(net)
    net.check_weights()
    state = {key: _turned(name, to_host(getattr(layer, name))) for key, (layer, name) in _places(net).items()}
    state |= dict.fromkeys(_counts(net), np.array(0, "int64"))
    write_atomically(new_file(path), save(state, {"format": "pt"}))  # the metadata that PyTorch's users write
    return text


def from_torch(path: str | os.PathLike[str], net: Network) -> None:
    """Read a state dict of PyTorch into the network, whose layers are those of the ``nn.Sequential`` that it is of.

    In PyTorch write it by ``safetensors.torch.save_file(model.state_dict(), path)``. What `to_torch` wrote comes back
    bit for bit. Numbers of another precision are rounded to the network's dtype. ``num_batches_tracked`` is not needed.
    On an error nothing has changed.

    Parameters
    ----------
    path : path
        The safetensors file. No code in it is run.
    net : Network
        A network of minibp's own layers, which gets the weights and the running statistics.

    Raises
    ------
    FileNotFoundError, FileFormatError, OSError
        If there is no such file, it is not a safetensors file, or it cannot be read.
    ShapeError
        If names are missing or unexpected, or arrays have other shapes, or do not hold floats; the message names them.
    ArgumentError
        If an array holds NaN, infinity, or a variance below 0; or a layer is of a class of your own.
    """
    instance("net", net, Network, "call from_torch(path, net)")
    places, arrays = _places(net), read_arrays(path)
    faults = [f"{key} is missing" for key in places if key not in arrays]
    faults += [f"{printable(key)} is unexpected" for key in sorted(arrays.keys() - places.keys() - _counts(net))]
    for key, (layer, name) in places.items():
        if key not in arrays:
            continue
        array, ours = arrays[key], layer.shapes()[name]
        if array.shape != (expected := ours[::-1] if name == "W" else ours):
            faults.append(f"{key} has the shape {array.shape}, expected {expected}")
        elif array.dtype.kind != "f":
            faults.append(f"{key} is {array.dtype}, expected floats")
    if faults:
        more = [f"and {len(faults) - MOST_FAULTS} more"] if len(faults) > MOST_FAULTS else []
        cure = "expected is the state dict of an nn.Sequential of the same layers, as to_torch writes it"
        raise ShapeError(f"{os.fsdecode(path)}: {', '.join(faults[:MOST_FAULTS] + more)}; {cure}")
    values = {}
    for key, (layer, name) in places.items():
        try:
            values[key] = layer.check_values(name, _turned(name, arrays[key]))
        except ArgumentError as error:
            raise ArgumentError(f"{os.fsdecode(path)}: {key}: {error}") from None
    for key, (layer, name) in places.items():
        layer.load_value(name, values[key])


def _layers(net: Network) -> dict[str, Layer]:
    """All layers, also those inside others, by their names in the nn.Sequential: "0", "1.0"."""
    found: dict[str, Any] = {}
    for i, layer in enumerate(layers_at_inference(net)):
        found |= layer.named_modules(str(i))
    for layer in found.values():
        entry(LAYERS, layer, "PyTorch")  # refuses classes of a user
    return found


def _places(net: Network) -> dict[str, tuple[Layer, str]]:
    """The arrays of the state dict: by their names in it, the layer and the name there."""
    layers = _layers(net).items()
    return {f"{at}.{key}": (layer, name) for at, layer in layers for key, name in NAMES.get(type(layer), {}).items()}


def _counts(net: Network) -> set[str]:
    return {f"{at}.{COUNT}" for at, layer in _layers(net).items() if type(layer) is BatchNorm}


def _turned(name: str, array: np.ndarray) -> np.ndarray:
    """A weight matrix the other way round: (in, out) for (out, in). All other arrays are the same in both."""
    return np.ascontiguousarray(array.T) if name == "W" else array
