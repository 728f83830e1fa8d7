"""The peers: their names, the packages they need, and their common interface.

`PEERS` lists their names. `minibp@FOLDER` and `minibp-core@FOLDER` run the code of another checkout of the project.
"""

from __future__ import annotations

import argparse
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
        The network, its initial weights, images and labels. A peer holds the images as uint8 and scales the rows of a
        batch by 1/255 as part of each step.
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
        """Train for some passes over the images, each in a new random order. Returns when the work is done."""
        raise NotImplementedError

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (N, 10) of uint8 images (N, 784), on the host."""
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
    "jax-jit": Spec("JAX, jit a step", "xla", "JaxJit", ("jax",)),
    "jax-scan": Spec("JAX, scan an epoch", "xla", "JaxScan", ("jax",)),
    "sklearn": Spec("scikit-learn", "scikit", "ScikitLearn", ("sklearn",)),
}
MINIBP = ("minibp", "minibp-core")
PYTORCH = ("torch-eager", "torch-fused", "torch-compile")


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
    if kind(text) not in known or ("@" in text and kind(text) not in MINIBP):
        names = ", ".join([*known, *(f"{name}@FOLDER" for name in MINIBP if name in known)])
        raise argparse.ArgumentTypeError(f"{text!r} is not a peer: choose from {names}")
    if "@" in text:
        place = folder(text)
        if not (place / "benchmarks" / "worker.py").is_file() or not (place / "minibp").is_dir():
            raise argparse.ArgumentTypeError(f"{text}: {place} is not a checkout of minibp with its benchmarks")
        imported = imported_from(place)
        if imported != place / "minibp":
            raise argparse.ArgumentTypeError(f"{text}: Python imports minibp from {imported}, not from {place}")
    return text


def imported_from(place: Path) -> Path:
    """The folder of the minibp that a process in this folder imports."""
    code = "import importlib.util; print(importlib.util.find_spec('minibp').origin)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run([sys.executable, "-c", code], cwd=place, env=env, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip()).resolve().parent


def revision(name: str) -> str:
    """The git revision of the folder of a peer, if git knows it."""
    command = ["git", "-C", str(folder(name)), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "of unknown revision"
    return done.stdout.strip()


def missing(name: str) -> list[str]:
    """The packages that a peer needs but that are not installed."""
    return [package for package in PEERS[kind(name)].needs if importlib.util.find_spec(package) is None]


def build(name: str, task: Task, device: str = "cpu") -> Any:
    """Import the framework of a peer and build the peer."""
    spec = PEERS[name]
    return getattr(importlib.import_module(f".{spec.module}", __name__), spec.cls)(task, device, **spec.options)
