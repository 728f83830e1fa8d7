"""What the programs have in common: how a command line is read, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from .errors import MinibpError


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, by default of this process; it ends with what is wrong with them."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for each in arguments:
        if each.startswith("--") and each.endswith("=--"):  # before Python 3.13 argparse makes an empty list of that
            parser.error(f"{each} has no value: -- ends the options")
    return parser.parse_args(arguments)


def given(text: str) -> str:
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
