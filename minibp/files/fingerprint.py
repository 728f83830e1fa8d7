"""A training in words: what must be the same to resume it from a checkpoint, and what differs."""

from __future__ import annotations

from typing import Any

from ..data import Batches
from ..optimizer import Optimizer
from .kept import LONG, OURS, Keeper, digest
from .tensorfile import printable

MOST = 20  # mismatches listed


def training_facts(
    keeper: Keeper, optimizer: Optimizer, batches: Batches, validation: Batches | None, order: dict[str, Any]
) -> dict[str, str]:
    """The facts that must be the same, by name, in words; `keeper` has seen the start."""
    net, start = keeper.net, dict(keeper.start)
    stopping, schedule, ours = start.pop("early stopping", None), start.pop("schedule"), start.pop("optimizer")
    own = [words(each) for each in start.values() if not each[1].startswith(OURS)]
    vectors = [net.params, net.buffers, *optimizer.moments]
    return {
        "network": ", ".join([repr(net), *own]),
        "dtype": str(net.dtype),
        "backend": net.backend,
        "starting weights, attributes and generators (seed)": digest(*vectors, *keeper.arrays.values(), [order, start]),
        "training data": data_facts(batches),
        "validation data": "none" if validation is None else data_facts(validation),
        "batch size": str(batches.batch_size),
        "optimizer": words(ours),
        "learning rate": words(schedule),
        "early stopping": "none" if stopping is None else words(stopping),
    }


def mismatches(here: dict[str, str], theirs: dict[str, Any]) -> list[str]:
    """Lines that say what differs."""
    return [
        f"  {printable(name)}\n    here         {here.get(name, 'none')}\n"
        f"    in the file  {printable(theirs.get(name, 'none'))}"
        for name in {**here, **theirs}
        if here.get(name) != theirs.get(name)
    ][:MOST]


def data_facts(batches: Batches) -> str:
    """A data set: how many samples of what, and a hash of all."""
    x, t = batches.dataset
    facts = f"{len(x)} samples of {x.shape[1:]} {x.dtype}, {digest(x, t)}"
    if batches.mapped:
        facts += f", shuffled in blocks of {batches.read_block}, {batches.shuffle_window} at a time"
    return facts


def words(value: Any) -> str:
    """A value, as `kept` has it, as a program would write it."""
    if not isinstance(value, list):
        return repr(value)
    kind, *of = value
    if kind == "object":
        inner = ", ".join(f"{key}={words(each)}" for key, each in sorted(of[2].items()))
        return f"{of[0].rpartition('.')[2]}({inner})"
    if kind == "record":
        return of[0] + words(of[1])
    if kind in ("list", "tuple") and len(of[0]) < LONG:
        inner = ", ".join(map(words, of[0]))
        return f"[{inner}]" if kind == "list" else f"({inner})"
    if kind == "numpy":
        return words(of[1])
    return ".".join(of) if kind == "enum" else str(of[0]) if kind in ("program", "constant") else f"{kind} {digest(of)}"
