"""Time of a training step, minibp and its peers side by side: python -m benchmarks.train_step

    python -m benchmarks.train_step --json results.json
    python -m benchmarks.train_step --nets a d --peers minibp floor jax-scan --rounds 5
    python -m benchmarks.train_step --own-settings

A step is gathering a batch of uint8 images, forward, loss, backward and update. Each peer has a process of its own;
they take turns. Only those whose losses agree are compared. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE, which would force
kernels upon NumPy, are unset for all of them unless --own-settings is given.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from . import tables
from .machine import about
from .nets import NETS, ROWS, task
from .peers import MINIBP, PEERS, missing
from .peers.arrays import Naive
from .ratios import TOLERANCE, deviation
from .rounds import PeerError, Worker, environment, take_turns
from .worker import order

SECONDS = 0.3  # of a turn, at least
SMOKE_ROWS = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 where a peer disagreed or failed."""
    options = parser("Compare the time of a training step.", list(PEERS)).parse_args(arguments)
    return report(options, "cpu")


def parser(description: str, peers: list[str]) -> argparse.ArgumentParser:
    """The options that the scripts share."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--nets", nargs="+", default=list(NETS), choices=list(NETS), help="default: all")
    p.add_argument("--peers", nargs="+", default=peers, choices=peers, help="default: all")
    p.add_argument("--rounds", type=int, default=11, help="turns of each peer (default: %(default)s)")
    p.add_argument("--rows", type=int, default=ROWS, help="images (default: %(default)s)")
    p.add_argument("--own-settings", action="store_true", help="leave OPENBLAS_CORETYPE and _L2_SIZE as they are")
    p.add_argument("--smoke", action="store_true", help="one short round, only to see that all runs")
    p.add_argument("--json", metavar="FILE", help="write every turn to this file")
    return p


def report(options: argparse.Namespace, device: str) -> int:
    """Measure all nets, print the tables, write the file."""
    peers = installed(options.peers)
    results: tables.Results = {net: compare(net, peers, options, device) for net in options.nets}
    found, every = about(), [peer for measured in results.values() for peer in measured.values()]
    kernels: list[str] = next((peer["blas"] for peer in every if "blas" in peer), [])
    print(f"\n{tables.header(found, kernels)}\n\nMicroseconds a step\n\n{tables.absolute(results)}")
    for base in MINIBP:
        if base in tables.measured(results):
            print(f"\nTimes as long, median and quartiles\n\n{tables.relative(results, base)}")
    print(f"\n{tables.notes(results)}")
    write(options, {**found, "own_settings": options.own_settings, "results": results})
    return int(any("error" in peer for peer in every))


def write(options: argparse.Namespace, everything: dict[str, Any]) -> None:
    """Write the file that was asked for, and say so under figures that mean nothing."""
    if options.json:
        Path(options.json).write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    if options.smoke:
        print("\nThis was a smoke run: its figures mean nothing.")


def installed(peers: Sequence[str]) -> list[str]:
    """The peers whose packages are there; the others are named."""
    for name in peers:
        for package in missing(name):
            print(f"{package} is not installed, {name} is skipped")
    return [name for name in peers if not missing(name)]


def compare(net: str, peers: Sequence[str], options: argparse.Namespace, device: str) -> dict[str, dict[str, Any]]:
    """Measure the peers on one net: by name their turns, or why there are none."""
    rows, seconds, rounds, pause = options.rows, SECONDS, options.rounds, 0.25
    if options.smoke:
        rows, seconds, rounds, pause = SMOKE_ROWS, 0.0, 1, 0.0
    problem = task(NETS[net], rows)
    reference = Naive(problem, dtype="float64").losses(order(len(problem.x), problem.net.batch))
    found: dict[str, dict[str, Any]] = {name: {} for name in peers}
    workers: dict[str, Worker] = {}
    try:
        for name in peers:
            print(f"{net}: {name}", file=sys.stderr, flush=True)
            workers[name] = Worker(environment(options.own_settings, device))
            prepare(workers[name], name, found[name], reference, net=net, rows=rows, device=device, seconds=seconds)
        ready = {name: worker for name, worker in workers.items() if "error" not in found[name]}
        print(f"{net}: {rounds} rounds", file=sys.stderr, flush=True)
        turns = take_turns({name: partial(worker.ask, "turn") for name, worker in ready.items()}, rounds, pause)
        for name, taken in turns.items():
            found[name]["turns"] = taken
    finally:
        for worker in workers.values():
            worker.close()
    return found


def prepare(
    worker: Worker, name: str, found: dict[str, Any], reference: list[float], *, seconds: float, **task: Any
) -> None:
    """Build a peer, check its losses, warm it up; what goes wrong is noted, and the peer then left out."""
    try:
        found |= worker.ask("build", peer=name, **task)
        losses = worker.ask("losses")["losses"]
        if losses is not None:
            found["deviation"] = deviation(losses, reference)
            if found["deviation"] > TOLERANCE:
                found["error"] = f"its losses differ by {found['deviation']:.1e}: it does other work"
                found["mark"] = "disagrees"
                return
        worker.ask("train", seconds=seconds)
    except PeerError as error:
        found["error"], found["mark"] = str(error), "failed"


if __name__ == "__main__":
    sys.exit(main())
