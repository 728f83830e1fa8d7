"""What a program prints is not its work: it goes on, and writes its files, when its output is gone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO


class Output:
    """A standard stream whose writing never fails. What comes after an error goes nowhere.

    Attributes
    ----------
    error : OSError or None
        The first error: a BrokenPipeError if the reader has gone, such as `head`.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        try:
            self.stream.write(text)
        except OSError as error:
            self._silence(error)
        return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._silence(error)

    def check(self) -> None:
        """Raise an OSError if the output is not complete, though somebody may read it, as on a full disk."""
        self.flush()
        if self.error and not isinstance(self.error, BrokenPipeError):
            raise OSError(self.error.errno, self.error.strerror, self.stream.name)

    def _silence(self, error: OSError) -> None:
        """Lead the stream, with what is in its buffer, to the null device."""
        self.error = error
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), self.stream.fileno())


@contextmanager
def lasting_output() -> Iterator[Output]:
    """Let a program go on in silence when its stdout or stderr is closed, has no reader or is on a full disk.

    Yields the standard output.
    """
    with ExitStack() as stack:
        out, err = (
            # A closed one is None, and its number would go to the next file, to which C libraries would print.
            Output(stream or stack.enter_context(open(os.devnull, "w", encoding="utf-8")))
            for stream in (sys.stdout, sys.stderr)
        )
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        try:
            yield out
        finally:
            out.flush()
            err.flush()
