"""Trainings on GPUs, one for each process, on the stand-in for CuPy. `test_parallel.py` starts this by mpiexec.

    rank_sums.py CASE

Rank 0 prints, as JSON, how far they are from those of one process, as ranks.py does; and of each rank its sums by NCCL,
those in a training that moves to NumPy and back, its allocations of page-locked memory, and its warnings.
"""

import json
import sys
import warnings
from pathlib import Path

import ranks
import standin
from mpi4py import MPI
from standin import nccl

from minibp import train

COMM = MPI.COMM_WORLD
CASE = sys.argv[1]
BAD = COMM.rank == COMM.size - 1


def fail(*_):
    raise nccl.NcclError("NCCL_ERROR_SYSTEM_ERROR: no network")


def network(dtype):
    return ranks.normalized(dtype, "cupy")


def moved_and_back():
    """Train four epochs of 5 steps, the third of them on NumPy."""
    net = network("float64")
    data = ranks.samples(ranks.SAMPLES)
    for epoch in train(net, ranks.OPTIMIZERS["Adam"](net), data, 4, ranks.BATCH, data, comm=COMM):
        net.to("numpy" if epoch.number == 2 else "cupy")


def main():
    sys.modules["cupy"] = standin
    if CASE != "no NCCL" and not (CASE == "no NCCL on one" and BAD):
        sys.modules["cupy.cuda.nccl"] = nccl
    if CASE == "failing" or (CASE == "failing on one" and BAD):
        nccl.NcclCommunicator.__init__ = fail
    if CASE != "one GPU":
        standin.cuda.Device(COMM.rank).use()
    allocations = []
    standin.cuda.alloc_pinned_memory = lambda size: allocations.append(size) or bytearray(size)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        case = (network, ranks.OPTIMIZERS["Adam"], ranks.samples(ranks.SAMPLES), ranks.BATCH)
        found = {f"{CASE}, {dtype}": ranks.apart(case, dtype) for dtype in ("float64", "float32")}
        sums = nccl.NcclCommunicator.sums
        moved_and_back()
    told = [f"{Path(each.filename).name}: {each.message}" for each in caught]
    everyone = COMM.gather((sums, nccl.NcclCommunicator.sums - sums, len(allocations), told))
    if not COMM.rank:
        sys.stdout.write(json.dumps([found, everyone]))


if __name__ == "__main__":
    main()
