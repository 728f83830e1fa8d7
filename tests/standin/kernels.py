"""CUDA C++ kernels on the CPU: compiled by g++, and launched on arrays of the stand-in as CuPy launches its own.

The words of CUDA and the threads are those of tests/cupy_on_cpu.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cupy_on_cpu import HERE, entries_of

FLAGS = ("-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-ffp-contract=off", f"-I{HERE}")


class Index(ctypes.Structure):
    """A number of blocks or threads, in three directions."""

    _fields_ = tuple((name, ctypes.c_uint) for name in "xyz")


@functools.cache
def library(source: str, *more: str) -> ctypes.CDLL:
    """These kernels and their threads, as a shared library; it is kept in the folder for temporary files."""
    code = "\n".join(['#include "kernels.h"', source, *entries_of(source)])
    parts = [code, *(HERE.joinpath(name).read_text() for name in ("kernels.h", "threads.h", "threads.c")), *more]
    name = f"minibp-kernels-{hashlib.sha256(''.join(parts).encode()).hexdigest()[:24]}"
    path = Path(tempfile.gettempdir()) / f"{name}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            threads, made = Path(folder) / "threads.o", Path(folder) / "made.so"
            subprocess.run(["gcc", "-O1", "-fPIC", "-c", HERE / "threads.c", "-o", threads], check=True)
            command = ["g++", *FLAGS, *more, "-x", "c++", "-", "-x", "none", threads, "-o", made]
            subprocess.run(command, input=code.encode(), check=True)
            made.replace(path)
    return ctypes.CDLL(str(path))


class RawModule:
    """Kernels of one source: `get_function` gives one by its name."""

    def __init__(self, code: str, options: tuple[str, ...] = ()):
        self.code = code

    def get_function(self, name: str) -> Callable[..., None]:
        """A kernel, to be called as kernel(grid, block, arguments)."""
        kernels = library(self.code)
        body = getattr(kernels, f"on_cpu_{name}")

        def launch(grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
            held = [np.asarray(each) for each in args]
            pointers = (ctypes.c_void_p * len(held))(*[each.ctypes.data for each in held])
            sizes = [Index(*(*size, 1, 1)[:3]) for size in (grid, block)]
            kernels.run_kernel(body, 1, pointers, *sizes)

        return launch
