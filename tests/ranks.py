"""Trainings on several processes against the same in one. `test_parallel.py` starts this by mpiexec.

Rank 0 prints, as JSON, how far the two are apart at most: the training losses, the parameters as a fraction of the
largest, and the losses and accuracies of the validation.
"""

import hashlib
import importlib
import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from mpi4py import MPI
from networks import every_layer

from minibp import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    BatchNorm,
    CrossEntropy,
    Dense,
    Dropout,
    ElasticDistortion,
    Flatten,
    GaussianNoise,
    Network,
    QuadraticLoss,
    RandomAffine,
    Residual,
    RMSProp,
    Sigmoid,
    Softmax,
    Tanh,
    WeightAverage,
    train,
)
from minibp.backend import to_host
from minibp.data import Dataset, batches

COMM = MPI.COMM_WORLD
EPOCHS = 20
SAMPLES, BATCH = 41, 10  # 5 steps an epoch, the last of one sample: fewer than there are ranks


def samples(n, weighted=False, images=False):
    """Random inputs and labels; some samples do not count if they have weights."""
    rng = np.random.default_rng(n)
    x = rng.integers(256, size=(n, 8, 8), dtype="uint8") if images else rng.normal(size=(n, 4))
    weights = rng.choice([0, 0.5, 1, 3], size=n) if weighted else None
    return Dataset(x, rng.integers(3, size=n), weights)


def normalized(dtype, backend="numpy"):
    """Dropout and noise, and batch normalization also inside a residual layer."""
    layers = [Dense(4, 8), BatchNorm(8), Tanh(), Dropout(0.3), Residual(Dense(8, 8), BatchNorm(8), Tanh())]
    return Network([*layers, GaussianNoise(0.1), Dense(8, 3), Softmax()], CrossEntropy(), backend, dtype, seed=3)


def plain(dtype):
    return Network([Dense(4, 8), Sigmoid(), Dense(8, 3)], QuadraticLoss(), dtype=dtype)


def moved(dtype):
    layers = [RandomAffine(translation=0.1), ElasticDistortion(4, 2), Flatten(), Dropout(0.2), Dense(64, 16), Tanh()]
    return Network([*layers, Dense(16, 3), Softmax()], CrossEntropy(0.1), dtype=dtype)


OPTIMIZERS = {
    "SGD": lambda net: SGD(net, lr=0.1, momentum=0.9),
    "clipped SGD": lambda net: SGD(net, lr=0.1, momentum=0.9, nesterov=True, clip_norm=0.5, max_norm=1.0),
    "AdaGrad": lambda net: AdaGrad(net, lr=0.05, weight_decay=1e-3),
    "RMSProp": lambda net: RMSProp(net, lr=0.005),
    "Adam": lambda net: Adam(net, lr=0.01, clip_norm=1.0),
    "AdamW": lambda net: AdamW(net, lr=0.01, weight_decay=0.05),
}
sgd = OPTIMIZERS["SGD"]
CASES = {name: (normalized, optimizer, samples(SAMPLES), BATCH) for name, optimizer in OPTIMIZERS.items()}
CASES |= {
    "plain": (plain, sgd, samples(SAMPLES), BATCH),
    "weights": (normalized, sgd, samples(SAMPLES, weighted=True), BATCH),
    "weights, batches of one": (plain, sgd, samples(9, weighted=True), 1),
    "fewer samples than a batch": (normalized, sgd, samples(7), 32),
    "augmentation": (moved, sgd, samples(SAMPLES, images=True), BATCH),
    "every layer": (lambda dtype: every_layer(dtype=dtype, seed=3), sgd, samples(SAMPLES), BATCH),
}


def trained(build, optimizer, data, batch_size, dtype, comm, average):
    """Train; returns the parameters and the numbers of all epochs. Asserts that all ranks have the same ones."""
    net = build(dtype)
    averaged = WeightAverage(net, decay=0.9) if average else None
    hashes, epochs = [], []
    for epoch in train(net, optimizer(net), data, EPOCHS, batch_size, data, average=averaged, comm=comm):
        hashes.append(hashlib.sha256(to_host(net.params).tobytes() + to_host(net.buffers).tobytes()).hexdigest())
        epochs.append(epoch)
    if comm is not None:
        assert len({tuple(each) for each in comm.allgather(hashes)}) == 1, "the ranks have different weights"
        assert len({tuple(each) for each in comm.allgather(epochs)}) == 1, "the ranks have different epochs"
    for b in biases_before_batch_norm(net.layers):
        b[...] = 0  # it changes nothing, and its gradient is rounding, which Adam enlarges
    return to_host(net.params), np.array([epoch[1:4] for epoch in epochs])


def biases_before_batch_norm(layers):
    for before, layer in pairwise([None, *layers]):
        yield from [before.b] if isinstance(before, Dense) and isinstance(layer, BatchNorm) else []
        yield from biases_before_batch_norm(getattr(layer, "layers", ()))


def apart(case, dtype, average=False):
    """How far one process and all ranks are apart, as above."""
    (w, expected), (got, numbers) = (trained(*case, dtype, comm, average) for comm in (None, COMM))
    loss, *validation = abs(expected - numbers).max(axis=0).tolist()
    return loss, float(abs(w - got).max() / abs(w).max()), max(validation)


def mapped(folder):
    """A memory map, and block sizes for which it is a large one: it is shuffled in blocks."""
    data = samples(SAMPLES)
    np.save(folder / f"{COMM.rank}.npy", data.x)
    batches.READ_BLOCK, batches.SHUFFLE_WINDOW = 10 * data.x[0].nbytes, 20 * data.x[0].nbytes
    return Dataset(np.load(folder / f"{COMM.rank}.npy", mmap_mode="r"), data.t)


def main():
    found = {f"{name}, {dtype}": apart(case, dtype) for name, case in CASES.items() for dtype in ("float64", "float32")}
    found["average, float64"] = apart(CASES["Adam"], "float64", average=True)
    sys.modules["cupy"] = importlib.import_module("standin")
    case = (lambda dtype: normalized(dtype, "cupy"), OPTIMIZERS["Adam"], samples(SAMPLES, weighted=True), BATCH)
    found["on the stand-in for CuPy, float64"] = apart(case, "float64")
    with tempfile.TemporaryDirectory() as folder:
        found["memory map, float64"] = apart((plain, sgd, mapped(Path(folder)), BATCH), "float64")
    if COMM.rank == 0:
        sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
