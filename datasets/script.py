"""What the training scripts have in common: the command line, the progress, and the last line."""

from __future__ import annotations

import argparse
import csv
import inspect
import math
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import NamedTuple

from tqdm import tqdm

import models
from minibp import Checkpoint, Epoch, Network, Optimizer, backend, save, train
from minibp.__main__ import exit_status, given, parsed
from minibp.checks import PICTURES, new_file, new_picture
from minibp.data import Dataset, Splits
from minibp.errors import ArgumentError, CheckpointWarning, MissingExtraError
from minibp.optimizers import OPTIMIZERS, by_name

COLUMNS = ("epoch", "loss", "test_loss", "test_accuracy", "seconds")


def parser(dataset: str, model: str) -> argparse.ArgumentParser:
    """The options of the script of this data set."""
    p = argparse.ArgumentParser(
        prog=f"python -m datasets.{dataset}",
        description=f"Train a network on {dataset} and report its accuracy on the test set, after the last epoch.",
        epilog="Where no default is given, it is the model's own recipe that holds.",
    )
    p.add_argument("--model", metavar="NAME", help=f"{', '.join(models.MODELS)}; default {model}")
    p.add_argument("--hidden", type=int, nargs="*", metavar="UNITS", help="units of the hidden layers")
    p.add_argument("--epochs", type=int, metavar="N", help="passes over the data")
    p.add_argument("--batch-size", type=int, metavar="N", help="samples a step")
    p.add_argument("--optimizer", metavar="NAME", help=f"one of {', '.join(OPTIMIZERS)}")
    p.add_argument("--lr", type=float, help="learning rate; with --optimizer, the optimizer's own default")
    p.add_argument("--weight-decay", type=float, metavar="LAMBDA", help="decay of the weights, not of the biases")
    p.add_argument("--seed", type=int, default=0, help="draws weights, order, and the split of digits; default 0")
    p.add_argument("--backend", default="numpy", help=f"one of {', '.join(backend.NAMES)}; default numpy")
    p.add_argument("--data", type=given, metavar="DIR", help="folder with the files of the data set")
    p.add_argument("--save", type=given, metavar="FILE", help="write the trained network to this safetensors file")
    p.add_argument(
        "--checkpoint",
        type=given,
        metavar="FILE",
        help="keep the state of the training in this file; the same command line, started again, goes on from there. "
        "Ctrl-C then saves first",
    )
    every = "epochs, as 5, or steps, as 200steps, between two of them; default 1"
    p.add_argument("--checkpoint-every", type=given, metavar="N", help=every)
    p.add_argument("--log", type=given, metavar="FILE", help="write a line for each epoch to this CSV file")
    curves = f"draw the curves of loss and accuracy ({', '.join(PICTURES)})"
    p.add_argument("--plot", type=given, metavar="FILE", help=curves)
    p.add_argument(
        "--compare-losses",
        action="store_true",
        help="instead, one network with three kinds of output, each at the best of five learning rates: the last lines "
        "are then a table of test accuracy by epoch",
    )
    p.add_argument(
        "--probe",
        action="store_true",
        help="why is it slow to learn? Show, over the training, what reaches each layer, what is saturated and how far "
        "a step moves the weights: of one network with three kinds of output, or of --model NAME; --plot draws that",
    )
    p.add_argument(
        "--quiet", action="store_true", help="only the last line, or the last table of --compare-losses and --probe"
    )
    return p


def main(
    dataset: str, loader: Callable[..., Splits], arguments: Sequence[str] | None = None, model: str = "mlp"
) -> int:
    """Run the script of a data set, with this model by default; returns the exit status."""
    options = parsed(parser(dataset, model), arguments)
    smaller = "give fewer units, --hidden, or smaller batches, --batch-size"

    def interrupted() -> str:
        kept = options.checkpoint and os.path.exists(options.checkpoint)
        return f"interrupted{f'; the same command line goes on from {options.checkpoint}' if kept else ''}"

    return exit_status(lambda: choose(dataset, loader, options, model), smaller, interrupted)


def choose(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace, model: str) -> None:
    """A training with this model by default, or one of the experiments."""
    if options.checkpoint_every is not None and options.checkpoint is None:
        raise ArgumentError("--checkpoint-every goes with --checkpoint FILE, which is missing")
    if options.compare_losses and options.probe:
        raise ArgumentError("--probe does not go with --compare-losses: leave one of the two out")
    if options.compare_losses:
        from .compare import run as compare  # here, not above: it uses this module

        compare(dataset, loader, options)
    elif options.probe:
        from .probe import run as probe

        probe(dataset, loader, options)
    else:
        options.model = options.model or model
        run(dataset, loader, options)


class Start(NamedTuple):
    """What the command line asks for, ready to train."""

    splits: Splits
    model: models.Model
    net: Network
    optimizer: Optimizer


def prepare(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace) -> Start:
    """Load the data and build the model."""
    splits = load(dataset, loader, options)
    model = recipe(options, *sizes(splits.train))
    net = model.network(backend=options.backend, seed=options.seed)
    return Start(splits, model, net, model.make_optimizer(net, len(splits.train)))


def run(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace) -> None:
    """Load, build, train, report."""
    refuse_early(options)
    draw = plotter("draw_history") if options.plot else None
    start = prepare(dataset, loader, options)
    splits, model, net, optimizer = start
    checkpoint = Checkpoint(options.checkpoint, options.checkpoint_every or 1) if options.checkpoint else None
    with ExitStack() as stack:
        stack.enter_context(warned())
        epochs = train(net, optimizer, splits.train, model.epochs, model.batch_size, splits.test, checkpoint)
        history: list[Epoch] = list(checkpoint.history) if checkpoint else []
        if not options.quiet:
            print(head(dataset, start), flush=True)
            if checkpoint and optimizer.steps:
                print(f"going on from {shown(options.checkpoint)}, after step {optimizer.steps:,}\n", flush=True)
        begun = time.perf_counter() - sum(epoch.seconds for epoch in history)
        if checkpoint:
            stack.enter_context(saved_at_interrupt(checkpoint))
        log = csv.writer(stack.enter_context(open(options.log, "w", newline="", buffering=1))) if options.log else None
        if log:
            log.writerow(COLUMNS)
            log.writerows(history)
        show, done = stack.enter_context(progress(options.quiet, model.epochs, len(history)))
        for epoch in epochs:
            history.append(epoch)
            done()
            show(line(epoch))
            if log:
                log.writerow(epoch)
    seconds = time.perf_counter() - begun

    last = history[-1]
    print(result(last.val_accuracy, last.val_loss, last.number, seconds), flush=True)
    if options.save:  # after the result, which a full disk shall not cost
        save(net, options.save)
    if draw:
        draw(history, dataset, options.plot)


def shown(path: str) -> str:
    """The name of a file as the output can take it: a system's names need not be text."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return path.encode(encoding, "backslashreplace").decode(encoding)


@contextmanager
def warned() -> Iterator[None]:
    """Show the warnings of a checkpoint as lines of their own, without the place in the code."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        with tqdm.external_write_mode(file=sys.stderr):
            print(f"warning: {message}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", CheckpointWarning)
        warnings.showwarning = show
        yield


@contextmanager
def saved_at_interrupt(checkpoint: Checkpoint) -> Iterator[None]:
    """Have Ctrl-C write a checkpoint after the step that is being made; a second one stops at once."""

    def ask(*_: object) -> None:
        checkpoint.interrupt()
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    # Only the main thread gets signals; and a program that was told to ignore this one, as by nohup, goes on to do so.
    if before == signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def refuse_early(options: argparse.Namespace) -> None:
    """Refuse what can be refused now, and not after a download or a training."""
    for file in (options.save, options.log, options.checkpoint):
        if file:
            new_file(file)
    files = [options.save, options.log, options.plot, options.checkpoint]
    files += [f"{options.checkpoint}.previous"] if options.checkpoint else []
    places = [os.path.realpath(file) for file in files if file]
    if len(set(places)) < len(places):
        raise ArgumentError("two of --save, --log, --plot and --checkpoint name the same file: give each its own")
    if options.plot:
        new_picture(options.plot)
    if options.seed < 0:
        raise ArgumentError(f"--seed must be at least 0, got {options.seed}")
    if options.model is not None:
        models.by_name(options.model)
    if options.hidden is not None and options.model not in (None, *models.SIZED):
        raise ArgumentError(f"--hidden goes with --model {' or '.join(models.SIZED)}, not with {options.model}")
    by_name(options.optimizer or "sgd")
    backend.resolve(options.backend)


def refuse_unused(options: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Refuse options that have no meaning together with another; `why` names that, and says what to do."""
    for name in names:
        if getattr(options, name) is not None:
            raise ArgumentError(f"--{name.replace('_', '-')} does not go with {why}")


def load(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace) -> Splits:
    """The data: digits are split by the seed, the others come from files."""
    if dataset != "digits":
        return loader(options.data)
    if options.data:
        raise ArgumentError("the digits are part of minibp, there are no files to give: leave --data out")
    return loader(seed=options.seed)


def sizes(dataset: Dataset) -> tuple[int, int]:
    """Pixels and classes."""
    return math.prod(dataset.x.shape[1:]), int(dataset.t.max()) + 1


def recipe(options: argparse.Namespace, n_in: int, n_out: int) -> models.Model:
    """The model, its recipe overridden by the command line."""
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


@contextmanager
def progress(
    quiet: bool, epochs: int, over: int = 0
) -> Iterator[tuple[Callable[[str], None], Callable[[], object]]]:
    """A bar of so many epochs: gives what shows a line above it, and what to call after each epoch; or no output."""
    with tqdm(total=max(epochs, 0), initial=over, unit="epoch", disable=quiet, leave=False) as bar:

        def show(line: str) -> None:
            if not quiet:
                bar.write(line, file=sys.stdout)
                sys.stdout.flush()

        yield show, bar.update


def head(dataset: str, start: Start) -> str:
    """What is printed before a training: the data, the network, and how it will be trained."""
    splits, model, net, _ = start
    return f"{count(dataset, splits)}\n{net.summary()}\n{plan(model)}"


def count(dataset: str, splits: Splits) -> str:
    """How many images there are."""
    return f"{dataset}: {len(splits.train):,} training and {len(splits.test):,} test images"


def plan(model: models.Model) -> str:
    """How it will be trained, in one line."""
    decay = f", weight decay {model.weight_decay:g}" if model.weight_decay else ""
    published = f"; published for MNIST: {model.accuracy:.2f} %" if model.accuracy else ""
    return (
        f"{model.optimizer.__name__}, learning rate {model.lr:g}{decay}, batches of {model.batch_size}, "
        f"{model.epochs} epochs{published}\n"
    )


def line(epoch: Epoch) -> str:
    """What is printed after each epoch."""
    return (
        f"epoch {epoch.number:3d}  loss {epoch.loss:.4f}  test loss {epoch.val_loss:.4f}  "
        f"test accuracy {epoch.val_accuracy:.4f}  {epoch.seconds:.2f} s"
    )


def result(accuracy: float | None, loss: float | None, epochs: int, seconds: float) -> str:
    """The last line."""
    return f"test accuracy {accuracy:.4f}  loss {loss:.4f}  epochs {epochs}  seconds {seconds:.1f}"


def plotter(name: str) -> Callable[..., None]:
    """The function of plot.py that draws, or an error that names the extra: before the training, not after it."""
    try:
        return getattr(import_module("datasets.plot"), name)
    except ImportError:
        raise MissingExtraError("matplotlib", "plot", "--plot") from None
