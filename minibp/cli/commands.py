"""The output of a saved network as text, for python -m minibp evaluate and predict."""

from __future__ import annotations

import csv
import io
import math
import os
import stat
import warnings
from collections.abc import Iterator

import numpy as np

from .. import data
from ..base import printable
from ..data import Dataset
from ..errors import ArgumentError, FileFormatError
from ..metrics import classes
from ..network import Network
from ..training import evaluate

FROM_FILES = {"mnist": data.mnist, "fashion_mnist": data.fashion_mnist, "kmnist": data.kmnist}
DATASETS = ("digits", *FROM_FILES)


def evaluation(net: Network, test: Dataset) -> str:
    """The accuracy, if there is one, and the mean loss in one line, like the last line of a training."""
    loss, accuracy = evaluate(net, test)
    start = "test" if math.isnan(accuracy) else f"test accuracy {accuracy:.4f} "
    return f"{start} loss {loss:.4f}  samples {len(test)}"


def predictions(net: Network, x: np.ndarray, outputs: bool = False) -> Iterator[str]:
    """Lines of CSV: the number of each sample, its class and the output for that class; or all outputs, if asked for.

    Classes have the names that were saved with the network, else numbers. The outputs are probabilities if the network
    has them. With one output, the classes are 0 and 1, divided at 0.5. A network whose loss is one of numbers has no
    classes: all outputs are printed.
    """
    rows, outputs = net.predict(x), outputs or net.loss.of_numbers
    k = rows.shape[1]
    names = net.class_names or [str(label) for label in range(max(k, 2))]
    yield _line(["sample", *((names if k > 1 else ["0"]) if outputs else ("class", "output"))])
    for i, (row, label) in enumerate(zip(rows, classes(rows), strict=True)):
        shown = row if outputs else [row[label] if k > 1 else row[0]]
        yield _line([str(i), *([] if outputs else [names[label]]), *(f"{value:.6g}" for value in shown)])


def _line(values: list[str]) -> str:
    """A line of CSV, with quotes where a name needs them."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def testing(name: str, folder: str | None, seed: int | None) -> Dataset:
    """The test set of a data set. The seed splits the digits; the folder is for the others.

    An ArgumentError if the two do not fit the data set.
    """
    if name != "digits":
        if seed is not None:
            raise ArgumentError(f"--seed decides the split of the digits; {name} has its own test set: leave it out")
        return FROM_FILES[name](folder).test
    if folder is not None:
        raise ArgumentError("the digits are part of minibp and need no files: leave --data out")
    if seed is None:  # else the network might be tested on samples it was trained on
        raise ArgumentError("the seed of the training split the digits: give the same one (--seed 0 was its default)")
    return data.digits(seed=seed).test


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
