"""python -m minibp train, predict, evaluate, report, export, doctor"""

import sys

from .cli.command_line import main

if __name__ == "__main__":
    sys.exit(main())
