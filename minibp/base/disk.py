"""write_atomically(): replace a file in one step, so that its path never holds part of a file."""

from __future__ import annotations

import os
from contextlib import suppress


def write_atomically(path: str | os.PathLike[str], content: bytes, previous: str | None = None) -> None:
    """Write a temporary file in the same folder, sync it to the disk, and then rename it to `path`.

    Parameters
    ----------
    path : str or path-like
        The file to write. A symbolic link is replaced, not followed.
    content : bytes
        The whole content of the file.
    previous : str, optional
        Rename the old file to this instead of replacing it. If the process is killed between the two renames, only
        this file is left.

    Raises
    ------
    OSError
        If the file cannot be written. The old file is kept.
    """
    path = os.fspath(path)
    temporary = f"{path}.{os.urandom(8).hex()}.part"  # random, so that two processes never share a file
    try:
        with open(temporary, "xb") as file:  # not mkstemp, whose files only their owner can read
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
            error.filename = path  # the path that the caller knows
        raise


def _sync_folder(path: str) -> None:
    """Sync the folder of a file to the disk, and with it the new name, if the system can (Windows cannot)."""
    with suppress(OSError):
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
