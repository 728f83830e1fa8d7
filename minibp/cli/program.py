"""How all programs read a command line, show how far they are, and end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..base import new_file
from ..errors import ArgumentError, MinibpError
from ..files import Checkpoint

PICTURES = (".png", ".svg", ".pdf")


def parse_options(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, by default of this process; it ends with what is wrong with them."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for each in arguments:
        if each.startswith("--") and each.endswith("=--"):  # before Python 3.13 argparse makes an empty list of that
            parser.error(f"{each} has no value: -- ends the options")
    return parser.parse_args(arguments)


def nonempty(text: str) -> str:
    """The name of a file: an empty one, of a variable that the shell does not know, would be taken for none."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty: give a name, or leave the option out")
    return text


def exit_status(
    run: Callable[[], object], smaller: str = "", interrupted: Callable[[], str] = lambda: "interrupted"
) -> int:
    """Run a program, and say on stderr in one line what went wrong.

    Parameters
    ----------
    run : callable
        The program.
    smaller : str, optional
        What to do where there is too little memory.
    interrupted : callable, optional
        Gives what to say after Ctrl-C.

    Returns
    -------
    0 when all went well, 2 after an error that minibp or the system raised, 130 after Ctrl-C, as shells have it.
    """
    try:
        run()
    except (MinibpError, OSError) as error:
        said, status = f"error: {error}", 2
    except MemoryError as error:
        said, status = f"error: this takes more memory than there is ({error}){smaller and f': {smaller}'}", 2
    except KeyboardInterrupt:
        said, status = interrupted(), 130
    else:
        return 0
    print(said, file=sys.stderr)
    return status


def new_picture(path: str) -> str:
    """A path at which a plot can be drawn: that of a new file, whose ending names a format."""
    if os.path.splitext(path)[1].lower() not in PICTURES:
        raise ArgumentError(f"{path}: plots are drawn as {', '.join(PICTURES)} files; give it one of these endings")
    return new_file(path)


@contextmanager
def epoch_bar(
    quiet: bool, epochs: int, over: int = 0
) -> Iterator[tuple[Callable[[str], None], Callable[[], object]]]:
    """A bar of so many epochs, on stderr; nothing is shown if `quiet`.

    Parameters
    ----------
    quiet : bool
        Show no bar and no lines.
    epochs : int
        How many there will be.
    over : int, default 0
        How many are over already.

    Yields
    ------
    show : function
        Prints a line above the bar.
    done : function
        Moves the bar, after each epoch.
    """
    from tqdm import tqdm  # here, not above: few programs have a bar

    with tqdm(total=max(epochs, 0), initial=over, unit="epoch", disable=quiet, leave=False) as bar:

        def show(line: str) -> None:
            if not quiet:
                bar.write(line, file=sys.stdout)
                sys.stdout.flush()

        yield show, bar.update


@contextmanager
def warnings_as_lines(category: type[Warning]) -> Iterator[None]:
    """Show warnings of this category as lines of their own, above a bar, without the place in the code."""
    from tqdm import tqdm

    def show(message: Warning | str, *_: object, **__: object) -> None:
        with tqdm.external_write_mode(file=sys.stderr):
            print(f"warning: {message}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", category)
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
