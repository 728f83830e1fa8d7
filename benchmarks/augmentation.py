"""Time of augmentation for 60,000 images of 28 x 28, beside an epoch of net d: python -m benchmarks.augmentation

    python -m benchmarks.augmentation --rounds 5

Epochs of all networks run in turns, compiled and by the formulas. What a layer costs is the difference of a network
with it and one without it, both of one small Dense, for which minibp takes one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

import numpy as np

from minibp import (
    Adam,
    Dense,
    ElasticDistortion,
    Flatten,
    GaussianNoise,
    Layer,
    Network,
    RandomAffine,
    ReLU,
    SoftmaxCrossEntropy,
    train,
)
from minibp.data import Dataset

from . import machine, tables
from .ratios import spread

IMAGES, BATCH = 60_000, 128
SMALL = "one Dense"
LAYERS: dict[str, Callable[[], Layer]] = {
    "RandomAffine()": RandomAffine,
    "ElasticDistortion()": ElasticDistortion,
    "ElasticDistortion(rotation=15, scale=0.15)": lambda: ElasticDistortion(rotation=15, scale=0.15),
    "GaussianNoise()": GaussianNoise,
}


def networks() -> dict[str, list[Layer]]:
    """The layers of each network: a small one, that with each layer of augmentation, and net d."""
    net_d = [Flatten(), Dense(784, 512), ReLU(), Dense(512, 512), ReLU(), Dense(512, 10)]
    small = {name: [make(), Flatten(), Dense(784, 10)] for name, make in LAYERS.items()}
    # Net d comes last: when an epoch of it ends, the threads of the BLAS look for more work for a while.
    return {SMALL: [Flatten(), Dense(784, 10)], **small, "net d": net_d}


def epochs(layers: list[Layer], dataset: Dataset, rounds: int, compiled: bool) -> Iterator[float]:
    """Seconds of each epoch."""
    net = Network(layers, SoftmaxCrossEntropy())
    training = train(net, Adam(net, lr=1e-5), dataset, rounds, BATCH, compiled=compiled)
    for _ in range(rounds):
        start = time.perf_counter()
        next(training)
        yield time.perf_counter() - start


def measure(images: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, by network: an epoch of net d, and of the layers what they add to the small network."""
    rng = np.random.default_rng(0)
    dataset = Dataset(rng.integers(256, size=(images, 28, 28), dtype="uint8"), rng.integers(10, size=images))
    ways = {"compiled": True, "formulas": False} if find_spec("numba") else {"formulas": False}
    running = {
        (way, name): epochs(layers, dataset, rounds + 1, compiled)  # the first of them warms up
        for way, compiled in ways.items()
        for name, layers in networks().items()
    }
    turns = [{key: next(each) for key, each in running.items()} for _ in range(rounds + 1)][1:]
    return {
        f"{way}: {name}": [turn[way, name] - (turn[way, SMALL] if name in LAYERS else 0) for turn in turns]
        for way, name in running
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table: the median and the quartiles."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    print(f"{tables.header(machine.about(), machine.blas())}\n")
    for name, seconds in measure(options.images, options.rounds).items():
        found = spread(seconds)
        assert found is not None
        print(f"{name:<54} {found.median:6.2f} s  ({found.low:.2f}-{found.high:.2f})")


if __name__ == "__main__":
    main()
