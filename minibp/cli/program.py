"""What all programs share: how they read a command line, show progress, and end."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from types import FrameType
from typing import Any

from ..base import new_file, writable_path, write_atomically
from ..errors import ArgumentError, MinibpError, MissingExtraError
from ..files import Checkpoint
from ..parallel import import_mpi, silent
from .output import lasting_output

PICTURES = (".png", ".svg", ".pdf")
# Ctrl-C, and what batch schedulers and closed terminals send. Windows has no SIGHUP.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
EXPECTED = MinibpError, OSError, MemoryError, KeyboardInterrupt  # other errors are mistakes in a program


def parse_options(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, by default that of this process; wrong ones end the process with a message."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with silent() if "--mpi" in arguments and not _is_first_rank() else nullcontext():
        for each in arguments:
            if each.startswith("--") and each.endswith("=--"):  # before Python 3.13, argparse makes an empty list of it
                parser.error(f"{each} has no value: -- ends the options")
        return parser.parse_args(arguments)


def _is_first_rank() -> bool:
    """Whether this process is the first of those of mpiexec."""
    with suppress(MinibpError):
        return not import_mpi("--mpi").COMM_WORLD.rank
    return True


def nonempty(text: str) -> str:
    """A name that is not empty. An undefined variable in a shell gives an empty one, which would count as none.

    A ~ is expanded, as shells do in `--save ~/net`, but not in `--save=~/net`.
    """
    if not text:
        raise argparse.ArgumentTypeError("it is empty: give a name, or leave the option out")
    return os.path.expanduser(text)


def told(error: BaseException, smaller: str = "", interrupted: str = "interrupted") -> tuple[str, int]:
    """What to print after an error, and the exit status.

    Parameters
    ----------
    error : BaseException
        The error.
    smaller : str, optional
        What to do if there is too little memory.
    interrupted : str, default "interrupted"
        The message after Ctrl-C, SIGTERM or SIGHUP.
    """
    if isinstance(error, (MinibpError, OSError)):
        return f"error: {error}", 2
    if isinstance(error, MemoryError):
        return f"error: this takes more memory than there is ({error}){smaller and f': {smaller}'}", 2
    if isinstance(error, KeyboardInterrupt):
        return interrupted, 128 + (error.args or (signal.SIGINT,))[0]
    return "".join(traceback.format_exception(error)), 1


def exit_status(run: Callable[[], object], tell: Callable[[BaseException], tuple[str, int]] = told) -> int:
    """Run a program to its end, also when its output is gone, and report an error in one line on stderr.

    Parameters
    ----------
    run : callable
        The program.
    tell : callable, optional
        Returns what to print after an error, which may be nothing, and the exit status.

    Returns
    -------
    int
        0 for success, 2 for an error raised by minibp or the system, 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP,
        as in shells.
    """

    def stop(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    with lasting_output() as out:
        try:
            with handling(stop, lambda so_far: so_far == signal.SIG_DFL):  # not those that nohup ignores
                run()
            out.check()
        except EXPECTED as error:
            message, status = tell(error)
        else:
            return 0
        if message:
            print(message, file=sys.stderr)
    return status


@contextmanager
def handling(handler: Callable[[int, FrameType | None], Any], replaces: Callable[[Any], bool]) -> Iterator[None]:
    """Call `handler` on the signals `STOPPING` whose handler so far it `replaces`."""
    main = threading.current_thread() is threading.main_thread()  # no other thread may set handlers
    before = {number: each for number in STOPPING if main and replaces(each := signal.getsignal(number))}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, each in before.items():
            signal.signal(number, each)


def new_picture(path: str) -> str:
    """A path at which a plot can be saved: that of a new file, with the ending of a picture format."""
    if os.path.splitext(path)[1].lower() not in PICTURES:
        raise ArgumentError(f"{path}: plots are saved as {', '.join(PICTURES)}; use one of these endings")
    new_file(path)
    return path


def import_plotting(module: str) -> Any:
    """Import a module that needs matplotlib. A MissingExtraError, before the training, if that is missing."""
    os.environ.pop("MPLBACKEND", None)  # of a notebook that started this program; matplotlib may not find it here
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtraError("matplotlib", "plot", "--plot") from None


def import_report() -> Callable[..., None]:
    """The function that writes a report. A MissingExtraError, before a training, if what it needs is missing."""
    from ..export.report import import_tools, write_report  # here, for a fast start

    os.environ.pop("MPLBACKEND", None)  # as above
    import_tools()
    return write_report


def save_picture(figure: Any, path: str) -> None:
    """Save a figure of matplotlib, as `save` does a network: at `path` there is always a complete file."""
    content = io.BytesIO()
    figure.savefig(content, format=os.path.splitext(path)[1][1:].lower(), dpi=150)
    write_atomically(writable_path(path), content.getvalue())


@contextmanager
def epoch_bar(
    quiet: bool, epochs: int, over: int = 0
) -> Iterator[tuple[Callable[[str], None], Callable[[], object]]]:
    """A bar of so many epochs, on stderr if that is a terminal; nothing is shown if `quiet`.

    Parameters
    ----------
    quiet : bool
        Show no bar and no lines.
    epochs : int
        How many there will be.
    over : int, default 0
        How many are finished already.

    Yields
    ------
    show : function
        Prints a line above the bar.
    done : function
        Moves the bar, after each epoch.
    """
    from tqdm import tqdm  # here, because few programs need it

    hidden, total = quiet or None, max(epochs, 0)  # None: on a terminal only
    with tqdm(total=total, initial=over, unit="epoch", disable=hidden, leave=False, dynamic_ncols=True) as bar:

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
    """On Ctrl-C, SIGTERM or SIGHUP, write a checkpoint after the current step; a second Ctrl-C stops at once."""
    received: list[int] = []

    def ask(number: int, _: FrameType | None) -> None:
        checkpoint.interrupt()
        received.append(number)
        if number == signal.SIGINT:  # not the others, which a closed terminal or a scheduler may send twice
            signal.signal(signal.SIGINT, signal.default_int_handler)

    with handling(ask, callable):  # those that would end the program: an ignored one has no function
        try:
            yield
        except KeyboardInterrupt:
            raise KeyboardInterrupt(*received[:1]) from None
