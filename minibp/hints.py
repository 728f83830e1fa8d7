"""Hints: settings with which a training runs without an error, but learns badly or not at all."""

from __future__ import annotations

from collections.abc import Iterator

from .network import Network
from .normalization import BatchNorm


def hints(net: Network, batch_size: int) -> Iterator[str]:
    """Sentences that say what is wrong and what to do, for a training with batches of at most `batch_size` samples."""
    if batch_size == 1:
        for name, module in net.named_modules().items():
            if isinstance(module, BatchNorm) and module.training:
                what = f"{name}: {module} turns any batch of one sample into β, so no layer before it learns"
                yield f"{what}; train with batches of more samples, or use LayerNorm({module.n})"
                return
