"""What a run of steps takes from a training, on a processor or a GPU: rates, and the forms of inputs and targets."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from ..base import Array
from ..network import Network
from ..optimizer import Optimizer
from ..schedules import Constant

READABLE = {np.dtype("uint8"), np.dtype("float32"), np.dtype("float64")}  # other inputs are converted before a run


def rates_of_run(optimizer: Optimizer, count: int) -> np.ndarray:
    """The rates of the next steps: so many, or fewer if a schedule fails."""
    steps = optimizer.steps
    if type(optimizer.schedule) is Constant:
        return np.full(count, optimizer.lr)
    rates = [optimizer.rate_after(steps)]
    with suppress(Exception):  # it comes again when the steps before have been made
        for step in range(steps + 1, steps + count):
            rates.append(optimizer.rate_after(step))
    return np.array(rates)


def source_dtype(net: Network, x: Array) -> Any:
    """The dtype that operations read these inputs in."""
    return x.dtype if x.dtype in READABLE else net.dtype


def readable_targets(net: Network, x: Array, t: Array) -> Array:
    """Targets as operations read them: labels as int64, or rows in the dtype of the network."""
    if t.ndim == 1 and net.output_size(x.shape) > 1:
        return net.xp.ascontiguousarray(t, "int64")
    return net.xp.ascontiguousarray(t.reshape(len(t), -1), net.dtype)
