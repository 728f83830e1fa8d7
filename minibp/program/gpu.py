"""GpuProgram: trains a network on a GPU by few launches a step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..backend import upload
from ..base import Array
from ..data import Batches
from ..network import Network
from ..optimizer import Optimizer
from ..progress import Progress
from .kernels import RUN, STEP, load
from .launches import Launch, launches
from .rows import step_table
from .runs import rates_of_run, readable_targets, source_dtype
from .table import Table, UnknownError, address

MOST_STEPS = 256  # of a run, after which Python has its turn: for Ctrl-C and checkpoints
STAGED = 32 << 20  # bytes of inputs to bring into order at a time, if kernels cannot read them where they lie


class Part(NamedTuple):
    """The samples of a run on the GPU, and their order. `totals` are the sums of the weights of its batches."""

    x: Array
    t: Array
    weights: Array | None
    order: Array
    totals: np.ndarray


class Samples:
    """The samples of a window of `Batches`, in the forms that kernels read."""

    def __init__(self, net: Network, window: Any, batch_size: int):
        xp, x = net.xp, window.x
        self.xp, self.size, self.host_order, self.host_weights = xp, batch_size, window.order, window.weights
        self.x, self.source, self.t = x, source_dtype(net, x), readable_targets(net, x, window.t)
        self.there = isinstance(x, xp.ndarray) and x.dtype == self.source and x.flags.c_contiguous
        self.weights = None if window.weights is None else upload(window.weights.astype(net.dtype), xp)
        self.order = upload(window.order, xp)
        staged = STAGED // (batch_size * (x[:1].size * np.dtype(self.source).itemsize + 1))
        self.most = MOST_STEPS if self.there else max(1, min(staged, MOST_STEPS))

    def __len__(self) -> int:
        return len(self.order)

    def part(self, start: int, steps: int) -> Part:
        """The samples of so many steps, from this number on.

        Those that lie on the host, or in a form that kernels do not read, are gathered here, in their order.
        """
        rows = slice(start, start + steps * self.size)
        order, here = self.order[rows], self.host_order[rows]
        counted = np.ones(len(here)) if self.host_weights is None else self.host_weights[here]
        totals = np.add.reduceat(counted, range(0, len(here), self.size))
        if self.there:
            return Part(self.x, self.t, self.weights, order, totals)
        on_device = isinstance(self.x, self.xp.ndarray)
        x = self.x[order] if on_device else upload(np.ascontiguousarray(self.x[here], self.source), self.xp)
        x = self.xp.ascontiguousarray(x, self.source)
        weights = None if self.weights is None else self.weights[order]
        return Part(x, self.t[order], weights, self.xp.arange(len(here)), totals)


class GpuProgram:
    """The steps of a network on a GPU. Predictions and evaluations run the formulas."""

    predicts = False

    def __init__(self) -> None:
        self.kind: Any = None  # what the table is for
        self.table: Any = None
        self.launches: dict[int, tuple[list[Launch], list[Launch]]] = {}  # by the size of the batch

    def runs(self, net: Network) -> bool:
        """Whether the kernels can be had where the network is now."""
        try:
            return net.backend == "cupy" and bool(load(net.xp, net.dtype))
        except UnknownError:
            return False

    def train(
        self, net: Network, optimizer: Optimizer, batches: Batches, progress: Progress, every: int, average: Any
    ) -> Iterator[None]:
        """Make one pass over the samples, or the rest of one, and yield after each run of steps."""
        size = batches.batch_size
        for window in batches.windows(net.rng, progress.steps):
            samples, first = Samples(net, window, size), window.done * size
            while first < len(samples):
                most = min(samples.most, every - optimizer.steps % every) if every else samples.most
                rates = rates_of_run(optimizer, min(most, -(-(len(samples) - first) // size)))
                part = samples.part(first, len(rates))
                self.run(net, optimizer, average, part, size, rates, progress.losses[progress.samples :])
                progress.steps += len(rates)
                progress.samples += len(part.order)
                first += len(part.order)
                yield

    def run(
        self, net: Network, optimizer: Optimizer, average: Any, part: Part, size: int, rates: np.ndarray, losses: Array
    ) -> None:
        """Make a step for each batch of these samples; one in which no sample counts is left out."""
        table, xp = self.table_for(net, optimizer, average, part, size), net.xp
        steps = xp.asarray(step_numbers(table, optimizer, rates, part.totals[part.totals > 0]))
        run, scale = np.zeros((), RUN), xp.ones(1, "float64")
        places = {"targets" if part.t.ndim > 1 else "labels": part.t, "inputs": part.x, "order": part.order}
        places |= {"losses": losses, "steps": steps, "scale": scale, "weights": part.weights}
        for name, values in places.items():
            run[name] = 0 if values is None else address(values)
        run["samples"], made = len(part.x), 0
        counted = [owner().step for owner in table.counters]
        try:
            for first, total in zip(range(0, len(part.order), size), part.totals, strict=True):
                n = min(size, len(part.order) - first)
                run["first"], run["n"], run["step"] = first, n, made
                if total > 0:
                    if n not in self.launches:
                        self.launches[n] = launches(table, n, load(xp, table.dtype))
                    gradients, updates = self.launches[n]
                    launch(gradients, run, counted, xp)
                    made += 1  # before the updates, of which a part may have been made when Ctrl-C comes
                    launch(updates, run, counted, xp)
                else:
                    losses[first : first + n] = 0
        finally:  # also after Ctrl-C
            optimizer.__dict__.update(steps=optimizer.steps + made, rate=float(rates[max(made - 1, 0)]))
            for before, owner in zip(counted, table.counters, strict=True):
                owner().__dict__["step"] = before + made  # no check: not a user's assignment

    def table_for(self, net: Network, optimizer: Optimizer, average: Any, part: Part, size: int) -> Table:
        """The table of such a step: the last one, if it still holds."""
        vectors = [net.params, net.grads, net.buffers, *optimizer.moments]
        vectors += [average.params, average.buffers] if average is not None else []
        form = part.x.dtype, part.x.shape[1:], part.t.ndim == 1, part.weights is not None, size
        if (*form, *map(address, vectors)) != self.kind or not self.table.is_current():
            self.table, self.launches = step_table(net, optimizer, average, *form), {}
            self.kind = *form, *map(address, vectors)
        return self.table


def step_numbers(table: Table, optimizer: Optimizer, rates: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """The numbers of the next steps, a line of `STEP` for each."""
    steps = np.zeros(len(totals), STEP)
    steps["rate"], steps["total"] = rates[: len(steps)], totals
    adam = next((row for row in table.backward if row["operation"] in ("adam", "adamw")), None)
    if adam is not None:  # a and e, as `Adam` derives them
        t, beta1, beta2 = optimizer.steps + 1 + np.arange(len(steps)), adam["number"], adam["beta2"]
        r = np.sqrt((1 - beta2) / (1 - beta2**t))
        steps["a"] = steps["rate"] * (1 - beta1) / (1 - beta1**t) / r
        steps["e"] = adam["eps"] / (np.sqrt(1 - beta2) if adam.get("raw_eps") else r)
    return steps.view("float64")


def launch(them: list[Launch], run: np.ndarray, counted: list[int], xp: Any) -> None:
    """Launch these. `counted` are the steps of the counters before the run."""
    for kernel, grid, block, row, counter, product in them:
        if product is not None:
            a, b, out = product
            xp.matmul(a, b, out=out)
            continue
        if counter:
            row["step"] = counted[counter - 1]
        kernel(grid, block, (row, run))
