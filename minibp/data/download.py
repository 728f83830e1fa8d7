"""Downloads: one file, from the first of its mirrors that delivers the published contents."""

import hashlib
import http.client
import os
import re
import stat
import threading
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

from ..base import printable, write_atomically
from ..errors import ArgumentError, ChecksumError, DownloadError, MinibpWarning

TIMEOUT = (10.0, 30.0)  # seconds: to connect, and between two pieces of an answer
SLOWEST = 10_000  # bytes a second: even a poor mobile connection is faster
REDIRECTS = 10
_PIECE = 1 << 16  # bytes
_DEAD = 3600.0  # seconds: a partial file that is older was left by a process that was killed


class File(NamedTuple):
    """A published file: its name, its size in bytes, and its sha256."""

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
    """The contents of a published file, from a folder; a missing file is downloaded into it.

    The result is the contents, not a path: the bytes that were checked are the bytes that are used, whatever other
    processes do to the file. The file appears in the folder complete and in one step. So several processes can fetch
    into one folder, and one that is killed leaves nothing that looks complete. Other contents are never used; the last
    ones are kept as ``<name>.rejected``, cut off one byte after the published size. If the folder cannot be written,
    the contents are used all the same, and a MinibpWarning says why they are not kept.

    Parameters
    ----------
    file : File
        What to fetch.
    mirrors : iterable of str
        Addresses to which the name of the file is appended, tried in this order. Redirects are followed to http and
        https only, and never from https to http.
    folder : path
        Where the file is kept. It is created if needed.
    by_hand : str
        What a user without a network can do, for the error.
    timeout : (float, float)
        Seconds to connect, and between two pieces of an answer.
    limit : float, optional
        Seconds for a mirror to deliver the whole file, against servers that send a byte now and then. Default: a
        minute, plus the time that the file takes at `SLOWEST`.

    Raises
    ------
    ArgumentError
        If the name is not that of a file in the folder, such as ``../name``.
    ChecksumError
        If a mirror delivered other contents, and none the published ones.
    DownloadError
        If no mirror delivered the file, or the folder cannot be read.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", file.name):
        raise ArgumentError(f"received the file name {file.name!r}, expected letters, digits and . _ - with no . first")
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
            # Copied, not moved: another process may have put a good file there by now. A download will replace it.
            with suppress(OSError):  # a folder that cannot be written; on Windows, another process doing the same
                _put(cached, rejected)
    except OSError as error:
        raise DownloadError(f"the folder {path.parent} cannot be used: {error}\n{by_hand}".rstrip()) from error

    for mirror in mirrors:
        url = mirror + file.name
        try:
            contents = _download(url, file.size, timeout, limit)
        except DownloadError as error:
            tried.append(f"{url}: {error}")
            continue
        difference = _difference(contents, file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _put(contents, rejected if difference else path)
        except OSError as error:  # a full disk, a folder that cannot be written: the contents are as good
            if not difference:
                what = f"{file.name} was downloaded, but cannot be kept for the next time: {error}"
                warnings.warn(what, MinibpWarning, 2)
        if not difference:
            return contents
        mismatch = True
        tried.append(f"{url}: {difference}")

    lines = [f"{file.name} could not be fetched. Tried:", *(f"  {line}" for line in tried)]
    if rejected.is_file():
        lines.append(f"The last file with other contents is kept as {rejected}; it is never used.")
    message = "\n".join([*lines, by_hand]).rstrip()
    raise ChecksumError(message) if mismatch else DownloadError(message)


def _read(path: Path, size: int) -> bytes | None:
    """The contents of a file, cut off one byte after their right size; None if it does not exist."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would block
            raise OSError(f"{path} exists and is not a file: move it away")
        with open(path, "rb") as file:
            return file.read(size + 1)
    except FileNotFoundError:
        return None


def _difference(contents: bytes, file: File) -> str:
    """How contents differ from the published ones; "" if they do not."""
    if len(contents) > file.size:
        return f"it has more than the published {file.size} bytes"
    received = hashlib.sha256(contents).hexdigest()
    if received == file.sha256:
        return ""
    web_page = " (it looks like a web page)" if contents[:64].lstrip().startswith(b"<") else ""
    return f"its sha256 is {received}, not {file.sha256}{web_page}"


def _put(contents: bytes, path: Path) -> None:
    """Write a file atomically, beside other processes that may do the same."""
    try:
        write_atomically(path, contents)
    except PermissionError:
        # On Windows: another process has just put the same file there, and is reading it.
        if _read(path, len(contents)) != contents:
            raise


def _remove_dead_parts(path: Path) -> None:
    for part in path.parent.glob(f"{path.name}*.part"):
        with suppress(OSError):
            if time.time() - part.lstat().st_mtime > _DEAD:
                part.unlink()


def _download(url: str, size: int, timeout: tuple[float, float], limit: float) -> bytes:
    """The answer of an address, cut off one byte after its right size; a DownloadError if there is none.

    No timeout stops a server that sends a byte now and then, even of the headers. So the request runs in a thread,
    which is abandoned when its time is over. It holds a connection but no file, and does not keep Python from exiting.
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
        thread.join(0.1)  # not longer, because on Windows Ctrl-C waits for it
    if not outcome:
        raise DownloadError(f"it was not complete after {limit:.3g} seconds")
    answer = outcome[0]
    if isinstance(answer, bytes):
        return answer
    if isinstance(answer, DownloadError):
        raise answer
    raise DownloadError(_reason(answer)) from answer  # broken answers raise errors of many kinds


def _get(url: str, size: int, timeout: tuple[float, float]) -> bytes:
    import requests  # here, because its import is slower than all of minibp

    class Session(requests.Session):
        def get_redirect_target(self, resp: Any) -> None:
            """Leave redirects to the loop below: requests would follow any, and read all that a server sends."""

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
    response.raw.enforce_content_length = True  # urllib3 1 takes a body that was cut off for a whole one
    contents = bytearray()
    # Never decoded: some servers declare a .gz file as an encoding, and unpacking could exhaust memory.
    while piece := response.raw.read(min(_PIECE, size + 1 - len(contents)), decode_content=False):
        contents += piece
    return bytes(contents)


def _allowed(url: str, before: str = "") -> str:
    """The address, if it is https, or http that does not come from https; else a DownloadError."""
    if url.lower().startswith("https://"):
        return url
    if before.lower().startswith("https://"):
        raise DownloadError(f"redirected from https to {url!r}: not followed")
    if url.lower().startswith("http://"):
        return url
    raise DownloadError(f"{'redirected to ' if before else ''}{url!r}, which is neither https nor http: not followed")


def _reason(error: Exception) -> str:
    cause: Any = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    return f"{type(error).__name__}: {printable(getattr(cause, 'reason', cause))}"
