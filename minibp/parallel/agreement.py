"""Agreement: how the processes of a training end alike, whatever happens to one of them."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from typing import Any, TypeVar

from ..errors import RankError

Result = TypeVar("Result")

PATIENCE = 2.0  # seconds that a rank with an error waits for the others to have one, too
DRAIN = 0.3  # seconds in which mpiexec reads what a rank has printed: that of MPICH drops the rest when a rank ends all


class Agreement:
    """The ranks of an MPI communicator of at least two, who agree on errors.

    What all of them call at once (`together`, `first`, ...) ends on all of them in the same way. An error that only
    some of them have ends all processes: the others wait in a call of MPI, which nothing else would end.

    Attributes
    ----------
    host_rank, host_size : int
        Which of the ranks on this host this is, from 0, and how many there are.
    processors : int
        How many processors each of them has.
    tell : callable
        Returns, for an error that ends all processes, the text to print, and the exit status.
    """

    def __init__(self, comm: Any):
        from mpi4py import MPI

        self.mpi, self.of, self.rank, self.size = MPI, comm, comm.rank, comm.size
        self.comm, self.errors = comm.Dup(), comm.Dup()  # so that our messages are not taken for those of the program
        host = comm.Split_type(self.mpi.COMM_TYPE_SHARED)
        self.host_rank, self.host_size = host.rank, host.size
        usable = set[int]().union(*host.allgather(_processors()))  # launchers may have bound each rank to some
        self.processors = max(1, len(usable) // host.size)
        host.Free()
        self.tell, self.stderr = _with_traceback, sys.stderr

    def together(self, function: Callable[[], Result]) -> Result:
        """Call a function on all ranks. If it fails on any, all raise: their own error, or one that names the rank.

        A rank with an error does not wait for long: if the others are busy, it ends all.
        """
        error = result = None
        try:
            result = function()
        except Exception as raised:
            if _is_agreed(raised):
                raise
            error = raised
        self._arrive(self.comm, error)
        everyone = self.comm.allgather(_describe(error))
        if error is not None:
            raise agreed(error)
        for rank, what in enumerate(everyone):
            if what:
                raise agreed(RankError(f"rank {rank} of {self.size}: {what}"))
        return result  # type: ignore[return-value]

    def first(self, function: Callable[[], Result]) -> Result:
        """Call a function on rank 0; returns its result, or raises its error, on all."""
        error = result = None
        if self.rank == 0:
            try:
                result = function()
            except Exception as raised:
                error = raised
        result, what = self.comm.bcast((result, _describe(error)))
        if what:
            raise agreed(error or RankError(f"rank 0 of {self.size}: {what}"))
        return result

    def compare(self, facts: dict[str, str]) -> None:
        """Refuse, by a RankError on all ranks, a training that was not started in the same way on all."""
        everyone = self.comm.allgather(facts)
        lines = []
        for name in facts:
            values = [theirs.get(name, "none") for theirs in everyone]
            if other := [rank for rank, value in enumerate(values) if value != values[0]]:
                lines += [f"  {name}", f"    rank 0  {values[0]}", f"    rank {other[0]}  {values[other[0]]}"]
        if lines:
            listed = "\n".join(lines)
            cure = "Start all ranks with the same arguments, seeds, data and versions"
            raise agreed(RankError(f"the ranks were not started in the same way:\n{listed}\n{cure}"))

    @contextmanager
    def meeting(self) -> Iterator[None]:
        """A context whose errors `meet`: they may come while other ranks train."""
        try:
            yield
        except BaseException as error:
            self.meet(error)
            raise

    def meet(self, error: BaseException) -> None:
        """After an error: if all ranks have one, each goes on with its own; else end all processes."""
        if not _is_agreed(error):
            self._arrive(self.errors, error)
            agreed(error)

    def _arrive(self, comm: Any, error: BaseException | None) -> None:
        """Wait until all ranks have called this. With an error, end all if they are late."""
        request, until = comm.Ibarrier(), time.monotonic() + PATIENCE
        while not request.Test():
            if error is not None and time.monotonic() > until:
                self.abort(error)
            time.sleep(0.001)  # a call of MPI that waits takes a processor

    def abort(self, error: BaseException) -> None:
        """Print an error and the rank, and end all processes."""
        who = f"rank {self.rank} of {self.size} on {platform.node()}"
        text, status = self.tell(error)
        self.stderr.write(f"{text.rstrip()}\n{who}: it ends all ranks by this error\n")
        self.stderr.flush()
        time.sleep(DRAIN)
        self.mpi.COMM_WORLD.Abort(status)

    def run_program(self, program: Callable[[], object]) -> None:
        """Run a program on all ranks, which all end in the same way. Rank 0 alone has an output."""
        with silent() if self.rank else nullcontext(), self.meeting():
            self.together(program)


def agreed(error: BaseException) -> BaseException:
    """Mark an error that all ranks raise, each this one or its own."""
    error.agreed = True  # type: ignore[attr-defined]
    return error


@contextmanager
def silent() -> Iterator[None]:
    """A context in which nothing is printed."""
    with open(os.devnull, "w", encoding="utf-8") as null, redirect_stdout(null), redirect_stderr(null):
        yield


def _is_agreed(error: BaseException) -> bool:
    return getattr(error, "agreed", False)


def _processors() -> set[int]:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _with_traceback(error: BaseException) -> tuple[str, int]:
    return "".join(traceback.format_exception(error)), 1


def _describe(error: BaseException | None) -> str:
    return "" if error is None else f"{type(error).__name__}: {error}"
