"""Show why a network learns slowly, by probing its layers during a training: python -m datasets.mnist --probe

Without --model, this shows the text's answer on real images: one network of sigmoid units with three kinds of output.
All weights and biases are drawn from the standard normal distribution, as in Nielsen (2015), chapter 1, so that most
answers are badly wrong at first. With the quadratic loss, hardly any error δ = (a - t) a (1 - a) is left for a wrong
output at which sigmoid is flat. With cross-entropy, δ is a - t.

With --model, this probes the training of that model by its recipe.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from minibp import SGD, Network, Optimizer, evaluate, probe, save
from minibp.base import at_least_one
from minibp.cli import epoch_bar
from minibp.cli.session import result
from minibp.data import Dataset, Splits
from minibp.debug import ProbeReport
from minibp.errors import DivergenceError
from minibp.initializers import Normal
from minibp.training import check_fit

from .common import count, head, load_data, plotter, prepare, refuse_early, refuse_unused
from .compare import Setting, build

PROBED = 1000  # number of samples, the first ones of the training set
RATES = {"quadratic": 3.0, "softmax": 0.5, "bce": 0.5}  # Nielsen (2015), chapters 1 and 3
UNUSED = ("optimizer", "weight_decay", "save", "log", "report", "checkpoint")  # without effect if there is no --model


class Point(NamedTuple):
    """One probe: the steps made so far, the accuracy (0..1) on the probed samples, and the report on the layers."""

    step: int
    accuracy: float
    layers: ProbeReport


class Track(NamedTuple):
    """The probes of one training, the name of its output or model, and its learning rate."""

    name: str
    points: list[Point]
    rate: float


def probe_steps(steps: int) -> list[int]:
    """The steps at which to probe a training of this many steps: 0, 1, 3, 10, 30, 100, ... and the last."""
    rising = (factor * 10**power for power in range(len(str(steps))) for factor in (1, 3))
    return [0, *(step for step in rising if step < steps), steps]


def watch(
    net: Network,
    optimizer: Optimizer,
    dataset: Dataset,
    epochs: int,
    batch_size: int = 32,
    done: Callable[[], object] = lambda: None,
) -> Iterator[Point]:
    """Train as `minibp.train` does, to the same weights bit for bit, and probe during the training.

    Parameters
    ----------
    net, optimizer, dataset, epochs, batch_size
        As in `minibp.train`.
    done : function
        Called after each epoch.

    Yields
    ------
    Point
        A probe of the first 1000 samples, at each of the `probe_steps` of the training.

    Raises
    ------
    DivergenceError
        As soon as the loss is NaN or infinite.
    """
    check_fit(net, optimizer, dataset)
    epochs, batch_size = at_least_one("epochs", epochs), at_least_one("batch_size", batch_size)
    return _watch(net, optimizer, dataset, epochs, batch_size, done)


def _watch(
    net: Network, optimizer: Optimizer, dataset: Dataset, epochs: int, batch_size: int, done: Callable[[], object]
) -> Iterator[Point]:
    probed, n = dataset[:PROBED], len(dataset)
    steps = epochs * -(-n // batch_size)
    when, step = set(probe_steps(steps)), 0

    def diverged() -> DivergenceError:
        return DivergenceError(
            f"the loss became NaN or infinite at step {step} of {steps}. Likely cause: the learning rate "
            f"{optimizer.lr:g} is too high: try a tenth of it"
        )

    def look() -> Point:
        try:
            return Point(step, evaluate(net, probed).accuracy, probe(net, optimizer, probed, batch_size))
        except DivergenceError as error:
            raise diverged() if step else error from None  # before the first step, the rate is not the cause

    yield look()
    for _ in range(epochs):
        order = net.rng.permutation(n)
        for start in range(0, n, batch_size):
            x, t = dataset[order[start : start + batch_size]]
            with np.errstate(all="ignore"):  # the loss is checked
                loss = float(net.forward(x, t))
                net.backward()
                optimizer.step()
            step += 1
            if not math.isfinite(loss):
                raise diverged()
            if step in when:
                yield look()
        done()


def lines(point: Point, first: bool) -> list[str]:
    """The lines of a probe, one for each layer. The `first` of a training has the names of the columns above."""
    names, *rows = point.layers.lines()
    text = [f"{point.step:>6}  {point.accuracy:8.4f}  {row}" for row in rows]
    return [f"{'step':>6}  {'accuracy':>8}  {names}", *text] if first else text


def table(tracks: Sequence[Track]) -> str:
    """The table of saturated wrong outputs and accuracies: a row for each step, a column for each output."""
    names = "".join(f"  {track.name:>9}" for track in tracks)
    above = f"{'wrong outputs, saturated':>{len(names)}}  {'accuracy':>{len(names)}}"
    text = [f"{'':>6}{above}", f"{'step':>6}{names}  {names}"]
    for points in zip(*(track.points for track in tracks), strict=True):
        saturated = "".join(f"  {point.layers[-1].cells()[1]:>9}" for point in points)
        text.append(f"{points[0].step:>6}{saturated}  " + "".join(f"  {point.accuracy:9.4f}" for point in points))
    return "\n".join(text)


def run(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace) -> None:
    """Run the script with --probe."""
    if options.model is None:
        cure = "leave it out, or choose a --model"
        refuse_unused(options, UNUSED, f"--probe without --model, which sets the networks and plain SGD itself; {cure}")
    else:
        cure = "leave one of the two out"
        refuse_unused(options, ("log", "report"), f"--probe, which has no results for each epoch; {cure}")
        refuse_unused(options, ("checkpoint",), f"--probe, which cannot continue a training; {cure}")
    refuse_early(options)
    draw = plotter("draw_probes") if options.plot else None
    tracks = (run_outputs if options.model is None else run_model)(dataset, loader, options)
    if draw:
        draw(tracks, dataset, options.plot)


def run_outputs(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace) -> list[Track]:
    """Probe trainings with the three outputs from the same initial weights. The last lines are a table."""
    splits = load_data(dataset, loader, options)
    setting = Setting(
        hidden=[30] if options.hidden is None else options.hidden,
        epochs=1 if options.epochs is None else options.epochs,
        batch_size=10 if options.batch_size is None else options.batch_size,
        seed=options.seed,
        backend=options.backend,
    )
    epochs, batch_size, tracks = setting.epochs, setting.batch_size, []
    with epoch_bar(options.quiet, len(RATES) * epochs) as (show, done):
        show(count(dataset, splits))
        units = "-".join(map(str, setting.hidden)) or "no"
        show(f"{units} hidden sigmoid units, SGD, batches of {batch_size}, {epochs} epoch{'s' if epochs > 1 else ''}\n")
        for output, default in RATES.items():
            net = build(splits.train, output, setting, start=Normal(1))
            optimizer = SGD(net, lr=default if options.lr is None else options.lr)
            points = watch(net, optimizer, splits.train, epochs, batch_size, done)
            show(f"{output}: {net.layers[-1]}, {net.loss}, learning rate {optimizer.lr:g}\n")
            tracks.append(Track(output, follow(points, show), optimizer.lr))
            show("")
    print(table(tracks), flush=True)
    return tracks


def run_model(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace) -> list[Track]:
    """Probe the training of a model. The last line is the same as without --probe."""
    start = prepare(dataset, loader, options)
    splits, model, net, optimizer = start
    with epoch_bar(options.quiet, model.epochs) as (show, done):
        points = watch(net, optimizer, splits.train, model.epochs, model.batch_size, done)
        show(head(dataset, start))
        start_time = time.perf_counter()
        track = Track(options.model, follow(points, show), model.lr)
        seconds = time.perf_counter() - start_time
    last = evaluate(net, splits.test)
    print(result(last.accuracy, last.loss, model.epochs, seconds), flush=True)
    if options.save:
        save(net, options.save)
    return [track]


def follow(points: Iterator[Point], show: Callable[[str], None]) -> list[Point]:
    """Train to the end, showing each probe, and return the probes."""
    shown: list[Point] = []
    for point in points:
        for line in lines(point, first=not shown):
            show(line)
        shown.append(point)
    return shown
