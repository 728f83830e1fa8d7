"""A training script: its command line, and the training or experiment that it asks for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence

import models
from minibp import Epoch, save, train
from minibp.cli import nonempty, parse_options
from minibp.cli.session import add_options, checkpoint_of, comm_of, follow, result, run_training, writers
from minibp.data import Origin, Pictures, Splits
from minibp.errors import ArgumentError

from . import compare, probe
from .common import facts, head, prepare, refuse_early


def parser(dataset: str, model: str) -> argparse.ArgumentParser:
    """The command line of the script for this data set."""
    p = argparse.ArgumentParser(
        prog=f"python -m datasets.{dataset}",
        description=f"Train a network on {dataset} and report its accuracy on the test set, after the last epoch.",
        epilog="Options without a default take it from the recipe of the model.",
    )
    p.add_argument("--model", metavar="NAME", help=f"one of {', '.join(models.MODELS)}; default {model}")
    add_options(p, hidden=f" of {', '.join(models.SIZED)}")
    p.add_argument("--data", type=nonempty, metavar="DIR", help="folder with the files of the data set")
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
    return p


def main(
    dataset: str, loader: Callable[..., Splits], arguments: Sequence[str] | None = None, model: str = "mlp"
) -> int:
    """Run the script of a data set, by default with this model. Returns the exit status."""
    options = parse_options(parser(dataset, model), arguments)
    return run_training(lambda: choose(dataset, loader, options, model), options)


def choose(dataset: str, loader: Callable[..., Splits], options: argparse.Namespace, model: str) -> None:
    """Run a training, by default with this model, or one of the experiments."""
    if options.checkpoint_every is not None and options.checkpoint is None:
        raise ArgumentError("--checkpoint-every needs --checkpoint FILE; give both")
    if options.compare_losses and options.probe:
        raise ArgumentError("--probe cannot be used with --compare-losses; leave one of the two out")
    if options.mpi and (options.compare_losses or options.probe):
        raise ArgumentError("--mpi shares one training among processes; --compare-losses and --probe run in one alone")
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
    draw, write_report = writers(options)
    start = prepare(dataset, loader, options)
    splits, model, net, optimizer = start
    net.origin, net.preprocessing = Origin(dataset, options.seed), Pictures.like(splits.train.x)
    checkpoint = checkpoint_of(options)

    def begin() -> Iterator[Epoch]:
        given = (net, optimizer, splits.train, model.epochs, model.batch_size, splits.test, checkpoint)
        return train(*given, comm=comm_of(options))

    history, seconds = follow(begin, optimizer, options, model.epochs, checkpoint, head(dataset, start), line)

    last = history[-1]
    print(result(last.val_accuracy, last.val_loss, last.number, seconds), flush=True)
    if options.save:  # after the result is printed, so that a full disk does not lose it
        save(net, options.save)
    if draw:
        draw(history, dataset, options.plot)
    if write_report:
        write_report(net, options.report, splits.test, history, title=dataset, facts=facts(dataset, start, options))


def line(epoch: Epoch) -> str:
    """The line printed after an epoch."""
    return (
        f"epoch {epoch.number:3d}  loss {epoch.loss:.4f}  test loss {epoch.val_loss:.4f}  "
        f"test accuracy {epoch.val_accuracy:.4f}  {epoch.seconds:.2f} s"
    )
