"""Tables of what was measured, as Markdown, and what stands above them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .nets import NETS
from .peers import MINIBP, PEERS, PYTORCH
from .ratios import TOLERANCE, Spread, by_round, digits, dropped, fastest, ratio, spread

Results = dict[str, dict[str, dict[str, Any]]]  # net, peer -> {"turns": [...]} or {"error": "..."}


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with aligned columns; the first is text, the others are figures."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    cells = [[cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))]
             for line in lines]  # fmt: skip
    rule = ["-" * (w - 1) + ":" if i else "-" * w for i, w in enumerate(widths)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [cells[0], rule, *cells[1:]])


def header(about: dict[str, str], blas: Sequence[str]) -> str:
    """The date, the machine, the versions, and the kernels that NumPy runs."""
    versions = ", ".join(
        f"{name} {value}" for name, value in about.items() if name not in ("date", "system", "cores", "processor")
    )
    return (
        f"{about['date']}, {about['processor']}, {about['cores']} cores, {about['system']}\n{versions}\n"
        f"BLAS of NumPy: {'; '.join(blas) or 'none that is known'}"
    )


def measured(results: Results) -> list[str]:
    """The peers, in the order of their list."""
    return [name for name in PEERS if any(name in peers for peers in results.values())]


def per_net(results: Results, first: str, rows: dict[str, Callable[[dict[str, Any]], str]]) -> str:
    """A table with a column for each net; each row's function makes a cell of the peers of a net."""
    return markdown([first, *results], [[label, *map(cell, results.values())] for label, cell in rows.items()])


def absolute(results: Results, unit: float = 1e6) -> str:
    """Median time, in microseconds unless told otherwise."""

    def cell(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda peers: times(peers.get(name, {}), unit)

    return per_net(results, "median", {PEERS[name].label: cell(name) for name in measured(results)})


def times(peer: dict[str, Any], unit: float) -> str:
    """The median of a peer's turns."""
    found = spread(by_round(peer.get("turns", [])).values())
    return digits(found.median * unit) if found else peer.get("mark", "-")


def relative(results: Results, base: str) -> str:
    """Every peer's time over that of `base`, round by round; and how far `base` is above the floor."""

    def cell(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda peers: compared(peers, name, base)

    def best(peers: dict[str, Any]) -> str:
        name = fastest({name: peer.get("turns", []) for name, peer in peers.items()}, PYTORCH)
        return compared(peers, name, base) if name else "-"

    def over(peers: dict[str, Any]) -> str:
        return compared(peers, base, "floor")

    names = [name for name in measured(results) if name not in (*MINIBP, "floor")]
    rows = {PEERS[name].label: cell(name) for name in names}
    if any(name in names for name in PYTORCH):
        rows["PyTorch, its best of these"] = best
    if "floor" in measured(results):
        rows["over the floor"] = over
    return per_net(results, f"{PEERS[base].label} = 1", rows)


def compared(peers: dict[str, Any], name: str, base: str) -> str:
    """Ratio with quartiles; a dash where there is none, a word where there is a reason."""
    if "turns" not in peers.get(name, {}):
        return str(peers.get(name, {}).get("mark", "-"))
    if "turns" not in peers.get(base, {}):
        return "-"
    found: Spread | None = ratio(peers[name]["turns"], peers[base]["turns"])
    return str(found) if found else "-"


def notes(results: Results) -> str:
    """What the tables do not show: the nets, agreement, dropped turns, and peers that are missing with the reason."""
    lines = [f"{name}: {NETS[name]}" for name in results]
    every = [peer for peers in results.values() for peer in peers.values()]
    turns = [turn for peer in every for turn in peer.get("turns", [])]
    checked = [peer["deviation"] for peer in every if peer.get("deviation") is not None and "turns" in peer]
    if checked:
        lines.append(
            f"Losses of the first steps agree with float64 within {max(checked):.1e}; refused above {TOLERANCE:g}."
        )
    lines.append(
        f"{dropped(turns)} of {len(turns)} turns were dropped, since other processes took more than 5 % of the machine."
    )
    if any(turn["others"] is None for turn in turns):
        lines.append("This system does not tell what other processes take: nothing was dropped for it.")
    lines += [
        f"{net}: {name} is left out: {peer['error']}"
        for net, peers in results.items() for name, peer in peers.items() if "error" in peer
    ]  # fmt: skip
    return "\n".join(lines)
