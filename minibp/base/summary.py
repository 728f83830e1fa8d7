"""A network as a table, in text or HTML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

HEAD = ("", "layer", "output", "parameters", "")
ALIGN = ("right", "left", "left", "right", "left")


def short_name(module: Any) -> str:
    """The name of a layer in tables: its class alone if layers are inside it, for they have names of their own."""
    return type(module).__name__ if module.children() else str(module)


def summary_text(net: Any) -> str:
    """The layers of a network, their output shapes and parameter counts, and the memory of all parameters."""
    rows = [HEAD, *summary_rows(net)]
    a, b, c, d = (max(len(row[column]) for row in rows) for column in range(4))
    b = max(b, len(str(net.loss)))
    lines = [f"{i:>{a}}  {name:<{b}}  {output:<{c}}  {count:>{d}}  {note}" for i, name, output, count, note in rows]
    lines = [line.rstrip() for line in lines]
    lines.append(f"{'':>{a}}  {net.loss!s:<{b}}  loss{_fused(net)}")
    return "\n".join([*lines, _total(net)])


def summary_html(net: Any) -> str:
    """The same table in HTML, for notebooks."""
    from html import escape  # not above: few need it, and it is slow to import

    rows = summary_rows(net)
    columns = 5 if any(row[4] for row in rows) else 4  # the last is for frozen layers

    def line(cells: tuple[str, ...], tag: str = "td") -> str:
        styled = [(escape(cell).replace("  ", "&nbsp;&nbsp;"), side) for cell, side in zip(cells, ALIGN, strict=True)]
        return "<tr>" + "".join(f'<{tag} style="text-align: {side}">{cell}</{tag}>' for cell, side in styled[:columns])

    loss = f'<tr><td></td><td style="text-align: left">{escape(str(net.loss))}</td>'
    loss += f'<td style="text-align: left" colspan="{columns - 2}">loss{escape(_fused(net))}</td>'
    body = [line(HEAD, "th"), *map(line, rows), loss]
    caption = f'<caption style="caption-side: bottom; text-align: left">{escape(_total(net))}</caption>'
    return "\n".join(["<table>", caption, *(f"{each}</tr>" for each in body), "</table>"])


def summary_rows(net: Any) -> list[tuple[str, str, str, str, str]]:
    """A row for each layer: its number, name, output shape, parameter count, and "frozen" if it is."""
    rows = []
    for i, (layer, shape) in enumerate(zip(net.layers, net.shapes, strict=True)):
        output = "(N, ...)" if shape is None else f"(N, {', '.join(map(str, shape))})"
        rows.append((str(i), short_name(layer), output, *_count(layer)))
        rows += [("", name, "", *_count(each)) for name, each in _inside(layer)]
    return rows


def _inside(layer: Any, indent: str = "  ") -> Iterator[tuple[str, Any]]:
    """The layers inside this one with their names, each two spaces farther to the right than the one that holds it."""
    for name, child in layer.children().items():
        yield f"{indent}{name}: {short_name(child)}", child
        yield from _inside(child, indent + "  ")


def _count(layer: Any) -> tuple[str, str]:
    """The number of a layer's own parameters, not of those inside it, and whether they are frozen."""
    size = sum(array.size for array in layer.params.values())
    count = f"{size:,}" if size or not layer.children() else ""
    return count, "frozen" if size and not layer.trainable else ""


def _fused(net: Any) -> str:
    return "" if net.fused_loss is net.loss else f", fused with layer {len(net.layers) - 1} as {net.fused_loss}"


def _total(net: Any) -> str:
    size = net.params.size * net.dtype.itemsize
    unit = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    frozen = net.params.size - sum(stop - start for start, stop in net.trained_ranges)
    note = f" ({frozen:,} frozen)" if frozen else ""
    return f"{net.params.size:,} parameters{note}, {unit} as {net.dtype}, on {net.backend}"
