"""Plots of the experiments. They need the extra `plot`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from minibp.cli import save_picture
from minibp.cli.plot import BLUE, GREEN, ORANGE

COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", "#e69f00", "black")
STYLES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))  # of the layers, from the last to the first
MARKERS = "os^Dv"
HEALTHY = 1e-3  # ratio of update to weights (Karpathy, CS231n notes, 2015)


def draw_boundaries(logs: Sequence[Any], path: str) -> None:
    """Plot side by side the output of each network for class 1 over the plane, and the training points."""
    x, labels = logs[0].points, logs[0].labels  # the same for all
    figure = Figure(figsize=(4 * len(logs) + 0.8, 3.1), layout="constrained")
    low, high = x.min(axis=0) - 0.3, x.max(axis=0) + 0.3
    across, up = np.meshgrid(np.linspace(low[0], high[0], 200), np.linspace(low[1], high[1], 200))
    grid = np.stack([across.ravel(), up.ravel()], axis=1)
    panels = figure.subplots(1, len(logs), squeeze=False)[0]
    for axes, log in zip(panels, logs, strict=True):
        outputs = log.net.predict(grid)
        share = (outputs[:, 1] / outputs.sum(axis=1)).reshape(across.shape)
        shades = axes.contourf(across, up, share, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.75)
        axes.contour(across, up, share, levels=[0.5], colors="black", linewidths=1)
        for label, marker, colour in ((0, "o", BLUE), (1, "^", ORANGE)):
            points = x[labels == label]
            axes.scatter(*points.T, s=14, marker=marker, color=colour, edgecolor="white", linewidth=0.4)
        right = (log.net.predict(x).argmax(axis=1) == labels).mean()
        axes.set(title=f"{log.output}: {right:.1%} after {log.trained} epochs", aspect="equal")
    figure.colorbar(shades, ax=panels, label="share of output 1", shrink=0.9)
    save_picture(figure, path)


def draw_comparison(curves: Sequence[Any], title: str, path: str) -> None:
    """Plot test accuracy over the epochs, a curve for each output: the whole range, and its upper end enlarged."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    numbers = range(1, len(curves[0].accuracies) + 1)
    for axes in panels:
        for curve, colour, style in zip(curves, (BLUE, ORANGE, GREEN), ("o-", "s-", "^-"), strict=True):
            label = f"{curve.output}, learning rate {curve.choice.rate:g}"
            axes.plot(numbers, curve.accuracies, style, color=colour, markersize=4, label=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if axes is panels[0] else 1))
        axes.set(xlabel="epoch")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    left, right = panels
    left.set(title=f"{title}: test accuracy", ylabel="accuracy", ylim=(0, 1))
    left.legend(frameon=False, loc="lower right")
    last = [curve.accuracies[-1] for curve in curves]
    right.set(title="its upper end", ylim=(min(last) - 0.03, max(max(curve.accuracies) for curve in curves) + 0.005))
    save_picture(figure, path)


def draw_probes(tracks: Sequence[Any], title: str, path: str) -> None:
    """Plot delta, the saturated share and the update over the steps, a line for each layer of each track.

    With several tracks, the colour shows the track and the line style the layer. With one, the colour shows the layer.
    """
    figure = Figure(figsize=(11.5, 4.4), layout="constrained")
    panels = figure.subplots(1, 3)
    names = [row.name for row in tracks[0].points[0].layers]
    several, count = len(tracks) > 1, len(names)

    def look(which: int, i: int) -> dict[str, Any]:
        key = which if several else i
        style = STYLES[(count - 1 - i) % len(STYLES)] if several else "-"
        size = 6.5 - which if several and i == count - 1 else 4  # ever smaller, so that coinciding markers stay visible
        return {"color": COLOURS[key % len(COLOURS)], "marker": MARKERS[key % len(MARKERS)], "markersize": size,
                "linestyle": style}  # fmt: skip

    for which, track in enumerate(tracks):
        steps = [point.step for point in track.points]
        for i in range(count):
            for axes, name in zip(panels, ("delta", "saturated", "update"), strict=True):
                values = np.array([getattr(point.layers[i], name) for point in track.points])
                if name != "saturated":
                    values[values == 0] = np.nan  # a logarithmic axis cannot show 0
                axes.plot(steps, values, **look(which, i))
    heads = ("delta: RMS of ∂ℓ/∂z", "saturated: hidden values, wrong outputs", "update: ‖ΔW‖ / ‖W‖")
    for axes, head in zip(panels, heads, strict=True):
        axes.set_title(head, fontsize="medium")
        axes.set_xscale("symlog", linthresh=1, linscale=0.5)  # shows step 0, too
        axes.set(xlabel="steps", xlim=(-0.15, tracks[0].points[-1].step * 1.3))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    delta, saturated, update = panels
    for axes in (delta, update):
        axes.set_yscale("log")
    saturated.set_ylim(-0.03, 1.03)
    saturated.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    update.axhline(HEALTHY, color="grey", linewidth=0.8)
    update.annotate("healthy", (0, HEALTHY), textcoords="offset points", xytext=(2, 3), color="grey", fontsize="small")

    if several:
        labels = [*(track.name for track in tracks), *names]
        keys = [Line2D([], [], **{**look(which, count - 1), "markersize": 5}) for which in range(len(tracks))]
        keys += [Line2D([], [], **{**look(0, i), "color": "grey", "marker": ""}) for i in range(count)]
    else:
        labels, keys = names, [Line2D([], [], **look(0, i)) for i in range(count)]
    columns = len(keys) if len(keys) <= 5 else -(-len(keys) // 3)  # or three rows, the outputs in column 1
    figure.legend(keys, labels, loc="outside lower center", ncols=columns, frameon=False)
    subject = title if several else f"{title}, {tracks[0].name}"
    figure.suptitle(f"{subject}: why does it learn slowly?")
    save_picture(figure, path)
