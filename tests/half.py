"""A file that something happens to when it is half written: the half that is left must do no harm."""

import os
from collections.abc import Callable
from functools import partial

from minibp.base import disk


class HalfWritten:
    """Takes the place of `open`, and calls a function when half of the contents is written."""

    def __init__(self, then: Callable[[], None], *arguments):
        self.then = then
        self.file = open(*arguments)  # noqa: SIM115  # closed at the end of the `with` block

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name: str):
        return getattr(self.file, name)

    def write(self, content: bytes) -> None:
        half = len(content) // 2
        self.file.write(content[:half])
        self.file.flush()
        self.then()
        self.file.write(content[half:])


def at_point_of_writing(point: int, then: Callable[[], None]) -> None:
    """Make minibp call a function at a point of writing files, counted from now.

    Each file has a point when it is half written, and points before and after each call to the system.
    """
    left = point

    def reached() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            then()

    class System:
        """The module `os`, which also counts around each call that changes the disk."""

        def __getattr__(self, name: str):
            function = getattr(os, name)
            if name not in ("fsync", "replace"):
                return function

            def call(*arguments):
                reached()
                function(*arguments)
                reached()

            return call

    disk.os, disk.open = System(), partial(HalfWritten, reached)  # type: ignore[attr-defined, assignment]
