"""The command line: python -m minibp doctor"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .doctor import report


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m minibp", description="minibp's own commands.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    doctor = commands.add_parser("doctor", help="what minibp finds on this machine, and what it can compute with")
    doctor.set_defaults(run=lambda options: print(report()))
    options = parser.parse_args(arguments)
    options.run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
