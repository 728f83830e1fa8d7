"""save and load: the weights and the architecture of a network in one safetensors file, without pickle."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from inspect import signature
from itertools import count
from typing import Any

import numpy as np

from .. import augmentation, containers, dropout, layers, losses, normalization, regression
from ..backend import to_host
from ..base import (
    Layer,
    Loss,
    Module,
    infer_shapes,
    instance,
    printable,
    refuse_unusable,
    writable_path,
    write_atomically,
)
from ..data import Columns, Origin, Pictures
from ..errors import ArgumentError, BackendError, FileFormatError, MinibpError, ShapeError, UnknownNameError
from ..network import Network
from .tensorfile import read, to_bytes, to_json

KIND = "network"
MOST_LAYERS = 10_000  # of a file: a layer takes 2 KB of memory, and its description 12 bytes
KNOWN: dict[str, type[Module]] = {
    name: value
    for module in (layers, normalization, dropout, augmentation, containers, losses, regression)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Module) and value.__module__ == module.__name__
    if value.formula not in (Layer.formula, Loss.formula)  # type: ignore[attr-defined]  # no bases
}
# Arguments of minibp's layers that only concern the initial weights. In a file they could make them of any size.
NOT_IN_FILES = {"W", "b", "seed"}
NAMES = ("class_names", "column_names")
DESCRIBED: dict[str, dict[str, Any]] = {
    "preprocessing": {"Columns": Columns, "Pictures": Pictures},
    "origin": {"Origin": Origin},
}


def save(net: Network, path: str | os.PathLike[str]) -> None:
    """Save a network to a safetensors file: its weights, buffers and architecture.

    The names are plain (``layers.0.W``), so that any reader of safetensors can use the weights. The file is written
    atomically: at `path` there is always a complete file, the old or the new one. Equal networks give equal files. What
    only a training needs is not saved: which layers are frozen, and `state_attributes`.

    Parameters
    ----------
    net : Network
        The network to save.
    path : path
        Where to save it, usually ``*.safetensors``.

    Raises
    ------
    ArgumentError
        If it is not a network, a weight is NaN or infinite, `load` could not create a layer or a loss of your own from
        its ``config()``, or it would refuse the network for another reason.
    NotWritableError, OSError
        If the file cannot be written, or is read-only. A file that was there before is still there, and keeps its
        permissions when it is replaced.
    """
    instance("net", net, Network, "call save(net, path)")
    modules = net.named_modules()
    arrays = {
        f"{at}.{name}": to_host(value)
        for at, module in modules.items()
        for name, value in {**module.params, **module.buffers}.items()
    }
    lost = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if lost:
        raise ArgumentError(f"{', '.join(lost)}: NaN or infinite, so the network is useless; nothing was written")
    if len(modules) > MOST_LAYERS:
        raise ArgumentError(f"a file holds networks of up to {MOST_LAYERS:,} layers, this one has {len(modules) - 1:,}")
    known = KNOWN | _by_name({type(module) for module in modules.values()})
    _refuse_unlike(net, known)
    write_atomically(writable_path(path), to_bytes(KIND, describe(net), arrays))


def _refuse_unlike(net: Network, known: dict[str, type[Module]]) -> None:
    """Refuse, by an ArgumentError, a network that `load` would refuse, or create with other properties."""
    import json

    created, cure = [], "let config() return the arguments of __init__ by name"
    for at, part in net.state_parts().items():
        try:
            created.append(_create(json.loads(to_json(part))["layer"], known.__getitem__))
        except Exception as error:
            what = f"{at}: {type(part).__name__} cannot be created from its config() {part.config()}"
            raise ArgumentError(f"{what}: {error}; {cure}") from None
    *layers, loss = created
    ours, theirs = net.named_modules(), _by_place(layers, loss)
    try:
        refuse_unusable(layers, loss)
        infer_shapes(layers, loss)
        for module in ours.values():
            for name, array in {**module.params, **module.buffers}.items():
                module.check_values(name, to_host(array))
    except MinibpError as error:
        raise ArgumentError(f"load would refuse this network, so nothing was written: {error}") from None
    if differ := ours.keys() ^ theirs.keys():
        raise ArgumentError(f"after load there would be other layers: {', '.join(sorted(differ))} differ; {cure}")
    for at, module in ours.items():
        made, what = theirs[at], f"{at}: {type(module).__name__}: after load its"
        if to_json(made) != to_json(module):
            raise ArgumentError(f"{what} config() would be {made.config()}, not {module.config()}; {cure}")
        if made.shapes() != module.shapes():
            raise ArgumentError(f"{what} parameters would be {made.shapes()}, not {module.shapes()}; {cure}")
        for name in signature(type(module).__init__).parameters.keys() - module.config().keys() - NOT_IN_FILES:
            kept, lost = vars(module).get(name), vars(made).get(name)
            if isinstance(kept, (bool, int, float, str)) and kept != lost:
                raise ArgumentError(f"{what} {name} would be {lost!r}, not {kept!r}; {cure}")


def describe(net: Network) -> dict[str, Any]:
    """The architecture of a network: the classes of its layers and loss with their arguments, dtype, and names."""
    layers = [[type(layer).__name__, layer.config()] for layer in net.layers]
    names = {name: getattr(net, name) for name in NAMES if getattr(net, name) is not None}
    for name in DESCRIBED:
        if (value := getattr(net, name)) is not None:
            names[name] = [type(value).__name__, value.config()]
    return {"layers": layers, "loss": [type(net.loss).__name__, net.loss.config()], "dtype": str(net.dtype)} | names


def _create(spec: Any, find: Callable[[str], type[Module]]) -> Any:
    """A module from its class and its arguments. `find` gives the class of a name."""
    name, arguments = spec
    cls = find(str(name))
    config = {key: _argument(value, find) for key, value in arguments.items()}
    if cls is KNOWN.get(cls.__name__) and (strange := NOT_IN_FILES & config.keys()):
        which = ", ".join(sorted(strange))
        raise ArgumentError(f"{cls.__name__} has the argument {which}, which no file of minibp has")
    kinds = signature(cls.__init__).parameters.values()
    listed = [config.pop(each.name, ()) for each in kinds if each.kind is each.VAR_POSITIONAL]  # Sequential(*layers)
    return cls(*(listed[0] if listed else ()), **config)


def _argument(value: Any, find: Callable[[str], type[Module]]) -> Any:
    """An argument: a layer, a list or a dict with layers in it, or a plain value."""
    if isinstance(value, list):
        return [_argument(each, find) for each in value]
    if isinstance(value, dict) and value.keys() == {"layer"}:
        return _create(value["layer"], find)
    return {key: _argument(each, find) for key, each in value.items()} if isinstance(value, dict) else value


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
        dtype, specs = described["dtype"], [*described["layers"], described["loss"]]
    except (KeyError, TypeError) as error:
        raise FileFormatError(f"{path}: the description of the network is damaged ({error!r})") from None
    created = count(1)

    def find(name: str) -> type[Module]:
        if next(created) > MOST_LAYERS:
            raise ArgumentError(f"it describes over {MOST_LAYERS:,} layers")
        if name not in known:
            kind = f"layer or loss (in {path}; give your own as load(path, own=[...]))"
            raise UnknownNameError(kind, name, list(known))
        return known[name]

    try:
        if dtype not in ("float32", "float64"):
            raise ArgumentError(f"dtype must be 'float32' or 'float64', received {dtype!r}")
        *built, loss = [_create(spec, find) for spec in specs]
        _assign(built, loss, arrays, dtype)
        net = Network(built, loss, backend, dtype)
        for name in NAMES:
            setattr(net, name, described.get(name))
        for name, known_kinds in DESCRIBED.items():
            if described.get(name) is not None:
                kind, config = described[name]
                setattr(net, name, known_kinds[kind](**config))
    except (BackendError, UnknownNameError):
        raise
    except (MinibpError, TypeError, LookupError, ValueError, OverflowError, AttributeError) as error:
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
            raise ArgumentError(f"there is a class {name}, but another one of this name, too: rename it")
        found[name] = cls
    return found


def _by_place(layers: list[Any], loss: Any) -> dict[str, Any]:
    """These layers and the loss, and all layers inside, by the names that they have in a network."""
    named = [*((f"layers.{i}", layer) for i, layer in enumerate(layers)), ("loss", loss)]
    return {place: module for name, each in named for place, module in each.named_modules(name).items()}


def _assign(built: list[Any], loss: Any, arrays: dict[str, Any], dtype: Any) -> None:
    """Give the layers the arrays of a file, which must match exactly.

    This comes before a network would draw the weights, because the sizes in a damaged file may exceed all memory.
    """
    modules = _by_place(built, loss)
    wanted = {f"{at}.{name}": (module, name) for at, module in modules.items() for name in module.shapes()}
    if wanted.keys() != arrays.keys():
        differ = ", ".join(sorted(wanted.keys() ^ arrays.keys()))
        raise ShapeError(f"missing or unexpected: {differ}")
    for key, (module, name) in wanted.items():
        if str(arrays[key].dtype) != dtype:
            raise ShapeError(f"{key} is {arrays[key].dtype}, expected {dtype}")
        module.fill_parameter(name, arrays[key])  # refuses another shape
