"""How far each part of the recipe of `mlp_distorted` carries: python -m benchmarks.recipe

    python -m benchmarks.recipe --data DIR --seeds 0 1 2 --json FILE

Trains 512-512 ReLU for 30 epochs, with and without each part, on 50,000 images of MNIST, and evaluates it on the last
10,000 of the training set: the test set chooses nothing. Prints mean and standard deviation over the seeds, and the
difference to the row marked with a star, with an interval of 95 % as in `benchmarks.accuracy`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minibp import (
    BatchNorm,
    CrossEntropy,
    Dense,
    Dropout,
    ElasticDistortion,
    Layer,
    RandomAffine,
    ReLU,
    data,
    metrics,
)
from models import Model, mlp, mlp_distorted, mlp_distorted_long

from .accuracy import held_out, interval, positive, train_once
from .machine import machine
from .tables import markdown

EPOCHS, HELD_OUT, DECAY = 30, 10_000, 0.999
SIZES = (784, 512, 512, 10)


def plain(first: Sequence[Layer] = (), dropout: float = 0.0) -> Model:
    """The network without distortions, behind these layers."""
    model = mlp(SIZES, dropout)
    return replace(model, layers=[*first, *model.layers])


def distorted(after_dense: Callable[[], Layer] | None = None, dropout: bool = False, **other: Any) -> Model:
    """`mlp_distorted` with another layer after each hidden Dense, with dropout, and with other parts of a Model."""
    layers: list[Layer] = []
    model = mlp_distorted(other.pop("sizes", SIZES))
    for layer in model.layers:
        layers.append(layer)
        if after_dense and isinstance(layer, Dense) and layer.n_out != SIZES[-1]:
            layers.append(after_dense())
        if dropout and isinstance(layer, ReLU):
            layers.append(Dropout(0.2))
    return replace(model, layers=layers, **other)


STAR, AVERAGED = "both, in one interpolation *", "* and averaged weights"
PARTS: dict[str, Callable[[], Model]] = {
    STAR: distorted,
    "no distortions": plain,
    "no distortions, dropout 0.2": partial(plain, dropout=0.2),
    "affine alone: rotation 15, scale 0.15": lambda: plain([RandomAffine(rotation=15, scale=0.15)]),
    "elastic alone: α 37, σ 5.5": lambda: plain([ElasticDistortion(alpha=37, sigma=5.5)]),
    "both, smaller: α 34, σ 4, 10, 0.1": lambda: plain([ElasticDistortion(34, 4, rotation=10, scale=0.1)]),
    "both, larger: rotation 20, scale 0.2, shear 15, shifts 0.05": partial(mlp_distorted_long, SIZES),
    "* and shear 10": lambda: plain([ElasticDistortion(37, 5.5, rotation=15, scale=0.15, shear=10)]),
    "* and BatchNorm": lambda: distorted(lambda: BatchNorm(SIZES[1])),
    "* and dropout 0.2": lambda: distorted(dropout=True),
    "* and label smoothing 0.1": lambda: distorted(loss=CrossEntropy(label_smoothing=0.1)),
    AVERAGED: distorted,
    "* and 1024 units for 512": lambda: distorted(sizes=(784, 1024, 1024, 10)),
}


def main() -> None:
    p = argparse.ArgumentParser(description="Measure the parts of the recipe of mlp_distorted on held-out images.")
    p.add_argument("--data", metavar="DIR", help="folder with the files of MNIST")
    p.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    p.add_argument("--epochs", type=positive, default=EPOCHS)
    p.add_argument("--json", metavar="FILE", help="write every run to this file")
    options = p.parse_args()

    splits = held_out(data.mnist(options.data), HELD_OUT)
    results: dict[str, Any] = {}
    rows, star = [], np.zeros(0)
    for name, build in PARTS.items():
        decay = DECAY if name == AVERAGED else None
        runs, right = [], np.zeros(len(splits.test))  # how often each image was right
        for seed in options.seeds:
            model = replace(build(), epochs=options.epochs)
            found, outputs = train_once(f"{name}, seed {seed}", model, seed, splits, decay)
            runs.append(found)
            right += (metrics.classes(outputs) == splits.test.t) / len(options.seeds)
        accuracies = [100 * found["accuracy"] for found in runs]
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        results[name] = {"mean": statistics.mean(accuracies), "deviation": spread, "runs": runs}
        difference = ""
        if name == STAR:
            star = right
        else:
            low, high = interval(right - star)
            results[name]["above *"] = [low, high]
            difference = f"{low:+.2f} .. {high:+.2f}"
        rows.append([name, f"{statistics.mean(accuracies):.2f} ± {spread:.2f}", difference])
        print(rows[-1], file=sys.stderr, flush=True)
    print(markdown([f"512-512, {options.epochs} epochs", "held out, %", "above *"], rows))
    if options.json:
        command = shlex.join(["python", "-m", "benchmarks.recipe", *sys.argv[1:]])
        about = {"date": date.today().isoformat(), "command": command, "held out": HELD_OUT, "parts": results}
        Path(options.json).write_text(json.dumps(about | machine(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
