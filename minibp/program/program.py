"""Program: trains and predicts with the compiled operations of a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from ..base import Array, check_finite
from ..data import Batches
from ..errors import InputError
from ..network import Network
from ..optimizer import Optimizer
from ..progress import Progress
from ..schedules import Constant
from .interpreter import address_of, run_table
from .products import blas
from .rows import inference_table, step_table
from .table import RUN, Table, address

LONG = 0.1  # seconds of a run, after which Python has its turn: for Ctrl-C, checkpoints, other threads
READABLE = ("uint8", "float32", "float64")  # what operations read as it is; other inputs are converted before a run
MOST_KINDS = 16  # shapes and sizes of batches whose tables are kept
MOST_SPARE = 32  # tables of a kind to keep for later predictions, one for each thread that predicts at a time


class Ready(NamedTuple):
    """A table, its rows for the interpreter, and the run that its operations share."""

    table: Table
    rows: np.ndarray
    run: np.ndarray


class Program:
    """The compiled operations of a network. It does not hold the network, which holds it as ``net.program``."""

    def __init__(self) -> None:
        self.batches_a_run = 1
        self.spare: dict[Any, list[Ready]] = {}  # for inference, what no thread uses now

    def train(
        self, net: Network, optimizer: Optimizer, batches: Batches, progress: Progress, every: int
    ) -> Iterator[None]:
        """Make one pass over the samples, or the rest of one, and yield after each run of steps.

        The losses are written to ``progress.losses``. If `every` is not 0, a run ends after each so many steps.
        """
        ready, size = None, batches.batch_size
        for x, t, order, done in batches.windows(net.rng, progress.steps):
            t = _targets(net, x, t)
            source = _source(net, x)
            if ready is None:
                ready = _ready(step_table(net, optimizer, source, x.shape[1:], t.ndim == 1, size))
            first = done * size
            while first < len(order):
                most = every - optimizer.steps % every if every else len(order)
                rates = self.rates(optimizer, min(most, -(-(len(order) - first) // size)))
                part = order[first : first + len(rates) * size]
                ready.run["step"] = optimizer.steps
                ready.run["losses"] = address(progress.losses) + progress.samples * net.dtype.itemsize
                self.run(ready, x, t, part, rates, size, source)
                for i, layer in ready.table.counters.items():
                    layer.__dict__["step"] = int(ready.rows["step"][i])  # not an assignment by a user: no check
                optimizer.__dict__.update(steps=optimizer.steps + len(rates), rate=float(rates[-1]))
                progress.steps, progress.samples = progress.steps + len(rates), progress.samples + len(part)
                first += len(part)
                yield

    def rates(self, optimizer: Optimizer, most: int) -> np.ndarray:
        """The rates of the steps of the next run, which are at most so many."""
        count, steps = min(most, self.batches_a_run), optimizer.steps
        if type(optimizer.schedule) is Constant:
            return np.full(count, optimizer.lr)
        rates = [optimizer.rate_after(steps)]
        with suppress(Exception):  # of a user's schedule: it comes again when the steps before have been made
            for step in range(steps + 1, steps + count):
                rates.append(optimizer.rate_after(step))
        return np.array(rates)

    def predict(self, net: Network, x: Array, batch_size: int) -> Array:
        """Outputs (N, K) for inputs that `check_inputs` has passed."""
        if x.dtype.kind == "f":
            check_finite(x, "x", InputError, "clean it first, e.g. by numpy.nan_to_num(x)", net.dtype)
        return self.infer(net, x.reshape(len(x), *net.sample_shape(x.shape)), None, batch_size)[0]

    def infer(self, net: Network, x: Array, t: Array | None, batch_size: int) -> tuple[Array, Array]:
        """Outputs (N, K) for checked inputs x, and the losses (N,), if there are targets t."""
        k, source = net.output_size(x.shape), _source(net, x)
        t = None if t is None else _targets(net, x, t)
        size, labels = batch_size if len(x) > 1 else 1, None if t is None else t.ndim == 1
        outputs, losses = np.empty((len(x), k), net.dtype), np.empty(0 if t is None else len(x), net.dtype)
        spare = self._spare(address(net.params), source, x.shape[1:], labels, size)
        try:
            ready = spare.pop()
            current = ready.table.is_current()
        except IndexError:  # the first prediction, or other threads have them
            current = False
        if not current:
            ready = _ready(inference_table(net, source, x.shape[1:], labels, size))
        done, order, itemsize = 0, np.arange(len(x)), net.dtype.itemsize
        while done < len(x):
            rates = np.zeros(min(self.batches_a_run, -(-(len(x) - done) // size)))
            part = order[done : done + len(rates) * size]
            ready.run["outputs"] = address(outputs) + done * k * itemsize
            ready.run["losses"] = address(losses) + done * itemsize
            self.run(ready, x, t, part, rates, size, source)
            done += len(part)
        if len(spare) < MOST_SPARE:
            spare.append(ready)
        return outputs, losses

    def _spare(self, *kind: Any) -> list[Ready]:
        """The tables of this kind that no thread uses now."""
        if kind not in self.spare and len(self.spare) >= MOST_KINDS:
            self.spare.clear()
        return self.spare.setdefault(kind, [])

    def run(self, ready: Ready, x: Array, t: Array | None, order: Array, rates: Array, size: int, source: str) -> None:
        """Run the table for the samples of this order, one batch for each rate, and see how long it takes."""
        if str(x.dtype) != source or not (x.flags.c_contiguous and x.flags.aligned):
            x, t, order = x[order].astype(source, order="C"), None if t is None else t[order], np.arange(len(order))
        run, start = ready.run, time.perf_counter()
        run["inputs"], run["order"], run["samples"], run["first"] = address(x), address(order), len(x), 0
        run["targets"] = 0 if t is None else address(t)
        run_table(ready.rows, run, rates, len(order), size)
        seconds = time.perf_counter() - start
        if seconds > LONG:
            self.batches_a_run = max(1, self.batches_a_run // 2)
        elif seconds < LONG / 4 and len(rates) == self.batches_a_run:
            self.batches_a_run *= 2


def _ready(table: Table) -> Ready:
    run = np.zeros(1, RUN)
    run["gemm"], run["wide"] = blas(str(table.dtype))
    return Ready(table, table.rows(address_of), run)


def _source(net: Network, x: Array) -> str:
    """The dtype that operations read these inputs in."""
    return str(x.dtype) if str(x.dtype) in READABLE else str(net.dtype)


def _targets(net: Network, x: Array, t: Array) -> Array:
    """Targets as operations read them: labels as int64, or rows in the dtype of the network."""
    if t.ndim == 1 and net.output_size(x.shape) > 1:
        return np.ascontiguousarray(t, "int64")
    return np.ascontiguousarray(t.reshape(len(t), -1), net.dtype)
