"""A training script: its command line, and the training or experiment that it asks for."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

import models
from minibp import Checkpoint, Epoch, backend, save, train
from minibp.backend import limited_blas
from minibp.base import at_least_one
from minibp.cli import (
    PICTURES,
    epoch_bar,
    exit_status,
    import_report,
    nonempty,
    parse_options,
    saved_at_interrupt,
    warnings_as_lines,
)
from minibp.data import Splits
from minibp.errors import ArgumentError, MinibpWarning
from minibp.optimizers import OPTIMIZERS

from . import compare, probe
from .common import facts, head, plotter, prepare, refuse_early, result
from .log import Log


def parser(dataset: str, model: str) -> argparse.ArgumentParser:
    """The command line of the script for this data set."""
    p = argparse.ArgumentParser(
        prog=f"python -m datasets.{dataset}",
        description=f"Train a network on {dataset} and report its accuracy on the test set, after the last epoch.",
        epilog="Options without a default take it from the recipe of the model.",
    )
    p.add_argument("--model", metavar="NAME", help=f"one of {', '.join(models.MODELS)}; default {model}")
    p.add_argument("--hidden", type=int, nargs="*", metavar="UNITS", help="units of each hidden layer of mlp or small")
    p.add_argument("--epochs", type=int, metavar="N", help="passes over the data")
    p.add_argument("--batch-size", type=int, metavar="N", help="samples per step")
    p.add_argument("--optimizer", metavar="NAME", help=f"one of {', '.join(OPTIMIZERS)}")
    p.add_argument("--lr", type=float, help="learning rate; with --optimizer, the default is that of the optimizer")
    p.add_argument("--weight-decay", type=float, metavar="LAMBDA", help="weight decay, which leaves biases alone")
    p.add_argument("--seed", type=int, default=0, help="seed of weights, sample order and split of digits; default 0")
    p.add_argument("--backend", default="numpy", help=f"one of {', '.join(backend.NAMES)}; default numpy")
    threads = "threads of the matrix products, in place of one for each processor; small networks take one anyway"
    p.add_argument("--threads", type=int, metavar="N", help=threads)
    p.add_argument("--data", type=nonempty, metavar="DIR", help="folder with the files of the data set")
    p.add_argument("--save", type=nonempty, metavar="FILE", help="save the trained network to this safetensors file")
    p.add_argument(
        "--checkpoint",
        type=nonempty,
        metavar="FILE",
        help="save the state of the training to this file, also on Ctrl-C, SIGTERM and SIGHUP; the same command line, "
        "started again, continues from there",
    )
    every = "epochs (5) or steps (200steps) between two checkpoints; default 1"
    p.add_argument("--checkpoint-every", type=nonempty, metavar="N", help=every)
    p.add_argument("--log", type=nonempty, metavar="FILE", help="write a row for each epoch to this CSV file")
    curves = f"plot the results to this file ({', '.join(PICTURES)})"
    p.add_argument("--plot", type=nonempty, metavar="FILE", help=curves)
    page = "write a page about the trained network to this HTML file: curves, mistakes, confidence"
    p.add_argument("--report", type=nonempty, metavar="FILE", help=page)
    p.add_argument(
        "--compare-losses",
        action="store_true",
        help="experiment: train one network with three kinds of output, each at the best of five learning rates, and "
        "print a table of test accuracy by epoch",
    )
    p.add_argument(
        "--probe",
        action="store_true",
        help="experiment: show why a network learns slowly, by the deltas, the saturated units and the updates of each "
        "layer during the training of one network with three kinds of output, or of --model NAME",
    )
    p.add_argument("--quiet", action="store_true", help="print only the last line or the last table")
    return p


def main(
    dataset: str, loader: Callable[..., Splits], arguments: Sequence[str] | None = None, model: str = "mlp"
) -> int:
    """Run the script of a data set, by default with this model. Returns the exit status."""
    options = parse_options(parser(dataset, model), arguments)
    smaller = "use fewer units (--hidden) or smaller batches (--batch-size)"

    def interrupted() -> str:
        saved = options.checkpoint and os.path.exists(options.checkpoint)
        return f"interrupted{f'; the same command line continues from {options.checkpoint}' if saved else ''}"

    return exit_status(lambda: choose(dataset, loader, options, model), smaller, interrupted)


def choose(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace, model: str) -> None:
    """Run a training, by default with this model, or one of the experiments."""
    if options.checkpoint_every is not None and options.checkpoint is None:
        raise ArgumentError("--checkpoint-every needs --checkpoint FILE; give both")
    if options.compare_losses and options.probe:
        raise ArgumentError("--probe cannot be used with --compare-losses; leave one of the two out")
    with limited_blas(None if options.threads is None else at_least_one("--threads", options.threads)):
        if options.compare_losses:
            compare.run(dataset, loader, options)
        elif options.probe:
            probe.run(dataset, loader, options)
        else:
            options.model = options.model or model
            run(dataset, loader, options)


def run(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace) -> None:
    """Load the data, build the network, train it, and report."""
    refuse_early(options)
    draw = plotter("draw_history") if options.plot else None
    write_report = import_report() if options.report else None
    start = prepare(dataset, loader, options)
    splits, model, net, optimizer = start
    checkpoint = Checkpoint(options.checkpoint, options.checkpoint_every or 1) if options.checkpoint else None
    with ExitStack() as stack:
        stack.enter_context(warnings_as_lines(MinibpWarning))
        epochs = train(net, optimizer, splits.train, model.epochs, model.batch_size, splits.test, checkpoint)
        history: list[Epoch] = list(checkpoint.history) if checkpoint else []
        if not options.quiet:
            print(head(dataset, start), flush=True)
            if checkpoint and optimizer.steps:
                print(f"continuing from {encodable(options.checkpoint)}, after step {optimizer.steps:,}\n", flush=True)
        start_time = time.perf_counter() - sum(epoch.seconds for epoch in history)
        if checkpoint:
            stack.enter_context(saved_at_interrupt(checkpoint))
        log = stack.enter_context(closing(Log(options.log))) if options.log else None
        if log:
            log.write(history)
        show, done = stack.enter_context(epoch_bar(options.quiet, model.epochs, len(history)))
        for epoch in epochs:
            history.append(epoch)
            done()
            show(line(epoch))
            if log:
                log.write([epoch])
    seconds = time.perf_counter() - start_time

    last = history[-1]
    print(result(last.val_accuracy, last.val_loss, last.number, seconds), flush=True)
    if options.save:  # after the result is printed, so that a full disk does not lose it
        save(net, options.save)
    if draw:
        draw(history, dataset, options.plot)
    if write_report:
        write_report(net, options.report, splits.test, history, title=dataset, facts=facts(dataset, start, options))


def encodable(path: str) -> str:
    """A file name that can be printed. File names may hold bytes that the output cannot encode."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return path.encode(encoding, "backslashreplace").decode(encoding)


def line(epoch: Epoch) -> str:
    """The line printed after an epoch."""
    return (
        f"epoch {epoch.number:3d}  loss {epoch.loss:.4f}  test loss {epoch.val_loss:.4f}  "
        f"test accuracy {epoch.val_accuracy:.4f}  {epoch.seconds:.2f} s"
    )
