"""Functions in the place of methods, to watch layers while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..base import Module


@contextmanager
def replaced(method: str, functions: Iterable[tuple[Module, Callable[..., Any]]]) -> Iterator[None]:
    """Call these functions in place of the method of this name of each module, within."""
    replaced = [(module.__dict__, function) for module, function in functions]
    for attributes, function in replaced:
        attributes[method] = function
    try:
        yield
    finally:
        for attributes, _ in replaced:
            del attributes[method]
