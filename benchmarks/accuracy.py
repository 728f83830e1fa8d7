"""Test accuracy of the models after the last epoch of their recipes: python -m benchmarks.accuracy

    python -m benchmarks.accuracy --dataset mnist --data DIR --models mlp nielsen100 --seeds 0 1 2
    python -m benchmarks.accuracy --dataset digits --models small --seeds $(seq 0 19)
    python -m benchmarks.accuracy --data DIR --models mlp_distorted --held-out 10000

Prints mean and standard deviation over the seeds, and an interval: with 95 % probability, the accuracy on images of the
kind of the test set lies in it (Wilson, 1927, for the mean of the seeds). Where there are several seeds, also the
accuracy of the mean of their predictions. --json FILE writes every run.

The seeds are given in advance, and nothing is chosen by the accuracy on the test set. To choose, train without some of
the training images, and compare on these: --held-out 10000.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import models
from minibp import data, evaluate, metrics, train
from minibp.data import Splits

from .machine import machine


def main() -> None:
    p = argparse.ArgumentParser(description="Measure the accuracy of models over several seeds.")
    p.add_argument("--dataset", default="mnist", choices=["digits", "mnist", "fashion_mnist", "kmnist"])
    p.add_argument("--data", metavar="DIR", help="folder with the files of the data set")
    p.add_argument("--models", nargs="+", default=list(models.MODELS), choices=list(models.MODELS))
    p.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    p.add_argument("--epochs", type=int, help="in place of those of the recipes")
    p.add_argument("--held-out", type=int, metavar="N", help="evaluate on N images held out of the training set")
    p.add_argument("--json", metavar="FILE", help="write every run to this file")
    options = p.parse_args()

    results: dict[str, Any] = {}
    for name in options.models:
        runs, outputs, tests = zip(*(run(name, seed, options) for seed in options.seeds), strict=True)
        results[name] = {"runs": runs}
        accuracies = [100 * result["accuracy"] for result in runs]
        seconds = statistics.median(result["seconds"] for result in runs)
        spread, mean = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0, statistics.mean(accuracies)
        low, high = interval(mean / 100, len(tests[0]))
        line = f"{name:<20} {mean:6.2f} ± {spread:.2f} %  ({100 * low:.2f} .. {100 * high:.2f})  {seconds:6.1f} s"
        if len(runs) > 1 and options.dataset != "digits":  # whose seeds draw the test set
            together = metrics.accuracy(np.mean(outputs, axis=0), t=tests[0].t)
            results[name]["mean of the predictions"] = together
            line += f"  together {100 * together:.2f} %"
        print(line, flush=True)
    if options.json:
        command = shlex.join(["python", "-m", "benchmarks.accuracy", *sys.argv[1:]])
        about = {"date": date.today().isoformat(), "command": command, "dataset": options.dataset}
        about |= {"held out": options.held_out, "models": results, **machine()}
        Path(options.json).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def interval(accuracy: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for a share that was seen in n samples."""
    middle = (accuracy + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def run(name: str, seed: int, options: argparse.Namespace) -> tuple[dict[str, float], np.ndarray, Any]:
    """Train once; the result, the predictions, and the set they were evaluated on."""
    splits = data.digits(seed) if options.dataset == "digits" else getattr(data, options.dataset)(options.data)
    if options.held_out:
        splits = Splits(*data.split(splits.train, options.held_out, seed=1))
    model = models.build(name, n_in=int(np.prod(splits.train.x.shape[1:])))
    model = replace(model, epochs=options.epochs or model.epochs)
    net = model.network(seed=seed)
    optimizer = model.make_optimizer(net, len(splits.train))
    start = time.perf_counter()
    for epoch in train(net, optimizer, splits.train, model.epochs, model.batch_size):
        print(f"{name}, seed {seed}: {epoch}", file=sys.stderr)
    seconds = time.perf_counter() - start
    result = evaluate(net, splits.test)
    found = {"seed": seed, "accuracy": result.accuracy, "loss": result.loss, "epochs": model.epochs}
    return found | {"seconds": round(seconds, 1)}, net.predict(splits.test.x), splits.test


if __name__ == "__main__":
    main()
