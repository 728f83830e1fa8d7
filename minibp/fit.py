"""A training in words: what must be the same for it to go on from a checkpoint, and what differs."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import to_host
from .batches import Batches
from .kept import encode, encoded, ours
from .network import Network
from .optimizer import Optimizer
from .stopping import EarlyStopping
from .tensorfile import printable

PIECE = 1 << 22  # bytes of the data that are hashed at a time: a data set may be larger than memory
MOST = 20  # differences listed


def fit(
    net: Network,
    optimizer: Optimizer,
    batches: Batches,
    validation: Batches | None,
    stopping: EarlyStopping | None,
    order: dict[str, Any],
) -> dict[str, str]:
    """What must be the same, by name, in words. An ArgumentError for attributes that no checkpoint can keep."""
    parts = [encoded(part, str(part)) for part in (*net.layers, net.loss)]
    own = [part for part, layer in zip(parts, (*net.layers, net.loss), strict=True) if not ours(layer)]
    start = [net.params, net.state, *optimizer.vectors]
    return {
        "network": f"{net!r}{f', {sha256(own)} (attributes of your own classes)' if own else ''}",
        "dtype": str(net.dtype),
        "backend": net.backend,
        "starting weights and generators (seed)": sha256(*map(to_host, start), [optimizer.steps, order, parts]),
        "training data": data(batches),
        "validation data": "none" if validation is None else data(validation),
        "batch size": str(batches.batch_size),
        "optimizer": call(type(optimizer).__name__, encoded(optimizer, "optimizer"), without="steps"),
        "learning rate": words(encode(optimizer.schedule, "the schedule")),
        "early stopping": "none" if stopping is None else f"patience {stopping.patience}",
    }


def differences(here: dict[str, str], theirs: dict[str, Any]) -> list[str]:
    """Lines that say what is not the same."""
    return [
        f"  {printable(name)}\n    here         {here.get(name, 'none')}\n"
        f"    in the file  {printable(theirs.get(name, 'none'))}"
        for name in {**here, **theirs}
        if here.get(name) != theirs.get(name)
    ][:MOST]


def data(batches: Batches) -> str:
    """A data set: how many samples of what, and a hash of all."""
    x, t = batches.dataset
    blocks = f", shuffled in blocks of {batches.stretch}, {batches.lot} at a time" if batches.mapped else ""
    return f"{len(x)} samples of {x.shape[1:]} {x.dtype}, {sha256(x, t)}{blocks}"


def words(value: Any) -> str:
    """A value, as `encode` gives it, as a program has it."""
    if not isinstance(value, list):
        return repr(value)
    kind, *of = value
    if kind == "object":
        return call(of[0].rpartition(".")[2], of[1])
    if kind == "enum":
        return ".".join(of)
    if kind in ("list", "tuple"):
        inner = ", ".join(map(words, of[0]))
        return f"[{inner}]" if kind == "list" else f"({inner})"
    return words(of[1]) if kind == "numpy" else str(of[0]) if kind == "program" else f"{kind} {sha256(of)}"


def call(name: str, values: dict[str, Any], without: str = "") -> str:
    """A class and its attributes, as it would be made."""
    return f"{name}({', '.join(f'{key}={words(value)}' for key, value in values.items() if key != without)})"


def sha256(*values: Any) -> str:
    """16 digits, which tell arrays, and what JSON can hold, apart that differ by accident."""
    import hashlib
    import json

    digest = hashlib.sha256()
    for value in values:
        if not isinstance(value, np.ndarray):
            digest.update(json.dumps(value, sort_keys=True, default=str).encode())
            continue
        digest.update(repr((value.dtype.str, value.shape)).encode())
        rows = max(1, PIECE * len(value) // max(value.nbytes, 1)) if value.size else 1
        for start in range(0, len(value), rows):
            digest.update(np.ascontiguousarray(value[start : start + rows]).reshape(-1).view("u1").data)
    return digest.hexdigest()[:16]
