"""Batches: a data set cut into batches, gathered, scaled, and on the array library of the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..backend import free_memory, gather, scalar, to_library, upload
from ..base import Array, Weights, check_finite, relative_weights
from ..errors import InputError
from .dataset import Dataset

BLOCK = 256  # samples to gather and scale at a time, if batches are smaller: fewer calls, and within the cache
BYTES_ON_DEVICE = 32 << 20  # of such a block on a device, where calls are more expensive: 8,000 MNIST images
READ_BLOCK = 1 << 20  # bytes of a memory map to read at a time: enough for a disk to be fast
SHUFFLE_WINDOW = 64 << 20  # bytes of blocks whose samples are mixed, at least two blocks: 85,000 MNIST images


class Window(NamedTuple):
    """Samples, and an order of them: batches are x[order], t[order], weights[order], without the first `done`."""

    x: Array
    t: Array
    weights: np.ndarray | None
    order: np.ndarray
    done: int = 0


class Batches:
    """A data set in batches: inputs x, scaled and in the dtype of the network, and targets t, on its array library.

    `net` is a Network. It decides the dtype, the library and the shapes.

    The whole data set goes to the device once, unchanged (uint8 is a quarter of float32), and is gathered and scaled
    there. A set that takes more than half of the free memory stays on the host and goes to the device block by block.
    Small batches are gathered several at a time, into memory that is reused: a batch is valid until the next one.

    An InputError, ShapeError or TargetError if the data do not fit the network.
    """

    def __init__(self, net: Any, dataset: Dataset, batch_size: int):
        n, xp = len(dataset), net.xp
        self.net, self.dataset, self.batch_size = net, dataset, min(batch_size, n)
        self.xp, self.dtype, self.device = xp, net.dtype, net.device
        if dataset.x.dtype.itemsize > net.dtype.itemsize:
            check_finite(dataset.x, "x", InputError, "scale inputs to about -1..1", net.dtype)
        with net.device:
            self._send(net, dataset)

    def _send(self, net: Any, dataset: Dataset) -> None:
        n, xp = len(dataset), self.xp
        self.t = net.prepare_targets(dataset.t, n, net.output_size(dataset.x.shape))
        self.x = dataset.x.reshape(n, *net.sample_shape(dataset.x.shape))
        raw = self.x.nbytes // n  # bytes of a sample as it is, and
        both = raw + self.x[0].size * net.dtype.itemsize  # with its scaled copy
        block = BLOCK if xp is np else BYTES_ON_DEVICE // both
        self.block = min(n, max(self.batch_size, block // self.batch_size * self.batch_size))
        fits = self.x.nbytes + self.block * both <= free_memory(xp) / 2
        is_array = isinstance(self.x, np.ndarray)  # else it gives arrays, of the rows that are taken from it
        self.gather_on = xp if fits and is_array else np  # the library that gathers
        self.read_block = max(1, READ_BLOCK // raw // self.batch_size) * self.batch_size  # samples to read at a time
        self.shuffle_window = max(2, SHUFFLE_WINDOW // (self.read_block * raw))  # blocks whose samples are mixed
        fits = n <= self.shuffle_window * self.read_block
        self.mapped = isinstance(self.x, np.memmap) and self.gather_on is np and not fits
        self.x = upload(self.x, self.gather_on) if is_array else self.x
        shape = (self.block, *self.x.shape[1:])
        self.raw, self.scaled = self.gather_on.empty(shape, self.x.dtype), xp.empty(shape, net.dtype)
        self.scale = scalar(1 / 255, xp, net.dtype) if self.x.dtype == np.uint8 else None
        self.weights = None if dataset.weights is None else relative_weights(dataset.weights)

    def __len__(self) -> int:
        return len(self.x)

    def sync(self) -> Batches:
        """These batches on the library and in the dtype that the network has now: created again if it has moved."""
        net = self.net
        same = (self.xp, self.dtype, self.device) == (net.xp, net.dtype, net.device)
        return self if same else Batches(net, self.dataset, self.batch_size)

    def __call__(self, order: np.ndarray) -> Iterator[tuple[Any, ...]]:
        """Batches (x, t) of the samples with these numbers, in this order; (x, t, weights) if the samples have any."""
        return self.cut(Window(self.x, self.t, self.weights, order))

    def shuffled(self, rng: np.random.Generator, done: int = 0) -> Iterator[tuple[Any, ...]]:
        """Batches of all samples in a random order, without the first `done` ones."""
        for window in self.windows(rng, done):
            yield from self.cut(window)

    def windows(self, rng: np.random.Generator, done: int = 0) -> Iterator[Window]:
        """All samples in a random order, without the first `done` batches.

        It is one window, but for a large memory map, which is read in blocks. The order, and the numbers drawn for it,
        do not depend on `done`.
        """
        if not self.mapped:
            yield Window(self.x, self.t, self.weights, rng.permutation(len(self)), done)
            return
        blocks = np.arange(0, len(self), self.read_block)
        blocks[:-1] = rng.permutation(blocks[:-1])  # the last one may be shorter, so it stays last
        held = np.empty((self.shuffle_window * self.read_block, *self.x.shape[1:]), self.x.dtype)
        for window in np.array_split(blocks, -(-len(blocks) // self.shuffle_window)):
            numbers = np.concatenate([np.arange(start, min(start + self.read_block, len(self))) for start in window])
            order, batches = rng.permutation(len(numbers)), -(-len(numbers) // self.batch_size)
            if done >= batches:
                done -= batches
                continue
            filled = 0
            for start in window:
                part = self.x[start : start + self.read_block]
                held[filled : filled + len(part)] = part
                filled += len(part)
            weights = None if self.weights is None else self.weights[numbers]
            yield Window(held[:filled], self.t[upload(numbers, self.xp)], weights, order, done)
            done = 0

    def cut(self, window: Window) -> Iterator[tuple[Any, ...]]:
        """The batches of a window."""
        x, t, weights, order, done = window
        first = done * self.batch_size  # the first sample; whole blocks before it are not gathered
        size, there = self.batch_size, upload(order, self.xp)  # the order goes to the device once
        here = there if self.gather_on is self.xp else order
        weights_there: Array = None if weights is None else to_library(weights, self.xp, self.dtype)
        for start in range(first // self.block * self.block, len(order), self.block):
            piece = slice(start, start + self.block)
            rows = self.scaled[: len(here[piece])]
            self.fill(rows, x, here[piece])
            targets = t[there[piece]]
            here_weights = None if weights is None else weights[order[piece]]
            for i in range(max(first - start, 0), len(rows), size):
                part = slice(i, i + size)
                if here_weights is None:
                    yield rows[part], targets[part]
                else:
                    on_library = weights_there[there[start + i : start + i + size]]
                    yield rows[part], targets[part], Weights(on_library, float(here_weights[part].sum()))

    def shards(
        self, rng: np.random.Generator, done: int, rank: int, size: int
    ) -> Iterator[tuple[int, Array, Array, Weights]]:
        """What one of `size` ranks computes of the batches that `shuffled` gives: (n, x, t, weights).

        n is the number of samples of the whole batch, and `weights.total` the sum of its weights. A rank whose part is
        empty gets one sample, of weight 0.
        """
        for x, t, weights, order, first in self.windows(rng, done):
            for start in range(first * self.batch_size, len(order), self.batch_size):
                batch = order[start : start + self.batch_size]
                part = part_of(len(batch), rank, size)
                own = batch[part] if part.stop > part.start else batch[:1]
                there, rows = upload(own, self.xp), self.scaled[: len(own)]
                self.fill(rows, x, there if self.gather_on is self.xp else own)
                of_batch = np.ones(len(batch)) if weights is None else weights[batch]
                values = of_batch[part] if part.stop > part.start else np.zeros(1)
                yield (
                    len(batch), rows, t[there],
                    Weights(to_library(values, self.xp, self.dtype), float(of_batch.sum())),
                )

    def fill(self, out: Array, x: Any, rows: Array) -> None:
        """Gather x[rows] into `out`, scaled."""
        raw = self.raw[: len(rows)]
        gather(x, rows, raw)
        self.xp.copyto(out, to_library(raw, self.xp, raw.dtype), casting="same_kind")
        if self.scale is not None:
            out *= self.scale


def part_of(n: int, rank: int, size: int) -> slice:
    """The part of n samples that one of `size` ranks has. Parts differ by at most one sample; the first are longer."""
    least, more = divmod(n, size)
    start = rank * least + min(rank, more)
    return slice(start, start + least + (rank < more))
