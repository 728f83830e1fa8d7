"""The data that a command line names: which kind of source it is, and what it holds, to train on it."""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

from .. import data
from ..data import Columns, Dataset, Origin, Pictures
from ..data.arrays import EXPECTED, PARTS, read_idx_folder, read_npz
from ..data.origin import fingerprint
from ..data.pictures import ENDINGS, list_classes, list_pictures
from ..errors import ArgumentError, FileFormatError
from .parts import Parts, listed, targets, three_parts

FROM_FILES = {"mnist": data.mnist, "fashion_mnist": data.fashion_mnist, "kmnist": data.kmnist}
DATASETS = ("digits", *FROM_FILES)
KINDS = (
    "a CSV or Parquet file, a .npz file, a folder with a sub-folder of pictures (PNG, JPEG, BMP) for each class, "
    f"a folder of IDX files, or one of {', '.join(DATASETS)}"
)
MOST_PIXELS = 20_000  # values of a sample


def load_parts(options: argparse.Namespace) -> Parts:
    """The data that the command `train` names, in three parts."""
    kind = kind_of(options.source)
    of_tables = ("target", "ignore", "categories", "missing", "no_header", "encoding")
    for kinds, names in (("table", of_tables), ("pictures", ("size", "skip_broken"))):
        for name in names:
            if getattr(options, name) not in (None, False) and kind != kinds:
                option, received = name.replace("_", "-"), f"{options.source} is {_A[kind]}"
                raise ArgumentError(f"--{option} is for {_PLURAL[kinds]}, but {received}; leave it out")
    return {"table": _table, "pictures": _pictures, "arrays": _arrays, "name": _published}[kind](options)


_PLURAL = {"table": "tables", "pictures": "folders of pictures"}
_A = {"table": "a table", "pictures": "a folder of pictures", "arrays": "one of arrays", "name": "a published data set"}


def kind_of(source: str) -> str:
    """Which of "name", "table", "pictures" and "arrays" is there; a FileNotFoundError or a FileFormatError if none."""
    if source in DATASETS:
        return "name"
    if os.path.isdir(source):
        return "arrays" if any("-ubyte" in name for name in os.listdir(source)) else "pictures"
    if not os.path.exists(source):
        raise FileNotFoundError(f"no such file or folder: {source}; expected {KINDS}")
    if os.path.isfile(source):
        with open(source, "rb") as file:
            start = file.read(8)
        if source.lower().endswith((".xlsx", ".xls", ".ods")):
            raise FileFormatError(f"{source} is a file of a spreadsheet program; save it as CSV there, and give that")
        if start.startswith((b"\x93NUMPY", b"PK\x03\x04", b"\0\0\x08", b"\x1f\x8b")):
            return "arrays"
        if start.startswith((b"\x89PNG", b"\xff\xd8\xff", b"BM")) or source.lower().endswith(ENDINGS):
            return "pictures"
    return "table"


# ---- tables


def _table(options: argparse.Namespace) -> Parts:
    path: str = options.source
    notes: list[str] = []
    table = data.read_table(path, options.missing or (), not options.no_header, options.encoding)
    for name in [*(options.ignore or ()), *(options.categories or ())]:
        refuse_unknown(table, name, path)
    table = {name: column for name, column in table.items() if name not in (options.ignore or ())}
    if options.target is None:
        raise ArgumentError(f"say which column to predict: --target NAME; the columns of {path} are {listed(table)}")
    refuse_unknown(table, options.target, path)
    if len(table) < 2:
        raise ArgumentError(f"{path} has no column besides {options.target!r}; expected what it is predicted from")
    t, class_names, kept = targets(table.pop(options.target), options.target, options.task, notes)
    if not kept.all():
        notes.append(f"{(~kept).sum():,} rows without a value of {options.target!r} are left out")
        table = {name: column[kept] for name, column in table.items()}
    for name in [name for name, column in table.items() if _numbers_the_rows(column)]:
        notes.append(f"column {name!r} numbers the rows, and is left out")
        del table[name]
    rows = three_parts(t, class_names, options.seed)
    in_training = {name: column[rows[0]] for name, column in table.items()}
    columns = Columns.of(in_training, options.target, options.categories or (), options.missing or ())
    used = {column.name for column in columns.columns}
    if unused := [name for name in table if name not in used]:
        notes.append(f"left out, because no value is in 1 % of the rows, or for its type: {listed(unused)}")
    x = columns.encode(table)
    origin = Origin(os.path.basename(path), options.seed, fingerprint(x, t))
    training, validation, test = (Dataset(x, t)[part] for part in rows)
    return Parts(path, training, validation, test, class_names, options.target, columns, origin, notes)


def refuse_unknown(table: Any, name: str, path: str) -> None:
    """Refuse a name that no column has; the message lists those that there are."""
    if name not in table:
        raise ArgumentError(f"{path} has no column {name!r}; its columns are {listed(table)}")


def _numbers_the_rows(column: np.ndarray) -> bool:
    """Whether it counts 0, 1, 2, ... or 1, 2, 3, ... down the rows, as an index does. It would tell sorted classes."""
    return len(column) > 2 and column.dtype.kind in "iu" and column[0] in (0, 1) and bool((np.diff(column) == 1).all())


# ---- pictures


def _pictures(options: argparse.Namespace) -> Parts:
    folder: str = options.source
    notes: list[str] = []
    found = labelled_pictures(folder, notes)
    paths = [path for _, path, _ in found]
    x, places, broken = data.read_pictures(paths, options.size, options.skip_broken)
    notes += [f"left out: {each}" for each in broken]
    x_by_part: dict[str, Any] = {}
    for part in {part for part, _, _ in found}:
        which = [i for i, place in enumerate(places) if found[place][0] == part]
        labels = np.array([found[places[i]][2] for i in which], object)
        x_by_part[part] = x[which], labels
    return in_parts(folder, x_by_part, options, options.task or "classes", notes)


def labelled_pictures(folder: str, notes: list[str]) -> list[tuple[str, str, str]]:
    """The pictures in the sub-folders: part ("" if there are no folders train, test, ...), path and class of each."""
    classes = list_classes(folder)
    if classes and all(name.lower() in PARTS for name in classes) and "train" in "".join(classes).lower():
        found: list[tuple[str, str, str]] = []
        for name in classes:
            inside = labelled_pictures(os.path.join(folder, name), notes)
            found += [(PARTS[name.lower()], path, label) for _, path, label in inside]
        return found
    others, found = 0, []
    for name in classes:
        paths, more = list_pictures(os.path.join(folder, name))
        others += more
        found += [("", path, name) for path in paths]
        if not paths:
            notes.append(f"the sub-folder {name} holds no picture")
    if not found:
        here, _ = list_pictures(folder) if os.path.isdir(folder) else ([folder], 0)
        what = f"{len(here)} pictures, but no sub-folder with some" if here else "no picture"
        expected = "a sub-folder for each class, with its pictures (PNG, JPEG, BMP)"
        raise ArgumentError(f"{folder} holds {what}; expected {expected}")
    if others:
        notes.append(f"{others} files that are no PNG, JPEG or BMP are left out")
    return found


# ---- arrays


def _arrays(options: argparse.Namespace) -> Parts:
    arrays = read_arrays(options.source)
    return in_parts(options.source, arrays, options, options.task, [])


def read_arrays(source: str) -> dict[str, Any]:
    """Inputs and targets by part, from a .npz file or a folder of IDX files."""
    arrays = read_idx_folder(source) if os.path.isdir(source) else read_npz(source)
    if not arrays:
        raise FileFormatError(f"{source} has no IDX files with names such as train-images-idx3-ubyte")
    return {part: (as_inputs(x), None if t is None else as_labels(t)) for part, (x, t) in arrays.items()}


def as_inputs(x: np.ndarray) -> np.ndarray:
    """Inputs (N, ...): pixels as uint8, also from other integers of 0..255 in three or four dimensions; else floats."""
    x = x[..., 0] if x.ndim == 4 and x.shape[3] == 1 else x
    if x.dtype.kind in "iu" and x.ndim > 2 and x.size and x.min() >= 0 and 16 < x.max() <= 255:
        return x.astype("uint8", copy=False)
    if x.dtype.kind in "biu" and not (x.dtype == np.uint8 and x.size and x.max() > 16):
        return x.astype("float32")
    return x


def as_labels(t: np.ndarray) -> np.ndarray:
    """Targets (N,), from a column, or from rows with one 1."""
    if t.ndim == 2 and t.shape[1] == 1:
        return t[:, 0]
    if t.ndim == 2 and ((t == 0) | (t == 1)).all() and (t.sum(axis=1) == 1).all():
        return t.argmax(axis=1)
    if t.ndim != 1:
        raise ArgumentError(f"the targets have the shape {t.shape}, expected one label or number for each sample, (N,)")
    return t


def in_parts(
    title: str, arrays: dict[str, Any], options: argparse.Namespace, task: str | None, notes: list[str]
) -> Parts:
    """Arrays in three parts. Those that the source does not have are split off the others."""
    first = "training" if "training" in arrays else ""
    if first not in arrays or any(t is None for _, t in arrays.values()):
        lacks = "targets" if first in arrays else "samples to train on"
        raise ArgumentError(f"{title} has no {lacks}; expected {EXPECTED}")
    lengths = {part: (len(x), len(t)) for part, (x, t) in arrays.items()}
    for part, (n, m) in lengths.items():
        if n != m:
            raise ArgumentError(f"{title}: {part or 'x and t'}: {n} inputs, but {m} targets; expected as many")
    together = np.concatenate([np.asarray(t, object if t.dtype.kind in "OUS" else t.dtype) for _, t in arrays.values()])
    if task is None:
        task = "numbers" if together.dtype.kind == "f" and not _whole(together) else "classes"
    t_all, names, kept = targets(together, "the target", task, notes)
    if not kept.all():
        raise ArgumentError(f"{title}: {(~kept).sum()} targets are missing; leave these samples out")
    sets, start = {}, 0
    for part, (x, t) in arrays.items():
        sets[part] = Dataset(x, t_all[start : start + len(t)])
        start += len(t)
    whole = sets[first]
    training, validation, test = three_parts(whole.t, names, options.seed, "validation" not in sets, "test" not in sets)
    held_out = sets["validation"] if "validation" in sets else whole[validation]
    to_test = sets["test"] if "test" in sets else whole[test]
    origin = Origin(os.path.basename(os.path.normpath(title)), options.seed, fingerprint(whole.x, whole.t))
    pictures = Pictures.like(whole.x)
    if whole.x[0].size > MOST_PIXELS:
        notes.append(f"{whole.x[0].size:,} inputs are many; --size 64 or so trains faster, and often better")
    return Parts(title, whole[training], held_out, to_test, names, "", pictures, origin, notes)


def _whole(t: np.ndarray) -> bool:
    return bool((t == np.round(t)).all()) and len(np.unique(t)) <= 20


# ---- the published data sets


def _published(options: argparse.Namespace) -> Parts:
    name = options.source
    splits = data.digits(seed=options.seed) if name == "digits" else FROM_FILES[name]()
    names = [str(label) for label in range(10)]
    training, validation, _ = three_parts(splits.train.t, names, options.seed, test=False)
    train = splits.train
    origin, pictures = Origin(name, options.seed), Pictures.like(train.x)
    return Parts(name, train[training], train[validation], splits.test, names, "", pictures, origin, [])
