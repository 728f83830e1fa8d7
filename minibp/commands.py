"""What a saved network says, as text: python -m minibp evaluate, python -m minibp predict"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from . import data
from .data import Dataset
from .errors import ArgumentError, FileFormatError
from .metrics import classes
from .network import Network
from .training import evaluate

FROM_FILES = {"mnist": data.mnist, "fashion_mnist": data.fashion_mnist, "kmnist": data.kmnist}
DATASETS = ("digits", *FROM_FILES)
PIECE = 10_000  # samples predicted before their lines are given


def evaluation(net: Network, test: Dataset) -> str:
    """One line, like the last one of a training.

    Raises
    ------
    ArgumentError
        If it is no Dataset.
    InputError, ShapeError, TargetError
        If the data do not fit the network.
    DivergenceError
        If a loss is NaN or infinite.
    """
    loss, accuracy = evaluate(net, test)
    return f"test accuracy {accuracy:.4f}  loss {loss:.4f}  samples {len(test)}"


def predictions(net: Network, x: np.ndarray, outputs: bool = False) -> Iterator[str]:
    """Lines of CSV: each sample's number, its class and the output for that; with `outputs`, all outputs instead.

    Outputs are probabilities where the network gives some. With one output the classes are 0 and 1, divided at 0.5.

    Raises
    ------
    InputError, ShapeError
        If the data do not fit the network.
    DivergenceError
        If an output is NaN or infinite.
    """
    for start in range(0, len(x), PIECE):
        rows = net.predict(x[start : start + PIECE])
        if start == 0:
            yield ",".join(["sample", *(map(str, range(rows.shape[1])) if outputs else ("class", "output"))])
        for i, (row, answer) in enumerate(zip(rows, classes(rows), strict=True), start):
            shown = row if outputs else [row[answer] if len(row) > 1 else row[0]]
            yield ",".join([str(i), *([] if outputs else [str(answer)]), *(f"{value:.6g}" for value in shown)])


def test_set(name: str, folder: str | None, seed: int = 0) -> Dataset:
    """The test set of a data set: of files in a folder, or as `data` finds them; the digits are split by the seed.

    Raises
    ------
    ArgumentError
        If a folder is given for the digits, or the seed is negative.
    DataError
        If the files are missing, damaged or others than the published ones.
    """
    if name != "digits":
        return FROM_FILES[name](folder).test
    if folder is not None:
        raise ArgumentError("the digits are part of minibp, there are no files to give: leave --data out")
    return data.digits(seed=seed).test


def images(path: str | os.PathLike[str]) -> np.ndarray:
    """Images of a file, (N, ...): an IDX file, gzipped or not, or a .npy file, which is read as it is needed.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is neither, or damaged.
    """
    with open(path, "rb") as file:
        is_npy = file.read(6) == b"\x93NUMPY"
    x = _npy(path) if is_npy else data.read_idx(path)
    if x.ndim < 2 or not len(x):
        raise FileFormatError(f"{path} holds an array of shape {x.shape}, expected images (N, ...)")
    return x


def _npy(path: str | os.PathLike[str]) -> np.ndarray:
    """A .npy file as a memory map: what its header claims must be there."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (ValueError, TypeError, EOFError, OverflowError, OSError) as error:
        raise FileFormatError(f"{path} is not a usable .npy file: {error}") from None
