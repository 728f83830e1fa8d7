"""The command `train`: own data in, a trained network out, and what it can do in numbers and words."""

from __future__ import annotations

import argparse
import math
import re
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..export.findings import find_answers
from ..files import save
from ..metrics import mean_absolute_error, mean_squared_error, r2_score
from ..network import Network
from ..progress import Epoch
from ..stopping import EarlyStopping
from ..training import evaluate, train
from .parts import Parts, weighted
from .program import nonempty
from .recipe import EPOCHS, PATIENCE, batch_size, build, optimizer
from .session import add_options, checkpoint_of, follow, refuse_early, result, writers
from .sources import KINDS, load_parts

MOST_MISTAKES = 3
MOST_CLASSES = 20  # in the table


def add_train(commands: Any) -> None:
    """Add the command and its options."""
    about = "a network on your own data: a table, pictures, arrays, or a published data set"
    p = commands.add_parser("train", help=f"train {about}", description=f"Train {about}.")
    p.set_defaults(run=run_train)
    p.add_argument("source", metavar="DATA", type=nonempty, help=KINDS)
    p.add_argument("--target", metavar="COLUMN", help="the column of a table to predict")
    p.add_argument("--task", choices=("classes", "numbers"), help="what the target is; default: see below")
    p.add_argument("--categories", nargs="+", metavar="COLUMN", help="columns of numbers that are names")
    p.add_argument("--ignore", nargs="+", metavar="COLUMN", help="columns to leave out")
    about = "what stands for a missing value, besides an empty cell, ?, NA, N/A, NaN, null and None"
    p.add_argument("--missing", nargs="+", metavar="WORD", help=about)
    p.add_argument("--no-header", action="store_true", help="the first line of the CSV file is a sample")
    about = "scale pictures to this size: 32, or 40x30 (width x height)"
    p.add_argument("--size", type=picture_size, metavar="SIZE", help=about)
    p.add_argument("--skip-broken", action="store_true", help="leave out pictures that cannot be read")
    p.add_argument("--class-weight", choices=("balanced",), help="let all classes count alike, however rare")
    p.add_argument("--dropout", type=float, metavar="P", help="share of hidden units that each step leaves out")
    p.add_argument("--patience", type=int, metavar="N", help="epochs without improvement before it stops")
    add_options(p, hidden="; none for a linear model", optimizer="; default adamw")


def picture_size(text: str) -> tuple[int, int]:
    """Height and width, from 32 or 40x30 (width x height)."""
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    if not match or "0" in match.groups():
        raise argparse.ArgumentTypeError(f"it is {text!r}: expected 32, or 40x30 (width x height)")
    return int(match[2] or match[1]), int(match[1])


def run_train(options: argparse.Namespace) -> None:
    """Load the data, train a network, and say how good it is and what to do next."""
    refuse_early(options)
    draw, write_report = writers(options)
    parts = weighted(load_parts(options), options.class_weight)
    net = build(parts, options)
    optimize = optimizer(net, options)
    best = EarlyStopping(net, PATIENCE if options.patience is None else options.patience)
    epochs = EPOCHS if options.epochs is None else options.epochs
    size = batch_size(len(parts.training)) if options.batch_size is None else options.batch_size
    checkpoint = checkpoint_of(options, best)

    def begin() -> Iterator[Epoch]:
        return train(net, optimize, parts.training, epochs, size, parts.validation, checkpoint)

    def stop(epoch: Epoch) -> bool:
        return best.should_stop(epoch.val_loss)

    head = f"{about(parts)}\n\n{net.summary()}\n{plan(optimize, size, epochs, best.patience)}\n"
    history, seconds = follow(begin, optimize, options, epochs, checkpoint, head, str, "val", stop)
    best.restore()
    if not options.quiet:
        print(f"\n{ending(history, epochs)}\n\n{findings(net, parts)}\n")
    print(last_line(net, parts, len(history), seconds), flush=True)
    if options.save:  # after the result is printed, so that a full disk does not lose it
        save(net, options.save)
    if draw:
        draw(history, parts.title, options.plot, "validation")
    if write_report:
        facts = {"data set": parts.title, "optimizer": str(optimize).replace("(net, ", "("), "seed": options.seed}
        write_report(net, options.report, parts.test, history, title=parts.title, facts=facts)
    if not options.quiet:
        print(f"\n{what_next(options)}")


def about(parts: Parts) -> str:
    """The data, in a few lines."""
    training, validation, test = map(len, parts[1:4])
    sizes = f"{training:,} to train on, {validation:,} for validation, {test:,} to test on"
    target = f"{parts.target}: {len(parts.class_names)} classes" if parts.class_names else f"{parts.target}: numbers"
    return "\n".join([f"{parts.title}: {sizes}; {target}", *(f"note: {note}" for note in parts.notes)])


def plan(optimize: object, size: int, epochs: int, patience: int) -> str:
    """The recipe, in a line."""
    how = f"batches of {size}, up to {epochs} epochs, stops {patience} epochs after the best one"
    return f"{str(optimize).replace('(net, ', '(')}, {how}"


def ending(history: list[Epoch], epochs: int) -> str:
    """Which epoch was the best, and so gives the weights."""
    best = min(history, key=lambda epoch: math.inf if epoch.val_loss is None else epoch.val_loss).number
    text = f"the best epoch on the validation part was {best}: its weights are kept"
    return f"{text}; more may help: --epochs {2 * epochs}" if best > 0.9 * epochs else text


def findings(net: Network, parts: Parts) -> str:
    """What the network can do on the test part, which nothing else has used."""
    head = f"on {len(parts.test):,} samples that the training did not use:"
    return "\n".join([head, *(of_classes if parts.class_names else of_numbers)(net, parts)])


def of_classes(net: Network, parts: Parts) -> list[str]:
    """The lines for classes."""
    answers = find_answers(net, parts.test)
    samples = answers.matrix.sum(axis=1)
    often = int(samples.argmax())
    right = int(answers.right.sum())
    rows = [
        ("accuracy", f"{answers.right.mean():.4f}  ({right:,} of {len(parts.test):,})"),
        ("to compare", f"{samples[often] / len(parts.test):.4f}  (always answering {answers.names[often]})"),
    ]
    per_class = sorted(answers.per_class(), key=lambda row: row[3])[:MOST_CLASSES]
    rows += [(f"  {name}", f"{right:,} of {count:,} found") for name, count, right, *_ in per_class]
    confused = [f"{n} × {answers.names[i]} taken for {answers.names[j]}" for i, j, n in answers.confusions()]
    rows.append(("commonest mistakes", ", ".join(confused[:MOST_MISTAKES]) or "none"))
    return _aligned(rows)


def of_numbers(net: Network, parts: Parts) -> list[str]:
    """The lines for numbers."""
    outputs, t = net.predict(parts.test.x), parts.test.t
    rms = math.sqrt(mean_squared_error(outputs, t=t))
    of_mean = float(np.sqrt(np.mean((t - parts.training.t.mean()) ** 2)))
    return _aligned([
        ("R²", f"{r2_score(outputs, t=t):.4f}  (1 is perfect, 0 is always answering the mean)"),
        ("mean absolute error", f"{mean_absolute_error(outputs, t=t):.4g}"),
        ("root mean square", f"{rms:.4g}  (always answering the mean: {of_mean:.4g})"),
    ])  # fmt: skip


def _aligned(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {text}" for name, text in rows]


def last_line(net: Network, parts: Parts, epochs: int, seconds: float) -> str:
    """The last line of the result, in the form of the training scripts."""
    loss, accuracy = evaluate(net, parts.test)
    if parts.class_names is not None:
        return result(accuracy, loss, epochs, seconds)
    r2 = r2_score(net.predict(parts.test.x), t=parts.test.t)
    return f"test R2 {r2:.4f}  loss {loss:.4f}  epochs {epochs}  seconds {seconds:.1f}"


def what_next(options: argparse.Namespace) -> str:
    """The next commands."""
    program = program_name()
    if not options.save:
        again = shlex.join([*program.split(), *sys.argv[1:], "--save", "model.safetensors"])
        return f"nothing was saved; to keep the network:\n  {again}"
    file, source = shlex.quote(options.save), shlex.quote(options.source)
    return "\n".join([
        f"{options.save} holds the network with its names and its preprocessing. Next:",
        f"  {program} predict {file} {source}   # or a new file with the same columns",
        f"  {program} evaluate {file} {source}",
        f"  {program} report {file} {source}",
    ])  # fmt: skip


def program_name() -> str:
    """How this program was started."""
    return "python -m minibp" if sys.argv[0].endswith("__main__.py") else "minibp"
