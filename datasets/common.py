"""Shared by the training scripts: checks of the options, preparation of data and model, and the printed lines."""

from __future__ import annotations

import argparse
import inspect
import math
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import models
from minibp import Network, Optimizer, backend
from minibp.base import new_file
from minibp.cli import import_plotting, new_picture
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
    in_place = options.log and os.path.exists(options.log) and not os.path.isdir(options.log)  # perhaps a pipe
    for file in (options.save, options.checkpoint, options.report, None if in_place else options.log):
        if file:
            new_file(file)
    files = [options.save, options.log, options.plot, options.report, options.checkpoint]
    files += [f"{options.checkpoint}.previous"] if options.checkpoint else []
    places = [os.path.realpath(file) for file in files if file]
    if len(set(places)) < len(places):
        names = "--save, --log, --plot, --report and --checkpoint"
        raise ArgumentError(f"two of {names} name the same file; give each its own")
    if options.plot:
        new_picture(options.plot)
    if options.seed < 0:
        raise ArgumentError(f"--seed must be at least 0, received {options.seed}")
    if options.model is not None:
        models.by_name(options.model)
    if options.hidden is not None and options.model not in (None, *models.SIZED):
        raise ArgumentError(f"--hidden needs --model {' or '.join(models.SIZED)}, received {options.model}")
    by_name(options.optimizer or "sgd")
    backend.resolve(options.backend)


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


def result(accuracy: float | None, loss: float | None, epochs: int, seconds: float) -> str:
    """The last line of a training."""
    return f"test accuracy {accuracy:.4f}  loss {loss:.4f}  epochs {epochs}  seconds {seconds:.1f}"


def plotter(name: str) -> Callable[..., None]:
    """A function of plot.py. Call it before the training: a MissingExtraError if matplotlib is missing."""
    return getattr(import_plotting("datasets.plot"), name)
