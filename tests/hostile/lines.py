"""Command lines: options and values in any order, and the images that they name."""

import argparse
import io
import os
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from unittest.mock import patch

import numpy as np
import tqdm

from datasets import compare, moons, probe, script
from minibp.cli import asked, command_line
from minibp.data import Dataset, Splits
from minibp.files import saving

from .files import DATA, EPOCHS, FOLDER, good_networks, remove, whole, write
from .taken import NUMBERS, WORDS, Taken

SPLITS = Splits(Dataset(np.tile(DATA.x, (3, 1)), np.tile(DATA.t, 3)), DATA)
OPTIONS = [
    "--model", "--hidden", "--epochs", "--batch-size", "--optimizer", "--lr", "--weight-decay", "--seed", "--backend",
    "--data", "--save", "--checkpoint", "--checkpoint-every", "--log", "--plot", "--compare-losses", "--probe",
    "--quiet", "--nodes", "--nodes=2", "--output", "--q", "--check", "-h", "--help", "--", "-", "--no", "doctor",
]  # fmt: skip
VALUES = [
    *map(str, NUMBERS), *WORDS, "1", "5steps", "0steps", "steps", "1_0", " 1", "1e3", "NaN", "-inf", "%s", "%(prog)s",
    "softmax", "nielsen30", "mlp", "small", "sgd", "adam", "adamw", "rmsprop", "adagrad", "numpy", "cupy", "auto",
    "2", "4", "moons", "circles", "bce", "a", "a.png", "a.svg", "a.csv", "no/a", "a/", ".", "..", "x" * 300,
    "\udcff", "\udcff.png", "[", "*", "a b", "\n",
]  # fmt: skip


# For the commands of minibp, which only read, so that they need not be confined.
NET, IMAGES = os.path.join(FOLDER.name, "net"), os.path.join(FOLDER.name, "images")
OWN_OPTIONS = ["--dataset", "--data", "--images", "--outputs", "--seed", "--backend", "-h", "--", "doctor", "predict"]
OWN_VALUES = [
    NET, IMAGES, FOLDER.name, "digits", "mnist", "fashion_mnist", "kmnist", "numpy", "auto", "0", "1", "-1", *VALUES
]  # fmt: skip


class Confined:
    """The parser of a script: files go to a scratch folder, and no training is long."""

    def __init__(self, parser: argparse.ArgumentParser):
        self.parser, self.error = parser, parser.error

    def parse_args(self, arguments: list[str]) -> argparse.Namespace:
        options = self.parser.parse_args(arguments)
        options.epochs = EPOCHS if options.epochs is None else min(options.epochs, EPOCHS)
        if options.hidden is not None:
            options.hidden = _few(options.hidden)
        for name in ("save", "checkpoint", "log", "plot"):
            if value := getattr(options, name):
                setattr(options, name, os.path.join(FOLDER.name, value.replace("..", "_").lstrip("/")))
        return options


PARSERS = {name: Confined(script.parser(name, "softmax")) for name in ("mnist", "digits")}


def arguments(taken: Taken, options: list[str] = OPTIONS, values: list[str] = VALUES) -> list[str]:
    """A command line."""
    line = []
    for _ in range(1 + taken.below(6)):
        option, value = taken.one(options), taken.one(values)
        how = taken.below(16)
        if how == 0:
            value = bytes(taken.below(256) for _ in range(taken.below(9))).decode(errors="surrogateescape")
        line += [option] if how == 1 else [value] if how == 2 else [f"{option}={value}"] if how < 6 else [option, value]
        line += [taken.one(values)] if how > 13 else []
    return [each.replace("\0", "").replace("\ud800", "") for each in line]  # no system can pass these to a program


def own_arguments(taken: Taken) -> list[str]:
    """A command line of minibp: mostly one that applies a saved network to the images."""
    how = taken.below(8)
    if how == 0:
        return arguments(taken, OWN_OPTIONS, OWN_VALUES)
    line = [taken.one(["predict", "predict", "predict", "evaluate"]), NET]
    line += ["--dataset", "digits", "--seed", "0"] if line[0] == "evaluate" or how < 3 else ["--images", IMAGES]
    line += ["--outputs"] if how > 5 and line[0] == "predict" else []
    return line + (arguments(taken, OWN_OPTIONS, OWN_VALUES) if how in (1, 3) else [])


def _few(numbers: list[int]) -> list[int]:
    """Numbers of units: a few, or more than any memory holds."""
    return [n if n < 9 or n > 2**42 else 1 + n % 8 for n in numbers[:4]]


def _learn(data, nodes, output, epochs, show, learn=moons.learn):
    return learn(data, _few(nodes), output, min(epochs, EPOCHS), show)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "mnist": lambda line: script.main("mnist", lambda folder: SPLITS, line, "softmax"),
    "digits": lambda line: script.main("digits", lambda seed: SPLITS, line, "softmax"),
    "compare": lambda line: script.main(
        "mnist", lambda folder: SPLITS, ["--compare-losses", "--epochs=1", "--hidden=2", *line], "softmax"
    ),
    "moons": moons.main,
    "minibp": command_line.main,
}


def commands(data: bytes) -> None:
    """A command line: it succeeds, or prints what is wrong."""
    taken = Taken(data)
    command = taken.one([*["mnist"] * 6, "digits", "digits", "compare", *["minibp"] * 4, *["moons"] * 3])
    run, line = COMMANDS[command], own_arguments(taken) if command == "minibp" else arguments(taken)
    remove()
    if command == "minibp":
        write(whole(saving.KIND, good_networks()[0]), NET)
        write(taken.images(), IMAGES)
    with ExitStack() as stack:
        for module in (compare, probe, moons):
            stack.enter_context(patch.object(module, "plotter", lambda name: lambda *drawn: None))
        stack.enter_context(patch.object(script, "writers", lambda options: (lambda *drawn: None, None)))
        stack.enter_context(patch.object(script, "parser", lambda dataset, model: PARSERS[dataset]))
        stack.enter_context(patch.object(moons, "learn", _learn))
        stack.enter_context(patch.object(command_line, "report", lambda: ""))
        for module in (command_line, asked):
            stack.enter_context(patch.object(module, "testing", lambda *_: DATA))
        stack.enter_context(patch.object(tqdm.tqdm, "monitor_interval", 0))
        stack.enter_context(patch.object(argparse, "_", str))  # else it looks for a translation on the disk
        stack.enter_context(np.errstate(all="ignore"))
        for _ in range(2):  # the second resumes if the first wrote a checkpoint
            out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", how) for how in ("strict", "backslashreplace"))
            with redirect_stdout(out), redirect_stderr(err):
                try:
                    status = run(line)
                except SystemExit as end:
                    status = end.code
                out.flush()
                err.flush()
            assert status == 0 or (status == 2 and err.buffer.getvalue()), status
            if status or command == "minibp" or not os.listdir(FOLDER.name):
                break
