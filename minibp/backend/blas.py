"""The BLAS, the library that multiplies matrices on the host: which one it is, its kernels and its threads."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

# Where users say how many threads a BLAS takes.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def loaded_blas() -> list[dict[str, Any]]:
    """What threadpoolctl finds of each loaded BLAS: "internal_api", "version", "architecture", "num_threads"."""
    import threadpoolctl  # here, because few programs ask

    np.ones((2, 2)) @ np.ones((2, 2))  # loads the BLAS
    return [pool for pool in threadpoolctl.threadpool_info() if pool.get("user_api") == "blas"]


def describe_blas(threads: int | None = None) -> str:
    """The BLAS in words, with its threads or those it is given. Where they differ, results may differ in rounding."""
    keys = ("internal_api", "version", "architecture")
    found = [
        f"{' '.join(str(pool.get(key) or 'unknown') for key in keys)}, "
        f"threads {threads or pool.get('num_threads', 'unknown')}"
        for pool in loaded_blas()
    ]
    return "; ".join(sorted(found)) or "unknown"


def blas_threads() -> int:
    """How many threads a product may take now; 1 if threadpoolctl does not know the BLAS."""
    return max((library.num_threads or 1 for library in blas_libraries()), default=1)


def limited_blas(threads: int | None) -> AbstractContextManager[Any]:
    """A context of a whole program, in which products take so many threads; None leaves the number as it is."""
    if threads is None:
        return nullcontext()
    import threadpoolctl  # here, for a fast start

    return threadpoolctl.threadpool_limits(threads, "blas")


def set_blas_threads(threads: int) -> None:
    """Let products take so many threads from now on."""
    _set([(library, threads) for library in blas_libraries()])


class OneThread:
    """A context in which products take one thread. The number before is given back at its end.

    The number belongs to the process: the first thread of the program that enters sets it, and the last one that leaves
    gives it back. A BLAS that threadpoolctl does not know stays as it is.
    """

    def __init__(self) -> None:
        self.lock, self.inside = Lock(), 0
        self.before: list[tuple[Any, int]] = []

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                found = [(library, library.num_threads) for library in blas_libraries()]
                self.before = [(library, threads) for library, threads in found if threads and threads > 1]
            _set([(library, 1) for library, _ in (self._per_thread() if self.inside else self.before)])
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            _set(self._per_thread() if self.inside else self.before)

    def _per_thread(self) -> list[tuple[Any, int]]:
        """Those with OpenMP, where each thread of the program has its own number."""
        return [each for each in self.before if getattr(each[0], "threading_layer", "") == "openmp"]


one_blas_thread = OneThread()


@cache
def blas_libraries() -> list[Any]:
    """The controllers of threadpoolctl for each BLAS that is loaded at the first call."""
    import threadpoolctl  # here, for a fast start

    np.ones((2, 2)) @ np.ones((2, 2))  # loads the BLAS
    return threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers


def _set(threads: list[tuple[Any, int]]) -> None:
    for library, number in threads:
        library.set_num_threads(number)
        # Since threadpoolctl 3.8, OpenBLAS obeys the thread that was the first to set it, until that lets it go.
        getattr(library, "clear_controlling_thread", lambda: None)()
