"""Downloads one file from the first of its mirrors that gives the published contents."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urljoin

from .errors import ChecksumError, DownloadError

TIMEOUT = (10.0, 30.0)  # seconds: to connect, and between two pieces of an answer


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
) -> Path:
    """Give the path of a published file in a folder, downloading it there if it is missing.

    A file that is there already is used only if its sha256 is the published one. A download gets its name only after
    that check, in one step, so that several processes can fetch into one folder. Whatever has other contents is kept
    as `<name>.rejected` (the last one only) and never used.

    Parameters
    ----------
    file : what to fetch
    mirrors : addresses that the file's name is appended to, tried in this order
    folder : where the file is kept; made if it does not exist
    by_hand : what a user without a network can do, for the error message
    timeout : seconds to connect, and between two pieces of an answer

    Raises
    ------
    ChecksumError
        At least one mirror answered with other contents than the published ones, and none with the right ones.
    DownloadError
        No mirror gave the file, or its folder cannot be used.
    """
    path = Path(folder) / file.name
    rejected = path.with_name(f"{file.name}.rejected")
    tried = []
    mismatch = False

    try:
        cached = sha256_of(path)
        if cached == file.sha256:
            return path
        if cached:
            tried.append(f"{path}: its sha256 is {cached}, not {file.sha256}")
            # Another process may have been faster, or, on Windows, be looking at it: what comes will replace it.
            with suppress(FileNotFoundError, PermissionError):
                os.replace(path, rejected)
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"the folder {path.parent} cannot be used: {error}\n{by_hand}".rstrip()) from error

    for mirror in mirrors:
        url = mirror + file.name
        # A name of its own, so that two processes never write to the same file.
        arriving = path.with_name(f"{file.name}.{os.urandom(8).hex()}.part")
        try:
            _download(url, arriving, file.size, timeout)
            got = sha256_of(arriving)
            if got == file.sha256:
                _put(arriving, path, file)
                return path
            mismatch = True
            tried.append(f"{url}: its sha256 is {got}, not {file.sha256}{_web_page(arriving)}")
            os.replace(arriving, rejected)
        except OSError as error:  # the errors of requests are OSErrors, too
            tried.append(f"{url}: {_reason(error)}")
        finally:
            arriving.unlink(missing_ok=True)

    lines = [f"{file.name} could not be fetched. Tried:", *(f"  {line}" for line in tried)]
    if rejected.exists():
        lines.append(f"The last file with other contents was set aside as {rejected}; it is never used.")
    message = "\n".join([*lines, by_hand]).rstrip()
    raise ChecksumError(message) if mismatch else DownloadError(message)


def sha256_of(path: Path) -> str:
    """Compute the sha256 of a file as hexadecimal digits, or "" if there is no such file."""
    import pooch  # here, not above: it takes longer to import than the rest of minibp

    try:
        return pooch.file_hash(str(path), alg="sha256")
    except FileNotFoundError:
        return ""


def _download(url: str, path: Path, size: int, timeout: tuple[float, float]) -> None:
    import pooch

    downloader = pooch.HTTPDownloader(
        chunk_size=1 << 16,
        timeout=timeout,
        # Some servers call a .gz file an encoding; it would arrive unpacked.
        headers={"Accept-Encoding": "identity"},
        hooks={"response": _refuse_downgrade},
    )
    # One byte too many is enough to fail the checksum.
    with open(path, "xb") as file, suppress(_TooLong):
        downloader(url, _Capped(file, size + 1), None)


class _TooLong(Exception):
    pass


class _Capped:
    """A file to write to that ends a download which is longer than it should be."""

    def __init__(self, file: BinaryIO, size: int):
        self.file = file
        self.left = size

    def write(self, chunk: bytes) -> None:
        self.left -= self.file.write(chunk[: self.left])
        if not self.left:
            raise _TooLong

    def flush(self) -> None:
        self.file.flush()


def _refuse_downgrade(response: Any, **_: object) -> None:
    if response.is_redirect and response.url.lower().startswith("https:"):
        target = urljoin(response.url, response.headers["location"])
        if not target.lower().startswith("https:"):
            raise DownloadError(f"redirected from https to {target}: not followed")


def _put(arriving: Path, path: Path, file: File) -> None:
    try:
        os.replace(arriving, path)
    except PermissionError:
        # On Windows: another process has just put the same file there, and reads it.
        if sha256_of(path) != file.sha256:
            raise


def _web_page(path: Path) -> str:
    with open(path, "rb") as file:
        return " (it looks like a web page)" if file.read(64).lstrip().startswith(b"<") else ""


def _reason(error: OSError) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code} {response.reason}"
    cause: Any = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    return f"{type(error).__name__}: {getattr(cause, 'reason', cause)}"
