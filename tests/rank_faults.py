"""A training on several processes in which something goes wrong on one. `test_parallel.py` starts this by mpiexec.

    rank_faults.py FAULT [CHECKPOINT]

Rank 0 prints the weights, if the training comes to its end.
"""

import glob
import json
import os
import signal
import sys
import time

import numpy as np
from half import at_point_of_writing
from mpi4py import MPI

import minibp
from minibp import Adam, BatchNorm, Checkpoint, CrossEntropy, Dense, Dropout, Layer, Network, Softmax, train
from minibp.data import Dataset

COMM = MPI.COMM_WORLD
FAULT = sys.argv[1]
BAD = COMM.size - 1  # the rank
EPOCHS, LAST_STEP = 6, 17  # of 5 steps each


class Faulty(Layer):
    """Does something to one rank in a step, or to all."""

    state_attributes = ("steps",)

    def __init__(self):
        super().__init__()
        self.steps = 0

    def formula(self, x):
        if self.training:
            self.steps += len(x) if FAULT == "counts samples" else 1
            if self.steps == LAST_STEP:
                self.go_wrong()
        return x

    def go_wrong(self):
        if FAULT.startswith("error on all") or (FAULT == "error" and COMM.rank == BAD):
            raise OSError("the disk is gone")
        if FAULT in ("SIGKILL", "SIGTERM", "SIGINT") and COMM.rank == BAD:
            os.kill(os.getpid(), getattr(signal, FAULT))
        if FAULT == "wait":  # so that the test can end the launcher
            sys.stdout.write("waits\n")
            sys.stdout.flush()
            time.sleep(2)

    def gradient(self, dy):
        return dy


def main():
    bad = COMM.rank == BAD
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(41, 4)), rng.integers(3, size=41)
    if FAULT == "NaN on all":
        x *= 1e300
    if FAULT == "NaN in the data" and bad:
        x[3] = np.nan
    if FAULT == "other data" and bad:
        x[3] = 0
    seed = 1 if FAULT == "other seed" and bad else 0
    layers = [Dense(4, 8), BatchNorm(8), Faulty(), Dropout(0.3), Dense(8, 3), Softmax()]
    net = Network(layers, CrossEntropy(), dtype="float64", seed=seed)
    optimizer = Adam(net, lr=0.02 if FAULT == "other rate" and bad else 0.01)
    data = Dataset(x[:2], t[:2]) if FAULT == "few samples" else Dataset(x, t)
    checkpoint = Checkpoint(sys.argv[2], every="3steps") if len(sys.argv) > 2 else None
    compiled = True if FAULT == "compiled" else None
    if FAULT == "late" and bad:  # rank 0 begins to write meanwhile
        find = glob.glob
        glob.glob = lambda *arguments: time.sleep(0.3) or find(*arguments)
    if FAULT == "late" and not COMM.rank:
        at_point_of_writing(1, lambda: time.sleep(0.6))
    if FAULT == "other version" and bad:
        minibp.__version__ = "0.0.1"
    batch_size = 2 if FAULT == "small batches" else 10
    comm = 7 if FAULT == "no communicator" else COMM
    for epoch in train(net, optimizer, data, EPOCHS, batch_size, data, checkpoint, compiled, comm=comm):
        if epoch.number == 3 and FAULT.startswith("loop") and bad:
            raise ValueError("what is this?")
        if epoch.number == 3 and FAULT == "break" and bad:
            break
        if epoch.number == 3 and FAULT == "exit" and bad:
            sys.exit(3)
        if epoch.number == 3 and FAULT == "changed weights" and bad:
            net.params[0] += 1e-3
        if FAULT == "loop, others wait":
            COMM.barrier()
    if FAULT == "again":
        minibp.files.checkpoint.describe_blas = lambda threads: "another"
        list(train(net, optimizer, data, EPOCHS, batch_size, data, checkpoint, comm=comm))
    if COMM.rank == 0:
        sys.stdout.write(f"{json.dumps([*net.params.tolist(), *net.buffers.tolist()])}\n")


if __name__ == "__main__":
    try:
        main()
    finally:
        if FAULT == "error on all, others first" and not COMM.rank:
            time.sleep(0.5)
