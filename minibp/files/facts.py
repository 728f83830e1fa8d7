"""Facts: what must be the same to resume a training, in words that a message can show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..backend import to_host
from ..base import Stateful, checked_names
from ..data import Batches
from ..network import Network
from ..optimizer import Optimizer
from .tensorfile import checksum, split


def facts_of(
    net: Network,
    optimizer: Optimizer,
    parts: Mapping[str, Stateful],
    undeclared: Mapping[str, tuple[Stateful, dict[str, Any]]],
) -> dict[str, str]:
    """How a network and its optimizer start, by name.

    `parts` are these two and all parts of them, by dotted name; `undeclared` are attributes that no class declares.
    """
    moments = {str(i): np.array(to_host(vector)) for i, vector in enumerate(optimizer.moments)}
    plain, arrays = split({"network": net.state_dict()})
    attributes = {f"of {place}": values for place, (_, values) in undeclared.items()}
    for place, each in parts.items():
        if not place.startswith("network"):  # whose declared attributes are in `plain`
            declared = set(each.state_names()) - set(checked_names(type(each)))
            attributes[place] = {name: value for name, value in each.state_dict().items() if name in declared}
    return {
        "network": repr(net),
        "dtype": str(net.dtype),
        "backend": net.backend,
        "weights at the start": checksum("", arrays)[:16],
        "moments at the start": _hash({"moments": moments}),
        "attributes at the start": _hash(plain | attributes),
        "optimizer": repr(optimizer),
    }


def facts_of_data(batches: Batches) -> str:
    """A data set: how many samples of what, and a hash of all."""
    x, t = batches.dataset
    facts = f"{len(x)} samples of {x.shape[1:]} {x.dtype}, {checksum('', {'x': x, 't': t})[:16]}"
    if batches.weights is not None:
        facts += f", weights {checksum('', {'weights': batches.weights})[:16]}"
    if batches.mapped:
        facts += f", shuffled in blocks of {batches.read_block}, {batches.shuffle_window} at a time"
    return facts


def same(a: Any, b: Any) -> bool:
    """Whether two plain values or arrays are equal, with their types."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return repr(a) == repr(b)


def _hash(states: dict[str, dict[str, Any]]) -> str:
    return checksum(*split(states))[:16]
