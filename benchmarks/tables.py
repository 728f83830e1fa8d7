"""Tables of the results, as Markdown, with header and notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .peers import MINIBP, PEERS, PYTORCH, kind, label
from .ratios import LIMIT, by_round, digits, dropped, fastest, ratio, spread

Results = dict[str, dict[str, dict[str, Any]]]  # net, peer -> {"turns": [...]} or {"error": "..."}
NO_LABELS: Mapping[str, str] = {}


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with aligned columns: the first to the left, the others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    cells = [[cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))]
             for line in lines]  # fmt: skip
    rule = ["-" * (w - 1) + ":" if i else "-" * w for i, w in enumerate(widths)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [cells[0], rule, *cells[1:]])


def header(about: dict[str, str], blas: Sequence[str]) -> str:
    """The date, the machine, the versions, and the kernels of NumPy."""
    versions = ", ".join(
        f"{name} {value}" for name, value in about.items() if name not in ("date", "system", "cores", "processor")
    )
    return (
        f"{about['date']}, {about['processor']}, {about['cores']} cores, {about['system']}\n{versions}\n"
        f"BLAS of NumPy: {'; '.join(blas) or 'unknown'}"
    )


def measured(results: Results) -> list[str]:
    """The peers in the order of `PEERS`, each followed by its other versions."""
    found = dict.fromkeys(name for peers in results.values() for name in peers)
    return sorted(found, key=lambda name: ([*PEERS].index(kind(name)), "@" in name))


def per_net(results: Results, first: str, rows: Mapping[str, Callable[[dict[str, Any]], str]]) -> str:
    """A table with a column for each net. The function of a row makes its cell from the peers of a net."""
    return markdown([first, *results], [[label, *map(cell, results.values())] for label, cell in rows.items()])


def all_of(results: Results) -> list[dict[str, Any]]:
    """The results of all peers on all nets."""
    return [peer for peers in results.values() for peer in peers.values()]


def absolute(results: Results, labels: Mapping[str, str] = NO_LABELS, unit: float = 1e6) -> str:
    """The table of median times, by default in microseconds."""
    rows = {label(name, labels): partial(time, name=name, unit=unit) for name in measured(results)}
    return per_net(results, "median", rows)


def relative(results: Results, base: str, labels: Mapping[str, str] = NO_LABELS) -> str:
    """The table of times relative to `base`, round by round, and of `base` relative to the floor."""
    found = measured(results)
    rows: dict[str, Callable[[dict[str, Any]], str]] = {
        label(name, labels): partial(compared, name=name, base=base)
        for name in found if name not in (*MINIBP, "floor")
    }  # fmt: skip
    if len([name for name in found if name in PYTORCH]) > 1:
        rows["PyTorch, its best of these"] = partial(best, base=base)
    if "floor" in found:
        rows["over the floor"] = partial(compared, name=base, base="floor")
    return per_net(results, f"{label(base, labels)} = 1", rows)


def time(peers: dict[str, Any], name: str, unit: float) -> str:
    """The median of the turns of a peer, or its mark, or a dash."""
    peer = peers.get(name, {})
    found = spread(by_round(peer.get("turns", [])).values())
    return digits(found.median * unit) if found else peer.get("mark", "-")


def compared(peers: dict[str, Any], name: str, base: str) -> str:
    """The ratio with quartiles, or the mark of a peer, or a dash."""
    for each in (name, base):
        if "turns" not in peers.get(each, {}):
            return str(peers.get(each, {}).get("mark", "-"))
    return str(ratio(peers[name]["turns"], peers[base]["turns"]) or "-")


def best(peers: dict[str, Any], base: str) -> str:
    """The ratio of the fastest form of PyTorch."""
    name = fastest({name: peer.get("turns", []) for name, peer in peers.items()}, PYTORCH)
    return compared(peers, name, base) if name else "-"


def notes(results: Results, what: str = "", tolerance: float = 0.0) -> str:
    """Notes below the tables: how well the peers agree, dropped turns, and the peers left out with their errors."""
    peers = all_of(results)
    turns = [turn for peer in peers for turn in peer.get("turns", [])]
    checked = [peer["deviation"] for peer in peers if "deviation" in peer]
    lines = []
    if checked:
        lines.append(f"{what} agree with float64 within {max(checked):.1e}; the tolerance is {tolerance:g}.")
    if any(turn["others"] is None for turn in turns):
        lines.append("The load of other processes is unknown on this system, so no turn was dropped.")
    else:
        lines.append(f"{dropped(turns)} of {len(turns)} turns dropped: others used over {LIMIT:.0%} of the machine.")
    lines += [
        f"{net}: {name} is left out: {peer['error']}"
        for net, found in results.items() for name, peer in found.items() if "error" in peer
    ]  # fmt: skip
    return "\n".join(lines)
