"""Measure how much memory Python and NumPy allocate on the host."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace


@contextmanager
def traced() -> Iterator[SimpleNamespace]:
    """Trace a block of code: afterwards `peak` is the most bytes it held at a time, `left` those it still holds."""
    memory = SimpleNamespace()
    tracemalloc.start()
    try:
        yield memory
    finally:
        memory.left, memory.peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
