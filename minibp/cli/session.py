"""What all trainings from a command line share: their options, and how epochs are shown, logged and interrupted."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

from .. import backend
from ..base import at_least_one, new_file
from ..errors import ArgumentError, MinibpWarning
from ..files import Checkpoint
from ..optimizer import Optimizer
from ..optimizers import OPTIMIZERS, by_name
from ..progress import Epoch
from .log import Log
from .program import (
    PICTURES,
    epoch_bar,
    exit_status,
    handling,
    import_plotting,
    import_report,
    new_picture,
    nonempty,
    saved_at_interrupt,
    told,
    warnings_as_lines,
)
from .several import start_ranks


def add_options(p: argparse.ArgumentParser, hidden: str, optimizer: str = "") -> Any:
    """Add the options that all trainings have, and return the group of those about the network and the training.

    `hidden` and `optimizer` end the help of --hidden and --optimizer.
    """
    group = p.add_argument_group("network and training")
    group.add_argument("--hidden", type=int, nargs="*", metavar="UNITS", help=f"units of each hidden layer{hidden}")
    group.add_argument("--epochs", type=int, metavar="N", help="passes over the data")
    group.add_argument("--batch-size", type=int, metavar="N", help="samples per step")
    names = f"one of {', '.join(OPTIMIZERS)}{optimizer}"
    group.add_argument("--optimizer", metavar="NAME", help=names)
    group.add_argument("--lr", type=float, help="learning rate; with --optimizer, the default is that of the optimizer")
    group.add_argument("--weight-decay", type=float, metavar="LAMBDA", help="weight decay, which leaves biases alone")
    group.add_argument("--seed", type=int, default=0, help="seed of weights, sample order and split; default 0")
    group.add_argument("--backend", default="numpy", help=f"one of {', '.join(backend.NAMES)}; default numpy")
    threads = "threads of the matrix products, in place of one for each processor; small networks take one anyway"
    group.add_argument("--threads", type=int, metavar="N", help=threads)
    several = "train on all processes that mpiexec starts: mpiexec -n 4 ... --mpi (extra mpi, docs/parallel.md)"
    group.add_argument("--mpi", action="store_true", help=several)
    files = p.add_argument_group("files to write")
    files.add_argument("--save", type=nonempty, metavar="FILE", help="save the trained network, as safetensors")
    files.add_argument(
        "--checkpoint",
        type=nonempty,
        metavar="FILE",
        help="save the state of the training to this file, also on Ctrl-C, SIGTERM and SIGHUP; the same command line, "
        "started again, continues from there",
    )
    every = "epochs (5) or steps (200steps) between two checkpoints; default 1"
    files.add_argument("--checkpoint-every", type=nonempty, metavar="N", help=every)
    files.add_argument("--log", type=nonempty, metavar="FILE", help="write a row for each epoch to this CSV file")
    curves = f"plot the results to this file ({', '.join(PICTURES)})"
    files.add_argument("--plot", type=nonempty, metavar="FILE", help=curves)
    page = "write a page about the trained network to this HTML file: curves, mistakes, confidence"
    files.add_argument("--report", type=nonempty, metavar="FILE", help=page)
    files.add_argument("--language", choices=("en", "zh"), help="of the report: English or Chinese; default en")
    p.add_argument("--quiet", action="store_true", help="print only the last line or the last table")
    return group


def refuse_early(options: argparse.Namespace) -> None:
    """Refuse wrong options before a download or a training begins."""
    if options.checkpoint_every is not None and options.checkpoint is None:
        raise ArgumentError("--checkpoint-every needs --checkpoint FILE; give both")
    if options.language is not None and options.report is None:
        raise ArgumentError("--language is that of the report; give --report FILE, too")
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
    by_name(options.optimizer or "sgd")
    backend.resolve(options.backend)


def writers(options: argparse.Namespace) -> tuple[Callable[..., None] | None, Callable[..., None] | None]:
    """What draws the plot and writes the report, if they are asked for. A MissingExtraError before the training."""
    draw = import_plotting("minibp.cli.plot").draw_history if options.plot else None
    write = partial(import_report(), language=options.language or "en") if options.report else None
    return draw, write


def checkpoint_of(options: argparse.Namespace, stopping: Any = None) -> Checkpoint | None:
    """The checkpoint that the options ask for."""
    return Checkpoint(options.checkpoint, options.checkpoint_every or 1, stopping) if options.checkpoint else None


def comm_of(options: argparse.Namespace) -> Any:
    """The communicator of the training; None if this process trains alone."""
    return options.ranks and options.ranks.of


def follow(
    begin: Callable[[], Iterator[Epoch]],
    optimizer: Optimizer,
    options: argparse.Namespace,
    total: int,
    checkpoint: Checkpoint | None,
    head: str,
    line: Callable[[Epoch], str],
    held_out: str = "test",
    stop: Callable[[Epoch], bool] = lambda epoch: False,
) -> tuple[list[Epoch], float]:
    """Run a training, and show each epoch.

    Parameters
    ----------
    begin : callable
        Returns what `train` returns.
    optimizer : Optimizer
        That of the training.
    options : argparse.Namespace
        Of `add_options`.
    total : int
        How many epochs there will be at most.
    checkpoint : Checkpoint, optional
        That of the training.
    head : str
        The text before the training.
    line : callable
        Returns the line after an epoch.
    held_out : str, default "test"
        What the samples that are evaluated after each epoch are called in the log.
    stop : callable, optional
        Whether an epoch was the last one.

    Returns
    -------
    list of Epoch, float
        The epochs, also those before an interruption, and the seconds.
    """
    with ExitStack() as stack:
        stack.enter_context(warnings_as_lines(MinibpWarning))
        epochs = begin()
        if options.ranks:
            stack.enter_context(options.ranks.meeting())
        history: list[Epoch] = list(checkpoint.history) if checkpoint else []
        if not options.quiet:
            print(head, flush=True)
            if checkpoint and optimizer.steps:
                print(f"continuing from {encodable(options.checkpoint)}, after step {optimizer.steps:,}\n", flush=True)
        start_time = time.perf_counter() - sum(epoch.seconds for epoch in history)
        if options.ranks:
            stack.enter_context(handling(signal.default_int_handler, callable))  # the training puts its own there
        elif checkpoint:
            stack.enter_context(saved_at_interrupt(checkpoint))
        log = stack.enter_context(closing(Log(options.log, held_out))) if options.log else None
        if log:
            log.write(history)
        show, done = stack.enter_context(epoch_bar(options.quiet, total, len(history)))
        for epoch in epochs:
            history.append(epoch)
            done()
            show(line(epoch))
            if log:
                log.write([epoch])
            if stop(epoch):
                break
    return history, time.perf_counter() - start_time


def run_training(run: Callable[[], object], options: argparse.Namespace) -> int:
    """Run a training to its end, with the processes and threads that the options ask for. Returns the exit status."""
    options.ranks = None

    def limited() -> None:
        threads = None if options.threads is None else at_least_one("--threads", options.threads)
        with backend.limited_blas(threads):
            run()

    def on_ranks() -> None:
        options.ranks = start_ranks(options) if options.mpi else None
        if options.ranks is None:
            limited()
        else:
            options.ranks.tell = tell
            options.ranks.run_program(limited)

    def tell(error: BaseException) -> tuple[str, int]:
        saved = options.checkpoint and os.path.exists(options.checkpoint)
        interrupted = f"interrupted{f'; the same command line continues from {options.checkpoint}' if saved else ''}"
        if isinstance(error, KeyboardInterrupt) and options.ranks and options.ranks.signal:
            error = KeyboardInterrupt(options.ranks.signal)
        return told(error, "use fewer units (--hidden) or smaller batches (--batch-size)", interrupted)

    def tell_once(error: BaseException) -> tuple[str, int]:
        message, status = tell(error)
        return "" if options.ranks and options.ranks.rank else message, status

    return exit_status(on_ranks, tell_once)


def result(accuracy: float | None, loss: float | None, epochs: int, seconds: float) -> str:
    """The last line of a training."""
    return f"test accuracy {accuracy:.4f}  loss {loss:.4f}  epochs {epochs}  seconds {seconds:.1f}"


def encodable(path: str) -> str:
    """A file name that can be printed. File names may hold bytes that the output cannot encode."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return path.encode(encoding, "backslashreplace").decode(encoding)
