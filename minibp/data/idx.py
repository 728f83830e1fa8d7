"""Reads IDX files, the format MNIST is published in.

An IDX file is two zero bytes, one byte for the type, one for the number of dimensions, each dimension as a big-endian
uint32, then the values, big-endian, the last dimension running fastest (LeCun, Cortes and Burges,
"The MNIST database of handwritten digits", 1998).
"""

import gzip
import math
import os
import stat
import struct
import zlib
from typing import Any, BinaryIO

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
_MAX_DIMENSIONS = 32  # what every version of NumPy can hold
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file, gzipped or not, as an array.

    Whether it is gzipped is seen from its first two bytes, whatever its name. Memory grows with what the file
    really holds, never with what its header claims, and no more is unpacked than the header promises.

    Parameters
    ----------
    path : path of the file

    Returns
    -------
    array of the shape and type that the header names (uint8, int8, int16, int32, float32 or float64), in this
    machine's byte order; it can be written to

    Raises
    ------
    FileNotFoundError
        There is no such file.
    FileFormatError
        It is not a whole IDX file: a web page saved under its name, a wrong header, values missing or left over,
        a damaged gzip; or no regular file at all: a folder, a pipe, a device.
    OSError
        It cannot be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # looked at before it is opened, for a pipe would wait there
        raise _refusal(path, "it is no regular file but a folder, a pipe or a device", "a file")
    with open(path, "rb") as raw:
        return parse_idx(raw, path)


def parse_idx(raw: BinaryIO, path: str | os.PathLike[str], at_most: float = math.inf) -> np.ndarray:
    """Read an opened IDX file, gzipped or not, as `read_idx` does.

    Parameters
    ----------
    raw : the file, at its beginning; it can be sought
    path : its name, for error messages
    at_most : bytes of values; a header that promises more is refused before any of them is read

    Raises
    ------
    FileFormatError
        It is not a whole IDX file.
    """
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    if not packed:
        return _read(raw, path, at_most)
    try:
        with gzip.GzipFile(fileobj=raw) as unpacked:
            return _read(unpacked, path, at_most)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _refusal(path, f"its gzip is damaged or cut off ({error})", "a whole gzip file") from error


def contents_sha256(array: np.ndarray) -> str:
    """Compute the sha256 of the IDX file, not gzipped, that holds this array.

    `read_idx` refuses a file with anything missing or left over, so this is the sha256 of the unpacked contents of
    the file that an array was read from, without unpacking it again.

    Parameters
    ----------
    array : uint8, int8, int16, int32, float32 or float64, any shape

    Returns
    -------
    64 hexadecimal digits
    """
    import hashlib  # here, not above: its import takes longer than that of this module, and few need it

    code = _CODES[array.dtype]
    digest = hashlib.sha256(struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape))
    hash_bytes(digest, array.astype(_TYPES[code], copy=False))
    return digest.hexdigest()


def _read(file: BinaryIO | gzip.GzipFile, path: str | os.PathLike[str], at_most: float) -> np.ndarray:
    head = file.read(4)
    if head[:2] != b"\0\0" and (head + file.read(256)).lstrip(b"\xef\xbb\xbf\t\r\n ").startswith(b"<"):
        raise _refusal(path, "it looks like a web page (HTML)", "an IDX file")
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES:
        raise _refusal(
            path,
            f"it starts with the bytes {head.hex(' ') or '(none: the file is empty)'}",
            "00 00, a type (08 09 0b 0c 0d 0e) and the number of dimensions",
        )
    dtype, dimensions = _TYPES[head[2]], head[3]
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise _refusal(path, f"its header names {dimensions} dimensions", f"1 to {_MAX_DIMENSIONS}")
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise _refusal(path, f"its header is cut off after {4 + len(sizes)} bytes", f"{4 + 4 * dimensions}")
    shape = struct.unpack(f">{dimensions}I", sizes)

    promised = math.prod(shape) * dtype.itemsize
    if promised > at_most:
        raise _refusal(path, f"its header promises {promised} bytes for shape {shape}", f"at most {at_most}")
    values = bytearray()
    # Piece by piece: read(promised) would set aside whatever a false header claims.
    while chunk := file.read(min(_CHUNK, promised - len(values))):
        values += chunk
    if len(values) < promised:
        raise _refusal(path, f"it is cut off after {len(values)} bytes of values", f"{promised} for shape {shape}")
    # At the end of a gzip file this read also checks its CRC.
    if file.read(1):
        raise _refusal(path, "there are bytes left over after the values", f"{promised} for shape {shape}")
    try:
        array = np.frombuffer(values, dtype).reshape(shape)
    except ValueError as error:  # no values, and sizes whose product overflows
        raise _refusal(path, f"its header names the shape {shape}", "one that an array can have") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def _refusal(path: str | os.PathLike[str], got: str, expected: str) -> FileFormatError:
    return FileFormatError(
        f"{os.fspath(path)}: not a usable IDX file: {got}; expected {expected}. Get the file again"
    )
