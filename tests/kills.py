"""Kill trainings at random moments, and check that they end with the same weights: python tests/kills.py --kills 200

A training on the digits is started, killed (SIGKILL) and started again until it has been killed often enough; then it
may finish. Each start must resume from the step of the newest intact file, and must save, byte for byte, what an
undisturbed run saves. In the mode "write" the process dies while it writes a checkpoint. In the mode "damage" the
newest file is also damaged at times, if there is a previous one.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from half import at_point_of_writing

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # so that the script runs from any folder

from minibp.errors import FileFormatError  # noqa: E402
from minibp.files import tensorfile  # noqa: E402

MODES = ("moment", "write", "damage")
TRAINING = ("--epochs", "30", "--optimizer", "adam", "--checkpoint-every", "7steps")
SECONDS = 600  # the limit of one run


class Killed(NamedTuple):
    """Counts of a run: kills, starts that resumed from a file, and damaged files."""

    kills: int
    resumed: int
    damaged: int


def start(folder: Path, name: str, die_at: int = 0, training: Sequence[str] = TRAINING) -> subprocess.Popen:
    """Start the training, or start it again."""
    files = ["--save", str(folder / f"{name}.safetensors"), "--checkpoint", str(folder / f"{name}.ckpt")]
    command = [sys.executable, __file__, "--die-at", str(die_at), "--", *training, *files]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen, wait: float = SECONDS) -> str:
    """Wait for a run, and kill it when its time is over; returns what it printed."""
    try:
        out, error = process.communicate(timeout=wait)
    except subprocess.TimeoutExpired:
        process.kill()
        out, error = process.communicate()
    if process.returncode not in (0, -signal.SIGKILL):
        raise AssertionError(f"the run failed with status {process.returncode}: {error.decode()}")
    return out.decode()


def newest(folder: Path) -> int:
    """The step of the newest intact checkpoint; 0 without one."""
    for name in ("killed.ckpt", "killed.ckpt.previous"):
        with suppress(FileNotFoundError, FileFormatError):
            return tensorfile.read(folder / name, "checkpoint")[0]["state"]["optimizer"]["steps"]
    return 0


def check_resumed(printed: str, step: int) -> bool:
    """Whether a run resumed. If it printed anything, it must have resumed from this step."""
    match = re.search(r"continuing from .*, after step ([\d,]+)", printed)
    found = int(match[1].replace(",", "")) if match else 0
    if printed and found != step:
        raise AssertionError(f"the run resumed from step {found}, but the file was of step {step}: {printed}")
    return match is not None


def survive(folder: Path, mode: str, kills: int, rng: random.Random, training: Sequence[str] = TRAINING) -> Killed:
    """Kill a run this many times, start it again each time, and compare its end with that of an undisturbed run."""
    seconds = []
    for name, options in (("undisturbed", ()), ("short", ("--epochs", "1"))):
        begun = time.monotonic()
        finish(start(folder, name, training=(*training, *options)))
        seconds.append(time.monotonic() - begun)
    usual, least = seconds
    done = resumed = damaged = ended = 0
    checkpoint, previous = folder / "killed.ckpt", folder / "killed.ckpt.previous"
    while done < kills:
        step = newest(folder)
        process = start(folder, "killed", rng.randrange(1, 60) if mode == "write" else 0, training)
        # Up to a third of the training at a time, so that it takes several starts.
        wait = SECONDS if mode == "write" else least * rng.uniform(0.5, 1) + rng.uniform(0, 1) * (usual - least) / 3
        resumed += check_resumed(finish(process, wait), step)
        if process.returncode:
            done += 1
        else:  # it finished before it was killed: start over
            ended += 1
            if ended > 20 + kills:
                raise AssertionError(f"{ended} runs finished, and only {done} were killed: the kills come too late")
            compare(folder)
            for file in (checkpoint, previous):
                file.unlink(missing_ok=True)
        if mode == "damage" and checkpoint.exists() and previous.exists() and rng.random() < 0.5:
            damage(checkpoint, rng)
            damaged += 1
    finish(start(folder, "killed", training=training))
    compare(folder)
    return Killed(done, resumed, damaged)


def compare(folder: Path) -> None:
    """The killed run must have saved what the undisturbed one saved."""
    files = [(folder / f"{name}.safetensors").read_bytes() for name in ("undisturbed", "killed")]
    if files[0] != files[1]:
        raise AssertionError("the weights differ from those of the undisturbed run")


def damage(path: Path, rng: random.Random) -> None:
    """Cut a file off, or change a byte of it."""
    content = bytearray(path.read_bytes())
    position = rng.randrange(len(content))
    if rng.random() < 0.5:
        del content[position:]
    else:
        content[position] ^= rng.randrange(1, 256)
    path.write_bytes(content)


def main() -> int:
    """Kill, or, with --die-at, be the run that is killed."""
    p = argparse.ArgumentParser(description="Kill trainings, and compare how they end.")
    p.add_argument("--kills", type=int, default=200, help="of each mode; default 200")
    p.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    p.add_argument("--seed", type=int, default=0, help="draws the moments; default 0")
    p.add_argument("--die-at", type=int, help=argparse.SUPPRESS)
    p.add_argument("training", nargs="*", help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.die_at is not None:
        from datasets.script import main as train
        from minibp import data

        if options.die_at:
            at_point_of_writing(options.die_at, lambda: os.kill(os.getpid(), signal.SIGKILL))
        return train("digits", data.digits, options.training, model="small")
    for mode in options.modes:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            result = survive(Path(folder), mode, options.kills, random.Random(options.seed))
            print(
                f"{mode}: {result.kills} kills, {result.resumed} starts resumed, {result.damaged} files damaged; "
                f"each resumed from the newest intact file, the weights are the same; {time.monotonic() - begun:.0f} s",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
