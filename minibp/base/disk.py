"""Files: replaced in one step, so that a path never holds part of a file; and what errors may quote from them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..errors import ArgumentError, NotWritableError

MOST_QUOTED = 2000  # characters of a file that an error quotes


def write_atomically(
    path: str | os.PathLike[str],
    content: bytes,
    previous: str | None = None,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Write a temporary file in the same folder, sync it to the disk, and then rename it to `path`.

    Parameters
    ----------
    path : str or path-like
        The file to write. A symbolic link is replaced, not followed. The new file has the permissions of the old one.
    content : bytes
        The whole content of the file.
    previous : str, optional
        Rename the old file to this instead of replacing it. If the process is killed between the two renames, only
        this file is left.
    check : callable, optional
        Called just before the renames. If it raises, nothing has changed.

    Raises
    ------
    OSError
        If the file cannot be written. The old file is kept.
    """
    path = os.fspath(path)
    temporary = _temporary(path)
    try:
        with open(temporary, "xb") as file:  # not mkstemp, whose files only their owner can read
            with suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        check()
        if previous is not None:
            with suppress(FileNotFoundError):
                os.replace(path, previous)
        os.replace(temporary, path)
        _sync_folder(path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno:  # which names no file, or one that the caller does not know
            raise OSError(error.errno, error.strerror, path) from None
        raise


def writable_path(path: str | os.PathLike[str]) -> str:
    """The path of a file to write, where its links lead.

    A NotWritableError if it is that of a read-only file, a folder, a pipe or a device.
    """
    path = os.fsdecode(path)
    if not os.path.basename(path):
        raise ArgumentError(f"the path {path!r} ends without a name; expected the name of a file")
    real = os.path.realpath(path)
    try:
        mode = os.stat(real).st_mode
    except FileNotFoundError:
        return real
    if not stat.S_ISREG(mode):
        raise NotWritableError(f"{path} is a folder, a pipe or a device; expected the name of a file")
    if not (mode & 0o222 and os.access(real, os.W_OK)):  # a rename would replace it, and root may write all files
        raise NotWritableError(f"{path} is read-only; make it writable (chmod u+w), or choose another name")
    return real


def new_file(path: str | os.PathLike[str]) -> str:
    """The path of a file, where its links lead, if it can be written: it is tried, since permissions do not tell all.

    An ArgumentError if not, or a NotWritableError as of `writable_path`.
    """
    path, real = os.fsdecode(path), writable_path(path)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ArgumentError(f"{path}: the folder {folder} does not exist; create it first")
    temporary = _temporary(real)
    try:
        with open(temporary, "xb"):
            pass
        os.unlink(temporary)
    except OSError as error:
        cure = "choose another folder or a shorter name"
        raise ArgumentError(f"{path}: no file can be created there ({error.strerror}); {cure}") from None
    return real


def _temporary(path: str) -> str:
    """A file in the same folder, with a random name, so that two processes never share it."""
    return f"{path}.{os.urandom(8).hex()}.part"


def _sync_folder(path: str) -> None:
    """Sync the folder of a file to the disk, and with it the new name, if the system can (Windows cannot)."""
    with suppress(OSError):
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def printable(text: Any) -> str:
    """A text from a file, for an error: without control characters, which a terminal would obey."""
    text = str(text)
    quoted = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:MOST_QUOTED])
    return quoted if len(text) <= MOST_QUOTED else f"{quoted}..."
