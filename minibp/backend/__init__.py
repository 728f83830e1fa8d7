"""NumPy or CuPy, the array library of a network: what works on this machine, and how arrays move between the two."""

from .arrays import free_memory, gather, to_host, to_library
from .libraries import INSTALL, NAMES, Backend, available, resolve, short_message

__all__ = [
    "INSTALL",
    "NAMES",
    "Backend",
    "available",
    "free_memory",
    "gather",
    "resolve",
    "short_message",
    "to_host",
    "to_library",
]
