"""The array library that a network computes with, NumPy or CuPy: what works on this machine, and how arrays move."""

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
