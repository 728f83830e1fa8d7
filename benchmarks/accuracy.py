"""Test accuracy of the models after the last epoch of their recipes: python -m benchmarks.accuracy

    python -m benchmarks.accuracy --dataset mnist --data DIR --models mlp nielsen100 --seeds 0 1 2
    python -m benchmarks.accuracy --dataset digits --models small --seeds $(seq 0 19)
    python -m benchmarks.accuracy --data DIR --models mlp_distorted --hidden 512 512 --held-out 10000

Prints mean and standard deviation over the seeds, and for each model but the first the difference to the first, with an
interval of 95 %: twice the standard error of the difference, image by image, each the mean over the seeds. Where there
are several seeds, also the accuracy of the mean of their predictions. --json FILE writes every run. --jobs N trains N
networks at a time; set OPENBLAS_NUM_THREADS=1, so that they do not share cores.

The seeds are given in advance, and nothing is chosen by the accuracy on the test set. To choose, train without the
last of the training images, and compare on these: --held-out 10000.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import shlex
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import date
from itertools import islice, product, repeat
from pathlib import Path
from typing import Any

import numpy as np

import models
from minibp import WeightAverage, data, evaluate, metrics, train
from minibp.base import at_least_one
from minibp.data import Splits

from .machine import machine

Training = tuple[dict[str, float], np.ndarray, np.ndarray]  # the result, the predictions, the targets

QUICK = ["softmax", "nielsen30", "nielsen100", "lecun300", "simard800", "keras512", "mlp"]  # minutes, not hours


def main() -> None:
    p = argparse.ArgumentParser(description="Measure the accuracy of models over several seeds.")
    p.add_argument("--dataset", default="mnist", choices=["digits", "mnist", "fashion_mnist", "kmnist"])
    p.add_argument("--data", metavar="DIR", help="folder with the files of the data set")
    p.add_argument("--models", nargs="+", default=QUICK, choices=list(models.MODELS))
    p.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    p.add_argument("--hidden", nargs="*", type=positive, metavar="N", help="units of the hidden layers, for all models")
    p.add_argument("--epochs", type=positive, help="in place of those of the recipes")
    p.add_argument("--held-out", type=positive, metavar="N", help="evaluate on the last N training images, held out")
    p.add_argument("--jobs", type=positive, default=1, help="networks to train at a time; default: 1")
    p.add_argument("--json", metavar="FILE", help="write every run to this file")
    options = p.parse_args()
    if options.hidden is not None and not set(options.models) <= set(models.SIZED):
        p.error(f"--hidden needs models of {', '.join(models.SIZED)}, received {', '.join(options.models)}")

    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        names, seeds = zip(*product(options.models, options.seeds), strict=True)
        results = report(options, pool.map(run, names, seeds, repeat(options)))
    if options.json:
        command = shlex.join(["python", "-m", "benchmarks.accuracy", *sys.argv[1:]])
        about = {"date": date.today().isoformat(), "command": command, "dataset": options.dataset}
        about |= {"held out": options.held_out, "models": results, **machine()}
        Path(options.json).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def report(options: argparse.Namespace, trainings: Iterator[Training]) -> dict[str, Any]:
    """Print a line for each model when its trainings are done. They come in the order of the models, then the seeds."""
    results: dict[str, Any] = {}
    first: Any = None  # how often each image was right with the first model
    for name in options.models:
        runs, outputs, targets = zip(*islice(trainings, len(options.seeds)), strict=True)
        accuracies = [100 * result["accuracy"] for result in runs]
        spread, mean = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0, statistics.mean(accuracies)
        results[name] = {"mean": mean, "deviation": spread, "runs": runs}
        seconds = statistics.median(result["seconds"] for result in runs)
        line = f"{name:<20} {mean:6.2f} ± {spread:.2f} %  {seconds:6.1f} s"
        if options.dataset != "digits":  # whose seeds draw the test set
            right = np.mean([metrics.classes(each) == targets[0] for each in outputs], axis=0)
            first = right if first is None else first
            if right is not first:
                low, high = interval(right - first)
                results[name]["above the first"] = [low, high]
                line += f"  above the first by {low:+.2f} .. {high:+.2f} %"
            if len(runs) > 1:
                together = 100 * metrics.accuracy(np.mean(outputs, axis=0), t=targets[0])
                results[name]["mean of the predictions"] = together
                line += f"  together {together:.2f} %"
        print(line, flush=True)
    return results


def positive(text: str) -> int:
    """A number of the command line; a ValueError if it is not an integer of at least 1."""
    return at_least_one("the number", int(text))


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Where the mean of these lies with a probability of 95 %, in percent."""
    half = 1.96 * differences.std(ddof=1) / math.sqrt(len(differences))
    return 100 * (differences.mean() - half), 100 * (differences.mean() + half)


def run(name: str, seed: int, options: argparse.Namespace) -> Training:
    """Train once; the result, the predictions, and the targets they were compared with."""
    splits = data.digits(seed) if options.dataset == "digits" else getattr(data, options.dataset)(options.data)
    if options.held_out:
        splits = held_out(splits, options.held_out)
    chosen = {} if options.hidden is None else {"hidden": options.hidden}
    model = models.build(name, n_in=int(np.prod(splits.train.x.shape[1:])), **chosen)
    model = replace(model, epochs=options.epochs or model.epochs)
    found, outputs = train_once(f"{name}, seed {seed}", model, seed, splits)
    return found, outputs, splits.test.t


def held_out(splits: Splits, count: int) -> Splits:
    """The training set alone, with the last of its samples in place of the test set.

    Not samples drawn at random: neighbours in the files of MNIST lean alike, so the images of a writer likely stand
    together, and a random choice would have the same writers on both sides. The writers of the test set are others.
    """
    if count >= len(splits.train):
        raise ValueError(f"the training set has {len(splits.train)} samples, received {count} to hold out: too many")
    return Splits(splits.train[:-count], splits.train[-count:])


def train_once(
    what: str, model: models.Model, seed: int, splits: Splits, decay: float | None = None
) -> tuple[dict[str, float], np.ndarray]:
    """Train a model, with averaged weights if there is a decay; the result, and the predictions for the test set."""
    net = model.network(seed=seed)
    optimizer = model.make_optimizer(net, len(splits.train))
    average = WeightAverage(net, decay) if decay else None
    start = time.perf_counter()
    for epoch in train(net, optimizer, splits.train, model.epochs, model.batch_size, average=average):
        print(f"{what}: {epoch}", file=sys.stderr)
    seconds = time.perf_counter() - start
    result = evaluate(net, splits.test)
    found = {"seed": seed, "accuracy": result.accuracy, "loss": result.loss, "epochs": model.epochs}
    return found | {"seconds": round(seconds, 1)}, net.predict(splits.test.x)


if __name__ == "__main__":
    main()
