"""The array library, NumPy or CuPy: the only module that imports cupy, and where arrays change sides."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import BackendError, UnknownNameError

NAMES = ("numpy", "cupy", "auto")


def resolve(name: str) -> Any:
    """The array library of this name.

    Parameters
    ----------
    name : {"numpy", "cupy", "auto"}
        "auto" takes CuPy where it works, else NumPy.

    Raises
    ------
    UnknownNameError
        If there is no backend of that name.
    BackendError
        If CuPy was asked for and does not work here; the message says why and what to do.
    """
    if name not in NAMES:
        raise UnknownNameError("backend", name, NAMES)
    if name == "numpy":
        return np
    try:
        return _working_cupy()
    except BackendError:
        if name == "auto":
            return np
        raise


def _working_cupy() -> Any:
    cure = 'install it by pip install "minibp[cuda12]" or "minibp[cuda13]", or use backend="numpy"'
    try:
        import cupy
    except ImportError as error:
        raise BackendError(f"backend 'cupy': CuPy is not installed ({error}); {cure}") from None
    except Exception as error:  # a broken installation fails in many ways
        reason = f"{type(error).__name__}: {error}"
        raise BackendError(f"backend 'cupy': importing CuPy failed ({reason}); {cure}") from error
    try:
        a = cupy.ones((2, 2), "float32")
        float((a @ a + 1).sum())  # an allocation, cuBLAS, a compiled kernel and a copy back
    except Exception as error:
        raise BackendError(
            f"backend 'cupy': CuPy {cupy.__version__} is installed, but does not work here "
            f"({type(error).__name__}: {error}); see that the driver and the CUDA libraries are there, "
            'or use backend="numpy"'
        ) from error
    return cupy


def to_host(array: Any) -> np.ndarray:
    """A NumPy array of these values: the array itself where it is one, else a copy from the device."""
    return array if isinstance(array, np.ndarray) else array.get() if hasattr(array, "get") else np.asarray(array)
