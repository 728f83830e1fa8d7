"""Test accuracy of the models after the last epoch of their recipes: python -m benchmarks.accuracy

    python -m benchmarks.accuracy --dataset mnist --data DIR --models mlp nielsen100 --seeds 0 1 2
    python -m benchmarks.accuracy --dataset digits --models small --seeds $(seq 0 19)

Prints mean and standard deviation over the seeds; --json FILE writes every run. The seeds are given in advance, and
nothing is chosen by the printed figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from datetime import date
from pathlib import Path

import numpy as np

import models
from minibp import data, evaluate, train

from .machine import machine


def main() -> None:
    p = argparse.ArgumentParser(description="Measure the accuracy of models over several seeds.")
    p.add_argument("--dataset", default="mnist", choices=["digits", "mnist", "fashion_mnist", "kmnist"])
    p.add_argument("--data", metavar="DIR", help="folder with the files of the data set")
    p.add_argument("--models", nargs="+", default=list(models.MODELS), choices=list(models.MODELS))
    p.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    p.add_argument("--json", metavar="FILE", help="write every run to this file")
    options = p.parse_args()

    results: dict[str, list[dict[str, float]]] = {}
    for name in options.models:
        results[name] = [run(name, seed, options) for seed in options.seeds]
        accuracies = [100 * result["accuracy"] for result in results[name]]
        seconds = statistics.median(result["seconds"] for result in results[name])
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        mean = statistics.mean(accuracies)
        between = f"{min(accuracies):.2f} .. {max(accuracies):.2f}"
        print(f"{name:<12} {mean:6.2f} ± {spread:.2f} %   {between}   {seconds:6.1f} s", flush=True)
    if options.json:
        about = {"date": date.today().isoformat(), "dataset": options.dataset, "runs": results, **machine()}
        Path(options.json).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def run(name: str, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Train once. The seed also draws the split of the digits."""
    splits = data.digits(seed) if options.dataset == "digits" else getattr(data, options.dataset)(options.data)
    model = models.build(name, n_in=int(np.prod(splits.train.x.shape[1:])))
    net = model.network(seed=seed)
    optimizer = model.make_optimizer(net, len(splits.train))
    start = time.perf_counter()
    for _ in train(net, optimizer, splits.train, model.epochs, model.batch_size):
        pass
    seconds = time.perf_counter() - start
    result = evaluate(net, splits.test)
    return {"seed": seed, "accuracy": result.accuracy, "loss": result.loss, "seconds": round(seconds, 1)}


if __name__ == "__main__":
    main()
