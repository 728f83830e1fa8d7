"""Program: trains and predicts with the compiled operations of a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..base import Array, all_finite, check_finite
from ..data import Batches
from ..errors import InputError
from ..network import Network
from ..optimizer import Optimizer
from ..progress import Progress
from .interpreter import address_of, run_table
from .products import blas
from .rows import inference_table, step_table
from .runs import rates_of_run, readable_targets, source_dtype
from .table import RUN, Table, address

LONG = 0.1  # seconds of a run, after which Python has its turn: for Ctrl-C, checkpoints, other threads
NONE = np.empty((0, 0), "float32")  # outputs, where nobody asks for them
MOST_KINDS = 16  # shapes and sizes of batches whose runners are kept
MOST_SPARE = 32  # runners of a kind to keep for later predictions, one for each thread that predicts at a time


class Runner:
    """Runs a table, batch after batch, so many at a time that a run takes about a tenth of a second.

    Attributes
    ----------
    run : array of one record
        What the operations share, see `RUN`.
    most : int
        The batches of the next run.
    counters : list of (numbers of rows, weak reference to an object)
        What counts its steps, and where: the first of these rows does, and its gradient does not.
    """

    def __init__(self, table: Table, source: np.dtype, batch_size: int):
        self.table, self.source, self.batch_size, self.most = table, source, batch_size, 1
        self.rows, self.run = table.rows(address_of), np.zeros(1, RUN)
        self.counters = [(np.flatnonzero(self.rows["counter"] == i), each) for i, each in enumerate(table.counters, 1)]
        self.run["gemm"], self.run["wide"] = blas(str(table.dtype))

    def __call__(
        self, x: Array, t: Array | None, w: Array | None, order: Array, rates: Array, losses: Array, outputs: Array
    ) -> None:
        """Run the table for the samples of this order, one batch for each rate."""
        start = time.perf_counter()
        if x.dtype != self.source or not (x.flags.c_contiguous and x.flags.aligned):
            x = x[order].astype(self.source, order="C", copy=False)
            t, w = _part(t, order), _part(w, order)
            order = np.arange(len(order))
        order = np.ascontiguousarray(order, "int64")
        places = address(x), 0 if t is None else address(t), 0 if w is None else address(w)
        run_table(self.rows, self.run, *places, len(x), order, self.batch_size, rates, losses, outputs)
        seconds = time.perf_counter() - start
        if seconds > LONG:
            self.most = max(1, self.most // 2)
        elif seconds < LONG / 4 and len(rates) == self.most:
            self.most *= 2


class Program:
    """The compiled operations of a network. It does not hold the network, which holds it as ``net.program``."""

    predicts = True  # and evaluates

    def __init__(self) -> None:
        self.spare: dict[Any, list[Runner]] = {}  # by what they are for; no thread uses them now

    def runs(self, net: Network) -> bool:
        """Whether the network is where the operations are."""
        return net.backend == "numpy"

    def train(
        self, net: Network, optimizer: Optimizer, batches: Batches, progress: Progress, every: int, average: Any
    ) -> Iterator[None]:
        """Make one pass over the samples, or the rest of one, and yield after each run of steps.

        The losses are written to ``progress.losses``. If `every` is not 0, a run ends after each so many steps.
        """
        size, arrays = batches.batch_size, [net.params, *optimizer.moments]
        arrays += [average.params, average.buffers] if average is not None else []
        for x, t, w, order, done in batches.windows(net.rng, progress.steps):
            t, w = readable_targets(net, x, t), None if w is None else np.ascontiguousarray(w, net.dtype)
            source, shape, labels, weighted = source_dtype(net, x), x.shape[1:], t.ndim == 1, w is not None
            kind = source, size, shape, labels, weighted, *map(address, arrays)
            runner = self.take(kind, step_table, net, optimizer, average, source, shape, labels, weighted, size)
            for rows, owner in runner.counters:
                runner.rows["step"][rows] = owner().step
            first = done * size
            while first < len(order):
                most = every - optimizer.steps % every if every else runner.most
                rates = rates_of_run(optimizer, min(most, runner.most, -(-(len(order) - first) // size)))
                part = order[first : first + len(rates) * size]
                runner.run["step"] = before = optimizer.steps
                try:
                    runner(x, t, w, part, rates, progress.losses[progress.samples :], NONE)
                finally:  # also after Ctrl-C
                    made = int(runner.run["step"][0]) - before
                    optimizer.__dict__.update(steps=before + made, rate=float(rates[max(made - 1, 0)]))
                    for rows, owner in runner.counters:
                        owner().__dict__["step"] = int(runner.rows["step"][rows[0]])  # no check, no user assigns
                progress.steps, progress.samples = progress.steps + len(rates), progress.samples + len(part)
                first += len(part)
                yield
            self.give(kind, runner)

    def predict(self, net: Network, x: Array, batch_size: int) -> Array:
        """Outputs (N, K) for inputs that `check_inputs` has passed."""
        if x.dtype.kind == "f" and not (x.dtype == net.dtype and all_finite(np, x)):  # which is fast
            check_finite(x, "x", InputError, "clean it first, e.g. by numpy.nan_to_num(x)", net.dtype)
        return self.infer(net, x.reshape(len(x), *net.sample_shape(x.shape)), None, batch_size)[0]

    def infer(self, net: Network, x: Array, t: Array | None, batch_size: int) -> tuple[Array, Array]:
        """Outputs (N, K) for checked inputs x, and the losses (N,), if there are targets t."""
        n, k, source = len(x), net.output_size(x.shape), source_dtype(net, x)
        t = None if t is None else readable_targets(net, x, t)
        size, labels = batch_size if n > 1 else 1, None if t is None else t.ndim == 1
        outputs, losses = np.empty((n, k), net.dtype), np.empty(0 if t is None else n, net.dtype)
        kind = source, size, x.shape[1:], labels, address(net.params)
        runner = self.take(kind, inference_table, net, source, x.shape[1:], labels, size)
        order, done = np.arange(n), 0
        while done < n:
            rates = np.zeros(min(runner.most, -(-(n - done) // size)))
            part = order[done : done + len(rates) * size]
            runner(x, t, None, part, rates, losses[done:], outputs[done:])
            done += len(part)
        self.give(kind, runner)
        return outputs, losses

    def take(self, kind: Any, table: Callable[..., Table], *arguments: Any) -> Runner:
        """A runner of this kind that no other thread has: a spare one, or a new one of ``table(*arguments)``.

        The kind is the dtype of the inputs, the batch size, and what else the rows depend on.
        """
        try:
            runner = self.spare[kind].pop()
            if runner.table.is_current():
                return runner
        except LookupError:  # the first of its kind, or other threads have them
            pass
        return Runner(table(*arguments), *kind[:2])

    def give(self, kind: Any, runner: Runner) -> None:
        """Keep a runner for the next one who takes one of this kind."""
        if kind not in self.spare and len(self.spare) >= MOST_KINDS:
            self.spare.clear()
        spare = self.spare.setdefault(kind, [])
        if len(spare) < MOST_SPARE:
            spare.append(runner)


def _part(values: Array | None, order: Array) -> Array | None:
    return None if values is None else values[order]
