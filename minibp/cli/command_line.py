"""The command line: python -m minibp doctor, evaluate, predict, report, export"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .. import __version__
from ..backend import NAMES
from ..base import printable
from ..errors import ArgumentError
from ..export import LANGUAGES, read_history
from ..files import load
from ..network import Network
from .commands import DATASETS, evaluation, images, predictions, testing
from .doctor import report
from .exporting import FORMATS, export
from .program import exit_status, import_report, nonempty, parse_options


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m minibp", description="minibp's own commands.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    about = "what minibp finds on this machine, and what it can use"
    commands.add_parser("doctor", help=about).set_defaults(run=lambda options: print(report()))

    about = "the accuracy and the mean loss of a saved network on a test set"
    evaluate = commands.add_parser("evaluate", help=about, description=f"Print {about}.")
    evaluate.set_defaults(run=run_evaluate)
    about = "the class of each image, as a saved network predicts it"
    predict = commands.add_parser("predict", help=about, description=f"Print {about}: CSV, sample,class,output.")
    predict.set_defaults(run=run_predict)
    about = "a page about a saved network: its curves, its mistakes, how far its confidence can be trusted"
    page = commands.add_parser("report", help=about, description=f"Write {about}: one HTML file.")
    page.set_defaults(run=run_report)
    for command in (evaluate, predict, page):
        command.add_argument("file", metavar="FILE", help="a network saved by `save` or by --save of a script")
        command.add_argument("--dataset", choices=DATASETS, help="use its test set")
        command.add_argument("--data", type=nonempty, metavar="DIR", help="folder with the files of the data set")
        split = "for the digits: the --seed of the training, which decided the split"
        command.add_argument("--seed", type=int, help=split)
        command.add_argument("--backend", default="numpy", help=f"one of {', '.join(NAMES)}; default numpy")
    about = "an IDX file, gzipped or not, or .npy, instead of a data set"
    predict.add_argument("--images", type=nonempty, metavar="FILE", help=about)
    predict.add_argument("--outputs", action="store_true", help="all outputs of each image instead of its class")
    page.add_argument("--out", type=nonempty, default="report.html", metavar="FILE", help="default report.html")
    page.add_argument("--history", type=nonempty, metavar="FILE", help="the --log of the training, for the curves")
    page.add_argument("--language", choices=LANGUAGES, default="en", help="English or Chinese; default en")

    about = "a saved network in another form: ONNX, PyTorch, or a page to draw digits on"
    command = commands.add_parser("export", help=about, description=f"Write {about}.")
    command.set_defaults(run=run_export)
    command.add_argument("file", metavar="FILE", help="a network saved by `save` or by --save of a script")
    command.add_argument("--to", choices=FORMATS, required=True, help="the form")
    out = "the file to write; default: beside FILE, with another ending"
    command.add_argument("--out", type=nonempty, metavar="FILE", help=out)
    command.add_argument("--language", choices=LANGUAGES, help="of a page; default en")
    about = "an ONNX file takes bytes 0..255, and scales them by 1/255"
    command.add_argument("--scale-uint8", action="store_true", default=None, help=about)
    top.add_argument("--version", action="version", version=f"minibp {__version__}")
    return top


def run_evaluate(options: argparse.Namespace) -> None:
    """Print one line."""
    net = network(options)
    print(evaluation(net, testing(options.dataset, options.data, options.seed)))


def run_predict(options: argparse.Namespace) -> None:
    """Print a line for each image."""
    net = network(options)
    from_file = options.images is not None
    x = images(options.images) if from_file else testing(options.dataset, options.data, options.seed).x
    for line in predictions(net, x, options.outputs):
        print(line)


def run_report(options: argparse.Namespace) -> None:
    """Write the page, and print its name."""
    write_report = import_report()
    net = network(options)
    history = None if options.history is None else read_history(options.history)
    test = testing(options.dataset, options.data, options.seed)
    facts = {"file": options.file, "data set": options.dataset}
    if options.seed is not None:
        facts["seed"] = options.seed
    write_report(net, options.out, test, history, title=options.dataset, facts=facts, language=options.language)
    print(printable(options.out))


def run_export(options: argparse.Namespace) -> None:
    """Write the file, and print its name and size, and the program that belongs to it."""
    print(export(options.file, options.to, options.out, language=options.language, scale_uint8=options.scale_uint8))


def network(options: argparse.Namespace) -> Network:
    """Load the network, after refusing a command line that names no data, or two."""
    file = getattr(options, "images", None)
    if (options.dataset is None) == (file is None):
        either = " or --images FILE" if hasattr(options, "images") else ""
        raise ArgumentError(f"choose the data by --dataset NAME{either}{', not both' if file is not None else ''}")
    for name in ("data", "seed"):
        if file is not None and getattr(options, name) is not None:
            raise ArgumentError(f"--{name} goes with --dataset, not with --images: leave one of the two out")
    return load(options.file, options.backend)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse_options(parser(), arguments)
    return exit_status(lambda: options.run(options))
