"""Start-up time and memory of minibp and its peers: python -m benchmarks.startup

    python -m benchmarks.startup --json results.json

Whole processes take turns. For each peer this measures the import of its framework in a fresh interpreter, the time
from the start of a process to the end of the first epoch of net d on 60,000 images (whole batches, read from a file),
and the peak memory of that process. The peers are those of train_step, which checks that they do the same work. Not for
Windows, which does not tell the resources that a process used.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import machine, rounds, tables
from .nets import NETS, Task, start, task
from .peers import MINIBP, PEERS, build, folder, kind
from .rounds import PeerError
from .train_step import end, head, installed, parser, turns

NAMES = ["minibp", "minibp-core", "naive", "torch-eager", "torch-fused", "jax-scan", "sklearn"]
IMPORTED = {"ours": "minibp", "arrays": "numpy", "pytorch": "torch", "xla": "jax", "scikit": "sklearn.neural_network"}
IMAGES = 60_000
MEASURES = {"import, s": "import", "first epoch, s": "seconds", "peak, MiB": "peak"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 if a peer failed."""
    p = parser("Compare the time to start, and memory.", NAMES)
    p.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    p.set_defaults(nets=["d"], rows=IMAGES)
    options = p.parse_args(arguments)
    if options.child:
        return child(*options.child)
    peers, results = installed(options.peers), {}
    for net in options.nets:
        for label, by_peer in compare(net, peers, options).items():
            results[f"{net}: {label}"] = by_peer
    found = head(results)
    print(f"{tables.absolute(results, unit=1)}\n")
    for base in MINIBP:
        if base in peers:
            print(f"Times as much, median and quartiles\n\n{tables.relative(results, base)}\n")
    print("\n".join(f"{net}: {NETS[net]}" for net in options.nets))
    print(tables.notes(results))
    return end(options, found, results)


def compare(net: str, peers: Sequence[str], options: argparse.Namespace) -> tables.Results:
    """Measure the peers on one net: by measure and peer, its turns or the error that prevented them."""
    settings = turns(options, "cpu")
    env = settings.pop("env")
    problem = task(NETS[net], 2048 if options.smoke else options.rows)
    with tempfile.TemporaryDirectory() as images:
        np.save(f"{images}/x.npy", problem.x)
        np.save(f"{images}/t.npy", problem.t)
        del problem
        takers = {name: partial(turn, name, net, images, env) for name in peers}
        taken, errors = rounds.take_turns(takers, **settings)
    results: tables.Results = {}
    for label, measure in MEASURES.items():
        results[label] = {
            name: {"turns": [each | {"seconds": each[measure]} for each in taken[name]], "blas": taken[name][0]["blas"]}
            for name in peers if name not in errors
        } | {name: {"error": str(error), "mark": error.mark} for name, error in errors.items()}  # fmt: skip
    return results


def turn(name: str, net: str, images: str, env: dict[str, str]) -> dict[str, Any]:
    """Run both processes of a peer once."""
    print(f"{net}: {name}", file=sys.stderr, flush=True)
    package, cwd = IMPORTED[PEERS[kind(name)].module], folder(name)
    before, own, begin = machine.busy(), used(), time.monotonic()
    timed = f"import time; start = time.perf_counter(); import {package}; print(time.perf_counter() - start)"
    importing = float(output(["-c", timed], env, cwd))
    started = time.monotonic()
    answer = json.loads(output(["-m", "benchmarks.startup", "--child", kind(name), net, images], env, cwd))
    wall, own, after = time.monotonic() - begin, used() - own, machine.busy()
    return {
        "seconds": answer.pop("end") - started,
        "import": importing,
        "others": machine.others(before, after, own, wall),
        **answer,
    }


def output(arguments: Sequence[str], env: dict[str, str], cwd: Path) -> str:
    """The last line that a Python process prints. A PeerError if it fails."""
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PeerError(f"its process ended with status {done.returncode}: {last[:300]}")
    return done.stdout.strip().splitlines()[-1]


def used() -> float:
    """CPU seconds of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime + time.process_time()


def child(name: str, net: str, images: str) -> int:
    """The measured process: read the images, build the network, train for one epoch."""
    x, t = np.load(f"{images}/x.npy"), np.load(f"{images}/t.npy")
    build(name, Task(NETS[net], start(NETS[net]), x, t)).run_first()
    stop = time.monotonic()  # the clock of the machine, which the parent reads, too
    print(json.dumps({"end": stop, "peak": peak(), "blas": machine.blas()}))
    return 0


def peak() -> float:
    """The peak memory of this process, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage reports the memory of the parent if that was larger
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.exit(main())
