"""The history of a training, read back from the log of a training script."""

from __future__ import annotations

import csv
import os

from ..base import printable
from ..errors import FileFormatError
from ..progress import Epoch

# What is evaluated after each epoch is the test set in the training scripts, and the validation part in `train`.
COLUMNS = ["epoch", "loss", "test_loss", "test_accuracy", "seconds"]
OF_TRAIN = ["epoch", "loss", "val_loss", "val_accuracy", "seconds"]


def read_history(path: str | os.PathLike[str]) -> list[Epoch]:
    """Read the CSV file that `--log` of the command `train` or of a training script writes.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    list of Epoch
        An entry for each row.

    Raises
    ------
    FileFormatError
        If it is not such a file.
    OSError
        If it cannot be read.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            head, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(f"{path} is not the log of a training: {error}") from None
    expected = f"expected that of a log, {','.join(COLUMNS)}, as --log writes it"
    if head not in (COLUMNS, OF_TRAIN):
        raise FileFormatError(f"{path} begins with the line {printable(','.join(head))!r:.80}, {expected}")
    history = []
    for i, row in enumerate(rows, 1):
        try:
            number, loss, val_loss, val_accuracy, seconds = (float(value) if value else None for value in row)
            if number != i or loss is None or seconds is None:
                raise ValueError
        except ValueError:
            what = f"{path}: line {i + 1} is {printable(','.join(row))!r:.80}"
            raise FileFormatError(f"{what}, expected epoch {i} and its numbers, as --log writes them") from None
        history.append(Epoch(i, loss, val_loss, val_accuracy, seconds))
    if not history:
        raise FileFormatError(f"{path} holds no epoch; give the log of a finished training, or leave it out")
    return history
