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

from ..evaluation import evaluate
from ..export.findings import find_answers
from ..files import save
from ..metrics import mean_absolute_error, mean_squared_error, r2_score
from ..network import Network
from ..progress import Epoch
from ..stopping import EarlyStopping
from ..training import train
from .parts import Parts, weighted
from .program import nonempty
from .recipe import DROPOUT, EPOCHS, HIDDEN, PATIENCE, batch_size, build, few_threads, optimizer
from .session import add_options, checkpoint_of, comm_of, follow, refuse_early, result, writers
from .sources import KINDS, load_parts

RULES = """\
examples:
  {program} train digits
  {program} train data.csv --target species --save model.safetensors
  {program} train data.csv --target price --task numbers --report report.html
  {program} train pictures/ --size 32
  {program} predict model.safetensors new.csv

what is done:
  A fifth of the samples is held out to test on, and a fifth of the rest to stop by (early stopping); each class has
  its share of both. The test part is used once, for the numbers at the end.
  The target is taken for classes if it holds words, or at most 20 different whole numbers; else for numbers.
  Columns of words become a 0/1 input for each value that at least 1 % of the rows has; the others share one. Missing
  numbers become the median, and an input says so. All is learned from the training part, and kept in the saved file.
  The network has two hidden layers of 200 ReLU with dropout. AdamW trains it, for at most 200 epochs, in batches of 32
  samples (128 if there are 5,000). The line before the first epoch says so in full.
  Missing are empty cells, ?, NA, N/A, NaN, null and None. A column that numbers the rows (1, 2, 3, ...) is left out.
"""
MOST_MISTAKES = 3
MOST_CLASSES = 20  # in the table
UNEQUAL = 3  # times as many samples in one class as in another


def add_train(commands: Any) -> None:
    """Add the command and its options."""
    about = "a network on your own data: a table, pictures, arrays, or a published data set"
    p = commands.add_parser(
        "train",
        usage="%(prog)s DATA [options]",
        help=f"train {about}",
        description=f"Train {about}.",
        epilog=RULES.format(program=program_name()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run_train)
    p.add_argument("source", metavar="DATA", type=nonempty, help=KINDS)
    tables = p.add_argument_group("tables (an option with COLUMN or WORD may be repeated)")
    tables.add_argument("--target", metavar="COLUMN", help="the column to predict")
    about = "columns of numbers that are names, as postal codes"
    tables.add_argument("--categories", action="append", metavar="COLUMN", help=about)
    tables.add_argument("--ignore", action="append", metavar="COLUMN", help="columns to leave out")
    tables.add_argument("--missing", action="append", metavar="WORD", help="what else stands for a missing value")
    tables.add_argument("--no-header", action="store_true", help="the first line of the CSV file is a sample")
    tables.add_argument("--encoding", help="of a CSV file that is not UTF-8: gb18030, cp1252, ...")
    pictures = p.add_argument_group("pictures")
    about = "scale pictures to this size: 32, or 40x30 (width x height)"
    pictures.add_argument("--size", type=picture_size, metavar="SIZE", help=about)
    pictures.add_argument("--skip-broken", action="store_true", help="leave out pictures that cannot be read")
    targets = p.add_argument_group("targets")
    targets.add_argument("--task", choices=("classes", "numbers"), help="what the target is; the default is said below")
    about = "let all classes count alike, however rare"
    targets.add_argument("--class-weight", choices=("balanced",), help=about)
    hidden = f"; default {' '.join(map(str, HIDDEN))}; none for a linear model"
    group = add_options(p, hidden, "; default adamw")
    about = f"share of hidden units that each step leaves out; default {DROPOUT}"
    group.add_argument("--dropout", type=float, metavar="P", help=about)
    about = f"epochs without improvement before it stops; default {PATIENCE}"
    group.add_argument("--patience", type=int, metavar="N", help=about)


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
        return train(net, optimize, parts.training, epochs, size, parts.validation, checkpoint, comm=comm_of(options))

    def stop(epoch: Epoch) -> bool:
        return best.should_stop(epoch.val_loss)

    head = f"{about(parts)}\n\n{net.summary()}\n{plan(optimize, size, epochs, best.patience)}\n"
    with few_threads(net, size, options.threads):
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
        print(f"\n{what_next(options, parts)}")


def about(parts: Parts) -> str:
    """The data, in a few lines."""
    training, validation, test = map(len, parts[1:4])
    sizes = f"{training:,} to train on, {validation:,} for validation, {test:,} to test on"
    kind = f"{len(parts.class_names)} classes" if parts.class_names else "numbers"
    target = f"{parts.target}: {kind}" if parts.target else kind
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
        ("commonest class", f"{samples[often] / len(parts.test):.4f}  (always answering {answers.names[often]})"),
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


def what_next(options: argparse.Namespace, parts: Parts) -> str:
    """The next commands."""
    program = program_name()
    ours = sys.argv[1:] if len(sys.argv) > 1 else ["train", options.source]
    lines = []
    if not options.save:
        launcher = ["mpiexec", "-n", str(options.ranks.size)] if options.ranks else []
        again = shlex.join([*launcher, *program.split(), *ours, "--save", "model.safetensors"])
        lines += ["Nothing was saved. To keep the network:", f"  {again}"]
    else:
        file, source = shlex.quote(options.save), shlex.quote(options.source)
        new = {"Columns": "  # or a new file with these columns", "Pictures": "  # or a new picture or folder"}
        lines += [
            f"{options.save} holds the network, its preprocessing and its names. Next:",
            f"  {program} predict {file} {source}{new.get(type(parts.preprocessing).__name__, '')}",
            f"  {program} evaluate {file} {source}",
            *([] if options.report else [f"  {program} report {file} {source}"]),
        ]
    if parts.class_names and not options.class_weight:
        counts = np.bincount(parts.training.t, minlength=len(parts.class_names))
        if counts.max() > UNEQUAL * counts.min():
            lines.append("The classes are unequal. To find more of the rare ones, add --class-weight balanced.")
    return "\n".join(lines)


def program_name() -> str:
    """How this program was started."""
    return "python -m minibp" if sys.argv[0].endswith("__main__.py") else "minibp"
