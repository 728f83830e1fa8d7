"""One network with three kinds of output, on real images: python -m datasets.mnist --compare-losses

This is the comparison of `datasets.moons` on real data. The three networks differ in one line of `OUTPUTS`: they have
the same sigmoid units, the same initial weights, the same order of samples. Each learns at the best of the same five
learning rates, so that none is slow because of its rate. The comparison is about speed, so the rate is chosen by the
mean accuracy over the epochs, on samples held out of the training set. The test set has no part in the choice.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from minibp import SGD, Dense, Epoch, Layer, Network, Sigmoid, train
from minibp.cli import epoch_bar
from minibp.data import Dataset, Splits, split
from minibp.errors import DivergenceError
from minibp.initializers import Normal

from .common import count, load_data, pixels_and_classes, plotter, refuse_early, refuse_unused
from .moons import OUTPUTS

# With the defaults and seed 0, the best rate is at neither end for any output, on digits and MNIST. The grid was moved
# up once, from 0.1 .. 10, because the held-out samples chose its upper end for the quadratic loss.
RATES = (0.3, 1.0, 3.0, 10.0, 30.0)
HELD_OUT = 1 / 6  # of the training set, to choose the rate: 10,000 images of MNIST, as in Nielsen (2015)
SIZES = {"digits": ([30], 30)}  # hidden units and epochs
OTHER_SIZES = ([100], 10)
UNUSED = ("model", "optimizer", "lr", "weight_decay", "save", "log", "report", "checkpoint")  # without effect


class Setting(NamedTuple):
    """The settings that the three networks share.

    Attributes
    ----------
    hidden : sequence of int
        Sigmoid units of each hidden layer.
    epochs, batch_size : int
        Of every training, including those that choose the rate.
    seed : int
        Draws the initial weights, the order of samples and the held-out samples.
    backend : str
        The array library.
    """

    hidden: Sequence[int] = (30,)
    epochs: int = 30
    batch_size: int = 32
    seed: int = 0
    backend: str = "numpy"


class Choice(NamedTuple):
    """The rates tried, the mean accuracy (0..1) of each on the held-out samples, and the best rate."""

    rates: tuple[float, ...]
    accuracies: tuple[float, ...]
    rate: float


class Curve(NamedTuple):
    """The training of one output.

    Attributes
    ----------
    output : str
        The name of the output.
    choice : Choice
        Its learning rate, which the first seed has chosen.
    accuracies : list of float
        Test accuracy (0..1) after each epoch.
    net : Network
        The trained network.
    others : list of lists of float
        The accuracies with further seeds.
    """

    output: str
    choice: Choice
    accuracies: list[float]
    net: Network
    others: list[list[float]]


def build(dataset: Dataset, output: str, setting: Setting, start: Normal | None = None) -> Network:
    """Build the network for these images with this output. The initial weights depend only on the seed.

    `start` draws weights and biases. By default they are those of `Dense`.
    """
    last, loss = OUTPUTS[output]
    n_in, n_out = pixels_and_classes(dataset)
    layers: list[Layer] = []
    for before, after in pairwise([n_in, *setting.hidden, n_out]):
        layers += [Dense(before, after, W=start, b=start), Sigmoid()]
    return Network([*layers[:-1], last()], loss(), backend=setting.backend, seed=setting.seed)


def learn(net: Network, rate: float, parts: Splits, setting: Setting) -> Iterator[Epoch]:
    """Train by plain SGD on the training part, and evaluate on the test part after each epoch."""
    return train(net, SGD(net, lr=rate), parts.train, setting.epochs, setting.batch_size, validation=parts.test)


def choose(
    training: Dataset,
    output: str,
    setting: Setting,
    rates: Sequence[float] = RATES,
    done: Callable[[], object] = lambda: None,
) -> Choice:
    """Find the best learning rate for an output, on samples held out of the training set.

    Each rate starts from the same weights and is judged by its mean accuracy over the epochs, so that one that is slow
    at first does not win by a late lead. A rate that diverges has accuracy 0. Of equal rates the smallest wins.

    Parameters
    ----------
    training : Dataset
        The training set. The test set is not needed.
    output : {"quadratic", "softmax", "bce"}
        Last layer and loss.
    setting : Setting
        The shared settings.
    rates : sequence of float
        The learning rates to try.
    done : function
        Called after each epoch.
    """
    parts = split(training, HELD_OUT, setting.seed)
    accuracies = []
    for rate in rates:
        total = 0.0
        try:
            for epoch in learn(build(training, output, setting), rate, parts, setting):
                total += epoch.val_accuracy or 0.0
                done()
        except DivergenceError:
            total = 0.0
        accuracies.append(total / setting.epochs)
    best = min(zip(rates, accuracies, strict=True), key=lambda tried: (-tried[1], tried[0]))
    return Choice(tuple(rates), tuple(accuracies), best[0])


def compare(
    splits: Splits,
    setting: Setting,
    rates: Sequence[float] = RATES,
    show: Callable[[str], object] = lambda line: None,
    done: Callable[[], object] = lambda: None,
    others: int = 0,
) -> list[Curve]:
    """Train one network with the three outputs, each at its best rate, from the same initial weights.

    The rate is chosen on a part of the training set. Then the network starts again from the same weights and learns
    the whole training set.

    Parameters
    ----------
    splits : Splits
        The training set, and the test set to report on.
    setting : Setting
        The shared settings.
    rates : sequence of float
        The learning rates to choose from.
    show : function
        Called with a line of text about each choice.
    done : function
        Called after each epoch.
    others : int, default 0
        Trainings at the chosen rate with further seeds, to show the spread.

    Raises
    ------
    DivergenceError
        If training at the chosen rate diverges.
    """
    show(f"{'output':<9}" + "".join(f"  {f'lr {rate:g}':>7}" for rate in rates) + "   chosen")
    curves = []
    for output in OUTPUTS:
        choice = choose(splits.train, output, setting, rates, done)
        show(f"{output:<9}" + "".join(f"  {accuracy:7.4f}" for accuracy in choice.accuracies) + f"   {choice.rate:g}")
        runs = []
        for seed in range(setting.seed, setting.seed + 1 + others):
            net, accuracies = build(splits.train, output, setting._replace(seed=seed)), []
            for epoch in learn(net, choice.rate, splits, setting):
                accuracies.append(epoch.val_accuracy if epoch.val_accuracy is not None else math.nan)
                done()
            runs.append((accuracies, net))
        curves.append(Curve(output, choice, *runs[0], [accuracies for accuracies, _ in runs[1:]]))
    return curves


def table(curves: Sequence[Curve]) -> str:
    """The table of test accuracies: a row for each epoch, a column for each output."""
    lines = ["epoch  " + "  ".join(f"{curve.output:>9}" for curve in curves)]
    for number, accuracies in enumerate(zip(*(curve.accuracies for curve in curves), strict=True), 1):
        lines.append(f"{number:5d}  " + "  ".join(f"{accuracy:9.4f}" for accuracy in accuracies))
    return "\n".join(lines)


def run(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace) -> None:
    """Run the script with --compare-losses."""
    why = "--compare-losses, which sets the network, plain SGD and the rates itself; leave one of the two out"
    refuse_unused(options, UNUSED, why)
    refuse_early(options)
    draw = plotter("draw_comparison") if options.plot else None
    splits = load_data(dataset, loader, options)
    hidden, epochs = SIZES.get(dataset, OTHER_SIZES)
    setting = Setting(
        hidden=hidden if options.hidden is None else options.hidden,
        epochs=epochs if options.epochs is None else options.epochs,
        batch_size=32 if options.batch_size is None else options.batch_size,
        seed=options.seed,
        backend=options.backend,
    )
    others = 2 if draw else 0  # three seeds show the spread in a plot
    total = len(OUTPUTS) * (len(RATES) + 1 + others) * setting.epochs
    with epoch_bar(options.quiet, total) as (show, done):
        show(count(dataset, splits))
        units = "-".join(map(str, setting.hidden)) or "no"
        show(f"{units} hidden sigmoid units, SGD, batches of {setting.batch_size}\n")
        show(f"Mean accuracy over {setting.epochs} epochs on a held-out sixth of the training images:\n")
        curves = compare(splits, setting, show=show, done=done, others=others)
        show("\nTest accuracy after training on all training images at the chosen rate:\n")
    print(table(curves), flush=True)
    if draw:
        draw(curves, dataset, options.plot)
