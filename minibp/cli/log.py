"""Log: a CSV file with a row for each epoch."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Iterable

from ..errors import MinibpWarning
from ..progress import Epoch


class Log:
    """A CSV file with a row for each epoch. On a full disk the training goes on, with one warning.

    `held_out` names the samples that are evaluated after each epoch: "test" or "val".
    """

    def __init__(self, path: str, held_out: str = "test"):
        self.path, self.failed = path, False
        self.file = open(path, "w", newline="", buffering=1)  # noqa: SIM115
        self.writer = csv.writer(self.file)
        self._try(self.writer.writerow, ("epoch", "loss", f"{held_out}_loss", f"{held_out}_accuracy", "seconds"))

    def write(self, epochs: Iterable[Epoch]) -> None:
        """Write a row for each epoch."""
        for epoch in epochs:
            self._try(self.writer.writerow, epoch)

    def close(self) -> None:
        """Write what is in the buffer."""
        self._try(self.file.close)

    def _try(self, write: Callable[..., object], *row: Iterable[object]) -> None:
        try:
            write(*row)
        except OSError as error:  # what has not been written stays in the buffer for the next time
            if not self.failed:
                what = f"the log {self.path} could not be written: {error.strerror}"
                warnings.warn(f"{what}. The training goes on, and tries again", MinibpWarning, 4)
            self.failed = True
