"""write_report(): what a network has learned, as one HTML file to look at. It needs the extra `report`."""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from .. import __version__
from ..backend import describe_blas
from ..base import instance, new_file, summary_rows, write_atomically
from ..data import Dataset
from ..errors import ArgumentError, MissingExtraError
from ..evaluation import Evaluation, evaluate
from ..metrics import mean_absolute_error, r2_score
from ..network import Network
from ..progress import Epoch
from .findings import find_answers, find_errors
from .resources import resource
from .texts import label, texts


def write_report(
    net: Network,
    path: str | os.PathLike[str],
    test: Dataset,
    history: Sequence[Epoch] | None = None,
    *,
    title: str | None = None,
    facts: Mapping[str, object] | None = None,
    language: str = "en",
) -> None:
    """Write a page about a trained network: what it is, how it learned, and where it is wrong on a test set.

    The page is one HTML file. It needs no network and no script, and has a light and a dark form. For classes, it shows
    the confusion matrix, the most confident mistakes and how far the confidence can be trusted (Guo et al., 2017); for
    numbers, the residuals and the worst predictions. Inputs (N, height, width) or (N, height, width, 3) are shown as
    pictures, and so are the weights of the first layer. `net.class_names` and `net.column_names` name things.

    Parameters
    ----------
    net : Network
        The network. It is not changed.
    path : str or path-like
        The file to write. An existing file is replaced, as a whole or not at all.
    test : Dataset
        Samples on which the network is examined: not those it was trained on.
    history : sequence of Epoch, optional
        What `train` yielded, for the curves: ``history = list(train(...))``.
    title : str, optional
        The headline of the page.
    facts : dict, optional
        What else to say about the training, by a short label: ``{"seed": 3, "optimizer": "Adam"}``. The labels of the
        training scripts are translated.
    language : {"en", "zh"}, default "en"
        English or Chinese.

    Raises
    ------
    MissingExtraError
        If jinja2 or matplotlib is not installed.
    ArgumentError, NotWritableError
        If the file cannot be written, the language is another one, or an argument is not as described.
    InputError, ShapeError, TargetError, DivergenceError
        If the data do not fit the network, as in `evaluate`.
    OSError
        If the disk is full. An old file is kept.
    """
    text = texts(language)
    instance("net", net, Network, "call write_report(net, path, test)")
    instance("test", test, Dataset, "create one: Dataset(x, t)")
    history = _checked(history)
    jinja2, sections = import_tools()
    real = new_file(path)
    evaluation = evaluate(net, test)
    percent = sections.percent(language)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"number": sections.number, "percent": percent}
    page = environment.from_string(resource("report.html")).render(
        style=resource("report.css"),
        text=text,
        title=text["title"] if title is None else title,
        facts=[(label(name, language), value) for name, value in _facts(net, test, history, facts or {})],
        layers=summary_rows(net),
        weighted=test.weights is not None,
        version=__version__,
        learning=sections.learning(history, evaluation.loss, text) if history else None,
        first_layer=sections.first_layer(net, test),
        **_examined(net, test, evaluation, text, sections, percent),
    )
    write_atomically(real, page.encode("utf-8", "replace"))  # file names may hold bytes that are no text


def import_tools() -> tuple[Any, Any]:
    """The package jinja2 and the sections, which need matplotlib. A MissingExtraError if one of both is missing."""
    try:
        import jinja2

        return jinja2, import_module("minibp.export.sections")
    except ImportError as error:
        package = (error.name or "matplotlib").partition(".")[0]
        raise MissingExtraError(package, "report", "a report") from None


def _checked(history: Any) -> list[Epoch]:
    """The epochs of a training; an ArgumentError if they are something else."""
    if history is None:
        return []
    if not isinstance(history, (list, tuple)) or not all(isinstance(epoch, Epoch) for epoch in history):
        raise ArgumentError(f"history is {history!r:.80}, expected a list of Epoch: list(train(...))")
    return list(history)


def _facts(
    net: Network, test: Dataset, history: Sequence[Epoch], given: Mapping[str, object]
) -> list[tuple[str, object]]:
    """What is known about the training, by labels in English."""
    shape = " × ".join(map(str, test.x.shape[1:]))
    versions = {"minibp": __version__, "Python": platform.python_version(), "NumPy": np.__version__}
    if net.backend != "numpy":
        versions[net.backend] = net.xp.__version__
    known: dict[str, object] = {
        **given,
        "loss": net.loss,
        "parameters": f"{net.params.size:,} ({net.dtype}, {net.backend})",
        "test samples": f"{len(test):,} ({shape}, {test.x.dtype})",
    }
    if history:
        known["time of training"] = f"{sum(epoch.seconds for epoch in history):.1f} s"
    known["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    known["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU, {describe_blas()}"
    known["report made on"] = f"{datetime.datetime.now():%Y-%m-%d %H:%M}"
    return list(known.items())


def _examined(
    net: Network, test: Dataset, evaluation: Evaluation, text: dict[str, str], sections: Any, percent: Any
) -> dict[str, Any]:
    """The key numbers, and the sections for classes or for numbers; those for the other kind are None."""
    number = sections.number
    page: dict[str, Any] = dict.fromkeys(("confusion", "mistakes", "calibration", "residuals", "worst"))
    size = (f"{net.params.size:,}", text["count"], "")
    loss = (number(evaluation.loss), text["loss"], str(net.loss))
    if math.isnan(evaluation.accuracy):
        errors = find_errors(net, test)
        mae, r2 = (
            metric(errors.outputs, t=errors.t) if len(test) > 1 else math.nan
            for metric in (mean_absolute_error, r2_score)
        )
        page["key"] = [(number(mae), text["error"], ""), (number(r2), text["r2"], ""), loss, size]
        page["residuals"] = sections.residuals(errors, text)
        page["worst"] = sections.worst(net, test, errors, text)
        return page
    answers = find_answers(net, test)
    page["confusion"] = sections.confusion(answers)
    page["mistakes"] = sections.mistakes(net, test, answers, text, percent)
    wrong = text["wrong"].format(page["mistakes"]["count"], len(test))
    page["key"] = [(percent(evaluation.accuracy, 2), text["accuracy"], wrong), loss]
    if answers.probable:
        page["calibration"] = sections.calibration(answers, text, percent)
        page["key"].append((percent(page["calibration"]["error"]), text["ece"], "Guo et al., 2017"))
    page["key"].append(size)
    return page
