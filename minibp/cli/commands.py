"""What a saved network says, as text: python -m minibp evaluate, python -m minibp predict"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import numpy as np

from .. import data
from ..data import Dataset
from ..errors import ArgumentError, FileFormatError
from ..files import printable
from ..metrics import classes
from ..network import Network
from ..training import evaluate

FROM_FILES = {"mnist": data.mnist, "fashion_mnist": data.fashion_mnist, "kmnist": data.kmnist}
DATASETS = ("digits", *FROM_FILES)


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
    rows = net.predict(x)
    yield ",".join(["sample", *(map(str, range(rows.shape[1])) if outputs else ("class", "output"))])
    for i, (row, answer) in enumerate(zip(rows, classes(rows), strict=True)):
        shown = row if outputs else [row[answer] if len(row) > 1 else row[0]]
        yield ",".join([str(i), *([] if outputs else [str(answer)]), *(f"{value:.6g}" for value in shown)])


def testing(name: str, folder: str | None, seed: int | None) -> Dataset:
    """The test set of a data set: of files in a folder, or as `data` finds them; the digits are split by the seed.

    Raises
    ------
    ArgumentError
        If a folder is given for the digits, a seed for others, or none for the digits, or a negative one.
    DataError
        If the files are missing, damaged or others than the published ones.
    """
    if name != "digits":
        if seed is not None:
            raise ArgumentError(f"--seed says how digits were split; {name} has a test set of its own: leave it out")
        return FROM_FILES[name](folder).test
    if folder is not None:
        raise ArgumentError("the digits are part of minibp, there are no files to give: leave --data out")
    if seed is None:  # other samples would be among those that the network has learnt
        raise ArgumentError("the digits are split by the seed of the training: give the same one, --seed 0 by default")
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
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
        raise FileFormatError(f"{path} is a folder, a pipe or a device; expected an IDX file or a .npy file")
    with open(path, "rb") as file:
        is_npy = file.read(6) == b"\x93NUMPY"
    x = _npy(path) if is_npy else data.read_idx(path)
    if x.ndim < 2 or not len(x):
        raise FileFormatError(f"{path} holds an array of shape {x.shape}, expected images (N, ...)")
    return x


def _npy(path: str | os.PathLike[str]) -> np.ndarray:
    """A .npy file as a memory map: what its header claims must be there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's own, of an old header
            return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # its header is parsed as an expression of Python: SyntaxError, RecursionError, ...
        said = printable(error).splitlines()[:1] or [type(error).__name__]
        raise FileFormatError(f"{path} is not a usable .npy file: {said[0]}") from None
