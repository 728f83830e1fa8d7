"""A network as a table, in text or HTML."""

from __future__ import annotations

from typing import Any

HEAD = ("", "layer", "output", "parameters")


def summary_text(net: Any) -> str:
    """The layers of a network, their output shapes and parameter counts, and the memory of all parameters."""
    rows = [HEAD, *_rows(net)]
    a, b, c, d = (max(len(row[column]) for row in rows) for column in range(4))
    b = max(b, len(str(net.loss)))
    lines = [f"{i:>{a}}  {layer:<{b}}  {output:<{c}}  {count:>{d}}" for i, layer, output, count in rows]
    lines.append(f"{'':>{a}}  {net.loss!s:<{b}}  loss{_fused(net)}")
    return "\n".join([*lines, _total(net)])


def summary_html(net: Any) -> str:
    """The same table in HTML, for notebooks."""
    from html import escape  # not above: few need it, and it is slow to import

    align = ("right", "left", "left", "right")

    def line(cells: tuple[str, ...], tag: str = "td") -> str:
        styled = zip(cells, align, strict=True)
        return "<tr>" + "".join(f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for cell, side in styled)

    loss = f'<tr><td></td><td style="text-align: left">{escape(str(net.loss))}</td>'
    loss += f'<td style="text-align: left" colspan="2">loss{escape(_fused(net))}</td>'
    body = [line(HEAD, "th"), *map(line, _rows(net)), loss]
    caption = f'<caption style="caption-side: bottom; text-align: left">{escape(_total(net))}</caption>'
    return "\n".join(["<table>", caption, *(f"{each}</tr>" for each in body), "</table>"])


def _rows(net: Any) -> list[tuple[str, str, str, str]]:
    rows = []
    for i, (layer, shape) in enumerate(zip(net.layers, net.shapes, strict=True)):
        output = "(N, ...)" if shape is None else f"(N, {', '.join(map(str, shape))})"
        rows.append((str(i), str(layer), output, f"{sum(p.size for p in layer.params.values()):,}"))
    return rows


def _fused(net: Any) -> str:
    return "" if net.fused_loss is net.loss else f", fused with layer {len(net.layers) - 1} as {net.fused_loss}"


def _total(net: Any) -> str:
    size = net.params.size * net.dtype.itemsize
    unit = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    return f"{net.params.size:,} parameters, {unit} as {net.dtype}, on {net.backend}"
