"""The peers: their names, the packages they need, and their common interface.

`PEERS` lists their names. `minibp@FOLDER` and `minibp-core@FOLDER` run the code of another checkout of the project.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..nets import Task


class Peer:
    """One framework with one task, written as its users would write it for speed.

    Parameters
    ----------
    task : Task
        The network, its initial weights, inputs and labels. A peer holds images as uint8 and scales the rows of a
        batch by 1/255 as part of each step; floats are used as they are.
    device : {"cpu", "cuda"}
        Where it computes.
    """

    settle = 1  # steps until it runs at full speed

    def __init__(self, task: Task, device: str = "cpu"):
        self.task, self.net, self.device = task, task.net, device

    def restart(self) -> None:
        """Restore the initial weights and set the moments of the optimizer to zero."""

    def losses(self, order: np.ndarray) -> list[float]:
        """Train on batches of these rows in this order, and return the loss of each step."""
        raise NotImplementedError

    def run(self, passes: int) -> None:
        """Train for some passes over the data, each in a new random order. Returns when the work is done."""
        raise NotImplementedError

    def run_first(self) -> None:
        """Train for a single pass, as a user would who asks for no more."""
        self.run(1)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (N, classes) of inputs (N, I), on the host."""
        raise NotImplementedError


class Spec(NamedTuple):
    """The label of a peer in tables, its module and class, the packages it needs, and its arguments."""

    label: str
    module: str
    cls: str
    needs: tuple[str, ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})


PEERS = {
    "minibp": Spec("minibp, every extra", "ours", "Minibp", ("numba",)),
    "minibp-core": Spec("minibp, the core alone", "ours", "Minibp", (), {"core": True}),
    "floor": Spec("only the matrix products", "arrays", "Floor"),
    "naive": Spec("NumPy that allocates", "arrays", "Naive"),
    "torch-eager": Spec("PyTorch, eager", "pytorch", "PyTorch", ("torch",)),
    "torch-fused": Spec("PyTorch, fused optimizer", "pytorch", "PyTorch", ("torch",), {"fused": True}),
    "torch-compile": Spec("PyTorch, compiled", "pytorch", "PyTorch", ("torch",), {"fused": True, "compiled": True}),
    "torch-step": Spec("PyTorch, step compiled", "pytorch", "PyTorchStep", ("torch",)),
    "jax-jit": Spec("JAX, jit a step", "xla", "JaxJit", ("jax",)),
    "jax-scan": Spec("JAX, scan an epoch", "xla", "JaxScan", ("jax",)),
    "sklearn": Spec("scikit-learn", "scikit", "ScikitLearn", ("sklearn",)),
}
MINIBP = ("minibp", "minibp-core")
PYTORCH = ("torch-eager", "torch-fused", "torch-compile", "torch-step")


ROOT = Path(__file__).parent.parent.parent


def kind(name: str) -> str:
    """The name in `PEERS`: minibp for minibp@FOLDER."""
    return name.partition("@")[0]


def folder(name: str) -> Path:
    """The checkout whose code a peer runs."""
    return Path(name.partition("@")[2]).resolve() if "@" in name else ROOT


def label(name: str, labels: Mapping[str, str] = MappingProxyType({})) -> str:
    """The label of a peer in tables, with its folder if it has one."""
    _, at, place = name.partition("@")
    return labels.get(kind(name), PEERS[kind(name)].label) + (f" {at}{place}" if at else "")


def peer_name(text: str, known: Sequence[str]) -> str:
    """Check the name of a peer, for argparse."""
    _, at, place = text.partition("@")
    if kind(text) not in known or (at and (kind(text) not in MINIBP or not place)):
        names = ", ".join([*known, *(f"{name}@FOLDER" for name in MINIBP if name in known)])
        raise argparse.ArgumentTypeError(f"{text!r} is not a peer: choose from {names}")
    if at:
        check_folder(text)
    return text


def check_folder(name: str) -> None:
    """Check, for argparse, that the folder of a peer is a checkout, and that Python imports minibp from it."""
    place, advice = folder(name), "make a checkout with git worktree add FOLDER REVISION"
    for file in ("minibp/__init__.py", "benchmarks/worker.py"):
        if not (place / file).is_file():
            message = f"{name}: expected a checkout of minibp, but {place} has no {file}; {advice}"
            raise argparse.ArgumentTypeError(message)
    imported = imported_from(place)
    if imported != place / "minibp":
        raise argparse.ArgumentTypeError(f"{name}: Python imports minibp from {imported}, not from {place}; {advice}")


def imported_from(place: Path) -> Path:
    """The folder of the minibp that a process in this folder imports."""
    code = "import importlib.util; print(importlib.util.find_spec('minibp').origin)"
    return Path(printed([sys.executable, "-c", code], place)).resolve().parent


def revision(name: str) -> str:
    """The git revision of the folder of a peer, or the version of its minibp if it is no repository."""
    git = ["git", "--git-dir=.git", "--work-tree=.", "describe", "--always", "--dirty"]  # not of a repository around it
    version = [sys.executable, "-c", "import minibp; print(minibp.__version__)"]
    for command in (git, version):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            return printed(command, folder(name))
    return "of unknown version"


def printed(command: Sequence[str], place: Path) -> str:
    """What a command prints if it runs in this folder."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=True).stdout.strip()


def missing(name: str) -> list[str]:
    """The packages that a peer needs but that are not installed."""
    return [package for package in PEERS[kind(name)].needs if importlib.util.find_spec(package) is None]


def build(name: str, task: Task, device: str = "cpu") -> Any:
    """Import the framework of a peer and build the peer."""
    spec = PEERS[name]
    return getattr(importlib.import_module(f".{spec.module}", __name__), spec.cls)(task, device, **spec.options)
