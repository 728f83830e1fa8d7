"""Downloads one file from the first of its mirrors that gives the published contents."""

import hashlib
import http.client
import os
import re
import stat
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

from ..base import write_atomically
from ..errors import ArgumentError, ChecksumError, DownloadError

TIMEOUT = (10.0, 30.0)  # seconds: to connect, and between two pieces of an answer
SLOWEST = 10_000  # bytes a second: a poor mobile connection gives more
REDIRECTS = 10
_PIECE = 1 << 16  # bytes
_DEAD = 3600.0  # seconds: a file that has been in the writing for so long was left by a process that was ended


class File(NamedTuple):
    """A published file: its name, its size in bytes and the sha256 of its bytes."""

    name: str
    size: int
    sha256: str


def fetch(
    file: File,
    mirrors: Iterable[str],
    folder: str | os.PathLike[str],
    by_hand: str = "",
    timeout: tuple[float, float] = TIMEOUT,
    limit: float | None = None,
) -> bytes:
    """Give the contents of a published file: from a folder, or downloaded and kept there.

    Contents, and not a path: what was checked is what is used, whatever other processes do to the file meanwhile.
    The file appears in the folder whole and in one step, so several processes can fetch into one folder, and one that
    is ended halfway leaves nothing that looks complete. Whatever has other contents is never used; a copy of it is kept
    as `<name>.rejected` (the last one only, cut off at one byte more than the published size).

    Parameters
    ----------
    file : what to fetch
    mirrors : addresses, http or https, that the file's name is appended to, tried in this order. Redirects are
        followed, but never to anything else, and never from https to http.
    folder : where the file is kept; made if it does not exist
    by_hand : what a user without a network can do, for the error message
    timeout : seconds to connect, and between two pieces of an answer
    limit : seconds for a mirror to give the whole file; a minute, and what the file takes at `SLOWEST`, if None.
        Without it a server that sends a byte now and then would never be given up.

    Raises
    ------
    ArgumentError
        The file's name is none that may be a file's in the folder, such as `../name`.
    ChecksumError
        At least one mirror answered with other contents than the published ones, and none with the right ones.
    DownloadError
        No mirror gave the file, or its folder cannot be used: the disk is full, for example.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", file.name):
        raise ArgumentError(f"a file is called {file.name!r}; expected letters, digits and . _ - with no . first")
    path = Path(folder) / file.name
    rejected = path.with_name(f"{file.name}.rejected")
    limit = 60 + file.size / SLOWEST if limit is None else limit
    tried = []
    mismatch = False

    try:
        _remove_dead_parts(path)
        cached = _read(path, file.size)
        if cached is not None:
            difference = _difference(cached, file)
            if not difference:
                return cached
            tried.append(f"{path}: {difference}")
            # Copied, not moved: another process may have put a good file there since. What comes will replace it.
            with suppress(PermissionError):  # on Windows: another process is doing the same
                _put(cached, rejected)
        path.parent.mkdir(parents=True, exist_ok=True)

        for mirror in mirrors:
            url = mirror + file.name
            try:
                contents = _download(url, file.size, timeout, limit)
            except DownloadError as error:
                tried.append(f"{url}: {error}")
                continue
            difference = _difference(contents, file)
            _put(contents, rejected if difference else path)
            if not difference:
                return contents
            mismatch = True
            tried.append(f"{url}: {difference}")
    except OSError as error:  # not a mirror's fault, so the next one would not help
        raise DownloadError(f"the folder {path.parent} cannot be used: {error}\n{by_hand}".rstrip()) from error

    lines = [f"{file.name} could not be fetched. Tried:", *(f"  {line}" for line in tried)]
    if rejected.is_file():
        lines.append(f"The last file with other contents was set aside as {rejected}; it is never used.")
    message = "\n".join([*lines, by_hand]).rstrip()
    raise ChecksumError(message) if mismatch else DownloadError(message)


def _read(path: Path, size: int) -> bytes | None:
    """Give the contents of a file, cut off at one byte more than they should have, or None if it does not exist."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
            raise OSError(f"{path} is there already, and is no file: move it away")
        with open(path, "rb") as file:
            return file.read(size + 1)
    except FileNotFoundError:
        return None


def _difference(contents: bytes, file: File) -> str:
    """Say how contents differ from the published ones; "" if they are those."""
    if len(contents) > file.size:
        return f"it has more than the published {file.size} bytes"
    got = hashlib.sha256(contents).hexdigest()
    if got == file.sha256:
        return ""
    web_page = " (it looks like a web page)" if contents[:64].lstrip().startswith(b"<") else ""
    return f"its sha256 is {got}, not {file.sha256}{web_page}"


def _put(contents: bytes, path: Path) -> None:
    """Write a file that others see whole or not at all. A link of its name is replaced, not followed."""
    try:
        write_atomically(path, contents)
    except PermissionError:
        # On Windows: another process has just put the same file there, and reads it.
        if _read(path, len(contents)) != contents:
            raise


def _remove_dead_parts(path: Path) -> None:
    for part in path.parent.glob(f"{path.name}*.part"):
        with suppress(OSError):
            if time.time() - part.lstat().st_mtime > _DEAD:
                part.unlink()


def _download(url: str, size: int, timeout: tuple[float, float], limit: float) -> bytes:
    """Give what an address answers, cut off at one byte more than it should have, or raise a DownloadError.

    No timeout ends a server that sends a byte now and then, be it of the headers. So this is done in a thread, which
    is left to itself when its time is over: it holds a connection and no file, and never keeps Python from ending.
    """
    outcome: list[bytes | Exception] = []

    def work() -> None:
        try:
            outcome.append(_get(url, size, timeout))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    end = time.monotonic() + limit
    while thread.is_alive() and time.monotonic() < end:
        thread.join(0.1)  # no longer, for on Windows Ctrl-C waits for its end
    if not outcome:
        raise DownloadError(f"not all of it came in {limit:.3g} seconds")
    answer = outcome[0]
    if isinstance(answer, bytes):
        return answer
    if isinstance(answer, DownloadError):
        raise answer
    raise DownloadError(_reason(answer)) from answer  # there is no end to the kinds of errors that broken answers bring


def _get(url: str, size: int, timeout: tuple[float, float]) -> bytes:
    import requests  # here, not above: it takes longer to import than the rest of minibp

    class Session(requests.Session):
        def get_redirect_target(self, resp: Any) -> None:
            """Leave redirects to the loop below: requests would ask any address, and read all that comes with one."""

    url = _allowed(url)
    with Session() as session:
        session.headers["Accept-Encoding"] = "identity"
        session.auth = lambda request: request  # else requests looks for a password in ~/.netrc
        for _ in range(1 + REDIRECTS):
            with session.get(url, timeout=timeout, stream=True) as response:
                if not response.is_redirect:
                    return _contents(response, size)
                url = _allowed(urljoin(url, response.headers["Location"]), before=url)
    raise DownloadError(f"redirected more than {REDIRECTS} times")


def _contents(response: Any, size: int) -> bytes:
    status = response.status_code
    if status != 200:
        raise DownloadError(f"HTTP status {status} {http.client.responses.get(status, '')}".rstrip())
    contents = bytearray()
    # Never decoded: some servers call a .gz file an encoding, and what unpacks itself may be a bomb.
    while piece := response.raw.read(min(_PIECE, size + 1 - len(contents)), decode_content=False):
        contents += piece
    return bytes(contents)


def _allowed(url: str, before: str = "") -> str:
    """Give the address, or refuse it: what is neither http nor https, or what leads from https to anything else."""
    if url.lower().startswith("https://"):
        return url
    if before.lower().startswith("https://"):
        raise DownloadError(f"redirected from https to {url!r}: not followed")
    if url.lower().startswith("http://"):
        return url
    raise DownloadError(f"{'redirected to ' if before else ''}{url!r}, which is neither https nor http: not followed")


def _reason(error: Exception) -> str:
    cause: Any = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    return f"{type(error).__name__}: {getattr(cause, 'reason', cause)}"
