"""The output of a saved network as text, for python -m minibp evaluate and predict."""

from __future__ import annotations

import csv
import io
import math
import os
import stat
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from .. import data
from ..base import printable
from ..data import Dataset
from ..errors import FileFormatError
from ..evaluation import evaluate
from ..metrics import classes, r2_score
from ..network import Network


def evaluation(net: Network, test: Dataset) -> str:
    """The accuracy, or R² for numbers, and the mean loss in one line, like the last line of a training."""
    loss, accuracy = evaluate(net, test)
    start = f"test accuracy {accuracy:.4f} "
    if math.isnan(accuracy):
        start = f"test R2 {r2_score(net.predict(test.x), t=test.t):.4f} " if len(test) > 1 else "test"
    return f"{start} loss {loss:.4f}  samples {len(test)}"


def predictions(
    net: Network, x: np.ndarray, outputs: bool = False, samples: Sequence[str] | None = None
) -> Iterator[str]:
    """Lines of CSV: the name or number of each sample, its class and the output for that; or all outputs, if asked for.

    Classes have the names that were saved with the network, else numbers. The outputs are probabilities if the network
    has them. With one output, the classes are 0 and 1, divided at 0.5. A network whose loss is one of numbers has no
    classes: all outputs are printed.
    """
    rows, outputs = net.predict(x), outputs or net.loss.of_numbers
    k = rows.shape[1]
    names = net.class_names or [str(label) for label in range(max(k, 2))]
    number = getattr(net.preprocessing, "target", None) or "0"
    yield _line(["sample", *((names if k > 1 else [number]) if outputs else ("class", "output"))])
    for i, (row, label) in enumerate(zip(rows, classes(rows), strict=True)):
        shown = row if outputs else [row[label] if k > 1 else row[0]]
        start = [samples[i] if samples else str(i), *([] if outputs else [names[label]])]
        yield _line([*start, *(f"{value:.6g}" for value in shown)])


def _line(values: list[str]) -> str:
    """A line of CSV, with quotes where a name needs them."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def images(path: str | os.PathLike[str]) -> np.ndarray:
    """The images (N, ...) of an IDX file, gzipped or not, or of a .npy file, which is mapped into memory.

    A FileFormatError if it is neither, or damaged.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block
        raise FileFormatError(f"{path} is a folder, a pipe or a device; expected an IDX file or a .npy file")
    with open(path, "rb") as file:
        is_npy = file.read(6) == b"\x93NUMPY"
    x = _npy(path) if is_npy else data.read_idx(path)
    if x.ndim < 2 or not len(x):
        raise FileFormatError(f"{path} holds an array of shape {x.shape}, expected images (N, ...)")
    return x


def _npy(path: str | os.PathLike[str]) -> np.ndarray:
    """A .npy file as a memory map. The file must have the size that its header claims."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of NumPy, about an old header
            return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy parses the header as a Python expression: SyntaxError, RecursionError, ...
        said = printable(error).splitlines()[:1] or [type(error).__name__]
        raise FileFormatError(f"{path} is not a usable .npy file: {said[0]}") from None
