"""The plot of a training. It needs the extra `plot`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..progress import Epoch
from .program import save_picture

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"  # colour-blind safe (Okabe & Ito, 2008)


def draw_history(history: Sequence[Epoch], title: str, path: str, held_out: str = "test") -> None:
    """Plot loss and accuracy over the epochs to a file, in the format of its suffix.

    `held_out` names the samples that are evaluated after each epoch. Numbers have no accuracy.
    """
    classes = not math.isnan(history[-1].val_accuracy or 0)
    figure = Figure(figsize=(9 if classes else 4.5, 3.6), layout="constrained")
    panels = figure.subplots(1, 2 if classes else 1, squeeze=False)[0]
    left = panels[0]
    numbers = [epoch.number for epoch in history]
    marker = "o" if len(history) < 40 else ""
    left.plot(numbers, [e.loss for e in history], color=BLUE, marker=marker, markersize=4, label="training (running)")
    left.plot(numbers, [e.val_loss for e in history], color=ORANGE, marker=marker, markersize=4, label=held_out)
    left.set(title=f"{title}: loss", xlabel="epoch", ylabel="mean loss", ylim=(0, None))
    left.legend(frameon=False)
    if classes:
        _draw_accuracy(panels[1], history, title, held_out, marker)
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    save_picture(figure, path)


def _draw_accuracy(axes: Any, history: Sequence[Epoch], title: str, held_out: str, marker: str) -> None:
    numbers = [epoch.number for epoch in history]
    axes.plot(numbers, [e.val_accuracy for e in history], color=ORANGE, marker=marker, markersize=4)
    axes.set(title=f"{title}: {held_out} accuracy", xlabel="epoch", ylabel="accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    last = history[-1]
    axes.annotate(
        f"{last.val_accuracy:.2%}",
        (last.number, last.val_accuracy or 0),
        textcoords="offset points",
        xytext=(-4, -14),
        ha="right",
        color=ORANGE,
    )
