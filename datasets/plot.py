"""Plots of the experiments. They need the extra `plot`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from minibp.cli import save_picture
from minibp.cli.plot import BLUE, GREEN, ORANGE

COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", "#e69f00", "black")
STYLES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))  # of the layers, from the last to the first
MARKERS = "os^Dv"
SHADES = LinearSegmentedColormap.from_list("shades", ["#8fc1e3", "white", "#f4b183"])  # paler than the dots on them
CHINESE = (  # fonts with Chinese characters, of Linux, Windows and macOS
    "Noto Sans CJK SC", "Source Han Sans SC", "Noto Sans SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB", "Heiti TC",
)  # fmt: skip
WORDS = {
    "quadratic": "sigmoid, quadratic loss",
    "softmax": "softmax, cross-entropy",
    "bce": "sigmoid, binary cross-entropy",
}
NOTE = (  # what `minibp.debug.LayerProbe` says, in short
    "C is the loss of one sample. Saturated: the slope of the activation is below a tenth of its largest.\n"
    "Stuck: the output a is farther than 1/2 from the target t, but its error hardly reaches z:\n"
    "|∂C/∂z| < |a − t| f′/10, where f′ is the largest slope of the activation.\n"
    "If the loss is merged with the activation, ∂C/∂z = a − t, and by definition no output is stuck."
)


def fonts() -> list[str]:
    """The font of matplotlib, and for what it lacks the first font with Chinese characters that is installed."""
    installed = set(get_font_names())
    return ["DejaVu Sans", *[name for name in CHINESE if name in installed][:1]]


def draw_plane(axes: Any, predict: Callable[[np.ndarray], np.ndarray], x: np.ndarray, labels: np.ndarray) -> Any:
    """Draw the share of the second of two outputs over the plane, and points of two classes. Returns the shades."""
    low, high = x.min(axis=0) - 0.3, x.max(axis=0) + 0.3
    across, up = np.meshgrid(np.linspace(low[0], high[0], 200), np.linspace(low[1], high[1], 200))
    outputs = predict(np.stack([across.ravel(), up.ravel()], axis=1))
    share = (outputs[:, 1] / outputs.sum(axis=1)).reshape(across.shape)
    shades = axes.contourf(across, up, share, levels=np.linspace(0, 1, 11), cmap=SHADES)
    axes.contour(across, up, share, levels=[0.5], colors="black", linewidths=1)
    for label, marker, colour in ((0, "o", BLUE), (1, "^", ORANGE)):
        axes.scatter(*x[labels == label].T, s=20, marker=marker, color=colour, edgecolor="white", linewidth=0.5)
    axes.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    return shades


def plane_key(figure: Any, names: Sequence[str]) -> None:
    """Put the key to the signs of `draw_plane` below a figure: names of class 0, class 1, and the boundary."""
    dots: dict[str, Any] = {"linestyle": "", "markersize": 6}
    keys = [Line2D([], [], marker="o", color=BLUE, **dots), Line2D([], [], marker="^", color=ORANGE, **dots),
            Line2D([], [], color="black", linewidth=1)]  # fmt: skip
    figure.legend(keys, names, loc="outside lower center", ncols=3, frameon=False)


def draw_boundaries(logs: Sequence[Any], path: str) -> None:
    """Plot side by side the output of each network for class 1 over the plane, and the training points."""
    x, labels = logs[0].points, logs[0].labels  # the same for all
    figure = Figure(figsize=(4 * len(logs) + 0.8, 3.6), layout="constrained")
    panels = figure.subplots(1, len(logs), squeeze=False)[0]
    for axes, log in zip(panels, logs, strict=True):
        shades = draw_plane(axes, log.net.predict, x, labels)
        right = (log.net.predict(x).argmax(axis=1) == labels).mean()
        axes.set_title(f"{WORDS[log.output]}:\n{right:.1%} right after {log.trained} epochs", fontsize="medium")
    figure.colorbar(shades, ax=panels, label="share of output 1", shrink=0.9)
    plane_key(figure, ("class 0", "class 1", "both outputs equal"))
    save_picture(figure, path)


def draw_errors(axes: Any, curves: Sequence[Any], names: Sequence[str]) -> None:
    """Draw the share of wrong answers over the epochs, a line for each output, and a band for the further seeds."""
    numbers = range(1, len(curves[0].accuracies) + 1)
    marker = "" if len(numbers) > 40 else "o"
    for curve, name, colour in zip(curves, names, (BLUE, ORANGE, GREEN), strict=True):
        wrong = 1 - np.array([curve.accuracies, *curve.others])
        axes.plot(numbers, wrong[0], color=colour, marker=marker, markersize=3.5, label=name)
        axes.fill_between(numbers, wrong.min(axis=0), wrong.max(axis=0), color=colour, alpha=0.2, linewidth=0)
    axes.set_yscale("log")  # shows the first epochs, and what differs at the end
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def draw_comparison(curves: Sequence[Any], title: str, path: str) -> None:
    """Plot the wrong answers on the test set over the epochs, a curve for each output."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    draw_errors(axes, curves, [f"{WORDS[curve.output]} (learning rate {curve.choice.rate:g})" for curve in curves])
    axes.set(title=f"{title}: one network, three outputs", xlabel="epoch", ylabel="wrong answers on the test set")
    if curves[0].others:
        figure.supxlabel(f"line: the first seed; band: {1 + len(curves[0].others)} seeds", fontsize="small")
    save_picture(figure, path)


def draw_probes(tracks: Sequence[Any], title: str, path: str) -> None:
    """Plot what `probe` reports over the steps, a line for each layer of each track.

    With several tracks, the colour shows the track and the line style the layer. With one, the colour shows the layer.
    """
    figure = Figure(figsize=(10, 7.4), layout="constrained")
    (delta, update), (hidden, output) = figure.subplots(2, 2)
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
            layers = [point.layers[i] for point in track.points]
            for axes, name in ((delta, "delta"), (update, "update")):
                sizes = np.array([getattr(layer, name) for layer in layers])
                sizes[sizes == 0] = np.nan  # a logarithmic axis cannot show 0
                axes.plot(steps, sizes, **look(which, i))
            axes = output if i == count - 1 else hidden
            axes.plot(steps, [layer.saturated for layer in layers], **look(which, i))
    delta.set(title="error at each layer", ylabel="root mean square of ∂C/∂z", yscale="log")
    update.set(title="size of a step, relative to the weights", ylabel="‖ΔW‖ / ‖W‖", yscale="log")
    hidden.set(title="saturated hidden values", ylabel="share of the hidden values")
    output.set(title="stuck outputs", ylabel="share of the wrong outputs")
    for axes in (delta, update, hidden, output):
        axes.set_xscale("symlog", linthresh=1, linscale=0.5)  # shows step 0, too
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
        axes.set(xlabel="steps", xlim=(-0.15, tracks[0].points[-1].step * 1.3))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in (hidden, output):
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if count == 1:
        hidden.text(0.5, 0.5, "there is no hidden layer", ha="center", color="grey", transform=hidden.transAxes)

    if several:
        labels = [*(f"{WORDS[track.name]} (learning rate {track.rate:g})" for track in tracks), *names]
        keys = [Line2D([], [], **{**look(which, count - 1), "markersize": 5}) for which in range(len(tracks))]
        keys += [Line2D([], [], **{**look(0, i), "color": "grey", "marker": ""}) for i in range(count)]
    else:
        labels, keys = names, [Line2D([], [], **look(0, i)) for i in range(count)]
    columns = -(-len(keys) // 3) if several else min(count, 4)  # three rows, with the outputs in column 1
    figure.legend(keys, labels, loc="outside lower center", ncols=columns, frameon=False, title=NOTE,
                  title_fontproperties={"size": "small"})  # fmt: skip
    subject = f"{title}, three outputs" if several else f"{title}, {tracks[0].name}"
    figure.suptitle(f"{subject}: how much of the error reaches the layers?")
    save_picture(figure, path)
