"""The files of the published data sets, MNIST, Fashion-MNIST and KMNIST: found, checked and read."""

import hashlib
import io
import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import ChecksumError, DataError, FileFormatError
from .download import File, fetch
from .idx import contents_sha256, parse_idx

# All three have files of the same names and shapes: inputs and labels to train on, then to test on.
SHAPES = {
    "train-images-idx3-ubyte.gz": (60000, 28, 28),
    "train-labels-idx1-ubyte.gz": (60000,),
    "t10k-images-idx3-ubyte.gz": (10000, 28, 28),
    "t10k-labels-idx1-ubyte.gz": (10000,),
}
CLASSES = 10
_NAMES = ", ".join(SHAPES)
_PACKING = 1 << 20  # bytes that headers and a gzip without compression can add to the values

# The sha256 of MNIST's unpacked files, because copies that were gzipped again differ in their packing.
MNIST_CONTENTS = {
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db": "train-images-idx3-ubyte.gz",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5": "train-labels-idx1-ubyte.gz",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7": "t10k-images-idx3-ubyte.gz",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2": "t10k-labels-idx1-ubyte.gz",
}


class Published(NamedTuple):
    """A published data set: its files, and the addresses to which their names are appended."""

    mirrors: tuple[str, ...]
    files: tuple[File, ...]


def _files(*sizes_and_sums: tuple[int, str]) -> tuple[File, ...]:
    return tuple(File(name, size, sha256) for name, (size, sha256) in zip(SHAPES, sizes_and_sums, strict=True))


# Mirrors with https come first. KMNIST has none, but its checksums make it safe.
PUBLISHED = {
    # Y. LeCun, C. Cortes, C. J. C. Burges: "The MNIST database of handwritten digits", 1998.
    "mnist": Published(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ),
        _files(
            (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
    ),
    # H. Xiao, K. Rasul, R. Vollgraf: "Fashion-MNIST", arXiv:1708.07747, 2017. MIT licence.
    "fashion_mnist": Published(
        (
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        _files(
            (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
    ),
    # T. Clanuwat et al.: "Deep Learning for Classical Japanese Literature", arXiv:1812.01718, 2018. CC BY-SA 4.0:
    # "KMNIST Dataset" (created by CODH), adapted from "Kuzushiji Dataset" (created by NIJL and others).
    "kmnist": Published(
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        _files(
            (18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            (29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            (3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            (5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        ),
    ),
}


def read_published(name: str, directory: str | os.PathLike[str] | None = None) -> list[np.ndarray]:
    """Training inputs and labels, test inputs and labels of a published data set, as uint8.

    `data.mnist` says where the files are looked for. A DataError if one is missing, or is not the published one.
    """
    mirrors, files = PUBLISHED[name]
    folder = _users_folder(name, directory)
    if folder is not None:
        paths = _find(name, folder)
        return [_read_users(name, path, file) for path, file in zip(paths, files, strict=True)]
    by_hand = (
        f"By hand: get {_NAMES} from {' or '.join(mirrors)} with a browser, put them into a folder, and give that: "
        f'data.{name}("folder"), --data folder; or set MINIBP_DATA to one with a sub-folder {name} that has them'
    )
    if root := os.environ.get("MINIBP_DATA"):
        by_hand += f" (it is {root}, which has no {name})"
    try:
        folder = cache_folder() / name
    except RuntimeError:  # of platformdirs, as for the unknown user that a container may run as
        what = "this user has no home folder, so there is no cache for downloads: set HOME to a folder"
        raise DataError(f"{name}: {what}. {by_hand}") from None
    return [parse_idx(io.BytesIO(fetch(file, mirrors, folder, by_hand)), folder / file.name) for file in files]


def cache_folder() -> Path:
    """The cache folder of this user for downloads, with a sub-folder for each data set."""
    from platformdirs import user_cache_path

    return user_cache_path("minibp")


def _users_folder(name: str, directory: str | os.PathLike[str] | None) -> Path | None:
    if directory is not None:
        if folder := _existing(directory):
            return folder
        raise DataError(f"{name}: {directory} is not a folder; expected one with the files {_NAMES}")
    if root := os.environ.get("MINIBP_DATA"):
        if not (above := _existing(root)):
            raise DataError(f"{name}: MINIBP_DATA is {root}, which is not a folder; expected one with a folder {name}")
        return _existing(above / name)
    return None


def _existing(folder: str | os.PathLike[str]) -> Path | None:
    """The folder, if it exists; None also for names that no folder can have."""
    expanded = os.path.expanduser(os.fsdecode(folder))
    return Path(expanded) if os.path.isdir(expanded) else None


def _find(name: str, folder: Path) -> list[Path]:
    found = {published: _find_one(folder, published) for published in SHAPES}
    missing = [published for published, path in found.items() if path is None]
    if missing:
        hint = f". Did you mean its sub-folder {folder / name}?" if (folder / name).is_dir() else ""
        raise DataError(
            f"{name}: the folder {folder} lacks {', '.join(missing)}; expected {_NAMES}, "
            f"each with or without .gz{hint}"
        )
    return [path for path in found.values() if path is not None]


def _find_one(folder: Path, published: str) -> Path | None:
    packed = [published, published.replace("-idx", ".idx")]
    candidates = [folder / spelling for spelling in packed + [spelling.removesuffix(".gz") for spelling in packed]]
    return next((path for path in candidates if path.is_file()), None)


def _read_users(name: str, path: Path, file: File) -> np.ndarray:
    # Read once: the bytes that are checked are the bytes that are used. And no more than the data set can have.
    most = max(math.prod(shape) for shape in SHAPES.values())
    with open(path, "rb") as opened:
        contents = opened.read(most + _PACKING + 1)
    if len(contents) > most + _PACKING:
        raise _refusal(name, path, file, f"it has more than {most + _PACKING} bytes")
    received = hashlib.sha256(contents).hexdigest()
    if received == file.sha256:
        return parse_idx(io.BytesIO(contents), path)

    packed = path.suffix == ".gz"
    difference = f"its sha256 is {received}, that of the published {file.name} is {file.sha256}"
    try:
        array = parse_idx(io.BytesIO(contents), path, most)
    except FileFormatError as error:
        if packed:
            raise _refusal(name, path, file, f"{difference} ({error})") from error
        raise

    mnist_file = MNIST_CONTENTS.get(contents_sha256(array))
    if name == "mnist" and mnist_file == file.name:
        return array
    if mnist_file:
        raise _refusal(name, path, file, f"its contents are those of MNIST's {mnist_file}: {difference}")
    if packed or name == "mnist":
        raise _refusal(name, path, file, difference)
    _check_structure(path, array, SHAPES[file.name])
    return array


def _check_structure(path: Path, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Check the form, which is all that can be checked of an unpacked file without a published sha256."""
    if array.shape != shape or array.dtype != np.uint8:
        raise FileFormatError(f"{path}: it holds {array.dtype} {array.shape}, expected uint8 {shape}")
    if array.ndim == 1 and array.max() >= CLASSES:
        raise FileFormatError(f"{path}: it holds the label {array.max()}, expected 0..{CLASSES - 1}")


def _refusal(name: str, path: Path, file: File, difference: str) -> ChecksumError:
    return ChecksumError(
        f"{path}: not the published file of {name}: {difference}. The file was left as it is. Get it again from "
        f"{PUBLISHED[name].mirrors[0]}{file.name}; to train on your own files use "
        f"data.Dataset(data.read_idx(inputs), data.read_idx(labels))"
    )
