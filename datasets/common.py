"""Shared by the training scripts: checks of the options, preparation of data and model, and the printed lines."""

from __future__ import annotations

import argparse
import inspect
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import models
from minibp import Network, Optimizer
from minibp.cli import import_plotting, session
from minibp.data import Dataset, Splits
from minibp.errors import ArgumentError
from minibp.optimizers import by_name


class Start(NamedTuple):
    """Data, model, network and optimizer as the command line asks for, ready for training."""

    splits: Splits
    model: models.Model
    net: Network
    optimizer: Optimizer


def prepare(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace) -> Start:
    """Load the data, and create the network and the optimizer."""
    splits = load_data(dataset, loader, options)
    model = recipe(options, *pixels_and_classes(splits.train))
    net = model.network(backend=options.backend, seed=options.seed)
    return Start(splits, model, net, model.make_optimizer(net, len(splits.train)))


def refuse_early(options: argparse.Namespace) -> None:
    """Refuse wrong options before a download or a training begins."""
    session.refuse_early(options)
    if options.model is not None:
        models.by_name(options.model)
    if options.hidden is not None and options.model not in (None, *models.SIZED):
        raise ArgumentError(f"--hidden needs --model {' or '.join(models.SIZED)}, received {options.model}")


def refuse_unused(options: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Refuse options that have no effect together with another one. `why` names that one and says what to do."""
    for name in names:
        if getattr(options, name) is not None:
            raise ArgumentError(f"--{name.replace('_', '-')} cannot be used with {why}")


def load_data(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace) -> Splits:
    """Load the data. The digits are split by the seed, the others come from files."""
    if dataset != "digits":
        return loader(options.data)
    if options.data:
        raise ArgumentError("the digits are part of minibp and need no files; leave --data out")
    return loader(seed=options.seed)


def pixels_and_classes(dataset: Dataset) -> tuple[int, int]:
    """The numbers of pixels and classes."""
    return math.prod(dataset.x.shape[1:]), int(dataset.t.max()) + 1


def recipe(options: argparse.Namespace, n_in: int, n_out: int) -> models.Model:
    """The model, with the changes to its recipe that the command line makes."""
    chosen = {} if options.hidden is None else {"hidden": options.hidden}
    model = models.build(options.model, n_in=n_in, n_out=n_out, **chosen)
    if options.optimizer is not None:
        model.optimizer = by_name(options.optimizer)
        model.options = {}
        defaults = {name: p.default for name, p in inspect.signature(model.optimizer).parameters.items()}
        model.lr, model.weight_decay = defaults["lr"], defaults.get("weight_decay", model.weight_decay)
    for name in ("epochs", "batch_size", "lr", "weight_decay"):
        if getattr(options, name) is not None:
            setattr(model, name, getattr(options, name))
    return model


def head(dataset: str, start: Start) -> str:
    """The lines printed before a training: data, network and recipe."""
    splits, model, net, _ = start
    return f"{count(dataset, splits)}\n{net.summary()}\n{plan(model)}"


def count(dataset: str, splits: Splits) -> str:
    """The line with the numbers of images."""
    return f"{dataset}: {len(splits.train):,} training and {len(splits.test):,} test images"


def plan(model: models.Model) -> str:
    """The line with the training recipe."""
    decay = f", weight decay {model.weight_decay:g}" if model.weight_decay else ""
    published = f"; published for MNIST: {model.accuracy:.2f} %" if model.accuracy else ""
    return (
        f"{model.optimizer.__name__}, learning rate {model.lr:g}{decay}, batches of {model.batch_size}, "
        f"{model.epochs} epochs{published}\n"
    )


def facts(dataset: str, start: Start, options: argparse.Namespace) -> dict[str, object]:
    """The training recipe for a report."""
    model = start.model
    return {
        "data set": f"{dataset} ({len(start.splits.train):,} + {len(start.splits.test):,})",
        "model": options.model,
        "optimizer": str(start.optimizer).replace("(net, ", "("),
        "batch size": model.batch_size,
        "epochs": model.epochs,
        "seed": options.seed,
    }


def plotter(name: str) -> Callable[..., None]:
    """A function of plot.py. Call it before the training: a MissingExtraError if matplotlib is missing."""
    return getattr(import_plotting("datasets.plot"), name)
