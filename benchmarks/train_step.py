"""Time of a training step of minibp and its peers: python -m benchmarks.train_step

    python -m benchmarks.train_step --json results.json
    python -m benchmarks.train_step --nets a d --peers minibp floor jax-scan --rounds 5
    python -m benchmarks.train_step --peers minibp minibp@../old
    python -m benchmarks.train_step --own-settings

A step gathers a batch, of uint8 images (nets a to g) or floats (t, u, v), and runs forward, loss, backward and update.
Each peer has its own process, and they take turns. Only peers whose losses agree are compared. OPENBLAS_CORETYPE and
OPENBLAS_L2_SIZE, which would force kernels on NumPy, are unset for all peers unless --own-settings is given.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from . import rounds, tables
from .machine import about
from .nets import NETS, ROWS, task
from .peers import MINIBP, PEERS, kind, missing, peer_name, revision
from .peers.arrays import Naive
from .ratios import TOLERANCE, deviation
from .rounds import DisagreementError, Worker
from .worker import order

SECONDS = 0.3  # minimum length of a turn
SMOKE_ROWS = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 if a peer disagreed or failed."""
    options = parser("Compare the time of a training step.", list(PEERS)).parse_args(arguments)
    return report(options, "cpu")


def parser(description: str, peers: list[str], nets: Sequence[str] = tuple(NETS)) -> argparse.ArgumentParser:
    """The options that all scripts share."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--nets", nargs="+", default=list(nets), choices=list(nets), help="default: all")
    named = partial(peer_name, known=peers)
    known = f"default: {', '.join(peers)}; minibp@FOLDER is another checkout of the project"
    p.add_argument("--peers", nargs="+", default=peers, metavar="PEER", type=named, help=known)
    p.add_argument("--rounds", type=int, default=11, help="turns of each peer (default: %(default)s)")
    p.add_argument("--rows", type=int, default=ROWS, help="samples (default: %(default)s)")
    p.add_argument("--own-settings", action="store_true", help="keep OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE")
    p.add_argument("--smoke", action="store_true", help="test run of one short round; its figures mean nothing")
    p.add_argument("--json", metavar="FILE", help="write every turn to this file")
    return p


def report(options: argparse.Namespace, device: str) -> int:
    """Measure all nets, print the tables and write the file."""
    peers = installed(options.peers)
    results: tables.Results = {net: compare(net, peers, options, device) for net in options.nets}
    found = head(results)
    print(f"Microseconds a step\n\n{tables.absolute(results)}\n")
    for base in MINIBP:
        if base in peers:
            print(f"Times as long, median and quartiles\n\n{tables.relative(results, base)}\n")
    print("\n".join(f"{name}: {NETS[name]}" for name in results))
    print(tables.notes(results, "Losses of the first steps", TOLERANCE))
    return end(options, found, results)


def head(results: tables.Results) -> dict[str, str]:
    """Print the header and return the facts about the machine."""
    found = about() | {name: revision(name) for name in tables.measured(results) if "@" in name}
    kernels: list[str] = next((peer["blas"] for peer in tables.all_of(results) if "blas" in peer), [])
    print(f"\n{tables.header(found, kernels)}\n")
    return found


def end(options: argparse.Namespace, found: dict[str, str], results: tables.Results) -> int:
    """Write the JSON file. Returns the exit status, 1 if a peer disagreed or failed."""
    if options.json:
        everything = {**found, "own_settings": options.own_settings, "results": results}
        Path(options.json).write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    if options.smoke:
        print("This was a smoke run; its figures mean nothing.")
    return int(any("error" in peer for peer in tables.all_of(results)))


def installed(peers: Sequence[str]) -> list[str]:
    """The peers whose packages are installed. Prints the others."""
    for name in peers:
        for package in missing(name):
            print(f"{package} is not installed, {name} is skipped")
    return [name for name in peers if not missing(name)]


def compare(net: str, peers: Sequence[str], options: argparse.Namespace, device: str) -> dict[str, dict[str, Any]]:
    """Measure the peers on one net: by peer its turns, or the error that prevented them."""
    rows, seconds = (SMOKE_ROWS, 0.0) if options.smoke else (options.rows, SECONDS)
    problem = task(NETS[net], rows)
    reference = Naive(problem, dtype="float64").losses(order(len(problem.x), problem.net.batch))

    def prepare(worker: Worker, name: str) -> dict[str, Any]:
        found = worker.ask("build", peer=kind(name), net=net, rows=rows, device=device)
        losses = worker.ask("losses")["losses"]
        if losses is not None:
            found["deviation"] = agreement(deviation(losses, reference), TOLERANCE, "losses")
        worker.ask("train", seconds=seconds)
        return found

    return rounds.compare(peers, prepare, **turns(options, device), label=f"{net}: ")


def agreement(found: float, tolerance: float, what: str) -> float:
    """Return the deviation. A DisagreementError if it is above the tolerance."""
    if found > tolerance:
        raise DisagreementError(f"its {what} differ by {found:.1e}, more than {tolerance:g}, so it does other work")
    return found


def turns(options: argparse.Namespace, device: str) -> dict[str, Any]:
    """The arguments of `rounds.compare` that the options decide."""
    env = rounds.environment(options.own_settings, device)
    if options.smoke:
        return {"env": env, "rounds": 1, "pause": 0.0, "limit": float("inf")}
    return {"env": env, "rounds": options.rounds}


if __name__ == "__main__":
    sys.exit(main())
