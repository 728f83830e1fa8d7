"""Files of arrays: safetensors with a description as JSON and a checksum, written atomically."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np

from ..base import Module, hash_values, printable
from ..errors import ArgumentError, FileFormatError, OtherFileError

VERSION = 1  # of the format; a reader refuses others
DEEPEST = 64  # nesting of lists and objects in a description, which is read recursively
LONGEST = 1 << 24  # bytes of a header, which takes up to 25 times as much memory when read
KEY = "minibp"  # the one entry of the file's metadata


def to_bytes(kind: str, described: Mapping[str, Any], arrays: Mapping[str, Any]) -> bytes:
    """The content of a file of this kind: a description, of values that JSON can hold, and NumPy arrays by name.

    Equal contents give equal files. An ArgumentError if the description is too long, too deep or not JSON.
    """
    import json  # here, because few programs save

    from safetensors.numpy import save

    # Other orders, of the values and of their bytes, are saved wrong.
    ordered = {name: np.asarray(array, array.dtype.newbyteorder("<"), order="C") for name, array in arrays.items()}
    contents = {"version": VERSION, "kind": kind, **described}
    text = to_json({"contents": contents, "sha256": checksum(contents, ordered)})
    if _depth(json.loads(text)) > DEEPEST:
        raise ArgumentError(f"its description is nested over {DEEPEST} deep, as of layers inside layers")
    content = save(ordered, {KEY: text})
    if (length := int.from_bytes(content[:8], "little")) > LONGEST:
        raise ArgumentError(f"its description takes {length:,} bytes, and a file may have {LONGEST:,}")
    return content


def header(path: str | os.PathLike[str]) -> bytes:
    """The first part of a file: names, description and checksum, which no other file has. Empty without a file."""
    with suppress(FileNotFoundError):
        if stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block
            with open(path, "rb") as file:
                return _header(file)
    return b""


def _header(file: BinaryIO) -> bytes:
    start, size = file.read(8), os.fstat(file.fileno()).st_size
    return start + file.read(min(int.from_bytes(start, "little"), LONGEST, size))


def read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a file: the description, and the arrays by name.

    No code in the file is run, memory is allocated for its size and not for its claims, and every bit is checked.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OtherFileError
        If it is of another kind or version.
    FileFormatError
        If it is not a safetensors file, was not written by minibp, or is damaged.
    OSError
        If it cannot be read.
    """
    import json

    path = os.fsdecode(path)
    text, arrays = _load(path, of_others=False)
    if text is None:
        raise FileFormatError(f"{path} was not written by minibp: it has arrays, but no description by minibp")
    try:
        outer = json.loads(text)
        if _depth(outer) > DEEPEST:
            raise ValueError
        contents = outer["contents"]
        version, held = contents["version"], contents["kind"]
        whole = outer["sha256"] == checksum(contents, arrays)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileFormatError(f"{path}: its description is damaged ({type(error).__name__})") from None
    if not whole:
        raise FileFormatError(f"{path} is damaged: its contents do not have the checksum that they were written with")
    if version != VERSION:
        what = f"format version {ascii(version)[:40]}, this minibp reads {VERSION}"
        raise OtherFileError(f"{path} has {what}; upgrade minibp")
    if held != kind:
        raise OtherFileError(f"{path} holds {ascii(held)[:40]}, expected {kind!r}")
    return contents, arrays


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a safetensors file that any program may have written: the arrays by name. It has no checksum.

    A FileNotFoundError, a FileFormatError or an OSError as of `read`.
    """
    return _load(os.fsdecode(path), of_others=True)[1]


def _load(path: str, of_others: bool) -> tuple[str | None, dict[str, np.ndarray]]:
    """minibp's description in a safetensors file, if it has one, and the arrays by name.

    Those of a file without a description only if files of others are wanted.
    """
    import json

    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block
            raise ValueError("it is a folder, a pipe or a device")
        with open(path, "rb") as file:
            head = _header(file)
            if (length := int.from_bytes(head[:8], "little")) > LONGEST:
                raise ValueError(f"its header would take {length:,} bytes, and minibp's up to {LONGEST:,}")
            text = (json.loads(head[8:]).get("__metadata__") or {}).get(KEY)
            file.seek(0)
            # Into memory, not as a map: whoever writes into the file meanwhile would end this process.
            return text, load(file.read()) if text or of_others else {}
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {path}") from None
    except KeyError as kind:
        what = f"{path} holds numbers of the type {printable(kind)}, which NumPy lacks"
        raise FileFormatError(f"{what}; save them as float32") from None
    except (SafetensorError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise FileFormatError(f"{path} is not a readable safetensors file: {printable(error)}") from None


def split(states: dict[str, dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """States of objects as a file holds them: plain values by object and name, and arrays.

    An ArgumentError for a value that would not come back as it is, such as a tuple.
    """
    import json

    plain: dict[str, dict[str, Any]] = {owner: {} for owner in states}
    arrays = {}
    for owner, state in states.items():
        for name, value in state.items():
            if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
                arrays[f"{owner}.{name}"] = value
                continue
            plain[owner][name] = value
            try:
                same = repr(json.loads(json.dumps(value))) == repr(value)
            except (TypeError, ValueError, RecursionError):
                same = False
            if not same:
                what = f"a checkpoint cannot keep {name} of the {owner}, {value!r:.80}"
                raise ArgumentError(f"{what}: state_dict() must give numbers, strings, arrays, lists and dicts of them")
    return plain, arrays


def _depth(value: Any) -> int:
    """How deep lists and objects are nested."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def checksum(contents: Any, arrays: Mapping[str, np.ndarray]) -> str:
    """A SHA-256 over values that JSON can hold, and the names and values of arrays."""
    import hashlib

    digest = hashlib.sha256(to_json(contents).encode())
    for name, array in sorted(arrays.items()):
        hash_values(digest, array, (name,))
    return digest.hexdigest()


def to_json(contents: Any) -> str:
    """As JSON: numbers of NumPy as plain ones, and a layer by its class and its arguments.

    An ArgumentError for values that JSON cannot hold.
    """
    import json

    def plain(value: Any) -> Any:
        if isinstance(value, Module):
            return {"layer": [type(value).__name__, value.config()]}
        if isinstance(value, np.generic):
            return value.item()
        kind = type(value).__name__
        raise ArgumentError(f"{value!r:.80} is a {kind}, which no file can hold: use numbers and strings")

    return json.dumps(contents, sort_keys=True, default=plain)
