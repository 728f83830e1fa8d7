"""Log: a CSV file with a row for each epoch."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Iterable

from minibp import Epoch
from minibp.errors import MinibpWarning

COLUMNS = ("epoch", "loss", "test_loss", "test_accuracy", "seconds")


class Log:
    """A CSV file with a row for each epoch. On a full disk the training goes on, with one warning."""

    def __init__(self, path: str):
        self.path, self.failed = path, False
        self.file = open(path, "w", newline="", buffering=1)  # noqa: SIM115
        self.writer = csv.writer(self.file)
        self._try(self.writer.writerow, COLUMNS)

    def write(self, epochs: Iterable[Epoch]) -> None:
        for epoch in epochs:
            self._try(self.writer.writerow, epoch)

    def close(self) -> None:
        self._try(self.file.close)

    def _try(self, write: Callable[..., object], *row: Iterable[object]) -> None:
        try:
            write(*row)
        except OSError as error:  # what has not been written stays in the buffer for the next time
            if not self.failed:
                what = f"the log {self.path} could not be written: {error.strerror}"
                warnings.warn(f"{what}. The training goes on, and tries again", MinibpWarning, 4)
            self.failed = True
