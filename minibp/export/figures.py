"""The figures of a report: SVG whose text and colours are those of the page, and pictures as PNG."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..progress import Epoch
from .calibration import Bin
from .findings import Errors

# Colours that stand for those of the page, which are others in the dark and in print.
INK, MUTED, LINE, BLUE, ORANGE = "#010101", "#020202", "#030303", "#040404", "#050505"
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", BLUE: "blue", ORANGE: "orange"}
STYLE: Any = {
    "svg.hashsalt": "minibp",  # the same figure has the same ids
    "svg.fonttype": "none",  # text stays text, in the fonts of the browser
    "text.parse_math": False,  # else $ would begin a formula
    "font.family": "DejaVu Sans",  # comes with matplotlib; its letters are wide, so those of a browser fit
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.axisbelow": True,
}
DOTS = 1000  # of a scatter plot: more make the page large, not the picture clearer
XLINK = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def drawn(width: float, height: float, name: str, label: str) -> Iterator[Any]:
    """A context that gives a figure, and has its SVG in `figure.svg` afterwards: see `inline`."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old releases, and about Chinese, which the browser's font has
        matplotlib.rcdefaults()  # not the user's, who may write all text by TeX
        matplotlib.rcParams.update(STYLE)
        figure: Any = Figure(figsize=(width, height), layout="constrained")
        yield figure
        content = io.StringIO()
        figure.savefig(content, format="svg", transparent=True)
        figure.svg = inline(content.getvalue(), name, label)


def inline(svg: str, name: str, label: str) -> Markup:
    """An SVG file of matplotlib as an element of a page.

    Its ids begin with `name`, so that they differ from those of other figures. Colours become variables of the page,
    fonts are the page's, and the width is that of the place. `label` is for those who do not see it.
    """
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = element.attrib
        if XLINK in attributes:
            attributes["href"] = f"#{name}-{attributes.pop(XLINK)[1:]}"
        if element.tag == "g":
            attributes.pop("id", None)
        elif "id" in attributes:
            attributes["id"] = f"{name}-{attributes['id']}"
        if "clip-path" in attributes:
            attributes["clip-path"] = attributes["clip-path"].replace("#", f"#{name}-")
        if "style" in attributes:
            style = "; ".join(part for part in attributes["style"].split("; ") if not part.startswith("font"))
            for colour, variable in VARIABLES.items():
                style = style.replace(colour, f"var(--{variable})")
            attributes["style"] = style
    for child in list(root):
        if child.tag == "metadata" or child.find("style") is not None:  # a style would be one of the whole page
            root.remove(child)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # ElementTree has escaped all text


def png(pixels: np.ndarray, low: float, high: float, colours: str = "gray") -> str:
    """A picture (height, width) or (height, width, 3) as the address of a PNG that is its own content."""
    content = io.BytesIO()
    if pixels.ndim == 3:
        pixels = np.clip((pixels.astype(float) - low) / ((high - low) or 1), 0, 1)
    imsave(content, pixels, format="png", cmap=colours, vmin=low, vmax=high)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def draw_curves(history: Sequence[Epoch], best: Sequence[int | None], text: Mapping[str, str]) -> list[Markup]:
    """Loss, and accuracy if there is one, over the epochs; `best` are the epochs to mark."""
    numbers = [epoch.number for epoch in history]
    marker: Any = {"marker": "o", "markersize": 3} if len(history) < 40 else {}
    # None becomes NaN, which is not drawn
    losses = np.array([(epoch.loss, epoch.val_loss) for epoch in history], float)
    accuracies = np.array([(None, epoch.val_accuracy) for epoch in history], float)
    curves = [(text["loss"], losses), (text["accuracy"], accuracies)]
    found = []
    for i, ((name, values), mark) in enumerate(zip(curves, best, strict=False)):
        with drawn(4.4, 2.9, f"curve{i}", f"{name}, {text['epoch']}") as figure:
            axes = figure.subplots()
            for column, colour in zip(values.T, (BLUE, ORANGE), strict=True):
                axes.plot(numbers, column, color=colour, linewidth=1.6, **marker)
            if mark is not None:
                axes.axvline(mark, color=MUTED, linestyle=":", linewidth=1.2, zorder=0)
                side = "left" if mark < (numbers[0] + numbers[-1]) / 2 else "right"
                where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "color": INK}
                axes.annotate(text["best"].format(mark), (mark, 1), (0, 3), ha=side, va="bottom", **where)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.set(xlabel=text["epoch"], ylabel=name)
            if i == 1:
                axes.yaxis.set_major_formatter(PercentFormatter(1))
            elif np.nanmin(values) >= 0:
                axes.set_ylim(0, None)
        found.append(figure.svg)
    return found


def draw_reliability(bins: Sequence[Bin], text: Mapping[str, str]) -> Markup:
    """The reliability diagram (Niculescu-Mizil & Caruana, 2005), and how many answers each bin has."""
    with drawn(4.4, 4.6, "reliability", text["calibration"]) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        left, width = [each.low for each in bins], [each.high - each.low for each in bins]
        upper.bar(left, [each.accuracy for each in bins], width, align="edge", color=BLUE, alpha=0.55)
        upper.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
        upper.plot([b.confidence for b in bins], [b.accuracy for b in bins], "o", color=BLUE, markersize=4)
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel=text["share_right"])
        lower.bar(left, [each.answers for each in bins], width, align="edge", color=MUTED, alpha=0.55)
        lower.set(xlabel=text["confidence"], ylabel=text["answers"])
        lower.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        for axis in (lower.xaxis, upper.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
    return figure.svg


def draw_errors(errors: Errors, number: int, text: Mapping[str, str]) -> tuple[list[Markup], int]:
    """Prediction over target, and a histogram of the residuals, of all outputs; and how many dots there are.

    `number` counts such figures on the page.
    """
    t, outputs = errors.t.ravel(), errors.outputs.ravel()
    chosen = np.unique(np.linspace(0, len(t) - 1, min(DOTS, len(t))).astype(int))
    with drawn(4.4, 3.6, f"prediction{number}", f"{text['prediction']}, {text['target']}") as scatter:
        axes = scatter.subplots()
        ends = [min(t.min(), outputs.min()), max(t.max(), outputs.max())]
        axes.plot(ends, ends, color=MUTED, linestyle="--", linewidth=1)
        axes.plot(t[chosen], outputs[chosen], "o", color=BLUE, markersize=4, alpha=0.5, markeredgewidth=0)
        axes.set(xlabel=text["target"], ylabel=text["prediction"])
        axes.locator_params(nbins=5)
    with drawn(4.4, 3.6, f"residual{number}", text["residual"]) as histogram:
        axes = histogram.subplots()
        axes.hist(outputs - t, bins=30, color=BLUE, alpha=0.7)
        axes.axvline(0, color=MUTED, linestyle="--", linewidth=1)
        axes.set(xlabel=text["residual"], ylabel=text["samples"])
        axes.locator_params(nbins=5)
    return [scatter.svg, histogram.svg], len(chosen)
