"""The start of a training on several processes: who they are, and what must be the same on all."""

from __future__ import annotations

import os
import platform
import sys
import warnings
from typing import Any

import numpy as np

from ..averaging import WeightAverage
from ..backend import THREAD_VARIABLES, blas_threads, describe_blas, set_blas_threads
from ..base import undeclared_attributes
from ..data import Batches
from ..errors import ArgumentError, BackendError, MissingExtraError, TrainingWarning
from ..files import Checkpoint, facts_of, facts_of_data
from ..network import Network
from ..optimizer import Optimizer
from .ranks import Ranks, hash_of

# Where launchers say how many processes they start: MPICH and Intel MPI, Open MPI, Slurm.
LAUNCHED = "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"

_known: list[Ranks] = []  # of this process; each has communicators of its own


def ranks_of(comm: Any) -> Ranks | None:
    """The ranks of a communicator; None if there is only one.

    Raises
    ------
    ArgumentError
        If it is not a communicator of mpi4py.
    MissingExtraError, BackendError
        If mpi4py, or the MPI library, is missing.
    """
    if comm is None:
        return None
    mpi = import_mpi("a training on several processes (comm=)")
    if not isinstance(comm, mpi.Intracomm):
        what = f"comm must be a communicator of mpi4py, as MPI.COMM_WORLD, received {comm!r:.80}"
        raise ArgumentError(what)
    if comm.size == 1:
        if mpi.COMM_WORLD.size == 1 and (what := other_launcher(mpi)):
            warnings.warn(what, TrainingWarning, 3)
        return None
    for known in _known:
        if known.of == comm:
            return known
    _known.append(Ranks(comm))
    _share_processors(_known[-1])
    if len(_known) == 1:
        _end_all_by_errors()
    return _known[-1]


def import_mpi(purpose: str) -> Any:
    """The module mpi4py.MPI, whose import starts MPI; an error as of `ranks_of` if it cannot."""
    try:
        from mpi4py import MPI
    except ModuleNotFoundError as error:
        raise MissingExtraError("mpi4py>=4", "mpi", purpose) from error
    except (ImportError, RuntimeError) as error:
        what = f"{purpose} needs an MPI library, and mpi4py fails ({str(error).partition(chr(10))[0]})"
        raise BackendError(f"{what}: pip install mpich, or load that of the cluster") from error
    return MPI


def other_launcher(mpi: Any) -> str:
    """Says, of a process that sees no others, that the launcher of another MPI started it; "" if none did."""
    told = [(name, os.environ[name]) for name in LAUNCHED if os.environ.get(name, "1") != "1"]
    if not told:
        return ""
    name, value = told[0]
    what = f"this process was started as one of {value} ({name}), but its MPI ({library(mpi)}) sees no others"
    return f"{what}: it trains alone. Start it by the mpiexec of that MPI"


def library(mpi: Any) -> str:
    """The MPI library and its version."""
    return " ".join(mpi.Get_library_version().splitlines()[0].strip(" \0").split()).partition(",")[0]


def facts_of_mpi() -> dict[str, Any]:
    """What this process finds of MPI, for the doctor, who calls this in a process of its own: MPI may end it."""
    from mpi4py import MPI, __version__

    ranks = ranks_of(MPI.COMM_WORLD) if MPI.COMM_WORLD.size > 1 else None
    return {
        "mpi4py": __version__,
        "library": library(MPI),
        "rank": ranks.rank if ranks else 0,
        "size": ranks.size if ranks else 1,
        "threads": blas_threads(),
        "alone": "" if ranks else other_launcher(MPI),
    }


def _share_processors(ranks: Ranks) -> None:
    """Let the ranks of a host share its processors, unless the user has said how many threads each takes.

    A BLAS takes a thread for each processor. Those of several ranks would wait for each other.
    """
    if ranks.host_size > 1 and not any(name in os.environ for name in THREAD_VARIABLES):
        set_blas_threads(min(blas_threads(), ranks.processors))


def _end_all_by_errors() -> None:
    """Let an error that nothing catches end all processes: the others would wait for this one for ever.

    Errors that all ranks agree on are printed by one of them. Each rank then ends by itself: `python -m mpi4py` would
    end all with the first, also one that is about to print the error, or to save something.
    """
    before, mpi = sys.excepthook, _known[0].mpi

    def hook(kind: Any, error: BaseException, trace: Any) -> None:
        if not getattr(error, "agreed", False):
            _known[0].abort(error)
        mpi._set_abort_status(0)  # mpi4py has no public call that takes it back
        if not _known[0].rank:
            before(kind, error, trace)

    sys.excepthook = hook


def facts_of_start(
    net: Network,
    optimizer: Optimizer,
    batches: Batches,
    validation: Batches | None,
    epochs: int,
    checkpoint: Checkpoint | None,
    average: WeightAverage | None,
) -> dict[str, str]:
    """What must be the same on all ranks, by name."""
    things = {"network": net, "optimizer": optimizer}
    parts = {place: each for name, thing in things.items() for place, each in thing.with_parts(name).items()}
    undeclared = {place: (each, undeclared_attributes(each)) for place, each in parts.items()}
    return {
        "minibp": sys.modules["minibp"].__version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "BLAS": describe_blas(1),
        **facts_of(net, optimizer, parts, undeclared),
        "generator (seed)": hash_of(np.frombuffer(repr(net.rng.bit_generator.state).encode(), "uint8")),
        "training data": facts_of_data(batches),
        "validation data": "none" if validation is None else facts_of_data(validation),
        "batch size": str(batches.batch_size),
        "epochs": str(epochs),
        "checkpoint": "none" if checkpoint is None else f"every {checkpoint.every}, stopping {checkpoint.stopping!r}",
        "average": repr(average),
    }
