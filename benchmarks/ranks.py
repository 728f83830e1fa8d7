"""What training on several processes costs, and from when on it pays: python -m benchmarks.ranks

    python -m benchmarks.ranks --json FILE --plots DIR
    python -m benchmarks.ranks --smoke

Measures a step of 784-w-w-10 with Adam by several ranks of this machine, each with one thread. Beside it stands the
time that follows from the pieces, each measured alone: the step of one process on a rank's part of the batch, for as
many turns as ranks share a core, and the sums over the ranks. With the time of a sum over a network in their place, the
same pieces say how much faster several hosts are than one process. It needs the extras `mpi` and `fast`, and an
mpiexec; --plots needs `plot`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np

from minibp import Adam, Dense, Network, ReLU, SoftmaxCrossEntropy, train
from minibp.data import Dataset

from .machine import about, blas, cores
from .tables import header, markdown

WIDTHS, BATCHES, RANKS = (32, 128, 512, 2048), (128, 1024), (1, 2, 4, 8)
STEPS = 8  # of an epoch
SECONDS = 1.5  # of a measurement
HOSTS = 4
# Gbit/s, and the seconds that a message takes on its way: two networks of the usual kind, and one of a cluster.
NETWORKS = {1: 50e-6, 10: 25e-6, 100: 3e-6}


# ---- what is measured


def step_seconds(width: int, batch: int, seconds: float, comm: Any = None, compiled: bool = False) -> float:
    """The median time of a step of `train`."""
    rng = np.random.default_rng(0)
    dataset = Dataset(rng.random((STEPS * batch, 784), "float32"), rng.integers(10, size=STEPS * batch))
    layers = [Dense(784, width), ReLU(), Dense(width, width), ReLU(), Dense(width, 10)]
    net = Network(layers, SoftmaxCrossEntropy(), seed=0)
    optimizer = Adam(net, lr=1e-5)  # so small that the images are not memorized: their gradients would vanish
    epochs = train(net, optimizer, dataset, 10**6, batch, compiled=compiled, comm=comm)
    next(epochs)
    first = next(epochs).seconds  # the same on all ranks, as all of an Epoch
    times = [next(epochs).seconds / STEPS for _ in range(min(max(round(seconds / first), 3), 1000))]
    return statistics.median(times)


def sum_seconds(comm: Any, values: np.ndarray, seconds: float) -> float:
    """The median time in which the ranks sum an array."""
    from mpi4py import MPI

    def once() -> float:
        comm.Barrier()
        start = time.perf_counter()
        comm.Allreduce(MPI.IN_PLACE, values)
        return time.perf_counter() - start

    count = comm.bcast(min(max(round(seconds / max(once() for _ in range(3))), 3), 1000))
    return statistics.median([once() for _ in range(count)])


def parameters(width: int) -> int:
    """The number of weights and biases of 784-w-w-10."""
    return 785 * width + (width + 1) * width + (width + 1) * 10


def measure(seconds: float, widths: list[int], batches: list[int]) -> list[dict[str, Any]]:
    """All points of this number of ranks. One rank measures the pieces of the others as well."""
    from mpi4py import MPI

    comm, points = MPI.COMM_WORLD, []
    for width in widths:
        for batch in batches:
            point: dict[str, Any] = {"width": width, "batch": batch, "ranks": comm.size}
            if comm.size > 1:
                point["step"] = step_seconds(width, batch, seconds, comm)
                gradients = sum_seconds(comm, np.zeros(parameters(width), "float32"), seconds / 2)
                point["sums"] = gradients + sum_seconds(comm, np.zeros(batch + 1), seconds / 4)
            else:
                point["compiled"] = step_seconds(width, batch, seconds, compiled=True)
                point["parts"] = {str(n): step_seconds(width, batch // n, seconds) for n in RANKS}
            points.append(point)
    return points


# ---- what follows


def derived(one: dict[str, Any], several: dict[str, Any], cores: int) -> float:
    """The time of a step by several ranks of one machine, from its pieces."""
    ranks = several["ranks"]
    return float(one["parts"][str(ranks)] * max(ranks / cores, 1) + several["sums"])


def network_sum(nbytes: float, ranks: int, gigabits: float, latency: float) -> float:
    """Seconds in which ranks sum arrays over a network, by the better of two ways (Thakur, Rabenseifner & Gropp, 2005).

    Either each sends all of its array in each of log₂ R rounds, or they sum parts, and then gather them.
    """
    rounds, seconds = math.ceil(math.log2(ranks)), nbytes * 8 / (gigabits * 1e9)
    return min(rounds * (latency + seconds), 2 * rounds * latency + 2 * (ranks - 1) / ranks * seconds)


def speed_up(one: dict[str, Any], hosts: int, gigabits: float, latency: float) -> float:
    """How many times as fast several hosts of one rank are as one process with compiled steps."""
    sums = (4 * parameters(one["width"]), 8 * (one["batch"] + 1))
    over = sum(network_sum(nbytes, hosts, gigabits, latency) for nbytes in sums)
    return float(one["compiled"] / (one["parts"][str(hosts)] + over))


# ---- tables and plot


def print_tables(points: list[dict[str, Any]]) -> None:
    """The times here, measured and derived, and the speed-ups over networks."""
    alone = {(point["width"], point["batch"]): point for point in points if point["ranks"] == 1}
    rows, over = [], []
    for (width, batch), one in alone.items():
        row = [f"{width}, {batch}", milliseconds(one["compiled"]), milliseconds(one["parts"]["1"])]
        for point in points:
            if (point["width"], point["batch"]) == (width, batch) and point["ranks"] > 1:
                row.append(f"{milliseconds(point['step'])} ({milliseconds(derived(one, point, cores()))})")
        rows.append(row)
        times = [f"{speed_up(one, HOSTS, gigabits, latency):.2f}" for gigabits, latency in NETWORKS.items()]
        over.append([f"{width}, {batch}", f"{parameters(width):,}", *times])
    print("\nMilliseconds a step here, and in brackets as derived from the pieces:\n")
    print(markdown(["w, batch", "compiled, 1", *(f"{n} rank{'s' * (n > 1)}" for n in RANKS)], rows))
    print(f"\nHow many times as fast {HOSTS} hosts would be as one process with compiled steps, derived:\n")
    print(markdown(["w, batch", "parameters", *(f"{gigabits} Gbit/s" for gigabits in NETWORKS)], over))


def milliseconds(seconds: float) -> str:
    """Three digits."""
    return f"{1000 * seconds:#.3g}".rstrip(".")


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """Plot the speed-up of several hosts by the width, for each batch size and network."""
    from matplotlib.figure import Figure

    from datasets.plot import BLUE, GREEN, ORANGE

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(BATCHES), sharey=True)
    for axes, batch in zip(panels, BATCHES, strict=True):
        chosen = [point for point in points if point["ranks"] == 1 and point["batch"] == batch]
        for (gigabits, latency), colour, marker in zip(NETWORKS.items(), (ORANGE, BLUE, GREEN), "s^o", strict=True):
            ratios = [speed_up(one, HOSTS, gigabits, latency) for one in chosen]
            axes.plot([p["width"] for p in chosen], ratios, f"{marker}-", color=colour, label=f"{gigabits} Gbit/s")
        axes.axhline(1, color="0.4", linewidth=1, linestyle="--")
        axes.set(xscale="log", yscale="log", xlabel="w", title=f"784-w-w-10, batches of {batch}")
        axes.set_xticks([p["width"] for p in chosen], [str(p["width"]) for p in chosen])
        axes.set_yticks([0.1, 0.25, 0.5, 1, 2, 4], ["0.1", "0.25", "0.5", "1", "2", "4"])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"times as fast with {HOSTS} hosts")
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=88)


def started(ranks: int, smoke: bool) -> tuple[list[str], list[dict[str, Any]]]:
    """Measure by this number of ranks, each with one thread and the kernels that the BLAS chooses; says which."""
    env = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    env |= {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    env["PRTE_MCA_rmaps_default_mapping_policy"] = ":oversubscribe"  # else Open MPI starts no more than there are cores
    beside = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(beside) if beside.exists() else which("mpiexec") or sys.exit("mpiexec is missing: install mpich")
    worker = [sys.executable, "-m", "mpi4py", "-m", "benchmarks.ranks", "--worker", *["--smoke"] * smoke]
    done = subprocess.run([mpiexec, "-n", str(ranks), *worker], env=env, stdout=subprocess.PIPE, text=True, check=True)
    library, points = json.loads(done.stdout)
    return library, points


def main() -> None:
    p = argparse.ArgumentParser(description="Measure what training on several processes costs.")
    p.add_argument("--json", metavar="FILE", help="write all times to this file")
    p.add_argument("--plots", metavar="DIR", help="save ranks.png to this folder")
    p.add_argument("--smoke", action="store_true", help="test run of a few seconds; its figures mean nothing")
    p.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.worker:
        from mpi4py import MPI

        points = measure(0.01 if options.smoke else SECONDS, [32] if options.smoke else [*WIDTHS], [*BATCHES])
        if not MPI.COMM_WORLD.rank:
            print(json.dumps([blas(), points]))
        return
    facts, points = about(), []
    for ranks in RANKS:
        library, found = started(ranks, options.smoke)
        points += found
    print(header(facts, library))
    print_tables(points)
    if options.json:
        Path(options.json).write_text(json.dumps({"about": facts, "points": points}, indent=1) + "\n", encoding="utf-8")
    if options.plots:
        draw(points, Path(options.plots) / "ranks.png")


if __name__ == "__main__":
    main()
