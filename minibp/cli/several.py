"""--mpi: a training on all processes of mpiexec, of which the first alone prints and writes files."""

from __future__ import annotations

import argparse
import warnings

from ..backend import choose_gpu
from ..errors import MinibpWarning, TrainingWarning
from ..parallel import Ranks, import_mpi, other_launcher, ranks_of
from .program import warnings_as_lines


def start_ranks(options: argparse.Namespace) -> Ranks | None:
    """The processes of mpiexec, and options for this one; None, with a warning, if there is only one.

    Each takes a GPU of its own, if there are as many.
    """
    mpi = import_mpi("--mpi")
    ranks = None if mpi.COMM_WORLD.size == 1 else ranks_of(mpi.COMM_WORLD)
    if ranks is None:
        with warnings_as_lines(MinibpWarning):
            alone = "--mpi: there are no other processes, so this one trains alone; mpiexec -n 4 ... starts four"
            warnings.warn(other_launcher(mpi) or alone, TrainingWarning, 2)
        return None
    if ranks.rank:
        options.quiet = True
        for file in ("save", "log", "plot", "report", "language"):  # the training itself writes the checkpoint
            setattr(options, file, None)
    if options.backend != "numpy":
        choose_gpu(ranks.host_rank)
    return ranks
