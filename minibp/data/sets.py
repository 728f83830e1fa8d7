"""The data sets by name: the digits that come with minibp, MNIST, Fashion-MNIST and KMNIST."""

import os

import numpy as np

from .dataset import Dataset, Splits, split


def digits(seed: int = 0) -> Splits:
    """The handwritten digits that come with minibp, split at random.

    The split matters, so state it with a result. A small network reaches about 97.7 % on random splits. The last 360
    samples in the order of the file were written by other people than the rest; on these it reaches about 92 %.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (its test set), UCI Machine
    Learning Repository, 1998, CC BY 4.0. The values 0..16 were scaled to 0..255.

    Parameters
    ----------
    seed : int, default 0
        The same seed gives the same split.

    Returns
    -------
    Splits
        1437 samples to train on and 360 to test on: x (N, 8, 8) uint8, labels 0..9 (N,) uint8.
    """
    with np.load(os.path.join(os.path.dirname(__file__), "digits.npz"), allow_pickle=False) as file:
        return split(Dataset(file["x"], file["t"]), held_out=360, seed=seed)


def mnist(directory: str | os.PathLike[str] | None = None) -> Splits:
    """MNIST, handwritten digits.

    The files are read from `directory`. Without one, they are read from the sub-folder ``mnist`` of the folder that the
    environment variable MINIBP_DATA names, if it exists; else from the user's cache folder, into which missing files
    are downloaded. If the cache cannot be written, a MinibpWarning says so, and the files are used all the same.
    Checksums are verified each time.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998.

    Parameters
    ----------
    directory : path, optional
        A folder with the four files, gzipped or not. They are only read.

    Returns
    -------
    Splits
        60000 samples to train on and 10000 to test on: x (N, 28, 28) uint8, labels 0..9 (N,) uint8.

    Raises
    ------
    DataError
        If a file is missing in the given folder, or this user has no home folder and so no cache.
    ChecksumError, FileFormatError
        If a file is damaged, or not the published one.
    DownloadError
        If no mirror delivers a file. The message lists the mirrors, and says how to put the files there by hand.
    """
    return _published("mnist", directory)


def fashion_mnist(directory: str | os.PathLike[str] | None = None) -> Splits:
    """Fashion-MNIST, pictures of clothes in the form of MNIST.

    Parameters, result and errors are those of `mnist`; the sub-folder is ``fashion_mnist``. Unpacked files have no
    published checksum: only their form is checked, and that they are not MNIST's.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", arXiv:1708.07747, 2017. MIT licence.

    Raises
    ------
    DataError, ChecksumError, FileFormatError, DownloadError
        As `mnist`.
    """
    return _published("fashion_mnist", directory)


def kmnist(directory: str | os.PathLike[str] | None = None) -> Splits:
    """KMNIST, cursive Japanese characters in the form of MNIST.

    Parameters, result and errors are those of `fashion_mnist`; the sub-folder is ``kmnist``.

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
    from . import published  # here, because its import is slow

    x, t, x_test, t_test = published.read_published(name, directory)
    return Splits(Dataset(x, t), Dataset(x_test, t_test))
