"""read_arrays(): inputs and targets from .npz files and folders of IDX files, by the names that people give them."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from typing import Any

import numpy as np

from ..base import printable
from ..errors import FileFormatError
from .idx import read_idx

INPUTS = ("x", "data", "images", "inputs", "features")
TARGETS = ("t", "y", "labels", "label", "targets", "target")
PARTS = {"train": "training", "training": "training", "val": "validation", "valid": "validation",
         "validation": "validation", "test": "test"}  # fmt: skip
EXPECTED = (
    "x and t (or y, data, images, labels, target), or x_train and y_train with x_test and y_test, "
    "or train_images and train_labels with test_images and test_labels"
)
Arrays = dict[str, tuple[np.ndarray, np.ndarray | None]]


def read_npz(path: str | os.PathLike[str]) -> Arrays:
    """The inputs and targets in a .npz file, by part: "training", "validation", "test", or "" if it has no parts.

    The names are x and t, as `EXPECTED` says, in any case; targets may be missing.

    Raises
    ------
    FileFormatError
        If it is no such file, or has no array with the name of inputs.
    OSError
        If it cannot be read.
    """
    name = os.fsdecode(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of NumPy, about old headers
            with np.load(path, allow_pickle=False) as file:
                places = {key: place for key in file.files if (place := _place(key))}
                if not any(kind == "x" for kind, _ in places.values()):
                    held = ", ".join(map(printable, file.files)) or "nothing"
                    raise FileFormatError(f"{name} holds {held:.200}; expected {EXPECTED}")
                arrays = {place: file[key] for key, place in places.items()}
    except (FileFormatError, FileNotFoundError):
        raise
    except (ValueError, zipfile.BadZipFile, KeyError, EOFError, SyntaxError, NotImplementedError) as error:
        raise FileFormatError(f"{name} is not a usable .npz file: {printable(error):.150}") from None
    return {part: (arrays["x", part], arrays.get(("t", part))) for kind, part in arrays if kind == "x"}


def _place(key: str) -> tuple[str, str] | None:
    """Whether the name of an array is one of inputs ("x") or targets ("t"), and of which part."""
    words = key.lower().split("_")
    kinds = dict.fromkeys(INPUTS, "x") | dict.fromkeys(TARGETS, "t")
    if len(words) == 1 and words[0] in kinds:
        return kinds[words[0]], ""
    for what, part in (words, words[::-1]) if len(words) == 2 else ():
        if what in kinds and part in PARTS:
            return kinds[what], PARTS[part]
    return None


def read_idx_folder(folder: str | os.PathLike[str]) -> Arrays:
    """The inputs and labels of a folder of IDX files, by part; empty if there are none.

    Files belong together by their names: those of MNIST (train-images-idx3-ubyte, train-labels-idx1-ubyte,
    t10k-images-..., t10k-labels-...), with anything before, also gzipped.
    """
    found: dict[str, dict[str, str]] = {}
    for name in sorted(os.listdir(folder)):
        match = re.fullmatch(r".*?(train|test|t10k)?-?(images|labels)[-.]idx\d-ubyte(\.gz)?", name)
        if match:
            part = {"train": "training", None: ""}.get(match[1], "test")
            found.setdefault(part, {})[match[2]] = os.path.join(os.fsdecode(folder), name)
    arrays: dict[str, Any] = {}
    for part, files in found.items():
        if missing := {"images", "labels"} - files.keys():
            there = os.path.basename(next(iter(files.values())))
            raise FileFormatError(f"{os.fsdecode(folder)} has {there}, but no file of the {missing.pop()}")
        arrays[part] = read_idx(files["images"]), read_idx(files["labels"])
    return arrays
