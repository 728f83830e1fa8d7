"""Hints: data and settings with which a training runs without an error, but learns badly or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .base import Layer
from .data import Dataset
from .layers import Dense
from .network import Network
from .normalization import BatchNorm, LayerNorm

LOOK = 1 << 20  # values to look at: a few milliseconds, also in a file
PLACES = 16  # of the data set, where they are
LARGE = 100  # floats of this size train badly; the digits as 0..100 do, as 0..16 they do not


def hints(net: Network, dataset: Dataset, batch_size: int, validation: Dataset | None) -> Iterator[str]:
    """Sentences that say what is wrong and what to do, for a training with batches of at most `batch_size`."""
    yield from _about_single_values(net, batch_size)
    scale = [*_about_scale(net, dataset.x)]
    if not scale and validation is not None:
        scale = [f"validation: {hint}" for hint in _about_scale(net, validation.x)]
    yield from scale
    yield from _about_targets(dataset)


def _about_single_values(net: Network, batch_size: int) -> Iterator[str]:
    """About the first normalization that has a single value to normalize, whose x̂ is 0."""
    for name, module in net.named_modules().items():
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


def _about_scale(net: Network, x: np.ndarray) -> Iterator[str]:
    if not _takes_values_as_they_are(net):
        return
    low, high = _range(x)
    if x.dtype == np.uint8:
        if high == 1:
            what = "x is uint8 and holds only 0 and 1, which the network scales by 1/255, to 0 and 0.0039"
            yield f"{what}; use x.astype('float32') to train on 0 and 1"
    elif max(-low, high) >= LARGE:
        pixels = "use x / 255 for pixels, else " if low >= 0 and high <= 255 else ""
        what = f"x holds floats from {low:g} to {high:g}, which are too large for the network to use as they are"
        yield f"{what}; {pixels}scale each feature to about -1..1"


def _about_targets(dataset: Dataset) -> Iterator[str]:
    x, t = dataset
    if x.dtype == t.dtype == np.uint8 and t.ndim == 2 and _range(t)[1] > 1:
        yield "x and the rows of t are uint8, but only x is scaled by 1/255; use t / 255 for targets that are pixels"


def _range(x: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest value in some parts of x, which may be a memory map larger than memory."""
    size = max(1, LOOK * len(x) // (PLACES * x.size))  # samples
    parts = [x[start : start + size] for start in {*np.linspace(0, max(len(x) - size, 0), PLACES, dtype=int).tolist()}]
    return float(min(part.min() for part in parts)), float(max(part.max() for part in parts))
