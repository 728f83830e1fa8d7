"""Time of a prediction of minibp and its peers: python -m benchmarks.inference

    python -m benchmarks.inference --json results.json

By default, net d predicts 10,000 images at once, and a single one. The inputs are on the host, and the probabilities
are returned as a NumPy array. minibp predicts by compiled operations (`minibp.compile`), and by its core alone. Peers
take turns as in train_step. Only peers whose probabilities agree are compared.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from . import rounds, tables
from .nets import NETS, inputs, task
from .peers import MINIBP, kind
from .peers.arrays import Naive
from .ratios import deviation
from .rounds import Worker
from .train_step import SECONDS, agreement, end, head, installed, parser, turns
from .worker import FIRST

NAMES = ["minibp", "minibp-core", "naive", "torch-eager", "torch-compile", "jax-jit", "sklearn"]
LABELS = {
    "torch-eager": "PyTorch, inference_mode",
    "torch-compile": "PyTorch, compiled",
    "jax-jit": "JAX, jit",
}
ROWS = 512  # images in the task of each peer; nothing is trained
TOLERANCE = 1e-4  # relative tolerance of a probability


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 if a peer disagreed or failed."""
    p = parser("Compare the time of a prediction.", NAMES)
    p.set_defaults(nets=["d"], rows=ROWS)
    options = p.parse_args(arguments)
    peers, many = installed(options.peers), 500 if options.smoke else 10_000
    results: tables.Results = {}
    for net in options.nets:
        for n in (many, 1):
            results[f"{net}: {n:,}"] = compare(net, n, peers, options)
    found = head(results)
    print(f"Microseconds a call, by the number of images\n\n{tables.absolute(results, LABELS)}\n")
    for base in MINIBP:
        if base in peers:
            print(f"Times as long, median and quartiles\n\n{tables.relative(results, base, LABELS)}\n")
    print("\n".join(f"{net}: {NETS[net]}" for net in options.nets))
    print(tables.notes(results, "Probabilities", TOLERANCE))
    return end(options, found, results)


def compare(net: str, n: int, peers: Sequence[str], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Measure predictions of n inputs at once: by peer its turns, or the error that prevented them."""
    x, _ = inputs(NETS[net], n, seed=1)
    reference = Naive(task(NETS[net], options.rows), dtype="float64").predict(x)[:FIRST]

    def prepare(worker: Worker, name: str) -> dict[str, Any]:
        found = worker.ask("build", peer=kind(name), net=net, rows=options.rows, device="cpu")
        answer = worker.ask("predict", seconds=0.0 if options.smoke else SECONDS, images_at_once=n)["probabilities"]
        found["deviation"] = agreement(deviation(answer, reference), TOLERANCE, "probabilities")
        return found

    return rounds.compare(peers, prepare, **turns(options, "cpu"), label=f"{net}, {n} images: ")


if __name__ == "__main__":
    sys.exit(main())
