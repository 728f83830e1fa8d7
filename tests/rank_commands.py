"""The command line on several processes, in which something goes wrong on one. `test_parallel_cli.py` starts this.

    rank_commands.py FAULT FOLDER ARGUMENTS ...

Each process works in a folder of its own, named by its rank.
"""

import errno
import os
import sys
import time

from mpi4py import MPI

import minibp.cli.training as command
from minibp import AdamW
from minibp.backend import blas_threads
from minibp.cli import session
from minibp.cli.command_line import main

FAULT, FOLDER, *ARGUMENTS = sys.argv[1:]
COMM = MPI.COMM_WORLD
BAD = COMM.rank == COMM.size - 1


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device", "net")


def gone(*_):
    raise OSError("the disk is gone")


def slow(load):
    def later(options):
        time.sleep(30)
        return load(options)

    return later


def telling(load):
    def told(options):
        sys.stdout.write(f"threads {blas_threads()}\n")
        return load(options)

    return told


def wrong():
    """Put what goes wrong in its place."""
    if FAULT in ("no data", "no data, others busy") and BAD:
        ARGUMENTS[1] = "nowhere.csv"
    if FAULT == "no data on all":
        ARGUMENTS[1] = "nowhere.csv"
    if FAULT == "no data, others busy" and not BAD:
        command.load_parts = slow(command.load_parts)
    if FAULT == "full disk":
        command.save = full
    if FAULT == "step" and BAD:
        AdamW.step = gone
    if FAULT == "log" and not COMM.rank:
        session.Log = gone
    if FAULT == "mistake" and not COMM.rank:
        command.save = None
    if FAULT == "threads":
        command.load_parts = telling(command.load_parts)


if __name__ == "__main__":
    folder = os.path.join(FOLDER, str(COMM.rank))
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    wrong()
    sys.exit(main(ARGUMENTS))
