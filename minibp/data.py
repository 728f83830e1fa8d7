"""Data sets: arrays of one's own, digits that come with minibp, and MNIST, Fashion-MNIST and KMNIST."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .checks import seeds
from .errors import ArgumentError, InputError, ShapeError, TargetError
from .idx import read_idx

__all__ = ["Dataset", "Splits", "digits", "fashion_mnist", "kmnist", "mnist", "read_idx", "split"]

_FLOATS = (np.float16, np.float32, np.float64)
_CHUNK = 1 << 20  # values looked at in one go


class Dataset:
    """Inputs and their targets, checked once.

    `len(dataset)` is N, `x, t = dataset` gives both arrays. An index picks samples, and `dataset[i]` is a data set
    again whatever i is: a slice (which copies nothing), a list or an array of integers or of booleans, or one
    integer, for a data set of one sample.

    Parameters
    ----------
    x : (N, ...) inputs, N >= 1: uint8, which a network scales by 1/255, or float16, float32, float64, taken as they
        are. Arrays are kept, not copied; a memory map stays one.
    t : (N,) integer labels, (N,) numbers, or (N, K) rows of integers or floats

    Raises
    ------
    InputError
        x is empty, of another type, masked, not an array at all, or has NaN or infinity in it.
    ShapeError
        x has fewer than two dimensions.
    TargetError
        t has not N entries, is neither (N,) nor (N, K), is not numeric, or has NaN or infinity in it.
    ArgumentError, IndexError
        An index is none of those above, or lies outside the data set; one that picks no sample is an InputError.
    """

    x: np.ndarray
    t: np.ndarray

    def __init__(self, x: Any, t: Any):
        self.x = _as_inputs(x)
        self.t = _as_targets(t, len(self.x))

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Give x, then t: for `x, t = dataset`."""
        yield self.x
        yield self.t

    def __getitem__(self, index: Any) -> "Dataset":
        if not isinstance(index, slice):
            index = np.atleast_1d(index)
            if not index.size:
                index = index.astype(int)  # NumPy makes an empty list an array of floats
            if index.ndim != 1 or index.dtype.kind not in "iub":
                raise ArgumentError(
                    f"a data set is indexed by {index.dtype} {index.shape}; expected a slice, an integer, or a list "
                    f"of integers or of booleans, one dimension: the samples"
                )
        part: Dataset = object.__new__(type(self))  # what was checked once is not checked again
        part.x, part.t = self.x[index], self.t[index]
        if not len(part):
            raise InputError(f"the data set is empty: the index picks none of {len(self)} samples")
        return part

    def __repr__(self) -> str:
        if self.t.ndim == 2:
            kind = f"{self.t.shape[1:]} {self.t.dtype}"
        elif self.t.dtype.kind == "f":
            kind = f"{self.t.dtype} numbers"
        else:
            kind = f"{self.t.dtype} labels {self.t.min()}..{self.t.max()}"
        return f"Dataset({len(self)} samples, x {self.x.shape[1:]} {self.x.dtype}, t {kind})"


class Splits(NamedTuple):
    """A data set in two parts: one to train on, one to test on."""

    train: Dataset
    test: Dataset


def split(dataset: Dataset, held_out: float = 0.2, seed: int = 0) -> Splits:
    """Split a data set at random into a part to train on and a part to test on.

    Parameters
    ----------
    dataset : N samples
    held_out : the part to test on: a fraction of N between 0 and 1 (rounded to whole samples), or an int, the number
        of samples
    seed : the same seed draws the same split

    Raises
    ------
    ArgumentError
        held_out is neither, or leaves one of the parts empty; there is only one sample; or seed is no integer of at
        least 0.
    """
    n = len(dataset)
    if n == 1:
        raise ArgumentError("a data set of 1 sample cannot be split: one of the parts would be empty")
    if isinstance(held_out, (int, np.integer)) and not isinstance(held_out, bool):
        count = int(held_out)
    elif isinstance(held_out, (float, np.floating)) and 0 < held_out < 1:
        count = round(n * float(held_out))
    else:
        raise ArgumentError(f"held_out is {held_out!r}; expected a fraction between 0 and 1, or a number of samples")
    if not 0 < count < n:
        raise ArgumentError(
            f"held_out={held_out!r} is {count} of {n} samples; expected 1..{n - 1}, so that neither part is empty"
        )
    order = seeds(seed).permutation(n)
    return Splits(dataset[order[count:]], dataset[order[:count]])


def digits(seed: int = 0) -> Splits:
    """Give the handwritten digits that come with minibp, split at random.

    Which split is used matters, so say which with a result: a small network reaches about 97.7 % on random splits.
    The last 360 in the file's order were written by other people than the rest; held out, they give about 92 %.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (its test set), UCI Machine
    Learning Repository, 1998, CC BY 4.0. The values 0..16 were scaled to 0..255.

    Parameters
    ----------
    seed : the same seed draws the same split

    Returns
    -------
    1437 samples to train on, 360 to test on: x (N, 8, 8) uint8, labels 0..9 (N,) uint8

    Raises
    ------
    ArgumentError
        seed is no integer of at least 0.
    """
    with np.load(os.path.join(os.path.dirname(__file__), "digits.npz"), allow_pickle=False) as file:
        return split(Dataset(file["x"], file["t"]), held_out=360, seed=seed)


def mnist(directory: str | os.PathLike[str] | None = None) -> Splits:
    """Give MNIST, handwritten digits.

    The files are taken from `directory`; without one, from the sub-folder `mnist` of the folder that the environment
    variable MINIBP_DATA names, if there is such a sub-folder; else from a cache in the user's own cache folder, to
    which what is missing is downloaded. Checksums are verified each time.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998.

    Parameters
    ----------
    directory : folder with the four files, gzipped or not; they are only read

    Returns
    -------
    60000 samples to train on, 10000 to test on: x (N, 28, 28) uint8, labels 0..9 (N,) uint8

    Raises
    ------
    DataError
        A file is missing in a folder that was named.
    ChecksumError, FileFormatError
        A file is not the published one, or damaged.
    DownloadError
        No mirror could be reached; the message lists them and says how to put the files there by hand.
    """
    return _published("mnist", directory)


def fashion_mnist(directory: str | os.PathLike[str] | None = None) -> Splits:
    """Give Fashion-MNIST, pictures of clothes in the form of MNIST.

    Where it is taken from and what it returns: as `mnist`, with the sub-folder `fashion_mnist`. There is no
    published checksum of the unpacked files: of those only the form is checked, and that they are not MNIST's.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", arXiv:1708.07747, 2017. MIT licence.

    Raises
    ------
    DataError, ChecksumError, FileFormatError, DownloadError
        As `mnist`.
    """
    return _published("fashion_mnist", directory)


def kmnist(directory: str | os.PathLike[str] | None = None) -> Splits:
    """Give KMNIST, cursive Japanese characters in the form of MNIST.

    Where it is taken from and what it returns: as `fashion_mnist`, with the sub-folder `kmnist`.

    Source: T. Clanuwat, M. Bober-Irizar, A. Kitamoto, A. Lamb, K. Yamamoto, D. Ha, "Deep Learning for Classical
    Japanese Literature", arXiv:1812.01718, 2018. "KMNIST Dataset" (created by CODH), adapted from "Kuzushiji Dataset"
    (created by NIJL and others), doi:10.20676/00000341, CC BY-SA 4.0.

    Raises
    ------
    DataError, ChecksumError, FileFormatError, DownloadError
        As `mnist`.
    """
    return _published("kmnist", directory)


def _published(name: str, directory: str | os.PathLike[str] | None) -> Splits:
    from . import published  # here, not above: with its checksums and downloads it takes long to import

    x, t, x_test, t_test = published.load(name, directory)
    return Splits(Dataset(x, t), Dataset(x_test, t_test))


def _as_inputs(x: Any) -> np.ndarray:
    if np.ma.isMaskedArray(x):
        raise InputError("x is a masked array, which a network cannot use: fill it first, with x.filled(value)")
    try:
        x = _as_array(x)
    except (TypeError, ValueError) as error:
        raise InputError(f"x cannot be used as an array of shape (N, ...): {error}") from error
    if x.dtype != np.uint8 and x.dtype not in _FLOATS:
        raise InputError(
            f"x is {x.dtype}; expected uint8, which is scaled by 1/255, or float16, float32 or float64, which are "
            f'taken as they are. To have the values taken as they are: np.asarray(x).astype("float32")'
        )
    if x.size == 0:
        raise InputError(f"the data set is empty: x has the shape {x.shape}")
    if x.ndim < 2:
        raise ShapeError(f"x has the shape {x.shape}; expected (N, ...). For one value a sample: x.reshape(-1, 1)")
    bad = first_not_finite(x)
    if bad is not None:
        raise InputError(f"x has NaN or infinity in it, first in sample {bad}: remove or replace it")
    return x


def _as_targets(t: Any, n: int) -> np.ndarray:
    if np.ma.isMaskedArray(t):
        raise TargetError("t is a masked array, which a loss cannot use: fill it first, with t.filled(value)")
    try:
        t = _as_array(t)
    except (TypeError, ValueError) as error:
        raise TargetError(f"t cannot be used as an array of shape (N,) or (N, K): {error}") from error
    t = t.astype(t.dtype.newbyteorder("="), copy=False)
    if t.dtype.kind not in "biu" and t.dtype not in _FLOATS:
        raise TargetError(
            f"t is {t.dtype}; expected integer labels, or numbers. Names are turned into labels by "
            f"names, labels = np.unique(t, return_inverse=True)"
        )
    if t.ndim not in (1, 2) or t.shape[1:] == (0,):
        raise TargetError(f"t has the shape {t.shape}; expected labels (N,) or rows (N, K)")
    if len(t) != n:
        raise TargetError(f"x has {n} samples, but t has {len(t)} targets; expected one target for each sample")
    bad = first_not_finite(t)
    if bad is not None:
        raise TargetError(f"t has NaN or infinity in it, first in sample {bad}: remove or replace it")
    return t


def _as_array(values: Any) -> np.ndarray:
    return values if isinstance(values, np.memmap) else np.asarray(values)


def first_not_finite(values: np.ndarray, dtype: Any = None) -> int | None:
    """The first sample with NaN or infinity in it, in this dtype where one is given; None where all are finite."""
    if values.dtype.kind != "f":
        return None
    step = max(1, _CHUNK * len(values) // values.size)  # samples; the whole may be larger than memory
    for start in range(0, len(values), step):
        with np.errstate(over="ignore"):
            finite = np.isfinite(values[start : start + step].astype(dtype or values.dtype, copy=False))
        if not finite.all():
            return start + int(finite.reshape(len(finite), -1).all(axis=1).argmin())
    return None
