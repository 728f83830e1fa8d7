"""Plots of a training run. Needs the extra `plot`."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from minibp import Epoch

BLUE, ORANGE = "#0072b2", "#d55e00"  # told apart by the colour-blind too (Okabe & Ito, 2008)


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
