"""save and load: the weights and the architecture of a network in one safetensors file, without pickle."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from inspect import signature
from typing import Any

import numpy as np

from .. import dropout, layers, losses, normalization
from ..backend import to_host
from ..base import Layer, Loss, Module, Shape, instance
from ..errors import ArgumentError, BackendError, FileFormatError, ShapeError, UnknownNameError
from ..network import Network
from .tensorfile import from_json, printable, read, to_json, write

KIND = "network"
PLAIN = (bool, int, float, str)
MOST_LAYERS = 10_000  # of a file: a layer takes 2 KB of memory, and its description 12 bytes
KNOWN: dict[str, type[Module]] = {
    name: value
    for module in (layers, normalization, dropout, losses)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Module) and value.__module__ == module.__name__
    if value.formula not in (Layer.formula, Loss.formula)  # type: ignore[attr-defined]  # no bases
}
# Arguments of minibp's layers that only concern the initial weights. In a file they could make them of any size.
NOT_IN_FILES = {"W", "b", "seed"}


def save(net: Network, path: str | os.PathLike[str]) -> None:
    """Save a network to a safetensors file: its weights, buffers and architecture.

    The names are plain (``layers.0.W``), so that any reader of safetensors can use the weights. The file is written
    atomically: at `path` there is always a complete file, the old or the new one. Equal networks give equal files.

    Parameters
    ----------
    net : Network
        The network to save.
    path : path
        Where to save it, usually ``*.safetensors``.

    Raises
    ------
    ArgumentError
        If it is not a network, a weight is NaN or infinite, or `load` could not create a layer or a loss of your own
        from its ``config()``.
    OSError
        If the file cannot be written. A file that was there before is still there.
    """
    instance("net", net, Network, "call save(net, path)")
    parts = _named([*net.layers, net.loss])
    arrays = {
        f"{at}.{name}": to_host(value)
        for at, part in parts.items()
        for name, value in {**part.params, **part.buffers}.items()
    }
    lost = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if lost:
        raise ArgumentError(f"{', '.join(lost)}: NaN or infinite, so the network is useless; nothing was written")
    if len(parts) > MOST_LAYERS:
        raise ArgumentError(f"a file holds networks of up to {MOST_LAYERS:,} layers, this one has {len(net.layers):,}")
    fed = dict(zip(parts, [net.layers[0].in_shape, *net.shapes], strict=True))
    drawn = np.random.get_state()  # noqa: NPY002  # NumPy's global generator, which a user's layer may draw from
    try:
        for at, part in parts.items():
            if type(part) not in KNOWN.values():
                _refuse_unlike(f"{at}: {type(part).__name__}", part, fed[at])
    finally:
        np.random.set_state(drawn)  # noqa: NPY002
    own = {type(part) for part in parts.values()}
    if len({cls.__name__ for cls in own}) < len(own):
        raise ArgumentError("two classes of the network have the same name, by which load finds them: rename one")
    write(path, KIND, describe(net), arrays)


def _named(parts: list[Any]) -> dict[str, Any]:
    """Layers and the loss, which is last, by the names that they have in a file."""
    return {f"layers.{i}": layer for i, layer in enumerate(parts[:-1])} | {"loss": parts[-1]}


def _refuse_unlike(place: str, part: Any, shape: Shape | None) -> None:
    """Refuse, by an ArgumentError, a user's layer or loss that `load` would create with other properties.

    `shape` is the shape of a sample of its input, if it is known.
    """
    if type(part).__name__ in KNOWN:
        raise ArgumentError(f"{place} has the name of one of minibp's classes, which load would create: rename it")
    config, cure = part.config(), "let config() return the arguments of __init__ by name"
    try:
        given_back = from_json(to_json(config))
    except ArgumentError as error:
        raise ArgumentError(f"{place}: config() cannot be saved: {error}") from None
    try:
        made = type(part)(**given_back)
        made_config = from_json(to_json(made.config()))
    except Exception as error:
        raise ArgumentError(f"{place} cannot be created from its config() {config}: {error}; {cure}") from None
    if made_config != given_back:
        raise ArgumentError(f"{place}: config() returns {config}, but after load it would return {made_config}; {cure}")
    if made.shapes() != part.shapes():
        raise ArgumentError(f"{place}: created from its config(), its parameters have other shapes; {cure}")
    for name in signature(type(part).__init__).parameters.keys() - config.keys() - NOT_IN_FILES:
        ours, theirs = vars(part).get(name), vars(made).get(name)
        if isinstance(ours, PLAIN) and ours != theirs:
            what = f"its {name} is {theirs!r}, not {ours!r}"
            raise ArgumentError(f"{place}: created from its config(), {what}; {cure}")
    if shape is not None and isinstance(part, Layer):
        ours, theirs = _answer(part, part, shape), _answer(made, part, shape)
        if ours is not None and theirs is not None and not np.array_equal(ours, theirs, equal_nan=True):
            raise ArgumentError(f"{place}: created from its config(), it gives other outputs; {cure}")


def _answer(layer: Layer, weights: Layer, shape: Shape) -> np.ndarray | None:
    """The outputs of a copy of a layer, with these weights, for some inputs; None if they cannot be computed."""
    try:
        twin = copy.deepcopy(layer).astype(weights.dtype)
        for name, value in {**weights.params, **weights.buffers}.items():
            setattr(twin, name, value)
        twin.training = False
        x = np.random.default_rng(0).uniform(0.1, 0.9, (3, *shape))  # inputs that a logarithm accepts
        y, again = to_host(twin.forward(x)).copy(), to_host(twin.forward(x))
        return y if np.array_equal(y, again, equal_nan=True) else None  # None: it is random
    except Exception:
        return None


def describe(net: Network) -> dict[str, Any]:
    """The architecture of a network: the classes of its layers and loss with their arguments, and the dtype."""
    return {
        "layers": [[type(layer).__name__, layer.config()] for layer in net.layers],
        "loss": [type(net.loss).__name__, net.loss.config()],
        "dtype": str(net.dtype),
    }


def load(path: str | os.PathLike[str], backend: str = "numpy", own: Iterable[type[Module]] = ()) -> Network:
    """Load a network that `save` wrote.

    A file from a stranger is safe to load. No code in it is run, classes other than minibp's and those given are never
    looked up, and memory is allocated for the size of the file, not for its claims.

    Parameters
    ----------
    path : path
        The file.
    backend : {"numpy", "cupy", "auto"}, default "numpy"
        The array library of the network.
    own : iterable of classes
        Your own layers and losses that the network uses.

    Returns
    -------
    Network
        With the weights, the buffers and the dtype of the saved one, and a generator with seed 0.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is not a safetensors file, was not written by minibp, or is damaged.
    OSError
        If it cannot be read.
    ArgumentError
        If `own` holds anything but classes of layers and losses, or two of the same name.
    UnknownNameError
        If the network uses a layer that is neither minibp's nor in `own`, or there is no backend of this name.
    BackendError
        If CuPy was asked for and does not work.
    """
    known = KNOWN | _by_name(own)
    described, arrays = read(path, KIND)
    try:
        dtype, loss_spec = described["dtype"], described["loss"]
        specs = [(str(name), dict(**config)) for name, config in [*described["layers"], loss_spec]]
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"{path}: the description of the network is damaged ({error!r})") from None
    if len(specs) > MOST_LAYERS:
        raise FileFormatError(f"{path} describes {len(specs):,} layers, but a file has at most {MOST_LAYERS:,}")
    for name, config in specs:
        if name not in known:
            raise UnknownNameError(f"layer (in {path}; give your own as load(path, own=[...]))", name, list(known))
        if known[name] is KNOWN.get(name) and (strange := NOT_IN_FILES & config.keys()):
            arguments = ", ".join(sorted(strange))
            raise FileFormatError(f"{path}: {name} has the argument {arguments}, which no file of minibp has")
    try:
        if dtype not in ("float32", "float64"):
            raise ArgumentError(f"dtype must be 'float32' or 'float64', received {dtype!r}")
        built: list[Any] = [known[name](**config) for name, config in specs]
        _assign(_named(built), arrays, dtype)
        net = Network(built[:-1], built[-1], backend, dtype)
    except (BackendError, UnknownNameError):
        raise
    except (ArgumentError, ShapeError, TypeError, ValueError, OverflowError, AttributeError) as error:
        what = "the description and the weights do not fit together"
        raise FileFormatError(f"{path}: {what}: {printable(error)}") from None
    return net


def _by_name(own: Any) -> dict[str, type[Module]]:
    """Classes by their names; an ArgumentError if the names are ambiguous."""
    classes = list(own) if isinstance(own, Iterable) else [own]
    found: dict[str, type[Module]] = {}
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, Module)):
            raise ArgumentError(f"own must be classes of layers and losses, received {cls!r}; write own=[MyLayer]")
        name = cls.__name__
        if KNOWN.get(name, cls) is not cls or found.get(name, cls) is not cls:
            raise ArgumentError(f"own has a class {name}, but there is another one of this name: rename it")
        found[name] = cls
    return found


def _assign(parts: dict[str, Any], arrays: dict[str, Any], dtype: Any) -> None:
    """Give the layers the arrays of a file, which must match exactly.

    This comes before a network would draw the weights, because the sizes in a damaged file may exceed all memory.
    """
    wanted = {f"{at}.{name}": (part, name) for at, part in parts.items() for name in part.shapes()}
    if set(wanted) != set(arrays):
        differ = ", ".join(sorted(set(wanted) ^ set(arrays)))
        raise ShapeError(f"missing or unexpected: {differ}")
    for key, (part, name) in wanted.items():
        if str(arrays[key].dtype) != dtype:
            raise ShapeError(f"{key} is {arrays[key].dtype}, expected {dtype}")
        part._fill(name, arrays[key])  # refuses another shape
