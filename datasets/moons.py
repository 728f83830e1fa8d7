"""The network of the section before the text (see docs/answer.md), with three kinds of output: python -m datasets.moons

The previous section trains a network of sigmoid units on two half moons, by full-batch gradient descent on the sum of
squared errors, and prints L = Σ (z - t)² during training. The text then asks how softmax and cross-entropy apply to
this network. The answer is one line of `OUTPUTS`: another last layer and another loss. Everything else is the same.

Points and initial weights come from NumPy's legacy generator in the order of the previous section (which called
make_moons of scikit-learn), so that its log is reproduced to every printed digit. Training at this rate is chaotic for
deep networks ([2, 10, 10, 10, 10, 2]), and with softmax or binary cross-entropy for networks other than [2, 8, 8, 2]:
there two ways to round the same formula lead to different logs.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from minibp import (
    SGD,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    Layer,
    Loss,
    Network,
    QuadraticLoss,
    Sigmoid,
    Softmax,
)
from minibp.base import at_least_one
from minibp.cli import exit_status, new_picture, nonempty, parse_options, told
from minibp.errors import ArgumentError

from .common import plotter

OUTPUTS: dict[str, tuple[type[Layer], type[Loss]]] = {
    "quadratic": (Sigmoid, QuadraticLoss),
    "softmax": (Softmax, CrossEntropy),
    "bce": (Sigmoid, BinaryCrossEntropy),
}
EPS = 0.01  # learning rate of the previous section, for the gradient summed over the batch
EVERY = 100  # epochs between two printed lines
REACHED = (0.95, 0.97)  # accuracies in the table


class Log(NamedTuple):
    """One training: its points, the values printed every 100 epochs, and the network after `trained` epochs."""

    output: str
    trained: int
    points: np.ndarray
    labels: np.ndarray
    epochs: list[int]
    squares: list[float]
    accuracies: list[float]
    net: Network

    def first(self, accuracy: float) -> str:
        """The first printed epoch with at least this accuracy, or "not reached"."""
        return next((str(e) for e, a in zip(self.epochs, self.accuracies, strict=True) if a >= accuracy), "not reached")


def moons(rng: np.random.RandomState, n: int = 200, noise: float = 0.20) -> tuple[np.ndarray, np.ndarray]:
    """Two interleaved half moons: points (n, 2) and labels (n,), drawn in the order of make_moons of scikit-learn."""
    outer, inner = np.linspace(0, np.pi, n // 2), np.linspace(0, np.pi, n - n // 2)
    x = np.concatenate([np.cos(outer), 1 - np.cos(inner)])
    y = np.concatenate([np.sin(outer), 1 - np.sin(inner) - 0.5])
    return _shuffled(rng, np.stack([x, y], axis=1), n, noise)


def circles(rng: np.random.RandomState, n: int = 200, noise: float = 0.10) -> tuple[np.ndarray, np.ndarray]:
    """A circle of radius 1 around one of radius 0.5, drawn in the order of make_circles of scikit-learn."""
    outer = np.linspace(0, 2 * np.pi, n // 2, endpoint=False)
    inner = np.linspace(0, 2 * np.pi, n - n // 2, endpoint=False)
    x = np.concatenate([np.cos(outer), np.cos(inner) * 0.5])
    y = np.concatenate([np.sin(outer), np.sin(inner) * 0.5])
    return _shuffled(rng, np.stack([x, y], axis=1), n, noise)


def _shuffled(
    rng: np.random.RandomState, points: np.ndarray, n: int, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat([0, 1], [n // 2, n - n // 2])
    order = np.arange(n)
    rng.shuffle(order)
    return points[order] + rng.normal(scale=noise, size=points.shape), labels[order]


POINTS: dict[str, Callable[[np.random.RandomState], tuple[np.ndarray, np.ndarray]]] = {
    "moons": moons,
    "circles": circles,
}


def build(nodes: Sequence[int], output: str, rng: np.random.RandomState) -> Network:
    """Build a network of sigmoid units with these numbers of nodes, with initial weights as in the previous section."""
    last, loss = OUTPUTS[output]
    layers: list[Layer] = []
    for n_in, n_out in pairwise(nodes):
        W, b = rng.randn(n_in, n_out) / math.sqrt(n_in), rng.randn(1, n_out)
        layers += [Dense(n_in, n_out, W=W, b=b[0]), Sigmoid()]
    return Network([*layers[:-1], last()], loss(), dtype="float64")


def learn(
    data: str = "moons",
    nodes: Sequence[int] = (2, 8, 8, 2),
    output: str = "quadratic",
    epochs: int = 2000,
    show: Callable[[str], None] = lambda line: None,
) -> Log:
    """Train by full-batch gradient descent, in float64, without shuffling.

    Parameters
    ----------
    data : {"moons", "circles"}
        The points.
    nodes : sequence of int
        The numbers of nodes, from the 2 inputs to the 2 outputs.
    output : {"quadratic", "softmax", "bce"}
        Last layer and loss.
    epochs : int
        Training steps, each on all points.
    show : function
        Called with a line of text every 100 epochs.
    """
    rng = np.random.RandomState(0)  # as in the previous section, for the same numbers
    x, labels = POINTS[data](rng)
    net = build(nodes, output, rng)
    optimizer = SGD(net, lr=EPS * len(x))  # minibp's gradient is of the mean, the text's of the sum
    targets = np.eye(2)[labels]
    log = Log(output, epochs, x, labels, [], [], [], net)
    for epoch in range(epochs):
        net.forward(x, labels)
        net.backward()
        if epoch % EVERY == 0:
            z = net.predict(x)
            log.epochs.append(epoch)
            log.squares.append(float(((z - targets) ** 2).sum()))
            log.accuracies.append(float((z.argmax(axis=1) == labels).mean()))
            show(f"epoch [{epoch:4d}] L = {log.squares[-1]:.6f}, acc = {log.accuracies[-1]:.6f}")
        optimizer.step()
    return log


def table(logs: Sequence[Log]) -> str:
    """The table of the first printed epoch at which each output reaches the accuracies."""
    lines = [f"{'output':<10}" + "".join(f"  {f'acc >= {accuracy:g}':>12}" for accuracy in REACHED)]
    for log in logs:
        lines.append(f"{log.output:<10}" + "".join(f"  {log.first(accuracy):>12}" for accuracy in REACHED))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train with one output, or with all and compare them. Returns the exit status."""
    about = "Train one small network on two half moons, with three kinds of output."
    p = argparse.ArgumentParser(prog="python -m datasets.moons", description=about)
    p.add_argument("--data", default="moons", choices=list(POINTS), help="the points to learn; default moons")
    nodes = "nodes of each layer; default 2 8 8 2"
    p.add_argument("--nodes", type=int, nargs="+", default=[2, 8, 8, 2], metavar="N", help=nodes)
    p.add_argument("--output", choices=list(OUTPUTS), help="last layer and loss; default all three in turn")
    p.add_argument("--epochs", type=int, default=2000, help="training steps, each on all points; default 2000")
    boundaries = "plot the decision boundaries side by side (png, svg, pdf)"
    p.add_argument("--plot", type=nonempty, metavar="FILE", help=boundaries)
    options = parse_options(p, arguments)
    return exit_status(lambda: run(options), partial(told, smaller="use fewer --nodes"))


def run(options: argparse.Namespace) -> None:
    """Run the script with these options."""
    at_least_one("--epochs", options.epochs)
    for nodes in options.nodes:
        at_least_one("--nodes", nodes)
    if len(options.nodes) < 2 or options.nodes[0] != 2 or options.nodes[-1] != 2:
        raise ArgumentError(f"--nodes must begin and end with 2 (coordinates, classes), received {options.nodes}")
    for pair in pairwise(options.nodes):
        Dense(*pair)  # draws no weights yet, but refuses sizes that fit in no memory
    draw = None
    if options.plot:
        new_picture(options.plot)
        draw = plotter("draw_boundaries")
    logs = []
    for output in [options.output] if options.output else OUTPUTS:
        if not options.output:
            print(f"output: {output}")
        logs.append(learn(options.data, options.nodes, output, options.epochs, print))
        if not options.output:
            print()
    if not options.output:
        print(table(logs))
    if draw:
        draw(logs, options.plot)


if __name__ == "__main__":
    sys.exit(main())
