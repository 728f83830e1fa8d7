"""The sections of a report: what the page shows of each, as text, numbers and figures. Its template lays them out."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..data import Dataset
from ..network import Network
from ..progress import Epoch
from . import figures
from .calibration import BINS, expected_calibration_error, reliability
from .findings import QUANTILES, Answers, Errors, first_weights, picture_shape

MOST_CLASSES = 20  # of a confusion matrix that fits on a page
MOST_PICTURES = 24  # of mistakes
MOST_ROWS = 20  # of tables that name the worst first
MOST_COLUMNS = 12  # inputs of a sample in a table
MOST_UNITS = 64  # of the first layer
MOST_FIGURES = 4  # outputs with a figure each; more share one

Section = dict[str, Any]
Text = dict[str, str]
Lines = list[list[tuple[str, str, str]]]


def number(value: float | None) -> str:
    """A number with four digits, or a dash if there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.4g}"


def width(name: str) -> int:
    """About how wide a name is, in digits: a Chinese character takes two."""
    return sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in name)


def percent(language: str) -> Callable[..., str]:
    """A function that writes a share as percent, in the way of the language."""
    space = "\N{NARROW NO-BREAK SPACE}" if language == "en" else ""

    def write(value: float | None, digits: int = 1) -> str:
        return "–" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}{space}%"

    return write


def learning(history: Sequence[Epoch], loss: float, text: Text) -> Section:
    """The curves with the best epochs, and which of them is the network of the report, by its test loss."""
    losses, accuracies = (
        np.array([math.nan if value is None else value for value in values], float)
        for values in ([e.val_loss for e in history], [e.val_accuracy for e in history])
    )
    validated, classified = not np.isnan(losses).all(), not np.isnan(accuracies).all()
    best = [history[int(np.nanargmin(losses))].number if validated else None]
    best += [history[int(np.nanargmax(accuracies))].number] if classified else []
    same = [epoch.number for epoch in history if _same(epoch.val_loss, loss)]
    titles = (text["loss"], text["validation_accuracy"])
    return {
        "figures": list(zip(titles, figures.draw_curves(history, best, text), strict=False)),
        "rows": history,
        "best": [*best, None][:2],
        "validated": validated,
        "classified": classified,
        "match": text["curves_match"].format(same[-1]) if same else text["curves_other"],
    }


def _same(loss: float | None, other: float) -> bool:
    """Whether two losses are the same but for rounding, as of a training that was compiled."""
    return loss is not None and math.isclose(loss, other, rel_tol=1e-4)


def confusion(answers: Answers) -> Section:
    """The matrix with the share of each count in its row, if it is not too large, and the numbers of each class."""
    matrix, k = answers.matrix, len(answers.names)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    rows = [list(zip(*both, strict=True)) for both in zip(matrix.tolist(), shares.tolist(), strict=True)]
    return {
        "names": answers.names,
        "long": max(map(width, answers.names)) > 4,
        "rows": list(zip(answers.names, rows, strict=True)) if k <= MOST_CLASSES else None,
        "classes": answers.per_class(),
        "pairs": [(answers.names[i], answers.names[j], n) for i, j, n in answers.confusions()[:MOST_ROWS]],
    }


def mistakes(net: Network, test: Dataset, answers: Answers, text: Text, percent: Callable[..., str]) -> Section:
    """The most confident mistakes: pictures, or a table of their inputs."""
    all_wrong, names = answers.mistakes, answers.names
    shown = all_wrong[: MOST_PICTURES if picture_shape(test.x) else MOST_ROWS].tolist()
    output: Callable[[float], str] = percent if answers.probable else number
    value = text["probability" if answers.probable else "output"]
    lines: Lines = [
        [
            (text["true"], names[answers.true[n]], output(answers.of_true[n])),
            (text["answer"], names[answers.predicted[n]], output(answers.confidence[n])),
        ]
        for n in shown
    ]
    counts = {"count": len(all_wrong), "shown": len(shown), "total": len(test)}
    return counts | samples(net, test.x, shown, [text["true"], value, text["answer"], value], lines, text)


def worst(net: Network, test: Dataset, errors: Errors, text: Text) -> Section:
    """The samples with the largest errors: pictures, or a table of their inputs."""
    sizes, single = errors.of_samples, len(errors.names) == 1
    order = np.argsort(-sizes, kind="stable")
    shown = order[: MOST_PICTURES if picture_shape(test.x) else MOST_ROWS].tolist()
    head = [text["target"], text["prediction"], text["residual"]] if single else [text["rms_error"]]
    columns = [errors.t[:, 0], errors.outputs[:, 0], errors.residuals[:, 0]] if single else [sizes]
    lines: Lines = [
        [(name, "", number(column[n])) for name, column in zip(head, columns, strict=True)] for n in shown
    ]
    return samples(net, test.x, shown, head, lines, text)


def samples(net: Network, x: np.ndarray, shown: list[int], head: list[str], lines: Lines, text: Text) -> Section:
    """Samples with the lines about each: as pictures, if they are, else as a table with their inputs.

    A line is a label, a class or "", and a value. `head` names the columns of the table: those classes and values.
    """
    shape = picture_shape(x)
    if shape and shown:
        pictures = [x[n].reshape(shape) for n in shown]
        low, high = (0, 255) if x.dtype == np.uint8 else (min(map(np.min, pictures)), max(map(np.max, pictures)))
        images = [figures.png(each, float(low), float(high)) for each in pictures]
        return {"cards": list(zip(images, shown, lines, strict=True))}
    size = math.prod(x.shape[1:])
    names = (net.column_names or [f"x{i}" for i in range(size)])[:MOST_COLUMNS]
    rows = []
    for n, own in zip(shown, lines, strict=True):
        cells = [(cell, cell is name) for _, name, value in own for cell in (name, value) if cell]
        values = [(number(value), False) for value in x[n].ravel()[:MOST_COLUMNS].tolist()]
        rows.append([(str(n), False), *cells, *values])
    note = text["some_columns"].format(MOST_COLUMNS, size) if size > MOST_COLUMNS else ""
    return {"table": rows, "head": [text["sample"], *head, *names], "note": note}


def calibration(answers: Answers, text: Text, percent: Callable[..., str]) -> Section:
    """The reliability diagram, its bins, and the expected calibration error."""
    bins = reliability(answers.confidence, answers.right)
    error = expected_calibration_error(answers.confidence, answers.right)
    claimed, right = float(answers.confidence.mean(dtype=float)), float(answers.right.mean())
    sentence = text["calibration_ece"].format(percent(claimed), percent(right), percent(error), BINS)
    return {"figure": figures.draw_reliability(bins, text), "bins": bins, "error": error, "note": sentence}


def first_layer(net: Network, test: Dataset) -> Section | None:
    """The weights of the first layer as pictures, if the inputs are pictures and it is a matrix of their pixels."""
    shape = picture_shape(test.x)
    weights = first_weights(net, shape) if shape else None
    if weights is None:
        return None
    shown = weights[:MOST_UNITS]
    limit = float(abs(shown).max()) or 1.0
    units = shown.reshape(len(shown), -1).astype(float)
    columns = units.min(axis=1), units.max(axis=1), np.sqrt(np.square(units).mean(axis=1))
    return {
        "images": [figures.png(unit, -limit, limit, "RdBu_r") for unit in shown],
        "limit": limit,
        "count": len(weights),
        "rows": list(zip(range(len(units)), *(column.tolist() for column in columns), strict=True)),
    }


def residuals(errors: Errors, text: Text) -> Section:
    """Figures of predictions and residuals, one pair for each output if there are few, and the errors in numbers."""
    k = len(errors.names)
    groups = [[i] for i in range(k)] if k <= MOST_FIGURES else [list(range(k))]
    pairs, quantiles = [], []
    for i, columns in enumerate(groups):
        part = Errors([errors.names[c] for c in columns], errors.t[:, columns], errors.outputs[:, columns])
        svgs, dots = figures.draw_errors(part, i, text)
        notes = [text["residuals_pooled"].format(k)] if len(columns) > 1 else []
        notes += [text["residuals_some"].format(dots, part.t.size)] if dots < part.t.size else []
        pairs.append((part.names[0] if 1 < k <= MOST_FIGURES else "", svgs, notes))
        quantiles.append(np.quantile(part.residuals, QUANTILES).tolist())
    first = Errors(errors.names[:MOST_ROWS], errors.t[:, :MOST_ROWS], errors.outputs[:, :MOST_ROWS])
    return {
        "pairs": pairs,
        "outputs": first.per_output(),
        "note": text["some_outputs"].format(MOST_ROWS, k) if k > MOST_ROWS else "",
        "quantiles": list(zip(QUANTILES, *quantiles, strict=True)),
    }
