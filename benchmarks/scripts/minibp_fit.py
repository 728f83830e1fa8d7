"""Train with minibp; with --core, as if no extra were installed."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np

if sys.argv[-1] == "--core":
    sys.argv.pop()
    sys.modules["numba"] = None  # type: ignore[assignment]  # makes its import fail

import minibp


def main(file: str, epochs: int, batch: int, rate: float, hidden: list[int]) -> None:
    with np.load(file) as data:
        x, t = data["x"].reshape(len(data["x"]), -1), data["t"]
    layers: list[minibp.Layer] = []
    for n_in, n_out in pairwise([x.shape[1], *hidden, int(t.max()) + 1]):
        layers += [minibp.Dense(n_in, n_out), minibp.ReLU()]
    layers[-1] = minibp.Softmax()
    net = minibp.Network(layers, minibp.CrossEntropy())
    for epoch in minibp.train(net, minibp.Adam(net, lr=rate), minibp.data.Dataset(x, t), epochs, batch):
        loss = epoch.loss
    print(loss)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), [int(each) for each in sys.argv[5:]])
