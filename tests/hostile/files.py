"""The readers of files, and the trainings that go on from one."""

import gzip
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import numpy as np

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
    load,
    saving,
    tensorfile,
    train,
)
from minibp.checkpoint import KIND
from minibp.data import Dataset
from minibp.errors import FileFormatError, MinibpError, UnknownNameError
from minibp.idx import read_idx
from minibp.schedules import Constant, Cosine, ReduceOnPlateau, Schedule, Step, Warmup

from .taken import Taken

FOLDER = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
PATH = os.path.join(FOLDER.name, "file")


def write(content: bytes) -> str:
    """Write a file; gives its path."""
    with open(PATH, "wb") as file:
        file.write(content)
    return PATH


def remove() -> None:
    """Remove what is in the scratch folder."""
    for name in os.listdir(FOLDER.name):
        os.unlink(os.path.join(FOLDER.name, name))


def idx(data: bytes) -> None:
    """An IDX file, gzipped and not."""
    for content in (data, b"\x1f\x8b\x08" + data, gzip.compress(data, 1)):
        try:
            array = read_idx(write(content))
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
        net = load(write(content))
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
        remove()
        with suppress(KeyboardInterrupt):
            training(which, steps)
        good.append(pickle.dumps(tensorfile.read(PATH if steps else f"{PATH}.previous", KIND)))
    return good


def checkpoint(data: bytes) -> None:
    """A training kept in a file: refused, or it goes on to its end."""
    taken = Taken(data)
    which = taken.below(2 * len(SCHEDULES))
    content = taken.file(KIND, good_checkpoints(which))
    remove()
    write(content)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with suppress(MinibpError):
            training(which)
