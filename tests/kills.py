"""Kills trainings at any moment, and sees whether they end with the same weights: python tests/kills.py --kills 200

A run of the digits is started, killed (SIGKILL) and started again until it has been killed so often, and then let
finish. What it saves at the end must be, byte for byte, what an undisturbed run saves. In the mode "write" it dies at a
point inside the writing of a checkpoint; in the mode "damage" the file is damaged, too, where the one before is there.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from half import HalfWritten

ROOT = Path(__file__).parent.parent
MODES = ("moment", "write", "damage")
TRAINING = ("--epochs", "30", "--optimizer", "adam", "--checkpoint-every", "7steps", "--quiet")
SECONDS = 600  # that one run may take


class Killed(NamedTuple):
    """What a run went through: kills while it ran, files damaged, and whether its weights came out the same."""

    kills: int
    damaged: int
    same: bool


def start(folder: Path, name: str, die_at: int = 0, training: Sequence[str] = TRAINING) -> subprocess.Popen:
    """Start the training, or start it again."""
    files = ["--save", str(folder / f"{name}.safetensors"), "--checkpoint", str(folder / f"{name}.ckpt")]
    command = [sys.executable, __file__, "--die-at", str(die_at), "--", *training, *files]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen) -> None:
    """Wait for a run that must end well."""
    _, error = process.communicate(timeout=SECONDS)
    if process.returncode:
        raise AssertionError(f"the run failed with status {process.returncode}: {error.decode()}")


def survive(folder: Path, mode: str, kills: int, rng: random.Random, training: Sequence[str] = TRAINING) -> Killed:
    """Kill a run so often at random moments, start it again each time, and compare its end with an undisturbed one."""
    begun = time.monotonic()
    finish(start(folder, "undisturbed", training=training))
    usual = time.monotonic() - begun
    done = damaged = 0
    checkpoint, previous = folder / "killed.ckpt", folder / "killed.ckpt.previous"
    while done < kills:
        process = start(folder, "killed", rng.randrange(1, 60) if mode == "write" else 0, training)
        try:
            _, error = process.communicate(timeout=SECONDS if mode == "write" else rng.uniform(0.2, 1) * usual)
        except subprocess.TimeoutExpired:
            process.kill()
            _, error = process.communicate()
        if process.returncode == -signal.SIGKILL:
            done += 1
        elif process.returncode:
            raise AssertionError(f"the run failed with status {process.returncode}: {error.decode()}")
        else:  # it ended before its time: again from the start
            compare(folder)
            for file in (checkpoint, previous):
                file.unlink(missing_ok=True)
        if mode == "damage" and checkpoint.exists() and previous.exists() and rng.random() < 0.5:
            damage(checkpoint, rng)
            damaged += 1
    finish(start(folder, "killed", training=training))
    return Killed(done, damaged, compare(folder))


def compare(folder: Path) -> bool:
    """Whether the killed run saved what the undisturbed one saved."""
    files = [(folder / f"{name}.safetensors").read_bytes() for name in ("undisturbed", "killed")]
    if files[0] != files[1]:
        raise AssertionError(f"the weights differ: see {folder}")
    return True


def damage(path: Path, rng: random.Random) -> None:
    """Cut a file off, or change a byte of it."""
    content = bytearray(path.read_bytes())
    position = rng.randrange(len(content))
    if rng.random() < 0.5:
        del content[position:]
    else:
        content[position] ^= rng.randrange(1, 256)
    path.write_bytes(content)


def die_in_write(point: int) -> None:
    """Have this process kill itself at that many points from now in the writing of files.

    A point is a file that is half written, and each call to the system, before it and after it.
    """
    from minibp import tensorfile

    left = point

    def reached() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    class System:
        """The module `os`, with a chance to die around each call that changes the disk."""

        def __getattr__(self, name: str):
            function = getattr(os, name)
            if name not in ("fsync", "replace"):
                return function

            def call(*arguments):
                reached()
                function(*arguments)
                reached()

            return call

    half_written = partial(HalfWritten, reached)
    tensorfile.os, tensorfile.open = System(), half_written  # type: ignore[attr-defined, assignment]


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
        sys.path.insert(0, str(ROOT))
        from datasets.script import main as train
        from minibp import data

        if options.die_at:
            die_in_write(options.die_at)
        return train("digits", data.digits, options.training, model="small")
    for mode in options.modes:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            result = survive(Path(folder), mode, options.kills, random.Random(options.seed))
            print(
                f"{mode}: {result.kills} kills, {result.damaged} files damaged, weights the same: {result.same}, "
                f"{time.monotonic() - begun:.0f} s",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
