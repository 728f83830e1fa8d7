"""Arrays of any library, looked at and compared on the host."""

import numpy as np

from minibp.backend import to_host


def host(value):
    """A NumPy array of these values; of a list, the list of those of its elements."""
    return [host(each) for each in value] if isinstance(value, (list, tuple)) else to_host(value)


def is_array(value):
    """Whether this is an array, on the host or on a device."""
    return isinstance(value, np.ndarray) or (hasattr(value, "get") and hasattr(value, "dtype"))


def shares_memory(a, b):
    """Whether two arrays overlap, both on the same side; for arrays on a device NumPy asks CuPy."""
    return bool(np.shares_memory(a, b))


def assert_equal(got, expected):
    """All elements are equal, NaN to NaN."""
    np.testing.assert_array_equal(host(got), host(expected))


def assert_close(got, expected, **tolerances):
    """All elements are as close as `numpy.testing.assert_allclose` asks for."""
    np.testing.assert_allclose(host(got), host(expected), **tolerances)
