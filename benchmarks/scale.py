"""Time of a training step, and memory, by width, depth, batch and data: python -m benchmarks.scale

    python -m benchmarks.scale --json FILE --plots DIR
    python -m benchmarks.scale --smoke

Each point runs in a process of its own. Each result is shown with its limit: the time of the matrix products alone,
measured in turns with the steps, and the memory of parameters, gradients, both moments of Adam and the values of one
batch. `above` is the peak memory less the memory that the process held before it built the network (Python, minibp, the
compiled operations, the data). The last table shows whether memory grows with the number of steps. The run takes four
minutes. --plots needs the extra `plot`.
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
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibp import Adam, Dense, Network, ReLU, SoftmaxCrossEntropy, train
from minibp.data import Dataset
from minibp.optimizer import FLUSH_EVERY

from .accuracy import machine

PIXELS, CLASSES = 784, 10
ROWS = 32768  # of the data, in the tables that do not vary it
COMPILED = find_spec("numba") is not None
RATE = 1e-5  # so small that the network does not memorize even 1,024 images, whose gradients would vanish
SECONDS, ROUND = 3.0, 0.2  # time of a point, and of each of its rounds: steps, then products, then steps, ...
BLOCKS = 3  # blocks of products per round: for a million images there is only one round
MIB = 2**20

Measured = dict[str, Any]


class Point(NamedTuple):
    """One network, batch size and data set. x is the quantity that its table varies."""

    table: str
    x: int
    hidden: tuple[int, ...] = (512, 512)
    batch: int = 128
    rows: int = ROWS
    seconds: float = SECONDS
    loads: bool = True  # loads numba, as a longer training does

    @property
    def sizes(self) -> tuple[int, ...]:
        return (PIXELS, *self.hidden, CLASSES)


def points(smoke: bool) -> list[Point]:
    """All points, table by table."""
    rest: dict[str, Any] = {"seconds": 0.02, "rows": 4096, "loads": False} if smoke else {}
    few = 2 if smoke else None
    return [
        *(Point("width", w, (w, w), **rest) for w in (64, 128, 256, 512, 1024, 2048, 4096)[:few]),
        *(Point("depth", d, (512,) * d, **rest) for d in (1, 2, 3, 4, 5, 6, 7, 8)[:few]),
        *(Point("batch", n, batch=n, **rest) for n in (1, 4, 16, 64, 256, 1024, 4096)[:few]),
        # Multiples of the batch size, because a shorter last batch would count as a whole step.
        *(Point("data", n, **{**rest, "rows": n}) for n in (1024, 10240, 102400, 1024000)[:few]),
        Point("steps", 0, batch=8, **rest),  # the batch size of `settle`, so that all steps are equal
    ]


# ---- the limit


def least_bytes(sizes: Sequence[int], batch: int) -> int:
    """Parameters, gradients, two moments, and for one batch the inputs, all outputs and their gradients."""
    parameters = sum((i + 1) * o for i, o in pairwise(sizes))
    return 4 * (4 * parameters + batch * (sizes[0] + 2 * sum(sizes[1:])))


def products(sizes: Sequence[int], batch: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(a, b, out) of each matrix product of a step: y = x W, dW = xᵀ dy, and dx = dy Wᵀ except in the first layer."""
    rng = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, "float32")

    ys, dys = ([matrix(batch, size) for size in sizes] for _ in range(2))
    Ws, dWs = ([matrix(i, o) for i, o in pairwise(sizes)] for _ in range(2))
    layers = range(len(Ws))
    forward = [(ys[i], Ws[i], ys[i + 1]) for i in layers]
    backward = [[(ys[i].T, dys[i + 1], dWs[i]), (dys[i + 1], Ws[i].T, dys[i])] for i in reversed(layers)]
    return forward + [product for pair in backward for product in pair][:-1]


# ---- one point, in a process of its own


def images(rows: int) -> Dataset:
    """Images that are hard to tell apart: a faint pattern for each class in noise, and three in ten labels random.

    With such data the network does not memorize images and no units die, so that steps do not become cheaper.
    """
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 16, (CLASSES, PIXELS), "uint8")
    labels = rng.integers(0, CLASSES, rows)
    x = np.empty((rows, PIXELS), "uint8")
    for start in range(0, rows, 1024):  # in pieces, so that only the data themselves take memory
        piece = slice(start, start + 1024)
        x[piece] = rng.integers(0, 240, x[piece].shape, "uint8")
        x[piece] += patterns[labels[piece]]
    wrong = rng.random(rows) < 0.3
    labels[wrong] = rng.integers(0, CLASSES, wrong.sum())
    return Dataset(x, labels)


class Training:
    """A network, its optimizer and its data."""

    def __init__(self, sizes: Sequence[int], dataset: Dataset):
        hidden = [layer for i, o in pairwise(sizes[:-1]) for layer in (Dense(i, o), ReLU())]
        self.net = Network([*hidden, Dense(sizes[-2], sizes[-1])], SoftmaxCrossEntropy())
        self.optimizer, self.dataset = Adam(self.net, lr=RATE), dataset

    def epochs(self, steps: int, batch: int, count: int) -> Callable[[], float]:
        """A function that trains for an epoch of this many steps and returns the seconds per step."""
        data = self.dataset[: steps * batch]
        trained = train(self.net, self.optimizer, data, count, batch, compiled=COMPILED)
        return lambda: next(trained).seconds / steps

    def settle(self, batch: int) -> None:
        """Train until everything is loaded and allocated: the operations, and the memory for flushing moments."""
        wanted = FLUSH_EVERY + 1
        steps = min(wanted, len(self.dataset) // batch)
        epoch, count = self.epochs(steps, batch, wanted), math.ceil(wanted / steps)
        for _ in range(count):
            epoch()


def memory(name: str = "VmHWM") -> int:
    """Peak memory of this process in bytes, or with "VmRSS" its current memory if the system tells it."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the memory of the parent at the start of this process
        (line,) = (line for line in status.read_text().splitlines() if line.startswith(name))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(point: Point) -> Measured:
    """Measure time and memory of one point."""
    imported = memory("VmRSS")
    dataset = images(point.rows)
    loaded = np.ones((512, 512), "float32")
    np.matmul(loaded, loaded)  # allocates the buffers of the BLAS
    if point.loads:
        Training((PIXELS, 16, CLASSES), dataset).settle(1)
    del loaded
    base = memory("VmRSS")
    training = Training(point.sizes, dataset)
    built = memory()
    if point.loads:
        training.settle(min(point.batch, 8))  # few samples are enough
    result: Measured = {"imported": imported, "base": base, "data": dataset.x.nbytes + dataset.t.nbytes}
    measured = grow if point.table == "steps" else compare
    return result | measured(point, training) | {"built": built, "least": least_bytes(point.sizes, point.batch)}


def compare(point: Point, training: Training) -> Measured:
    """Seconds of a step and of its products, in turns, and the peak memory before the products."""
    trial = training.epochs(3, min(point.batch, point.rows // 3), 2)
    seconds = max(min(trial(), trial()), 1e-6)
    most = point.rows // point.batch
    # In the table of data sizes, an epoch uses all of them.
    steps = most if point.table == "data" else min(max(round(ROUND / seconds), 2), most)
    turns = max(min(round(ROUND / seconds), steps) // BLOCKS, 1)
    epoch = training.epochs(steps, point.batch, 10**6)
    start = time.perf_counter()
    stepped, bare = [epoch()], []
    peak = memory()
    work = products(point.sizes, point.batch)

    def bare_seconds() -> float:
        start = time.perf_counter()
        for _ in range(turns):
            for a, b, out in work:
                np.matmul(a, b, out=out)
        return (time.perf_counter() - start) / turns

    bare_seconds()
    while True:
        bare += [bare_seconds() for _ in range(BLOCKS)]
        spent = time.perf_counter() - start
        if spent > point.seconds and (len(stepped) >= 3 or spent > 3 * point.seconds):
            break
        stepped.append(epoch())
    return {"peak": peak, "steps": stepped, "products": bare}


def grow(point: Point, training: Training) -> Measured:
    """Peak memory after the first steps, and after ten times as many."""
    if not point.loads:
        training.epochs(10, point.batch, 1)()  # so few that the loops are never loaded
    made, peak = training.optimizer.steps, memory()
    epoch = training.epochs(made, point.batch, 9)
    for _ in range(9):
        epoch()
    return {"peak": peak, "later": memory(), "made": made, "made_later": training.optimizer.steps}


def in_child(point: Point) -> Measured:
    """Measure a point in a new process, with the default kernels of the BLAS."""
    env = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    command = [sys.executable, "-m", "benchmarks.scale", "--point", json.dumps(point)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    result: Measured = json.loads(done.stdout)
    return {"table": point.table, "x": point.x, "sizes": point.sizes, "batch": point.batch, "rows": point.rows} | result


# ---- tables and plots

HEADS = {
    "width": f"Width: {PIXELS}-w-w-{CLASSES}, batches of 128",
    "depth": "Depth: hidden layers of 512, batches of 128",
    "batch": f"Batch: {PIXELS}-512-512-{CLASSES}",
    "data": f"Data: {PIXELS}-512-512-{CLASSES}, batches of 128",
}


def times(result: Measured) -> tuple[float, float]:
    """Median time of a step and of its products, in microseconds."""
    return 1e6 * statistics.median(result["steps"]), 1e6 * statistics.median(result["products"])


def above(result: Measured, peak: str = "peak") -> float:
    """The peak memory above that before the network was built, in MiB."""
    return (result[peak] - result["base"]) / MIB


def print_table(name: str, results: Sequence[Measured]) -> None:
    """Print a table in Markdown."""
    print(f"\n### {HEADS[name]}\n")
    print(f"| {name} | µs a step | µs of the products | ratio | peak MiB | less the data | above MiB | least MiB |")
    print("|--:" * 8 + "|")
    for result in results:
        step, bare = times(result)
        peak, rest = result["peak"] / MIB, (result["peak"] - result["data"]) / MIB
        print(f"| {result['x']:,} | {step:,.0f} | {bare:,.0f} | {step / bare:.2f} ", end="")
        print(f"| {peak:,.0f} | {rest:,.0f} | {above(result):,.1f} | {result['least'] / MIB:,.1f} |", flush=True)


def print_growth(result: Measured) -> None:
    """Print the table of memory by the number of steps."""
    print(f"\n### Steps: {PIXELS}-512-512-{CLASSES}, batches of {result['batch']}\n\n| steps | peak MiB | above MiB |")
    print("|--:" * 3 + "|")
    for made, peak in (("made", "peak"), ("made_later", "later")):
        print(f"| {result[made]:,} | {result[peak] / MIB:,.1f} | {above(result, peak):,.1f} |")


def about() -> dict[str, Any]:
    """The date, the machine and the versions of the measurement."""
    loops = version("numba") if COMPILED else "none"
    return {"date": date.today().isoformat(), **machine(), "numba": loops, "processors": os.cpu_count()}


def draw(results: Sequence[Measured], path: str) -> None:
    """Plot step time and memory of each table, with their limits."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    from datasets.plot import BLUE, ORANGE

    figure = Figure(figsize=(12, 5.6), layout="constrained")
    panels = figure.subplots(2, len(HEADS), sharey="row")
    for column, name in enumerate(HEADS):
        chosen = [result for result in results if result["table"] == name]
        xs = [result["x"] for result in chosen]
        steps, bare = zip(*map(times, chosen), strict=True)
        used, least = [above(result) for result in chosen], [result["least"] / MIB for result in chosen]
        rows = ((steps, bare, "products alone", duration), (used, least, "least", "{:g} MiB".format))
        for axes, (ours, limit, label, units) in zip(panels[:, column], rows, strict=True):
            axes.plot(xs, ours, "o-", color=BLUE, markersize=4, label="minibp")
            axes.plot(xs, limit, "s--", color=ORANGE, markersize=3.5, label=label)
            axes.set(xscale="log", yscale="log")
            axes.set_xticks(xs, map(short, xs), fontsize="small")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _, units=units: units(value)))
            axes.tick_params(axis="y", labelsize="small", length=0 if column else 3.5)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        head, what = HEADS[name].split(": ")
        panels[0, column].set_title(f"{head}\n{what}", fontsize="medium")
        panels[1, column].set_xlabel({"depth": "hidden layers", "data": "images"}.get(name, name))
    for axes, label in zip(panels[:, 0], ("time of a step", "peak memory of training"), strict=True):
        axes.set_ylabel(label)
        axes.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=88)


def duration(microseconds: float) -> str:
    """A label such as 50 µs or 2 ms."""
    return f"{microseconds:g} µs" if microseconds < 1000 else f"{microseconds / 1000:g} ms"


def short(value: float) -> str:
    """A label such as 4096, 10k or 1M."""
    if value >= 1e6:
        return f"{value / 1e6:.0f}M"
    return f"{value / 1e3:.0f}k" if value >= 1e4 else f"{value:g}"


def main() -> None:
    p = argparse.ArgumentParser(description="Measure time and memory by width, depth, batch and data.")
    p.add_argument("--json", metavar="FILE", help="write every round to this file")
    p.add_argument("--plots", metavar="DIR", help="save scale.png to this folder")
    p.add_argument("--smoke", action="store_true", help="test run of a few seconds; its figures mean nothing")
    p.add_argument("--point", help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.point:
        print(json.dumps(measure(Point(*json.loads(options.point)))))
        return

    facts = about()
    results: list[Measured] = []
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    todo = points(options.smoke)
    if not options.smoke:
        in_child(todo[0]._replace(seconds=0))  # compiles the operations into the cache for the others
    for name in HEADS:
        done = [in_child(point) for point in todo if point.table == name]
        results += done
        print_table(name, done)
    results.append(in_child(todo[-1]))
    print_growth(results[-1])
    held = [statistics.median(result[name] for result in results) / MIB for name in ("imported", "base", "data")]
    print(f"\nA process that has imported minibp holds {held[0]:.0f} MiB,", end=" ")
    print(f"with the compiled operations and the buffers of the BLAS {held[1] - held[2]:.0f} MiB (medians).")
    if options.json:
        Path(options.json).write_text(json.dumps(facts | {"points": results}, indent=1) + "\n", encoding="utf-8")
    if options.plots:
        draw(results, str(Path(options.plots) / "scale.png"))


if __name__ == "__main__":
    main()
