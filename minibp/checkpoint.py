"""Models on disk: weights and architecture in one safetensors file, without pickle."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from . import dropout, layers, losses, normalization
from .backend import to_host
from .errors import ArgumentError, FileFormatError, ShapeError, UnknownNameError
from .losses import Loss
from .network import Network
from .part import Part

VERSION = 1  # of the format; a reader refuses a newer one

KNOWN: dict[str, type[Part]] = {
    name: value
    for module in (layers, normalization, dropout, losses)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Part) and value.__module__ == module.__name__
}


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
    OSError
        If the file cannot be written; what was there before is still there.
    """
    import json  # these here, not above: few programs save, all import

    from safetensors.numpy import save as to_bytes

    arrays = {
        f"layers.{i}.{name}": np.array(to_host(value), order="C")  # it saves other arrays wrong, silently
        for i, layer in enumerate(net.layers)
        for name, value in {**layer.params, **layer.state}.items()
    }
    described = {
        "version": VERSION,
        "layers": [[type(layer).__name__, layer.config()] for layer in net.layers],
        "loss": [type(net.loss).__name__, net.loss.config()],
        "dtype": str(net.dtype),
    }
    write_atomically(path, to_bytes(arrays, {"minibp": json.dumps(described, sort_keys=True, default=float)}))


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that at `path` there is never a part of it, whatever happens."""
    temporary = f"{os.fspath(path)}.{os.urandom(8).hex()}.part"  # not mkstemp: others may read the file
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def load(path: str | os.PathLike[str], backend: str = "numpy", own: Iterable[type[Part]] = ()) -> Network:
    """Read a network that `save` wrote.

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
    UnknownNameError
        If it uses a layer that is neither minibp's nor in `own`.
    """
    import json

    from safetensors import SafetensorError, safe_open

    known = KNOWN | {cls.__name__: cls for cls in own}
    if not os.path.exists(path):
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("minibp")
            names = file.keys() if text else []  # others' files may hold types that NumPy has not
            arrays = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise FileFormatError(f"{path} is not a readable safetensors file: {error}") from None
    if text is None:
        raise FileFormatError(f"{path} was not written by minibp: it has weights, but no description of a network")
    try:
        described = json.loads(text)
        version = described["version"]
        if version != VERSION:
            raise FileFormatError(f"{path} has format version {version!r}, this minibp reads {VERSION}; upgrade minibp")
        dtype, loss_spec = described["dtype"], described["loss"]
        specs = [(str(name), dict(config)) for name, config in [*described["layers"], loss_spec]]
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"{path}: the description of the network is damaged ({error!r})") from None
    for name, _ in specs:
        if name not in known:
            raise UnknownNameError(f"layer (in {path}; give your own as load(path, own=[...]))", name, list(known))
    try:
        built: list[Any] = [known[name](**config) for name, config in specs]
        *parts, loss = built
        if not isinstance(loss, Loss):
            raise ArgumentError(f"{loss} is not a loss")
        _fill(parts, arrays)
        net = Network(parts, loss, dtype=dtype)
    except (ArgumentError, ShapeError, TypeError) as error:
        raise FileFormatError(f"{path}: the description and the weights do not fit together: {error}") from None
    return net.to(backend)


def _fill(parts: list[Any], arrays: dict[str, Any]) -> None:
    """Give the layers the arrays of a file; all must be there, and no others.

    This comes before a network would draw them: the sizes in a damaged file may be beyond all memory.
    """
    wanted = {f"layers.{i}.{name}": (part, name) for i, part in enumerate(parts) for name in part._starts}
    if set(wanted) != set(arrays):
        differ = ", ".join(sorted(set(wanted) ^ set(arrays)))
        raise ShapeError(f"missing or unexpected: {differ}")
    for key, (part, name) in wanted.items():
        part._fill(name, arrays[key])  # refuses another shape
