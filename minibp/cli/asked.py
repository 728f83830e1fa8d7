"""The samples that evaluate, predict and report are asked about, made into inputs as the file of the network says."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .. import data
from ..data import Columns, Dataset, Pictures
from ..data.arrays import EXPECTED, read_npz
from ..data.cells import parse
from ..data.origin import fingerprint
from ..data.pictures import brightness_of_border, list_pictures
from ..errors import ArgumentError
from ..network import Network
from .commands import images
from .parts import listed, three_parts
from .sources import DATASETS, FROM_FILES, as_inputs, as_labels, kind_of, labelled_pictures, read_arrays, refuse_unknown

LIGHT, DARK = 0.7, 0.3  # brightness of the border: black on white, white on black


def given_inputs(net: Network, source: str, options: Any, notes: list[str]) -> tuple[np.ndarray, list[str] | None]:
    """Inputs for `predict`, and the names of the samples if they have some. `notes` gets what the user should know."""
    kind = "pictures" if isinstance(net.preprocessing, Pictures) and os.path.isdir(source) else kind_of(source)
    if kind == "arrays" and not os.path.isdir(source):
        return as_inputs(read_inputs(source)), None
    if kind == "arrays":
        return asked_part(read_arrays(source))[0], None
    if kind == "table":
        return columns_of(net, source).encode(_table(net, source, options, notes)), None
    pictures = net.preprocessing
    if not isinstance(pictures, Pictures):
        raise ArgumentError(f"the file of the network does not say how {source} becomes inputs; give {_expected(net)}")
    paths = list_pictures(source)[0] if os.path.isdir(source) else [source]
    if not paths:
        raise ArgumentError(f"{source} holds no picture (PNG, JPEG, BMP)")
    return inverted(pictures, pictures.encode(paths), options, notes), paths


def read_inputs(source: str) -> np.ndarray:
    """The inputs in a .npz, .npy or IDX file."""
    with open(source, "rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    if not is_zip:
        return images(source)
    return asked_part(read_npz(source))[0]


def asked_part(arrays: dict[str, Any]) -> Any:
    """Of the parts of a source, that to test on, if there is one, else that to train on."""
    return next(arrays[part] for part in ("test", "training", "", "validation") if part in arrays)


def inverted(pictures: Pictures, x: np.ndarray, options: Any, notes: list[str]) -> np.ndarray:
    """The pictures, light for dark if the options ask for it; else a note if they look as if they should be."""
    if options.invert:
        return 255 - x
    border = brightness_of_border(x)
    if (border > LIGHT and pictures.border < DARK) or (border < DARK and pictures.border > LIGHT):
        was, now = ("dark", "light") if border > LIGHT else ("light", "dark")
        what = f"the background is {now}, but was {was} in the pictures that the network was trained on"
        notes.append(f"{what}: if they differ in that only, say --invert")
    return x


def labelled(net: Network, source: str, options: Any, notes: list[str]) -> Dataset:
    """Inputs and targets for `evaluate` and `report`: those that the network was not trained on, as far as is known."""
    kind, own_test = kind_of(source), False
    if kind == "name":
        return testing(net, source, options.data, options.seed)
    if kind == "table":
        columns = columns_of(net, source)
        if columns.target is None:
            raise ArgumentError("the network does not know which column it predicts: its Columns have no target")
        table = _table(net, source, options, notes)
        refuse_unknown(table, columns.target, source)
        values = table.pop(columns.target)
        kept = _present(values)
        x, values = columns.encode(table)[kept], values[kept]
    elif kind == "pictures":
        pictures = net.preprocessing
        if not isinstance(pictures, Pictures):
            raise ArgumentError(f"{source} is a folder of pictures; the network takes {_expected(net)}")
        found = labelled_pictures(source, notes)
        own_test = any(part == "test" for part, _, _ in found)
        if own_test:
            found = [each for each in found if each[0] == "test"]
        elif any(part for part, _, _ in found):
            found = [each for each in found if each[0] == "training"]
        x = inverted(pictures, pictures.encode([path for _, path, _ in found]), options, notes)
        values = np.array([label for _, _, label in found], object)
    else:
        arrays = read_arrays(source)
        own_test = "test" in arrays
        x, values = asked_part(arrays)
        if values is None:
            raise ArgumentError(f"{source} holds no targets; expected {EXPECTED}")
    test = Dataset(x, labels(net, values))
    return test if own_test else without_training(net, test, source, notes)


def labels(net: Network, values: np.ndarray) -> np.ndarray:
    """Targets as the network takes them: numbers, or the places of names among its classes."""
    values = as_labels(values)
    cells = parse(values)
    if cells is None:
        raise ArgumentError("the targets hold neither words nor numbers")
    if net.loss.of_numbers or net.class_names is None:
        numbers = cells.numbers("the target")
        return numbers.astype("float32") if net.loss.of_numbers else numbers.astype(int)
    place = {name: i for i, name in enumerate(net.class_names)}
    words = cells.words()
    if unknown := sorted({word for word in words if word not in place}):
        what = f"the targets hold {listed(unknown)}, which the network does not know"
        raise ArgumentError(f"{what}; its classes are {listed(net.class_names)}")
    return np.array([place[word] for word in words])


def without_training(net: Network, test: Dataset, source: str, notes: list[str]) -> Dataset:
    """The same samples; or of those that the network was trained on, the part that was held out."""
    origin = net.origin
    if origin is None or origin.sha256 != fingerprint(test.x, test.t):
        if origin is not None and origin.name == os.path.basename(os.path.normpath(source)):
            what = f"{source} has the name of what the network was trained on, but is not the same"
            notes.append(f"{what}: all {len(test):,} samples count, also those that it may have been trained on")
        return test
    names = None if net.loss.of_numbers else net.class_names
    held_out = test[three_parts(test.t, names, origin.seed)[2]]
    notes.append(f"the network was trained on {source}: only the {len(held_out):,} samples count that were held out")
    return held_out


def testing(net: Network | None, name: str, folder: str | None, seed: int | None) -> Dataset:
    """The test set of a published data set. The seed splits the digits; the folder is for the others.

    An ArgumentError if the two do not fit the data set.
    """
    if name != "digits":
        if seed is not None:
            raise ArgumentError(f"--seed decides the split of the digits; {name} has its own test set: leave it out")
        return FROM_FILES[name](folder).test
    if folder is not None:
        raise ArgumentError("the digits are part of minibp and need no files: leave --data out")
    origin = net.origin if net is not None and net.origin is not None and net.origin.name == "digits" else None
    if origin is not None and seed not in (None, origin.seed):
        what = f"--seed {seed} is another split than that of the training, {origin.seed}"
        raise ArgumentError(f"{what}, so the network would be tested on samples that it was trained on; leave it out")
    seed = origin.seed if origin is not None else seed
    if seed is None:  # else the network might be tested on samples it was trained on
        raise ArgumentError("the seed of the training split the digits: give the same one (--seed 0 was its default)")
    return data.digits(seed=seed).test


def columns_of(net: Network, source: str) -> Columns:
    """The columns that the network takes; an ArgumentError if it takes something else."""
    if not isinstance(net.preprocessing, Columns):
        raise ArgumentError(f"{source} does not look like what the network takes: {_expected(net)}")
    return net.preprocessing


def _table(net: Network, source: str, options: Any, notes: list[str]) -> dict[str, np.ndarray]:
    columns = columns_of(net, source)
    table = data.read_table(source, columns.missing, not options.no_header, options.encoding)
    for name, words in columns.unknown(table).items():
        notes.append(f"column {name!r} holds {listed(words)}, which were rare or unknown in training")
    return table


def _present(values: np.ndarray) -> np.ndarray:
    cells = parse(values)
    if cells is None:
        raise ArgumentError("the target holds neither words nor numbers")
    return ~cells.missing


def _expected(net: Network) -> str:
    """What the network takes, in words."""
    if isinstance(net.preprocessing, Columns):
        return f"a CSV or Parquet file with the columns {listed(column.name for column in net.preprocessing.columns)}"
    if isinstance(net.preprocessing, Pictures):
        return f"pictures (PNG, JPEG, BMP), or a .npy, .npz or IDX file of them, or one of {', '.join(DATASETS)}"
    return f"a .npy, .npz or IDX file, or one of {', '.join(DATASETS)}"
