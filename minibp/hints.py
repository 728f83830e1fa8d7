"""Hints: data and settings with which a training learns badly or not at all, and the likely cause if it diverged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .base import SMALL_BYTE, Layer, all_finite
from .data import Batches, Dataset
from .layers import Dense
from .network import Network
from .normalization import BatchNorm, LayerNorm
from .optimizer import Optimizer

LOOK = 1 << 20  # values to look at: a few milliseconds, also in a file
PLACES = 16  # of the data set, where they are
LARGE = 40  # root mean square of a feature: on the digits SGD(lr=0.1) fails from 13 on, and Adam is worse from 40 on
UNLIKE = 100  # times as large: pixels as floats of 0..255 are 255 times as large as the same pixels as uint8


class Scale(NamedTuple):
    """The smallest and the largest value in some parts of x, and the root mean square of each feature."""

    low: float
    high: float
    rms: np.ndarray


def hints(net: Network, dataset: Dataset, batch_size: int, validation: Dataset | None) -> Iterator[str]:
    """Sentences that say what is wrong and what to do, for a training with batches of at most `batch_size`."""
    if not net.trained_ranges:
        yield "the network has no parameters to train: all are frozen, or there are none; set layer.trainable = True"
    yield from _about_single_values(net, batch_size)
    x, t = dataset.x, dataset.t
    scale = _scale(x)
    if _takes_values_as_they_are(net):
        yield from _about_scale(x.dtype, scale)
    if validation is not None:
        yield from _about_two_scales(_rms(x.dtype, scale), _rms(validation.x.dtype, _scale(validation.x)))
    if x.dtype == t.dtype == np.uint8 and t.ndim == 2 and _scale(t).high > 1:
        yield "x and the rows of t are uint8, but only x is scaled by 1/255; use t / 255 for targets that are pixels"


def _about_single_values(net: Network, batch_size: int) -> Iterator[str]:
    """About the first normalization that has a single value to normalize, whose x̂ is 0."""
    for place, module in net.named_modules().items():
        name = place.replace("layers.", "layer ", 1)
        if isinstance(module, BatchNorm) and module.training and batch_size == 1:
            what = f"{name}: {module} turns any batch of one sample into β, so no layer before it learns"
            instead = f", or use LayerNorm({module.n})" if module.n > 1 else ""
            yield f"{what}; train with batches of more samples{instead}"
            return
        if isinstance(module, LayerNorm) and module.n == 1:
            yield f"{name}: {module} turns any single value into β, so no layer before it learns; remove it"
            return


def _takes_values_as_they_are(net: Network) -> bool:
    """Whether the first layer that does anything is a Dense. A normalization, or a layer of a user, may scale."""
    for module in net.named_modules().values():
        passes_on = module.children() or getattr(module, "gives", None) in ("its input", "its input, changed")
        if isinstance(module, Layer) and not passes_on:
            return isinstance(module, Dense)
    return False


def _about_scale(dtype: np.dtype, scale: Scale) -> Iterator[str]:
    low, high, rms = scale
    if dtype == np.uint8:
        if 0 < high <= SMALL_BYTE:
            what = f"x is uint8 of at most {high:g}, which the network scales by 1/255, to at most {high / 255:.2g}"
            yield f"{what}; use x.astype('float32'){f' / {high:g}' if high > 1 else ''}"
    elif rms.max() >= LARGE:
        pixels = "use x / 255 for pixels, else " if low >= 0 and high <= 255 else ""
        what = f"x holds floats from {low:g} to {high:g}, which the network uses as they are, and trains badly on"
        yield f"{what}; {pixels}scale each feature to about -1..1"


def _about_two_scales(rms: float, other: float) -> Iterator[str]:
    if rms and other and not 1 / UNLIKE < other / rms < UNLIKE:
        what = f"the root mean square of x is {rms:.2g} in the data set, but {other:.2g} in the validation set"
        yield f"{what}; scale both alike (a network scales uint8 by 1/255, and uses floats as they are)"


def _rms(dtype: np.dtype, scale: Scale) -> float:
    """The root mean square of inputs as the network computes with them."""
    return float(np.linalg.norm(scale.rms)) / scale.rms.size**0.5 / (255 if dtype == np.uint8 else 1)


def _scale(x: np.ndarray) -> Scale:
    """The scale of x, from some parts of it: it may be a memory map larger than memory."""
    size = max(1, LOOK * len(x) // (PLACES * x.size))  # samples
    parts = [x[start : start + size] for start in {*np.linspace(0, max(len(x) - size, 0), PLACES, dtype=int).tolist()}]
    with np.errstate(all="ignore"):
        means = [np.square(part.reshape(len(part), -1), dtype="float64").mean(axis=0) for part in parts]
    low, high = min(part.min() for part in parts), max(part.max() for part in parts)
    return Scale(float(low), float(high), np.sqrt(np.mean(means, axis=0)))


def largest(net: Network, dataset: Dataset) -> tuple[str, float]:
    """Which of "inputs" and "targets" hold the largest number, and its size. They are the inputs if none is large."""
    x, t = dataset.x, dataset.t
    x_size = 1.0 if x.dtype == np.uint8 else _greatest(x)
    if (t.ndim == 2 or t.dtype.kind == "f" or net.loss.of_numbers) and (t_size := _greatest(t)) > max(x_size, LARGE):
        return "targets", t_size
    return "inputs", x_size


def _greatest(values: np.ndarray) -> float:
    return max(-float(values.min()), float(values.max()))


def diagnosis(net: Network, optimizer: Optimizer, batches: Batches, losses: np.ndarray, epoch: int) -> str:
    """The message about a training that diverged in this epoch: which step went wrong first, and the likely cause.

    `losses` are those of the samples, in the order of the steps.
    """
    wrong, batch_size = ~np.isfinite(losses), batches.batch_size
    steps = -(-len(losses) // batch_size)
    first = int(np.argmax(wrong)) // batch_size if wrong.any() else steps - 1  # else the last update is the cause
    update = optimizer.steps - steps + first - bool(wrong.any())  # the last one before; -1 if there was none
    before, rise = losses[: first * batch_size], ""
    if before.size:
        start, end = (part.mean(dtype="float64") for part in (before[:batch_size], before[-batch_size:]))
        rise = f" (mean loss of the first batch {start:.4g}, of the last finite one {end:.4g})"
    vectors = {"weights": [net.params], "buffers": [net.buffers], "moments of the optimizer": optimizer.moments}
    lost = next((name for name, each in vectors.items() if each and not all_finite(net.xp, *each)), "")
    what = f"the {'loss' if wrong.any() else lost} became NaN or infinite in epoch {epoch}"
    cause = _cause(net, optimizer, batches.dataset, update)
    cure = "The weights are lost: build the network and the optimizer again"
    return f"{what}, at step {first + 1} of {steps}{rise}. Likely cause: {cause}. {cure}"


def _cause(net: Network, optimizer: Optimizer, dataset: Dataset, update: int) -> str:
    """The likely cause of a divergence after this update, the first being 0; -1 if there was none."""
    what, size = largest(net, dataset)
    scale = f"the {what} reach {size:.3g}: scale them to about -1..1"
    if size > float(np.finfo(net.dtype).max) ** 0.25:  # the loss is infinite whatever the rate
        return scale
    if update < 0:
        return "the initial weights are too large, or a layer or loss of your own gives NaN"
    rates = (optimizer.rate_after(step) for step in range(update, -1, -1))
    rate = next(filter(None, rates), 0.0)  # a rate of 0 changes nothing
    cause = f"the learning rate {rate:g} is too high: try a tenth of it"
    cause += ", or clip_norm=1" if optimizer.clip_norm is None else ""
    trains_badly = size >= LARGE and (what == "targets" or _takes_values_as_they_are(net))
    return f"{scale}; or {cause}" if trains_badly else cause
