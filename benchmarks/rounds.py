"""Measure peers in turns, A B C A B C, each in its own process. Turns that other processes disturbed are dropped."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .peers import ROOT, folder
from .ratios import LIMIT

FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # make OpenBLAS use other kernels than the best for the processor
PAUSE = 0.25  # seconds between turns, in which spinning threads of the last peer go to sleep
RETRIES = 2  # how often a disturbed turn is repeated

Turn = dict[str, Any]  # round, seconds (per unit), units, others (None: not known), kept


class PeerError(RuntimeError):
    """A peer could not execute a command."""

    mark = "failed"  # the cell in tables


class DisagreementError(PeerError):
    """A peer does not do the work of its task."""

    mark = "disagrees"


def environment(own_settings: bool, device: str = "cpu") -> dict[str, str]:
    """The environment of the peers, without the variables that force kernels on NumPy unless `own_settings`."""
    env = {name: value for name, value in os.environ.items() if own_settings or name not in FORCED}
    env.pop("PYTHONSAFEPATH", None)  # so that a process imports minibp from its folder
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # else a checkout, unlike installed peers, is compiled at each start
    env["JAX_PLATFORMS"] = device
    env["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # peers share the memory of the GPU
    return env


class Worker:
    """The process of one peer, as its parent sees it."""

    def __init__(self, env: dict[str, str], cwd: Path = ROOT):
        command = [sys.executable, "-m", "benchmarks.worker"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=env, cwd=cwd
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Raises
        ------
        PeerError
            If the command fails or the process ends.
        """
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerError(f"its process ended with status {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin and self.process.stdout
        with contextlib.suppress(BrokenPipeError):  # the process has ended already
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def compare(
    peers: Sequence[str],
    prepare: Callable[[Worker, str], dict[str, Any]],
    env: dict[str, str],
    rounds: int,
    pause: float = PAUSE,
    limit: float = LIMIT,
    label: str = "",
) -> dict[str, dict[str, Any]]:
    """Measure peers in turns.

    Parameters
    ----------
    peers : sequence of str
        Their names.
    prepare : callable
        Receives a new worker and a name, and prepares the worker for the command "turn". Raises PeerError if that
        fails, and DisagreementError if the peer does not do the work of its task.
    env : dict
        The environment of the workers.
    rounds, pause, limit
        See `take_turns`.
    label : str
        Prefix of the progress lines on standard error.

    Returns
    -------
    dict
        By name, what `prepare` returned and the `turns`, or the `error` of the peer and its `mark`.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in peers}
    workers: dict[str, Worker] = {}

    def fails(name: str, error: PeerError) -> None:
        found[name] = {"error": str(error), "mark": error.mark}
        workers.pop(name).close()

    try:
        for name in peers:
            print(f"{label}{name}", file=sys.stderr, flush=True)
            workers[name] = Worker(env, folder(name))
            try:
                found[name] |= prepare(workers[name], name)
            except PeerError as error:
                fails(name, error)
        print(f"{label}{rounds} rounds", file=sys.stderr, flush=True)
        turns, errors = take_turns({name: partial(w.ask, "turn") for name, w in workers.items()}, rounds, pause, limit)
        for name, taken in turns.items():
            found[name]["turns"] = taken
        for name, failure in errors.items():
            fails(name, failure)
    finally:
        for worker in workers.values():
            worker.close()
    return found


def take_turns(
    takers: Mapping[str, Callable[[], Turn]], rounds: int, pause: float = PAUSE, limit: float = LIMIT
) -> tuple[dict[str, list[Turn]], dict[str, PeerError]]:
    """Take a turn of each peer per round. A disturbed turn is marked as dropped and repeated.

    Parameters
    ----------
    takers : dict
        By name, a function that takes a turn. It returns a dict with its `seconds`, and with `others`, the share of
        all processors that other processes used meanwhile (None if not known; the turn then counts as undisturbed).
    rounds : int
        Number of rounds.
    pause : float
        Seconds between turns.
    limit : float
        Share of all processors that others may use during a turn.

    Returns
    -------
    The turns, and the errors of the peers that failed. They take no more turns.
    """
    errors: dict[str, PeerError] = {}
    turns: dict[str, list[Turn]] = {name: [] for name in takers}
    for number in range(rounds):
        for name, take in takers.items():
            if name in errors:
                continue
            for _ in range(1 + RETRIES):
                time.sleep(pause)
                try:
                    turn = take()
                except PeerError as error:
                    errors[name] = error
                    break
                kept = turn["others"] is None or turn["others"] <= limit
                turns[name].append({"round": number, "kept": kept, **turn})
                if kept:
                    break
    return turns, errors
