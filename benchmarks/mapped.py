"""Time of a training step from a memory-mapped file, compared with memory: python -m benchmarks.mapped

    python -m benchmarks.mapped --rows 1280000 --file /tmp/images.npy

Net d learns from images in memory and from the file, in turns. The file is created if it is missing (a gigabyte for
1,280,000 images). Before each turn its pages are dropped from the cache, so that each epoch reads it from the disk. To
measure with less memory than the file needs, set a limit: systemd-run --scope -p MemoryMax=600M ...
Not for Windows and macOS, which have no posix_fadvise.
"""

from __future__ import annotations

import argparse
import mmap
import os
import resource
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from . import machine, tables
from .nets import NETS, PIXELS, images, task
from .peers.ours import Minibp

BATCH = NETS["d"].batch
IN_MEMORY = 60_032  # images, as many as in MNIST, in whole batches
PIECE = 64_000  # images to generate at a time


def main() -> None:
    """Measure and print."""
    p = argparse.ArgumentParser(description="Compare training from a memory-mapped file with training from memory.")
    p.add_argument("--rows", type=int, default=1_280_000, help="images in the file (default: %(default)s)")
    p.add_argument("--file", type=Path, default=Path("images.npy"), help="the file (default: %(default)s)")
    p.add_argument("--rounds", type=int, default=3, help="turns of each (default: %(default)s)")
    options = p.parse_args()
    rows = max(options.rows // BATCH, 1) * BATCH
    if not options.file.exists():
        write(options.file, rows)
    opened = np.load(options.file, mmap_mode="r")
    x = opened[:rows]
    labels = np.random.default_rng(0).integers(10, size=len(x)).astype("uint8")

    ours = Minibp(task(NETS["d"], IN_MEMORY))
    train = {"memory": ours.epochs, "file": ours.train(x, labels)}
    ours.run(2)  # until all is loaded
    seconds: dict[str, list[float]] = {name: [] for name in train}
    for _ in range(options.rounds):
        for name, epochs in train.items():
            ours.restart()
            forget(opened, options.file)
            count = len(x) if name == "file" else len(ours.task.x)
            seconds[name].append(next(epochs).seconds / -(-count // BATCH))
    print(f"{tables.header(machine.about(), machine.blas())}\n")
    for name, values in seconds.items():
        print(f"{name:<6} {statistics.median(values) * 1e6:7.0f} us per step")
    ratios = [a / b for a, b in zip(seconds["file"], seconds["memory"], strict=True)]
    print(f"file / memory: {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{x.nbytes / 2**20:.0f} MiB in the file; peak memory {peak:.0f} MiB, including cached pages of the file")


def write(file: Path, rows: int) -> None:
    """Write a file of images, which repeat after `PIECE`."""
    x, _ = images(PIECE)
    out = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(rows, PIXELS))
    for start in range(0, rows, PIECE):
        out[start : start + PIECE] = x[: rows - start]
    out.flush()


def forget(opened: Any, file: Path) -> None:
    """Drop the pages of the file from this process, which else would keep them, and from the cache of the system."""
    opened._mmap.madvise(mmap.MADV_DONTNEED)
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
