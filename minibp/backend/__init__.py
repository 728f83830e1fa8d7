"""NumPy or CuPy, the array library of a network: what works on this machine, and how arrays move between the two."""

from .arrays import free_memory, gather, to_host, to_library
from .blas import describe_blas, loaded_blas
from .libraries import INSTALL, NAMES, Backend, available, resolve, short_message

__all__ = [
    "INSTALL",
    "NAMES",
    "Backend",
    "available",
    "describe_blas",
    "free_memory",
    "gather",
    "loaded_blas",
    "resolve",
    "short_message",
    "to_host",
    "to_library",
]
