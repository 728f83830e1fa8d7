"""Models on disk: weights and architecture in one safetensors file, without pickle."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from . import dropout, layers, losses, normalization
from .backend import to_host
from .checks import instance
from .errors import ArgumentError, FileFormatError, ShapeError, UnknownNameError
from .layer import Layer
from .loss import Loss
from .network import Network
from .part import Part
from .tensorfile import printable, read, write

KIND = "network"
KNOWN: dict[str, type[Part]] = {
    name: value
    for module in (layers, normalization, dropout, losses)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Part) and value.__module__ == module.__name__
    if value.formula not in (Layer.formula, Loss.formula)  # type: ignore[attr-defined]  # no bases
}
# Arguments of minibp's layers that are no part of what they are, and would have them draw weights of any size.
NOT_IN_FILES = {"W", "b", "seed"}


def save(net: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to a safetensors file: its weights and running statistics, and how it is built.

    The names are plain (``layers.0.W``), so that any reader of safetensors can use the weights. The file is written
    beside its place and then renamed: at `path` there is always a whole file, the old or the new one. Equal networks
    give equal files.

    Parameters
    ----------
    net : Network
        What to save; it is left as it is.
    path : path
        Where; by custom ``*.safetensors``.

    Raises
    ------
    ArgumentError
        If it is no network, or a weight is NaN or infinite: `load` would refuse the file.
    OSError
        If the file cannot be written; what was there before is still there.
    """
    instance("net", net, Network, "call save(net, path)")
    arrays = {
        f"layers.{i}.{name}": to_host(value)
        for i, layer in enumerate(net.layers)
        for name, value in {**layer.params, **layer.state}.items()
    }
    refuse_not_finite(arrays)
    write(path, KIND, describe(net), arrays)


def refuse_not_finite(arrays: dict[str, Any]) -> None:
    """Refuse, by an ArgumentError, to keep weights that are no numbers any more."""
    bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if bad:
        raise ArgumentError(f"{', '.join(bad)}: NaN or infinite, so the network is of no use; nothing was written")


def describe(net: Network) -> dict[str, Any]:
    """How a network is built: the classes of its layers and loss with their arguments, and the dtype."""
    return {
        "layers": [[type(layer).__name__, layer.config()] for layer in net.layers],
        "loss": [type(net.loss).__name__, net.loss.config()],
        "dtype": str(net.dtype),
    }


def load(path: str | os.PathLike[str], backend: str = "numpy", own: Iterable[type[Part]] = ()) -> Network:
    """Read a network that `save` wrote.

    A file from a stranger is safe to load: no code in it is run, no class is looked up but those of minibp and those
    given, and no more memory is set aside than the file is long.

    Parameters
    ----------
    path : path
        The file.
    backend : {"numpy", "cupy", "auto"}, default "numpy"
        Where the network shall compute.
    own : iterable of classes
        Layers and losses of one's own that the network uses. No code is ever looked up by a name in the file.

    Returns
    -------
    Network
        With the weights, the running statistics and the dtype of the one that was saved, and a generator of seed 0.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is no safetensors file, none of minibp's, or damaged.
    ArgumentError
        If `own` holds what is no class of a layer or a loss.
    UnknownNameError
        If it uses a layer that is neither minibp's nor in `own`, or there is no backend of that name.
    BackendError
        If CuPy is asked for and does not work.
    """
    known = KNOWN | {cls.__name__: cls for cls in _classes(own)}
    described, arrays = read(path, KIND)
    try:
        dtype, loss_spec = described["dtype"], described["loss"]
        specs = [(str(name), dict(config)) for name, config in [*described["layers"], loss_spec]]
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"{path}: the description of the network is damaged ({error!r})") from None
    for name, config in specs:
        if name not in known:
            raise UnknownNameError(f"layer (in {path}; give your own as load(path, own=[...]))", name, list(known))
        if known[name] is KNOWN.get(name) and (strange := NOT_IN_FILES & config.keys()):
            raise FileFormatError(f"{path}: {name} is given {', '.join(sorted(strange))}, which no file of minibp has")
    try:
        if dtype not in ("float32", "float64"):
            raise ArgumentError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
        built: list[Any] = [known[name](**config) for name, config in specs]
        *parts, loss = built
        if not isinstance(loss, Loss):
            raise ArgumentError(f"{loss} is not a loss")
        _fill(parts, arrays, dtype)
        net = Network(parts, loss, dtype=dtype)
    except (ArgumentError, ShapeError, TypeError, ValueError, OverflowError, AttributeError) as error:
        said = printable(error)
        raise FileFormatError(f"{path}: the description and the weights do not fit together: {said}") from None
    return net.to(backend)


def _classes(own: Any) -> list[type[Part]]:
    classes = list(own) if isinstance(own, Iterable) else [own]
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, Part)):
            raise ArgumentError(f"own must be classes of layers and losses, got {cls!r}; write own=[MyLayer]")
    return classes


def _fill(parts: list[Any], arrays: dict[str, Any], dtype: Any) -> None:
    """Give the layers the arrays of a file; all must be there, and no others.

    This comes before a network would draw them: the sizes in a damaged file may be beyond all memory.
    """
    wanted = {f"layers.{i}.{name}": (part, name) for i, part in enumerate(parts) for name in part._starts}
    if set(wanted) != set(arrays):
        differ = ", ".join(sorted(set(wanted) ^ set(arrays)))
        raise ShapeError(f"missing or unexpected: {differ}")
    for key, (part, name) in wanted.items():
        if str(arrays[key].dtype) != dtype:
            raise ShapeError(f"{key} is {arrays[key].dtype}, expected {dtype}")
        part._fill(name, arrays[key])  # refuses another shape
