"""Files of arrays: safetensors, with a description as JSON and a checksum, and never half a file at a path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..base import hash_values, write_atomically
from ..errors import ArgumentError, FileFormatError, OtherFileError

VERSION = 1  # of the format; a reader refuses another one
DEEPEST = 64  # lists and objects in each other in a description: what reads them may call itself for each
LONGEST = 1 << 24  # bytes of a header, which takes up to 25 times as much memory when it is read
MOST_SAID = 2000  # characters of what a file says that an error repeats
KEY = "minibp"  # the one entry of the file's metadata


def write(path: str | os.PathLike[str], kind: str, described: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write arrays and a description of them, so that at `path` there is a whole file at all times, old or new.

    Equal contents give equal files.

    Parameters
    ----------
    path : where
    kind : what it holds, by one word: `read` refuses another kind
    described : what JSON can hold
    arrays : NumPy arrays by name

    Raises
    ------
    ArgumentError
        If the description is too long or holds what JSON cannot, or at `path` there is a folder, a pipe or a device.
    OSError
        If it cannot be written; what was there before is still there.
    """
    write_file(path, to_bytes(kind, described, arrays))


def to_bytes(kind: str, described: Mapping[str, Any], arrays: Mapping[str, Any]) -> bytes:
    """What `write` writes; an ArgumentError where the description is too long or holds what JSON cannot."""
    from safetensors.numpy import save  # here, not above: few programs save, all import

    ordered = {name: np.array(array, order="C") for name, array in arrays.items()}  # it saves other orders wrong
    contents = {"version": VERSION, "kind": kind, **described}
    text = to_json({"contents": contents, "sha256": _checksum(contents, ordered)})
    content = save(ordered, {KEY: text})
    if (length := _header_length(content)) > LONGEST:
        raise ArgumentError(f"its description takes {length:,} bytes, and a file may have {LONGEST:,}")
    return content


def _header_length(content: bytes) -> int:
    return int.from_bytes(content[:8], "little")


def write_file(path: str | os.PathLike[str], content: bytes, previous: str | None = None) -> None:
    """Write a whole file, as `write_atomically` does; a link stays, and leads to the new file.

    Raises
    ------
    ArgumentError
        If something other than a file is at the path: a folder, a pipe, a device.
    OSError
        If it cannot be written; what was there before is still there.
    """
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise ArgumentError(f"{path} is a folder, a pipe or a device; expected the name of a file")
    write_atomically(path, content, previous)


def read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write` wrote: the description, and the arrays by name.

    Nothing in the file is run, memory is taken for what is there and not for what is claimed, and every bit is checked.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OtherFileError
        If it is of another kind or version.
    FileFormatError
        If it is no safetensors file, none of minibp's, or damaged.
    OSError
        If it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    if not os.path.exists(path):
        raise FileNotFoundError(f"no such file: {path}")
    if not os.path.isfile(path):
        raise FileFormatError(f"{path} is a folder or a device, expected a safetensors file")
    with open(path, "rb") as file:  # what may not be read is an OSError that says so
        if (length := _header_length(file.read(8))) > LONGEST:
            what = f"its header would take {length:,} bytes, and minibp's up to {LONGEST:,}"
            raise FileFormatError(f"{path} is not a readable safetensors file: {what}")
    try:
        with safe_open(path, framework="numpy") as opened:
            text = (opened.metadata() or {}).get(KEY)
            names = opened.keys() if text else []  # others' files may hold types that NumPy has not
            arrays = {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise FileFormatError(f"{path} is not a readable safetensors file: {error}") from None
    if text is None:
        raise FileFormatError(f"{path} was not written by minibp: it has arrays, but no description by minibp")
    return _checked(path, kind, text, arrays), arrays


def printable(text: Any) -> str:
    """What a stranger's file says, for an error: a terminal shall not obey it."""
    text = str(text)
    said = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:MOST_SAID])
    return said if len(text) <= MOST_SAID else f"{said}..."


def _checked(path: str | os.PathLike[str], kind: str, text: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The description, if it and the arrays are what was written."""
    try:
        outer = from_json(text)
        if _depth(outer) > DEEPEST:
            raise ValueError
        contents, checksum = outer["contents"], outer["sha256"]
        version, held = contents["version"], contents["kind"]
        whole = checksum == _checksum(contents, arrays)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileFormatError(f"{path}: what it says of itself is damaged ({type(error).__name__})") from None
    if not whole:
        raise FileFormatError(f"{path} is damaged: its contents do not have the checksum that they were written with")
    if version != VERSION:
        what = f"format version {ascii(version)[:40]}, this minibp reads {VERSION}"
        raise OtherFileError(f"{path} has {what}; upgrade minibp")
    if held != kind:
        raise OtherFileError(f"{path} holds {ascii(held)[:40]}, expected {kind!r}")
    return contents


def _depth(value: Any) -> int:
    """How deep lists and objects lie in each other."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _checksum(contents: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    import hashlib

    digest = hashlib.sha256(to_json(contents).encode())
    for name, array in sorted(arrays.items()):
        hash_values(digest, array, (name,))
    return digest.hexdigest()


def to_json(contents: Any) -> str:
    """As JSON; an ArgumentError for what it cannot hold."""
    import json

    return json.dumps(contents, sort_keys=True, default=_number)


def from_json(text: str) -> Any:
    """What `to_json` was given, as far as JSON can hold it."""
    import json

    return json.loads(text)


def _number(value: Any) -> Any:
    if not isinstance(value, np.generic):
        raise ArgumentError(f"{value!r:.80} is a {type(value).__name__}, which no file can hold: use numbers and texts")
    return value.item()
