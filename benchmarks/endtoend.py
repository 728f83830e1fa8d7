"""Seconds that a user waits for a training, process start to end: python -m benchmarks.endtoend

    python -m benchmarks.endtoend --json results.json
    python -m benchmarks.endtoend --nets digits --peers minibp minibp@../old --rounds 5

Each peer is a script in `benchmarks/scripts`, in its best form, and trains for 20 epochs: the 1,797 digits that come
with minibp, and a table of 20,000 x 30. Network, batch and optimizer are the same, the weights and the order are drawn
by the peer. Whole processes take turns. Each runs once before that, to fill the caches on disk (compiled modules, loops
of numba, programs of JAX). Only peers whose loss in the last epoch agrees with that of a loop in NumPy are compared.
Not for Windows, which does not tell the resources that a process used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import machine, rounds, tables
from .nets import Net, Task, features, start
from .peers import MINIBP, ROOT, folder, kind
from .peers.arrays import Naive
from .ratios import deviation
from .rounds import PeerError
from .startup import output, used
from .train_step import agreement, end, head, installed, parser, turns

SCRIPTS = {
    "minibp": ("minibp_fit.py",),
    "minibp-core": ("minibp_fit.py", "--core"),
    "torch-fused": ("torch_fit.py",),
    "jax-scan": ("jax_fit.py",),
    "sklearn": ("sklearn_fit.py",),
}
LABELS = {"torch-fused": "PyTorch", "jax-scan": "JAX"}
NETS = {
    "digits": Net("digits", (64, 64, 10), "relu", 32, "adam", 1e-3),
    "table": Net("table", (30, 64, 64, 2), "relu", 32, "adam", 1e-3, floats=True),
}
DIGITS = ROOT / "minibp" / "data" / "digits.npz"
ROWS = 20_000  # of the table
EPOCHS = 20
TOLERANCE = 0.25  # of the loss in the last epoch; other weights and orders alone change it by up to a tenth


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 if a peer disagreed or failed."""
    p = parser("Compare the time of whole trainings, process start to end.", list(SCRIPTS), nets=list(NETS))
    p.add_argument("--epochs", type=int, default=EPOCHS, help="passes over the data (default: %(default)s)")
    p.set_defaults(rows=ROWS)
    options = p.parse_args(arguments)
    if options.smoke:
        options.rows, options.epochs = 1000, 2
    peers, results = installed(options.peers), {}
    with tempfile.TemporaryDirectory() as place:
        for net in options.nets:
            results[net] = compare(net, peers, options, place)
    found = head(results)
    print(f"Seconds from start to end, {options.epochs} epochs\n\n{tables.absolute(results, LABELS, unit=1)}\n")
    for base in MINIBP:
        if base in peers:
            print(f"Times as long, median and quartiles\n\n{tables.relative(results, base, LABELS)}\n")
    print("\n".join(f"{net}: {NETS[net]}" for net in options.nets))
    print(tables.notes(results, "Losses of the last epoch", TOLERANCE))
    return end(options, found, results)


def compare(name: str, peers: Sequence[str], options: argparse.Namespace, place: str) -> dict[str, dict[str, Any]]:
    """Measure the peers on one net: by peer its turns, or the error that prevented them."""
    file, net = DIGITS, NETS[name]
    if name == "table":
        file = Path(place, "table.npz")
        x, t = features(net.sizes[0], net.sizes[-1], options.rows)
        np.savez(file, x=x, t=t)
    settings = turns(options, "cpu")
    env = settings.pop("env") | {
        "JAX_COMPILATION_CACHE_DIR": f"{place}/jax",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    expected = last_loss(net, file, options.epochs)
    ask = "import json; from benchmarks.machine import blas; print(json.dumps(blas()))"
    blas = json.loads(output(["-c", ask], env, ROOT))
    found: dict[str, dict[str, Any]] = {peer: {"blas": blas} for peer in peers}
    takers = {}
    for peer in peers:
        print(f"{name}: {peer}", file=sys.stderr, flush=True)
        take = partial(turn, peer, net, file, options.epochs, env)
        try:
            off = deviation([take()["loss"]], [expected])
            found[peer]["deviation"] = agreement(off, TOLERANCE, "losses of the last epoch")
            takers[peer] = take
        except PeerError as error:
            found[peer] = {"error": str(error), "mark": error.mark}
    print(f"{name}: {settings['rounds']} rounds", file=sys.stderr, flush=True)
    taken, errors = rounds.take_turns(takers, **settings)
    for peer in takers:
        found[peer]["turns"] = taken[peer]
    return found | {peer: {"error": str(error), "mark": error.mark} for peer, error in errors.items()}


def turn(peer: str, net: Net, file: Path, epochs: int, env: dict[str, str]) -> dict[str, Any]:
    """Run the process of a peer once. It imports minibp from the folder of the peer."""
    script, *core = SCRIPTS[kind(peer)]
    numbers = map(str, (epochs, net.batch, net.rate, *net.sizes[1:-1]))
    command = [str(ROOT / "benchmarks" / "scripts" / script), str(file), *numbers, *core]
    paths = [str(folder(peer)), *filter(None, [env.get("PYTHONPATH")])]
    before, own, begin = machine.busy(), used(), time.perf_counter()
    printed = output(command, env | {"PYTHONPATH": os.pathsep.join(paths)}, folder(peer))
    wall, own, after = time.perf_counter() - begin, used() - own, machine.busy()
    return {"seconds": wall, "loss": float(printed), "others": machine.others(before, after, own, wall)}


def last_loss(net: Net, file: Path, epochs: int) -> float:
    """The mean loss of the last epoch, of the same training in NumPy."""
    with np.load(file) as data:
        x, t = data["x"].reshape(len(data["x"]), -1), data["t"]
    peer = Naive(Task(net, start(net), x, t), dtype="float64")
    for _ in range(epochs):
        order = peer.rng.permutation(len(x))
        batches = np.split(order, range(net.batch, len(x), net.batch))
        total = sum(peer.step(x[rows], t[rows]) * len(rows) for rows in batches)
    return total / len(x)


if __name__ == "__main__":
    sys.exit(main())
