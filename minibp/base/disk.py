"""write_atomically(): at a path there is a whole file at all times, the old or the new one."""

from __future__ import annotations

import os
from contextlib import suppress


def write_atomically(path: str | os.PathLike[str], content: bytes, previous: str | None = None) -> None:
    """Write a file beside its place, have the disk take it, and only then give it its name.

    Parameters
    ----------
    path : path
        Where the file goes. A link of that name is replaced, not followed.
    content : bytes
        All of it.
    previous : path, optional
        The name that the file before is given, instead of being replaced. If the process is killed between the two
        renames, only that one is left.

    Raises
    ------
    OSError
        If it cannot be written; what was there before is still there.
    """
    path = os.fspath(path)
    temporary = f"{path}.{os.urandom(8).hex()}.part"  # a name of its own, so that two processes never share one
    try:
        with open(temporary, "xb") as file:  # not mkstemp: others may read the file
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if previous is not None:
            with suppress(FileNotFoundError):
                os.replace(path, previous)
        os.replace(temporary, path)
        _sync_folder(path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename == temporary:
            error.filename = path  # the one that the caller knows
        raise


def _sync_folder(path: str) -> None:
    """Have the disk take the new name of a file, if the system can be asked to (Windows cannot)."""
    with suppress(OSError):
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
