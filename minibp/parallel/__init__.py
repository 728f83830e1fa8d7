"""Data-parallel training on MPI: each process computes its part of every batch, and their gradients are summed."""

from .agreement import silent
from .ranks import Ranks
from .start import facts_of_mpi, facts_of_start, import_mpi, other_launcher, ranks_of

__all__ = ["Ranks", "facts_of_mpi", "facts_of_start", "import_mpi", "other_launcher", "ranks_of", "silent"]
