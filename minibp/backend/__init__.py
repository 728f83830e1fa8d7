"""NumPy or CuPy, the array library of a network: what works on this machine, and how arrays move between the two."""

from .arrays import current_device, free_memory, gather, scalar, squares, to_host, to_library, upload, write
from .blas import (
    THREAD_VARIABLES,
    blas_libraries,
    blas_threads,
    describe_blas,
    limited_blas,
    loaded_blas,
    one_blas_thread,
    set_blas_threads,
)
from .libraries import INSTALL, NAMES, Backend, available, choose_gpu, nccl, resolve, resolve_or_numpy, short_message

__all__ = [
    "INSTALL",
    "NAMES",
    "THREAD_VARIABLES",
    "Backend",
    "available",
    "blas_libraries",
    "blas_threads",
    "choose_gpu",
    "current_device",
    "describe_blas",
    "free_memory",
    "gather",
    "limited_blas",
    "loaded_blas",
    "nccl",
    "one_blas_thread",
    "resolve",
    "resolve_or_numpy",
    "scalar",
    "set_blas_threads",
    "short_message",
    "squares",
    "to_host",
    "to_library",
    "upload",
    "write",
]
