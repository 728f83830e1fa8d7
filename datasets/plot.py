"""Plots of training runs. Needs the extra `plot`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from minibp import Epoch

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"  # told apart by the colour-blind too (Okabe & Ito, 2008)


def draw_history(history: Sequence[Epoch], title: str, path: str) -> None:
    """Draw loss and accuracy over the epochs into a file; its ending decides the format."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    numbers = [epoch.number for epoch in history]
    marker = "o" if len(history) < 40 else ""
    left.plot(numbers, [e.loss for e in history], color=BLUE, marker=marker, markersize=4, label="training, as it went")
    left.plot(numbers, [e.val_loss for e in history], color=ORANGE, marker=marker, markersize=4, label="test")
    left.set(title=f"{title}: loss", xlabel="epoch", ylabel="mean loss", ylim=(0, None))
    left.legend(frameon=False)
    right.plot(numbers, [e.val_accuracy for e in history], color=ORANGE, marker=marker, markersize=4)
    right.set(title=f"{title}: test accuracy", xlabel="epoch", ylabel="right answers")
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    last = history[-1]
    right.annotate(
        f"{last.val_accuracy:.2%}",
        (last.number, last.val_accuracy or 0),
        textcoords="offset points",
        xytext=(-4, -14),
        ha="right",
        color=ORANGE,
    )
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def draw_boundaries(logs: Sequence[Any], path: str) -> None:
    """Draw, side by side, how sure each network is of class 1 all over the plane, and the points it learnt."""
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
    figure.savefig(path, dpi=150)


def draw_comparison(curves: Sequence[Any], title: str, path: str) -> None:
    """Draw test accuracy over the epochs, a curve for each output: all of it, and the upper end."""
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
    left.set(title=f"{title}: test accuracy", ylabel="right answers", ylim=(0, 1))
    left.legend(frameon=False, loc="lower right")
    last = [curve.accuracies[-1] for curve in curves]
    right.set(title="the upper end", ylim=(min(last) - 0.03, max(max(curve.accuracies) for curve in curves) + 0.005))
    figure.savefig(path, dpi=150)
