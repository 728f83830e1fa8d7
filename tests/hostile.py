"""What a stranger could feed to the readers and the command lines, made from bytes.

Each target takes any bytes, and fails with an error that is none of those the project promises. Hypothesis gives it
such bytes in test_hostile.py, fuzz/fuzz.py many more. Bytes at random never have a checksum that fits, so most inputs
are made from a good file: parts of it are exchanged, and it is written again.
"""

import argparse
import gzip
import io
import json
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from functools import cache
from unittest.mock import patch

import numpy as np
import safetensors.numpy
import tqdm

from datasets import compare, moons, probe, script
from minibp import (
    SGD,
    Adam,
    BatchNorm,
    Checkpoint,
    Dense,
    Dropout,
    EarlyStopping,
    LeakyReLU,
    Network,
    SoftmaxCrossEntropy,
    __main__,
    load,
    saving,
    tensorfile,
    train,
)
from minibp.checkpoint import KIND
from minibp.data import Dataset, Splits
from minibp.errors import FileFormatError, MinibpError, UnknownNameError
from minibp.idx import read_idx
from minibp.schedules import Constant, Cosine, ReduceOnPlateau, Schedule, Step, Warmup

FOLDER = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
PATH = os.path.join(FOLDER.name, "file")

NUMBERS = [
    0, 1, -1, 2, 3, 5, 255, 2**31, -(2**31), 2**32, 2**53, 2**60, 2**63 - 1, 2**63, -(2**63), 2**64, 2**127, 2**128,
    10**400, 0.5, 0.1, 1.0, -0.5, 1.5, 1e-8, 1e38, 1e39, 1e308, -1e308, 5e-324, -0.0, float("nan"), float("inf"),
    -float("inf"),
]  # fmt: skip
WORDS = [
    "", "0", "3", "nan", "Dense", "BatchNorm", "Dropout", "LeakyReLU", "Softmax", "CrossEntropy", "Constant", "Step",
    "Exponential", "Cosine", "Warmup", "ReduceOnPlateau", "Schedule", "math", "PCG64", "MT19937", "float32", "float64",
    "network", "checkpoint", "numpy", "n_in", "W", "seed", "__class__", "\0", "\ud800", "é", "F32", "F64", "BF16", "I8",
    "BOOL", "F8_E5M2", "C64", "losses", "params", "best.params", "layers.0.W",
]  # fmt: skip
DTYPES = ["f4", "f8", "f2", "i1", "u1", "i4", "i8", "u8", "?", "c8"]


class Taken:
    """Choices and values taken from bytes, one byte a choice; zeros when they are used up."""

    def __init__(self, data: bytes):
        self.rest = iter(data)
        self.left = len(data)

    def below(self, n: int) -> int:
        self.left -= 1
        return next(self.rest, 0) % n

    def one(self, of):
        return of[self.below(len(of))]

    def bytes(self) -> bytes:
        return bytes(self.rest)

    def value(self, depth: int = 0):
        """Anything that JSON can hold."""
        kind = self.below(16)
        if kind < 7:
            return self.one(NUMBERS)
        if kind < 10:
            return self.one(WORDS)
        if kind < 12 or depth > 3:
            return [None, True, False][kind % 3]
        if kind == 12:
            return self.below(256)
        if kind == 13:
            return {self.one(WORDS): self.value(depth + 1) for _ in range(self.below(4))}
        if kind == 14:
            return [self.value(depth + 1) for _ in range(self.below(6))]
        deep = self.one([None, 1, "Dense"])
        for _ in range(self.one([1, 5, 30, 60, 200])):
            deep = [deep]
        return deep

    def changed(self, tree):
        """The tree with one place in it exchanged, removed or doubled."""
        spots = _spots(tree, [])
        if not spots:
            return tree
        holder, key = spots[(self.below(256) * 256 + self.below(256)) % len(spots)]
        what = self.below(8)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, list):
            holder.insert(key, _copy(holder[self.below(len(holder))]))
        elif what == 1:
            holder[self.one(WORDS)] = self.value()
        elif what == 2:
            other, name = spots[self.below(256) % len(spots)]
            with suppress(LookupError):  # removed before
                holder[key] = _copy(other[name])
        else:
            holder[key] = self.value()
        return tree

    def array(self, array: np.ndarray) -> np.ndarray:
        """The array, changed."""
        what = self.below(8)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if what == 0:
                return array.astype(self.one(DTYPES))
            if what == 1:
                return np.zeros((0, self.one([1, 2**20, 2**40, 2**59])), array.dtype)
            if what == 2:
                return array.reshape(array.shape[::-1] if self.below(2) else -1)
            if what == 3:
                return array[: self.below(3)] if array.ndim else array
            if what == 4:
                return np.zeros([self.below(4) for _ in range(self.below(5))], array.dtype)
            array, value = array.copy(), self.one([x for x in NUMBERS if x != 10**400])
            with suppress(ValueError, OverflowError, IndexError):  # not every type takes every number
                array.reshape(-1)[self.below(256) % max(array.size, 1)] = float(value)
            return array

    def arrays(self, arrays: dict) -> dict:
        """The arrays, one of them removed, renamed, added or changed."""
        name = self.one([*arrays, "x"])
        if name == "x":
            return arrays | {self.one(["x", "losses", "best.params", "best.state"]): np.zeros(self.below(9), "f4")}
        array = arrays.pop(name)
        what = self.below(8)
        if what == 0:
            return arrays
        if what == 1:
            return arrays | {self.one([*arrays, "x", "layers.0.b", "", "__metadata__ "]): array}
        return arrays | {name: self.array(array)}

    def file(self, kind: str, good: list[bytes]) -> bytes:
        """A file: anything, or a good one that was changed and given a checksum that fits."""
        described, arrays = pickle.loads(self.one(good))  # a copy
        mode = self.below(16)
        if mode == 0:
            return self.bytes()
        if mode == 1:  # no checksum that fits
            content = bytearray(tensorfile.to_bytes(kind, described, arrays))
            for _ in range(1 + self.below(4)):
                content[(self.below(256) * 256 + self.below(256)) % len(content)] = self.below(256)
            return bytes(content[: len(content) - self.below(3)])
        if mode == 2:
            return self.headed(kind, described, arrays)
        try:
            for _ in range(1 + self.below(3)):
                if self.below(3):
                    described = self.changed(described)
                else:
                    arrays = self.arrays(arrays)
            return tensorfile.to_bytes(kind, described, arrays)
        except RecursionError:  # too deep to be written
            return self.bytes()

    def headed(self, kind: str, described: dict, arrays: dict) -> bytes:
        """A file whose header was changed, with a checksum of what is in it now, if anything is."""
        content = tensorfile.to_bytes(kind, described, arrays)
        length = int.from_bytes(content[:8], "little")
        header, values = json.loads(content[8 : 8 + length]), content[8 + length :]
        about = header.pop("__metadata__")
        for _ in range(1 + self.below(2)):
            header = self.changed(header)
        with suppress(Exception):  # where nothing can be read there is no checksum
            found = safetensors.numpy.load(_with_header(header, values))
            contents = json.loads(about[tensorfile.KEY])["contents"]
            checksum = tensorfile._checksum(contents, found)
            about = {tensorfile.KEY: json.dumps({"contents": contents, "sha256": checksum})}
        return _with_header({"__metadata__": about, **header}, values)


def _copy(tree):
    return pickle.loads(pickle.dumps(tree))


def _spots(tree, found: list) -> list:
    """Every place in a tree, as what holds it and its key."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        found.append((tree, key))
        if isinstance(value, (dict, list)):
            _spots(value, found)
    return found


def _with_header(header, values: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + values


def _write(content: bytes) -> str:
    with open(PATH, "wb") as file:
        file.write(content)
    return PATH


# ---- the targets


def idx(data: bytes) -> None:
    """An IDX file, gzipped and not."""
    for content in (data, b"\x1f\x8b\x08" + data, gzip.compress(data, 1)):
        try:
            array = read_idx(_write(content))
        except FileFormatError:
            continue
        assert array.nbytes <= 1100 * len(content)  # no more than deflate can unpack


@cache
def good_networks() -> list[bytes]:
    layers = [Dense(2, 3), BatchNorm(3), LeakyReLU(0.1), Dropout(0.5), Dense(3, 2)]
    nets = [Network(layers, SoftmaxCrossEntropy()), Network([Dense(1, 2)], SoftmaxCrossEntropy(), dtype="float64")]
    good = []
    for net in nets:
        saving.save(net, PATH)
        good.append(pickle.dumps(tensorfile.read(PATH, saving.KIND)))
    return good


def model(data: bytes) -> None:
    """A saved network: refused, or of use."""
    content = Taken(data).file(saving.KIND, good_networks())
    try:
        net = load(_write(content))
    except (FileFormatError, UnknownNameError):
        return
    assert repr(net)
    x = np.ones((1, *(net.layers[0].in_shape or (2,))))
    with np.errstate(all="ignore"), suppress(MinibpError):
        assert net.predict(x).shape == (1, net.outputs(x.shape))


DATA = Dataset(np.linspace(-1, 1, 8).reshape(4, 2), np.array([0, 1, 1, 0]))
EPOCHS = 2
SCHEDULES: list[Callable[[], Schedule]] = [
    lambda: ReduceOnPlateau(0.1, patience=1),
    lambda: Warmup(Step(0.1, every=2), steps=3),
    lambda: Cosine(0.1, steps=4),
    lambda: Constant(0.1),
]


def training(which: int, stop_after: int | None = None) -> None:
    """A small training that is kept in a file, and goes on from there where one is."""
    net = Network([Dense(2, 2), BatchNorm(2), Dropout(0.5)], SoftmaxCrossEntropy())
    schedule = SCHEDULES[which % len(SCHEDULES)]()
    optimizer = Adam(net, schedule) if which // len(SCHEDULES) else SGD(net, schedule, momentum=0.5)
    checkpoint = Checkpoint(PATH, 1, EarlyStopping(net, patience=1))
    epochs = train(net, optimizer, DATA, EPOCHS, 2, validation=DATA, checkpoint=checkpoint)
    for epoch in checkpoint.history:
        assert f"{epoch} {epoch.val_loss:.4f} {epoch.val_accuracy:.4f}"
    step = checkpoint.step_done

    def step_done():
        if stop_after is not None and optimizer.steps >= stop_after:
            checkpoint.interrupt()
        step()

    checkpoint.step_done = step_done
    for epoch in epochs:
        if isinstance(schedule, ReduceOnPlateau):
            schedule.update(epoch.val_loss)
        checkpoint.stopping.should_stop(epoch.val_loss)
        assert f"{epoch}"


@cache
def good_checkpoints(which: int) -> list[bytes]:
    """After no step, in the first epoch, and in the second."""
    good = []
    for steps in (0, 1, 3):
        _remove()
        with suppress(KeyboardInterrupt):
            training(which, steps)
        good.append(pickle.dumps(tensorfile.read(PATH if steps else f"{PATH}.previous", KIND)))
    return good


def _remove() -> None:
    for name in os.listdir(FOLDER.name):
        os.unlink(os.path.join(FOLDER.name, name))


def checkpoint(data: bytes) -> None:
    """A training kept in a file: refused, or it goes on to its end."""
    taken = Taken(data)
    which = taken.below(2 * len(SCHEDULES))
    content = taken.file(KIND, good_checkpoints(which))
    _remove()
    _write(content)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with suppress(MinibpError):
            training(which)


SPLITS = Splits(Dataset(np.tile(DATA.x, (3, 1)), np.tile(DATA.t, 3)), DATA)
OPTIONS = [
    "--model", "--hidden", "--epochs", "--batch-size", "--optimizer", "--lr", "--weight-decay", "--seed", "--backend",
    "--data", "--save", "--checkpoint", "--checkpoint-every", "--log", "--plot", "--compare-losses", "--probe",
    "--quiet", "--nodes", "--nodes=2", "--output", "--q", "--check", "-h", "--help", "--", "-", "--no", "doctor",
]  # fmt: skip
VALUES = [
    *map(str, NUMBERS), *WORDS, "1", "5steps", "0steps", "steps", "1_0", " 1", "1e3", "NaN", "-inf", "%s", "%(prog)s",
    "softmax", "nielsen30", "mlp", "small", "sgd", "adam", "adamw", "rmsprop", "adagrad", "numpy", "cupy", "auto",
    "2", "4", "moons", "circles", "bce", "a", "a.png", "a.svg", "a.csv", "no/a", "a/", ".", "..", "x" * 300,
    "\udcff", "\udcff.png", "[", "*", "a b", "\n",
]  # fmt: skip


class Confined:
    """The parser of a script: files go to a scratch folder, and no training is long."""

    def __init__(self, parser: argparse.ArgumentParser):
        self.parser = parser

    def parse_args(self, arguments: list[str]) -> argparse.Namespace:
        options = self.parser.parse_args(arguments)
        options.epochs = EPOCHS if options.epochs is None else min(options.epochs, EPOCHS)
        if options.hidden is not None:
            options.hidden = _few(options.hidden)
        for name in ("save", "checkpoint", "log", "plot"):
            if value := getattr(options, name):
                setattr(options, name, os.path.join(FOLDER.name, value.replace("..", "_").lstrip("/")))
        return options


PARSERS = {name: Confined(script.parser(name, "softmax")) for name in ("mnist", "digits")}


def arguments(taken: Taken) -> list[str]:
    """A command line."""
    line = []
    for _ in range(1 + taken.below(6)):
        option, value = taken.one(OPTIONS), taken.one(VALUES)
        how = taken.below(16)
        if how == 0:
            value = bytes(taken.below(256) for _ in range(taken.below(9))).decode(errors="surrogateescape")
        line += [option] if how == 1 else [value] if how == 2 else [f"{option}={value}"] if how < 6 else [option, value]
        line += [taken.one(VALUES)] if how > 13 else []
    return [each.replace("\0", "").replace("\ud800", "") for each in line]  # no system can pass these on


def _few(numbers: list[int]) -> list[int]:
    """Numbers of units: some, or more than any memory holds."""
    return [n if n < 9 or n > 2**42 else 1 + n % 8 for n in numbers[:4]]


def _learn(data, nodes, output, epochs, show, learn=moons.learn):
    return learn(data, _few(nodes), output, min(epochs, EPOCHS), show)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "mnist": lambda line: script.main("mnist", lambda folder: SPLITS, line, "softmax"),
    "digits": lambda line: script.main("digits", lambda seed: SPLITS, line, "softmax"),
    "compare": lambda line: script.main(
        "mnist", lambda folder: SPLITS, ["--compare-losses", "--epochs=1", "--hidden=2", *line], "softmax"
    ),
    "moons": moons.main,
    "minibp": __main__.main,
}


def commands(data: bytes) -> None:
    """The command lines: they end well, or say what is wrong."""
    taken = Taken(data)
    run = COMMANDS[taken.one([*["mnist"] * 6, "digits", "digits", "compare", "minibp", *["moons"] * 3])]
    line = arguments(taken)
    _remove()
    plotter = {"plotter": lambda name: lambda *drawn: None}
    with ExitStack() as stack:
        for module in (script, compare, probe, moons):
            stack.enter_context(patch.multiple(module, **plotter))
        stack.enter_context(patch.object(script, "parser", lambda dataset, model: PARSERS[dataset]))
        stack.enter_context(patch.object(moons, "learn", _learn))
        stack.enter_context(patch.object(__main__, "report", lambda: ""))
        stack.enter_context(patch.object(tqdm.tqdm, "monitor_interval", 0))
        stack.enter_context(patch.object(argparse, "_", str))  # it looks for a translation on the disk
        stack.enter_context(np.errstate(all="ignore"))
        for _ in range(2):  # the second goes on from a checkpoint, where the first wrote one
            out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", how) for how in ("strict", "backslashreplace"))
            with redirect_stdout(out), redirect_stderr(err):
                try:
                    status = run(line)
                except SystemExit as end:
                    status = end.code
                out.flush()
            assert status in (0, 2), status
            if status or not os.listdir(FOLDER.name):
                break


TARGETS = {"idx": idx, "model": model, "checkpoint": checkpoint, "commands": commands}
SEEDS = {
    "idx": [b"\0\0\x08\x02\0\0\0\x02\0\0\0\x03" + bytes(6), b"\0\0\x0d\x01\0\0\0\x01" + bytes(4), b"<html>", bytes(60)],
    "model": [bytes([0, mode, *range(8)]) for mode in range(16)],
    "commands": [bytes([0, 1, option, value, 7]) for option in range(17) for value in range(70, 100)],
    "checkpoint": [bytes([which, which, mode, *range(8)]) for which in range(8) for mode in range(4)],
}
SEEDS["idx"] += [gzip.compress(content) for content in SEEDS["idx"]]
