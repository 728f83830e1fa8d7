"""How many threads of the BLAS a training takes, and a hint where they wait for each other."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .backend import blas_threads, one_blas_thread
from .layers import Dense
from .network import Network

# Multiply-adds of the largest product of a step. Below is the time of a step with two threads over that with one, on
# two idle cores, and beside two processes that spin (2026-11-29, AMD EPYC, OpenBLAS 0.3.31, medians of 9 and 5 turns).
#   million  0.52  1.05   1.6   2.5    13    51
#   idle     0.97  1.02  1.04  0.92  0.82  0.85   (in the best turns from 1.6 on: 0.81, 0.79, 0.70, 0.62)
#   beside    4.7    85   4.1    19   2.9   7.2
# At 1.3 million (an estimator on 8 x 8 digits, batches of 200) a training took 0.19 s with one thread, and 0.36 s with
# two as soon as the second had once slept, on an idle machine. So two begin where they gain in all phases of a machine.
SMALL = 2 << 20
TINY = 1 << 13  # OpenBLAS takes no second thread for so little, and setting the number takes a third of such a step
LONG = 1.0  # seconds: a shorter epoch says little
SHARE = 0.8  # of the time in which the training's own thread has a processor: 0.97 and more if idle, else 0.46 to 0.72


def largest_product(net: Network, batch_size: int) -> float:
    """The multiply-adds of the largest product of a step, that of a batch and a weight matrix."""
    sizes = [
        module.W.size if isinstance(module, Dense) else math.inf  # a layer of a user may multiply anything by it
        for module in net.modules()
        if any(values.ndim > 1 for values in module.params.values())
    ]
    return batch_size * max(sizes, default=0)


def takes_one_thread(net: Network, batch_size: int) -> bool:
    """Whether this training takes one thread. Only the size decides: another number of threads may round otherwise."""
    return largest_product(net, batch_size) <= SMALL


class Threads:
    """The threads of a training with batches of at most `batch_size`: a context for each epoch, and a hint."""

    def __init__(self, net: Network, batch_size: int):
        size = largest_product(net, batch_size)
        self.limit: AbstractContextManager[None] = one_blas_thread if TINY < size <= SMALL else nullcontext()
        self.told = size <= SMALL or net.backend != "numpy"
        self.wall = self.own = 0.0

    def __enter__(self) -> None:
        self.start = time.perf_counter(), time.thread_time()
        self.limit.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.limit.__exit__(*error)
        self.wall, self.own = time.perf_counter() - self.start[0], time.thread_time() - self.start[1]

    def hint(self) -> str:
        """A sentence for a training whose threads waited for each other in the last epoch, once; else empty."""
        if self.told or self.wall < LONG or self.own > SHARE * self.wall or blas_threads() == 1:
            return ""
        self.told = True
        what = f"an epoch of {self.wall:.1f} s had a processor for only {self.own:.1f} s"
        cause = "if other programs take the processors, the threads of the matrix products wait for each other"
        cure = "set OPENBLAS_NUM_THREADS=1 (or MKL_NUM_THREADS, ...) before Python starts, or --threads 1 of a script"
        return f"{what}; {cause}: {cure}"
