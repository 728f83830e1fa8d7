"""Compare arrays of any library on the host, and write them as IDX files."""

import struct

import numpy as np

from minibp.backend import to_host


def host(value):
    """The values as a NumPy array; for a list, a list of such arrays."""
    return [host(each) for each in value] if isinstance(value, (list, tuple)) else to_host(value)


def is_array(value):
    """Whether this is an array, on the host or on a device."""
    return isinstance(value, np.ndarray) or (hasattr(value, "get") and hasattr(value, "dtype"))


def shares_memory(a, b):
    """Whether two arrays of one library overlap. For arrays on a device NumPy asks CuPy."""
    return bool(np.shares_memory(a, b))


def assert_equal(got, expected):
    """All elements are equal, NaN to NaN."""
    np.testing.assert_array_equal(host(got), host(expected))


def assert_close(got, expected, **tolerances):
    """All elements are close, as `numpy.testing.assert_allclose` defines it."""
    np.testing.assert_allclose(host(got), host(expected), **tolerances)


IDX_TYPES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array):
    """The contents of an IDX file, not gzipped, that holds this array."""
    header = bytes([0, 0, IDX_TYPES[array.dtype.str[1:]], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()
