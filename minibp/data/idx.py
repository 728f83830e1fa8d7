"""The IDX file format, in which MNIST is published.

An IDX file is two zero bytes, one byte for the type, one for the number of dimensions, each dimension as a big-endian
uint32, then the values, big-endian, the last dimension running fastest (LeCun, Cortes and Burges,
"The MNIST database of handwritten digits", 1998).
"""

import math
import os
import stat
import struct
import zlib
from typing import Any, BinaryIO, NoReturn

import numpy as np

from ..base import hash_bytes
from ..errors import FileFormatError

_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODES = {dtype.newbyteorder("="): code for code, dtype in _TYPES.items()}
_HEAD = "00 00, a type (08 09 0b 0c 0d 0e) and the number of dimensions"
_MAX_DIMENSIONS = 32  # what every version of NumPy can hold
_CHUNK = 1 << 20
# What else people give: how such a file starts, what it is, and what reads it.
_OTHERS = (
    (b"\x93NUMPY", "a .npy file", "numpy.load"),
    (b"PK\x03\x04", "a zip file, such as .npz", "numpy.load"),
    (b"\x89PNG", "a PNG image", "PIL.Image.open"),
    (b"\xff\xd8\xff", "a JPEG image", "PIL.Image.open"),
)


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file, gzipped or not, as an array.

    The first two bytes tell whether it is gzipped, whatever its name. Memory grows with what the file really holds,
    not with what its header claims, and no more is unpacked than the header promises.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    array
        Of the shape and type in the header (uint8, int8, int16, int32, float32 or float64), in the byte order of this
        machine, writable.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is not a complete IDX file (a web page saved under its name, a wrong header, values missing or left over,
        a damaged gzip) or not a regular file (a folder, a pipe, a device).
    OSError
        If it cannot be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # checked before opening, because opening a pipe would block
        raise _refusal(path, "it is a folder, a pipe or a device", "a file")
    with open(path, "rb") as raw:
        return parse_idx(raw, path)


def parse_idx(raw: BinaryIO, path: str | os.PathLike[str], at_most: float = math.inf) -> np.ndarray:
    """Read an open IDX file, gzipped or not, as `read_idx` does.

    `path` is its name for errors. A header that promises more than `at_most` bytes of values is refused.
    """
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    if not packed:
        return _read(raw, path, at_most)
    import gzip  # here, because its import is slow and few need it

    try:
        with gzip.GzipFile(fileobj=raw) as unpacked:
            return _read(unpacked, path, at_most)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _refusal(path, f"its gzip is damaged or cut off ({error})", "a whole gzip file") from error


def contents_sha256(array: np.ndarray) -> str:
    """The sha256 of the IDX file, not gzipped, that holds this array.

    `read_idx` refuses a file with anything missing or left over. So for an array that it has read, this is the sha256
    of the unpacked file, without unpacking it again.
    """
    import hashlib  # here, because its import is slow and few need it

    code = _CODES[array.dtype]
    digest = hashlib.sha256(struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape))
    hash_bytes(digest, array.astype(_TYPES[code], copy=False))
    return digest.hexdigest()


def _read(file: Any, path: str | os.PathLike[str], at_most: float) -> np.ndarray:
    head = file.read(4)
    if head[:2] != b"\0\0":
        _refuse_other(path, head + file.read(256))
    if len(head) < 4 or head[2] not in _TYPES:
        raise _refusal(path, f"it starts with the bytes {head.hex(' ')}", _HEAD)
    dtype, dimensions = _TYPES[head[2]], head[3]
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise _refusal(path, f"its header has {dimensions} dimensions", f"1 to {_MAX_DIMENSIONS}")
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise _refusal(path, f"its header is cut off after {4 + len(sizes)} bytes", f"{4 + 4 * dimensions}")
    shape = struct.unpack(f">{dimensions}I", sizes)

    promised = math.prod(shape) * dtype.itemsize
    if promised > at_most:
        raise _refusal(path, f"its header promises {promised} bytes for shape {shape}", f"at most {at_most}")
    values = bytearray()
    # Piece by piece: read(promised) would allocate whatever a false header claims.
    while chunk := file.read(min(_CHUNK, promised - len(values))):
        values += chunk
    if len(values) < promised:
        raise _refusal(path, f"it is cut off after {len(values)} bytes of values", f"{promised} for shape {shape}")
    # At the end of a gzip file, this read also checks its CRC.
    if file.read(1):
        raise _refusal(path, "there are bytes left over after the values", f"{promised} for shape {shape}")
    try:
        array = np.frombuffer(values, dtype).reshape(shape)
    except ValueError as error:  # no values, and dimensions whose product overflows
        raise _refusal(path, f"its header has the shape {shape}", "one that an array can have") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def _refuse_other(path: str | os.PathLike[str], start: bytes) -> NoReturn:
    """Say what a file with this start is. An image or a table is not damaged: to get it again would not help."""
    if not start:
        raise _refusal(path, "the file is empty", _HEAD)
    if start.lstrip(b"\xef\xbb\xbf\t\r\n ").startswith(b"<"):
        raise _refusal(path, "it looks like a web page (HTML)", "an IDX file")
    what, reader = next((named for first, *named in _OTHERS if start.startswith(first)), ("", ""))
    if not what and b"\0" not in start and start.removeprefix(b"\xef\xbb\xbf").isascii():
        what, reader = "text, such as CSV", "numpy.loadtxt"
    if what:
        cure = f"Read it with {reader}, and use the array; for a command, numpy.save it as .npy"
        raise _refusal(path, f"it is {what}", "an IDX file", cure)
    cure = "Get the file again; or, if it is of another format, convert it: numpy.save its array as .npy"
    raise _refusal(path, f"it starts with the bytes {start[:4].hex(' ')}", _HEAD, cure)


def _refusal(
    path: str | os.PathLike[str], received: str, expected: str, cure: str = "Get the file again"
) -> FileFormatError:
    return FileFormatError(f"{os.fsdecode(path)}: not a usable IDX file: {received}; expected {expected}. {cure}")
