"""Kernel launches per training step of minibp on a GPU, counted without one: python -m benchmarks.launches a b c

Runs on the stand-in for CuPy of the tests, which counts function calls. Each call is at least one kernel launch. Some
need several on a real GPU (sums, split products), so the count is a lower limit. With MINIBP_CUPY_ON_CPU it runs on
CuPy's own code (see tests/cupy_on_cpu), and counts what that asks of the GPU: launches, products, copies and waits.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from itertools import pairwise
from typing import Any

from .nets import NETS, task
from .peers import build

BLOCK = 8192  # rows that a GPU gathers at a time


def count(name: str) -> float:
    """Launches per step, counted in the second block of rows to leave out the fixed cost of an epoch."""
    standin = sys.modules["cupy"] = importlib.import_module("tests.standin")
    net = NETS[name]
    steps = BLOCK // net.batch
    calls = []
    for blocks in (1, 2):
        peer = build("minibp-core", task(net, blocks * steps * net.batch), "cuda")
        standin.traffic.clear()
        peer.run(1)
        calls.append(standin.traffic.calls)
    return (calls[1] - calls[0]) / steps


def count_on_cupy(name: str) -> dict[str, dict[str, float]]:
    """What a step asks of the GPU, by the formulas and by the kernels."""
    return {"formulas": count_step(name, compiled=False), "kernels": count_step(name, compiled=True)}


def count_step(name: str, compiled: bool) -> dict[str, float]:
    """What a step asks of the GPU: the difference of an epoch of six and one of two, so without what an epoch does."""
    from minibp import SGD, Adam, CrossEntropy, Dense, Network, ReLU, Sigmoid, Softmax, train
    from minibp.data import Dataset

    given, kinds = NETS[name], {"sigmoid": Sigmoid, "relu": ReLU}
    layers: list[Any] = []
    for pair in pairwise(given.sizes):
        layers += [Dense(*pair), kinds[given.activation]()]
    net = Network([*layers[:-1], Softmax()], CrossEntropy(), backend="cupy")
    optimizer = Adam(net) if given.optimizer == "adam" else SGD(net, lr=given.rate, momentum=given.momentum)
    x, t = task(given, 6 * given.batch)[2:]
    fake, counts = importlib.import_module("cupy_on_cpu").fake, []
    for steps in (6, 6, 2):  # the first makes the workspaces and compiles the kernels
        part = slice(steps * given.batch)
        epochs = train(net, optimizer, Dataset(x[part], t[part]), 1, given.batch, compiled=compiled)
        fake.clear()
        next(epochs)
        counts.append(fake.counts())
    *_, six, two = counts
    return {kind: (six[kind] - two.get(kind, 0)) / 4 for kind in six if six[kind] > two.get(kind, 0)}


def main() -> None:
    folder = os.environ.get("MINIBP_CUPY_ON_CPU")
    if folder:
        sys.path.append("tests")
        importlib.import_module("cupy_on_cpu").load(folder)
    print(json.dumps({name: count_on_cupy(name) if folder else count(name) for name in sys.argv[1:]}))


if __name__ == "__main__":
    main()
