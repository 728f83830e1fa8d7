"""Kill ranks of trainings on several processes: python tests/rank_kills.py --kills 200

A training by MPI, which writes a checkpoint every few steps, is started, one of its ranks is killed (SIGKILL), and it
is started again, until that has been done often enough; then it may finish. After each kill all processes of the job
must be gone in time, and the checkpoint must be absent or whole. Each start must resume from the step in it. A training
that finishes must print, to the bit, the weights of an undisturbed one with as many ranks.

The rank is a random one. It is killed at a random moment, in the mode "start" while Python and MPI start, in the mode
"moment" at any time; in the mode "write", while rank 0 writes a checkpoint.

The processes of a job are found in /proc by their environment, so this runs on Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired

import numpy as np
from half import at_point_of_writing
from mpiexec import start

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # so that the script runs from any folder

from minibp import Adam, BatchNorm, Checkpoint, CrossEntropy, Dense, Dropout, Network, Softmax, train  # noqa: E402
from minibp.data import Dataset  # noqa: E402
from minibp.files import tensorfile  # noqa: E402

MODES = ("start", "moment", "write")
EPOCHS = 120  # of 5 steps
END = 15  # seconds in which a kill must end all processes
SECONDS = 120  # of a run that nobody kills
JOB, RANKS = "MINIBP_JOB", ("PMI_RANK", "OMPI_COMM_WORLD_RANK")  # in the environment of processes, and of ranks


class Job:
    """A training on several processes, in a folder of its own."""

    def __init__(self, folder: Path, ranks: int, epochs: int):
        self.folder, self.ranks, self.epochs = folder, ranks, epochs
        self.checkpoint, self.killed_at = folder / "run.ckpt", folder / "killed_at"
        self.word = f"{os.getpid()} {folder}"

    def start(self, epochs: int = 0, point: int = 0, victim: int = 0) -> Popen:
        """Start it, or start it again; with a point, rank 0 kills the victim at that point of writing files."""
        arguments = "--folder", self.folder, "--epochs", epochs or self.epochs, "--point", point, "--victim", victim
        return start(self.ranks, __file__, *arguments, environment={JOB: self.word})

    def processes(self) -> dict[int, int | None]:
        """The numbers of its processes that run now, with their ranks; None for those of the launcher."""
        found: dict[int, int | None] = {}
        for process in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):  # it has ended, or is another user's
                text = Path(f"/proc/{process}/environ").read_bytes().decode(errors="replace")
                environment = dict(line.split("=", 1) for line in text.split("\0") if "=" in line)
                if environment.get(JOB) == self.word:
                    found[int(process)] = next((int(environment[name]) for name in RANKS if name in environment), None)
        return found

    def step(self) -> int:
        """The step of the checkpoint; 0 without one. It must be whole, and so must the one before."""
        paths = self.checkpoint, Path(f"{self.checkpoint}.previous")
        whole = [tensorfile.read(path, "checkpoint")[0] for path in paths if path.exists()]
        return whole[0]["state"]["optimizer"]["steps"] if whole else 0

    def start_over(self) -> None:
        """Remove what it has written."""
        for path in self.folder.iterdir():
            path.unlink()


class Tally:
    """What happened so far."""

    def __init__(self) -> None:
        self.victims: Counter[int] = Counter()
        self.resumed = self.finished = 0
        self.longest = 0.0  # seconds from a kill to the end of all processes

    def __str__(self) -> str:
        kills = ", ".join(f"{n} of rank {rank}" for rank, n in sorted(self.victims.items()))
        starts = f"{self.resumed} starts resumed, {self.finished} trainings finished"
        return f"{self.victims.total()} kills ({kills}), {starts}, the longest end took {self.longest:.2f} s"


def survive(folder: Path, ranks: int, mode: str, kills: int, rng: random.Random, epochs: int = EPOCHS) -> Tally:
    """Kill a rank of a job this many times, start the job again each time, and check all that must hold."""
    job, tally = Job(folder, ranks, epochs), Tally()
    expected, usual = undisturbed(job, epochs)
    _, least = undisturbed(job, 1)
    while tally.victims.total() < kills or not tally.finished:
        step, victim, more = job.step(), rng.randrange(ranks), tally.victims.total() < kills
        process = job.start(point=rng.randrange(1, 80) if mode == "write" and more else 0, victim=victim)
        if more and mode != "write":
            kill(job, process, victim, rng.uniform(0, least if mode == "start" else least + (usual - least) / 3))
        out, error = ended(job, process)
        if match := re.match(r"from (\d+)\n", out):
            assert int(match[1]) == step, f"a start went on from step {match[1]}, the file was of step {step}"
            tally.resumed += step > 0
        if not process.returncode:
            assert out.splitlines()[-1] == expected, "the weights are not those of an undisturbed run"
            tally.finished += 1
            assert tally.finished < 20 + kills, f"{tally}: the kills come too late"
            job.start_over()
            continue
        assert job.killed_at.exists(), f"the job failed, and nobody was killed: {error}"
        tally.victims[victim] += 1
        tally.longest = max(tally.longest, time.monotonic() - float(job.killed_at.read_text()))
        job.killed_at.unlink()
    return tally


def undisturbed(job: Job, epochs: int) -> tuple[str, float]:
    """The weights that the job prints, and how many seconds it takes."""
    begun = time.monotonic()
    process = job.start(epochs)
    out, error = process.communicate(timeout=SECONDS)
    assert not process.returncode, error
    job.start_over()
    return out.splitlines()[-1], time.monotonic() - begun


def kill(job: Job, process: Popen, victim: int, wait: float) -> None:
    """Kill a rank after so many seconds, or as soon as it is there; unless the job ends before."""
    until = time.monotonic() + wait
    while process.poll() is None:
        numbers = [number for number, rank in job.processes().items() if rank == victim]
        if numbers and time.monotonic() >= until:
            noted_kill(numbers[0], job.killed_at)
            return
        time.sleep(0.002 if not numbers else max(0.0, until - time.monotonic()))


def noted_kill(process: int, note: Path) -> None:
    """Kill a process, and leave the time in a file."""
    note.write_text(str(time.monotonic()))
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def ended(job: Job, process: Popen) -> tuple[str, str]:
    """Wait for the end of a job, of which nothing may be left; returns what it printed."""
    limit = END if job.killed_at.exists() else SECONDS
    try:
        printed = process.communicate(timeout=limit)
        until = time.monotonic() + END
        while (left := job.processes()) and time.monotonic() < until:
            time.sleep(0.002)
        assert not left, f"the job has ended, and {END} s later these processes (and their ranks) are left: {left}"
        return printed
    except TimeoutExpired:
        raise AssertionError(f"the job had not ended after {limit} s; its processes: {job.processes()}") from None
    finally:
        for left_over in job.processes():
            os.kill(left_over, signal.SIGKILL)


# --- a rank of the job ---------------------------------------------------------------------------------------------


def be_a_rank(job: Job, point: int, victim: int) -> None:
    """Train. Rank 0 prints the step that it begins at, and the weights at the end."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    processes = comm.allgather(os.getpid())
    if point and not comm.rank:
        at_point_of_writing(point, lambda: noted_kill(processes[victim], job.killed_at))
    rng = np.random.default_rng(0)
    data = Dataset(rng.normal(size=(41, 4)), rng.integers(3, size=41))
    layers = [Dense(4, 8), BatchNorm(8), Dropout(0.3), Dense(8, 3), Softmax()]
    net = Network(layers, CrossEntropy(), dtype="float64", seed=0)
    adam = Adam(net, lr=0.01)
    trained = train(net, adam, data, job.epochs, 10, data, Checkpoint(job.checkpoint, every="3steps"), comm=comm)
    if not comm.rank:
        print(f"from {adam.steps}", flush=True)
    for _ in trained:
        pass
    if not comm.rank:
        print(json.dumps([*net.params.tolist(), *net.buffers.tolist()]), flush=True)


def main() -> None:
    """Kill, or, with --folder, be a rank of a job."""
    p = argparse.ArgumentParser(description="Kill ranks of trainings on several processes, and compare how they end.")
    p.add_argument("--kills", type=int, default=200, help="in all modes and numbers of ranks; default 200")
    p.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    p.add_argument("--ranks", nargs="+", type=int, default=[2, 3], help="numbers of ranks; default 2 3")
    p.add_argument("--seed", type=int, help="draws the moments; random by default, and printed")
    for name in ("--epochs", "--point", "--victim"):
        p.add_argument(name, type=int, default=0, help=argparse.SUPPRESS)
    p.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.folder is not None:
        be_a_rank(Job(options.folder, 0, options.epochs), options.point, options.victim)
        return
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    print(f"--seed {seed}", flush=True)
    cases = [(ranks, mode) for ranks in options.ranks for mode in options.modes]
    for i, (ranks, mode) in enumerate(cases):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            kills = options.kills // len(cases) + (i < options.kills % len(cases))
            tally = survive(Path(folder), ranks, mode, kills, random.Random(f"{seed} {ranks} {mode}"))
            print(f"{ranks} ranks, {mode}: {tally}; {time.monotonic() - begun:.0f} s in all", flush=True)


if __name__ == "__main__":
    main()
