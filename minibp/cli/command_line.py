"""The command line: python -m minibp train, predict, evaluate, report, export, doctor"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .. import __version__
from ..backend import NAMES
from ..base import printable
from ..errors import ArgumentError
from ..export import LANGUAGES, read_history
from ..files import load
from ..network import Network
from .asked import given_inputs, labelled, testing
from .commands import evaluation, images, predictions
from .doctor import report
from .exporting import FORMATS, export
from .program import exit_status, import_report, nonempty, parse_options
from .session import run_training
from .sources import DATASETS, KINDS
from .training import add_train, program_name, run_train


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(
        prog=program_name(),
        description="Train networks on your own data, and use them.",
        epilog=f"Begin with: {program_name()} train digits, or {program_name()} train data.csv --target COLUMN; "
        f"{program_name()} train --help says what else.",
    )
    top.add_argument("--version", action="version", version=f"minibp {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    add_train(commands)
    about = "the class or the number that a saved network predicts for each sample"
    predict = commands.add_parser("predict", help=about, description=f"Print {about}: CSV, sample,class,output.")
    predict.set_defaults(run=run_predict)
    about = "how good a saved network is on samples that it was not trained on"
    evaluate = commands.add_parser("evaluate", help=about, description=f"Print {about}.")
    evaluate.set_defaults(run=run_evaluate)
    about = "a page about a saved network: its curves, its mistakes, how far its confidence can be trusted"
    page = commands.add_parser("report", help=about, description=f"Write {about}: one HTML file.")
    page.set_defaults(run=run_report)
    about = "what minibp finds on this machine, and what it can use"
    commands.add_parser("doctor", help=about).set_defaults(run=run_doctor)
    for command in (predict, evaluate, page):
        command.add_argument("file", metavar="MODEL", help="a network saved by `save` or by --save of a training")
        about = f"{KINDS}; as it was trained on"
        command.add_argument("source", metavar="DATA", nargs="?", type=nonempty, help=about)
        command.add_argument("--dataset", choices=DATASETS, help="the same as DATA: use its test set")
        command.add_argument("--data", type=nonempty, metavar="DIR", help="folder with the files of the data set")
        split = "for the digits: the --seed of the training, which decided the split, if the file does not tell"
        command.add_argument("--seed", type=int, help=split)
        command.add_argument("--backend", default="numpy", help=f"one of {', '.join(NAMES)}; default numpy")
        command.add_argument("--no-header", action="store_true", help="the first line of the CSV file is a sample")
        command.add_argument("--encoding", help="of a CSV file that is not UTF-8: gb18030, cp1252, ...")
        command.add_argument("--invert", action="store_true", help="swap light and dark in pictures")
    about = "an IDX file, gzipped or not, or .npy: the same as DATA"
    predict.add_argument("--images", type=nonempty, metavar="FILE", help=about)
    predict.add_argument("--outputs", action="store_true", help="all outputs of each sample instead of its class")
    page.add_argument("--out", type=nonempty, default="report.html", metavar="FILE", help="default report.html")
    page.add_argument("--history", type=nonempty, metavar="FILE", help="the --log of the training, for the curves")
    page.add_argument("--language", choices=LANGUAGES, default="en", help="English or Chinese; default en")

    about = "a saved network in another form: ONNX, PyTorch, or a page to draw digits on"
    command = commands.add_parser("export", help=about, description=f"Write {about}.")
    command.set_defaults(run=run_export)
    command.add_argument("file", metavar="MODEL", help="a network saved by `save` or by --save of a training")
    command.add_argument("--to", choices=FORMATS, required=True, help="the form")
    out = "the file to write; default: beside FILE, with another ending"
    command.add_argument("--out", type=nonempty, metavar="FILE", help=out)
    command.add_argument("--language", choices=LANGUAGES, help="of a page; default en")
    about = "of a page: the value of full ink in the training; default 1, that of uint8 images"
    command.add_argument("--scale", type=float, metavar="INK", help=about)
    about = "an ONNX file takes bytes 0..255, and scales them by 1/255"
    command.add_argument("--scale-uint8", action="store_true", default=None, help=about)
    return top


def run_evaluate(options: argparse.Namespace) -> None:
    """Print one line."""
    net = network(options)
    notes: list[str] = []
    test = labelled(net, options.source, options, notes)
    tell(notes)
    print(evaluation(net, test))


def run_predict(options: argparse.Namespace) -> None:
    """Print a line for each sample."""
    net = network(options)
    notes: list[str] = []
    if options.source in DATASETS:
        x, names = testing(net, options.source, options.data, options.seed).x, None
    elif options.images is not None:
        x, names = images(options.images), None
    else:
        x, names = given_inputs(net, options.source, options, notes)
    tell(notes)
    for line in predictions(net, x, options.outputs, names):
        print(line)


def run_report(options: argparse.Namespace) -> None:
    """Write the page, and print its name."""
    write_report = import_report()
    net = network(options)
    notes: list[str] = []
    history = None if options.history is None else read_history(options.history)
    test = labelled(net, options.source, options, notes)
    tell(notes)
    facts = {"file": options.file, "data set": options.source}
    if (seed := net.origin.seed if net.origin else options.seed) is not None:
        facts["seed"] = seed
    write_report(net, options.out, test, history, title=options.source, facts=facts, language=options.language)
    print(printable(options.out))


def tell(notes: Sequence[str]) -> None:
    """Print notes beside the output."""
    for note in notes:
        print(f"note: {printable(note)}", file=sys.stderr)


def run_doctor(options: argparse.Namespace) -> None:
    """Print what the doctor finds."""
    if text := report():
        print(text)


def run_export(options: argparse.Namespace) -> None:
    """Write the file, and print its name and size, and the program that belongs to it."""
    given = {"language": options.language, "scale": options.scale, "scale_uint8": options.scale_uint8}
    print(export(options.file, options.to, options.out, **given))


def network(options: argparse.Namespace) -> Network:
    """Load the network, and name its data: options.source. A command line that names none, or two, is refused."""
    file = getattr(options, "images", None)
    given = [each for each in (options.source, options.dataset, file) if each is not None]
    either = ", --dataset NAME or --images FILE" if hasattr(options, "images") else " or --dataset NAME"
    if len(given) > 1:
        raise ArgumentError(f"choose the data by DATA{either}, not by more than one")
    for name in ("data", "seed"):
        if file is not None and getattr(options, name) is not None:
            raise ArgumentError(f"--{name} goes with --dataset, not with --images: leave one of the two out")
    net = load(options.file, options.backend)
    options.source = options.dataset or options.source or file
    if options.source is None and net.origin is not None and net.origin.name in DATASETS and not net.origin.sha256:
        options.source = net.origin.name
    if options.source is None:
        raise ArgumentError(f"choose the data by DATA{either}")
    return net


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse_options(parser(), arguments or ["--help"])
    if options.run is run_train:
        return run_training(lambda: run_train(options), options)
    return exit_status(lambda: options.run(options))
