"""Readers of files, and trainings that resume from one."""

import gzip
import json
import os
import pickle
import struct
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import numpy as np
import safetensors.numpy
from arrays import IDX_TYPES

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
    Residual,
    Sequential,
    SoftmaxCrossEntropy,
    load,
    train,
)
from minibp.base import Module
from minibp.data import Category, Columns, Dataset, Number, Origin, Pictures
from minibp.data.idx import read_idx
from minibp.errors import (
    ArgumentError,
    BackendError,
    CheckpointError,
    DivergenceError,
    FileFormatError,
    MinibpError,
    UnknownNameError,
)
from minibp.files import saving, tensorfile
from minibp.files.checkpoint import KIND
from minibp.schedules import Constant, Cosine, ReduceOnPlateau, Schedule, Step, Warmup

from .taken import Taken, parts

FOLDER = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
PATH = os.path.join(FOLDER.name, "file")


def write(content: bytes, path: str = PATH) -> str:
    """Write a file; returns its path."""
    with open(path, "wb") as file:
        file.write(content)
    return path


def remove() -> None:
    """Remove the files in the scratch folder."""
    for name in os.listdir(FOLDER.name):
        os.unlink(os.path.join(FOLDER.name, name))


def idx(data: bytes) -> None:
    """An IDX file, gzipped and not: it is refused, or the array has its contents."""
    for content in (data, b"\x1f\x8b\x08" + data, gzip.compress(data, 1)):
        try:
            array = read_idx(write(content))
        except FileFormatError:
            continue
        unpacked = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        code, dimensions = unpacked[2:4]
        assert code == IDX_TYPES[array.dtype.str[1:]]
        assert array.shape == struct.unpack_from(f">{dimensions}I", unpacked, 4)
        assert array.astype(array.dtype.newbyteorder(">")).tobytes() == unpacked[4 + 4 * dimensions :]


@cache
def good_networks() -> list[bytes]:
    inside = Residual(LeakyReLU(0.1), Sequential(Dense(3, 3)))
    layers = [Dense(2, 3), BatchNorm(3), inside, Dropout(0.5), Dense(3, 2)]
    nets = [Network(layers, SoftmaxCrossEntropy()), Network([Dense(1, 2)], SoftmaxCrossEntropy(), dtype="float64")]
    nets[1].preprocessing, nets[1].origin = Columns([Number("age", 3.0, False)], "kind"), Origin("people.csv", 3, "ab")
    nets.append(Network([Dense(5, 2)], SoftmaxCrossEntropy()))
    nets[2].preprocessing = Columns([Number("age", 3.0, True), Category("colour", ["blue", "red"], True, False)])
    nets.append(Network([Dense(6, 2)], SoftmaxCrossEntropy()))
    nets[3].preprocessing = Pictures(3, 2, border=0.5)
    good = []
    for net in nets:
        saving.save(net, PATH)
        good.append(pickle.dumps(tensorfile.read(PATH, saving.KIND)))
    return good


@cache
def whole(kind: str, good: bytes) -> bytes:
    """A good file, unchanged."""
    return tensorfile.to_bytes(kind, *pickle.loads(good))


def exact(arrays: dict) -> dict:
    """Arrays, to the bit."""
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


def agree(spec: list, module: Module) -> None:
    """The module is of the class and has the arguments that a file describes."""
    name, config = spec
    assert type(module).__name__ == name
    made = module.config()
    for key, value in config.items():
        if key == "layers":
            for inner, child in zip(value, made[key], strict=True):
                agree(inner["layer"], child)
        else:
            assert made[key] == (float(value) if isinstance(made[key], float) else value)


def model(data: bytes) -> None:
    """A saved network: it is refused, or it has the contents of the file and can be used."""
    content = Taken(data).file(saving.KIND, good_networks())
    try:
        net = load(write(content))
    except (FileFormatError, UnknownNameError):
        assert content not in [whole(saving.KIND, each) for each in good_networks()]
        return
    described = json.loads(parts(content)[0]["__metadata__"][tensorfile.KEY])["contents"]
    assert str(net.dtype) == described["dtype"]
    for spec, module in zip([*described["layers"], described["loss"]], [*net.layers, net.loss], strict=True):
        agree(spec, module)
    held = {
        f"{at}.{name}": array
        for at, module in net.named_modules().items()
        for name, array in {**module.params, **module.buffers}.items()
    }
    assert exact(held) == exact(safetensors.numpy.load(content))
    assert repr(net)
    x = np.ones((1, *(net.layers[0].in_shape or (2,))))
    with np.errstate(all="ignore"), suppress(MinibpError):
        assert net.predict(x).shape == (1, net.output_size(x.shape))


DATA = Dataset(np.linspace(-1, 1, 8).reshape(4, 2), np.array([0, 1, 1, 0]))
EPOCHS = 2


class Drop(Dropout):
    """A user's layer with numbers, strings, an array and a generator, or what a file has in their places."""

    state_attributes = ("count", "kind", "log", "seen", "random")

    def __init__(self, rate: float):
        super().__init__(rate)
        self.count, self.kind, self.log, self.seen = 0, "early", [0.5], np.ones(2, "f4")
        self.random = np.random.default_rng(0)

    def formula(self, x):
        self.count = 1 if self.count is None else self.count + 1
        self.kind, self.log, self.seen = f"{self.kind}r", [*(self.log or []), 1], x.sum(axis=0)
        return super().formula(x + self.xp.asarray(self.random.random(x.shape), x.dtype))


SCHEDULES: list[Callable[[], Schedule]] = [
    lambda: ReduceOnPlateau(0.1, patience=1),
    lambda: Warmup(Step(0.1, every=2), steps=3),
    lambda: Cosine(0.1, steps=4),
    lambda: Constant(0.1),
]


def training(which: int, stop_after: int | None = None) -> tuple[int, dict]:
    """A small training that is kept in a file, and resumes from it: the step that it begins after, and the arrays that
    it ends with.
    """
    drop = Drop(0.5) if which % 2 else Dropout(0.5)
    net = Network([Dense(2, 2), BatchNorm(2), drop], SoftmaxCrossEntropy())
    schedule = SCHEDULES[which % len(SCHEDULES)]()
    optimizer = Adam(net, schedule) if which // len(SCHEDULES) else SGD(net, schedule, momentum=0.5)
    checkpoint = Checkpoint(PATH, 1, EarlyStopping(net, patience=1))
    epochs = train(net, optimizer, DATA, EPOCHS, 2, validation=DATA, checkpoint=checkpoint)
    for epoch in checkpoint.history:
        assert f"{epoch} {epoch.val_loss:.4f} {epoch.val_accuracy:.4f}"
    begun, step = optimizer.steps, checkpoint.step_done

    def step_done(asked):
        if stop_after is not None and optimizer.steps >= stop_after:
            checkpoint.interrupt()
        step(asked or checkpoint.asked)

    checkpoint.step_done = step_done
    for epoch in epochs:
        if isinstance(schedule, ReduceOnPlateau):
            schedule.update(epoch.val_loss)
        checkpoint.stopping.should_stop(epoch.val_loss)
        assert f"{epoch}"
    return begun, exact({"params": net.params, "buffers": net.buffers})


STOPS = (0, 1, 3)  # after no step, in the first epoch, and in the second


@cache
def good_checkpoints(which: int) -> list[bytes]:
    """A checkpoint for each of STOPS."""
    good = []
    for steps in STOPS:
        remove()
        with suppress(KeyboardInterrupt):
            training(which, steps)
        good.append(pickle.dumps(tensorfile.read(PATH if steps else f"{PATH}.previous", KIND)))
    return good


@cache
def undisturbed(which: int) -> dict:
    """The arrays that the training ends with."""
    remove()
    return training(which)[1]


def checkpoint(data: bytes) -> None:
    """A checkpoint: it is refused, or the training resumes and ends, with the same arrays if the file is good."""
    taken = Taken(data)
    which = taken.below(2 * len(SCHEDULES))
    good, end = good_checkpoints(which), undisturbed(which)
    content = taken.file(KIND, good)
    remove()
    write(content)
    for stop, each in zip(STOPS, good, strict=True):
        if content == whole(KIND, each):
            assert training(which) == (stop, end)
            return
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with suppress(ArgumentError, BackendError, CheckpointError, DivergenceError, FileFormatError):
            training(which)
