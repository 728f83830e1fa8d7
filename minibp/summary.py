"""summary(): a network as a table."""

from __future__ import annotations

from typing import Any


def summary(net: Any) -> str:
    """The layers of a network, their output shapes and parameter counts, as a table."""
    rows = [("", "layer", "output", "parameters")]
    for i, (layer, shape) in enumerate(zip(net.layers, net.shapes, strict=True)):
        output = "(N, ...)" if shape is None else f"(N, {', '.join(map(str, shape))})"
        rows.append((str(i), str(layer), output, f"{sum(p.size for p in layer.params.values()):,}"))
    a, b, c, d = (max(len(row[column]) for row in rows) for column in range(4))
    b = max(b, len(str(net.loss)))
    merged = f", runs merged with layer {len(net.layers) - 1} as {net.closing}" if net.closing is not net.loss else ""
    lines = [f"{i:>{a}}  {layer:<{b}}  {output:<{c}}  {count:>{d}}" for i, layer, output, count in rows]
    lines.append(f"{'':>{a}}  {net.loss!s:<{b}}  loss{merged}")
    size = net.params.size * net.dtype.itemsize
    unit = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    lines.append(f"{net.params.size:,} parameters, {unit} as {net.dtype}, on {net.backend}")
    return "\n".join(lines)
