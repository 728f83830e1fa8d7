"""The peers: which there are, what each needs, and what the harness asks of one."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..nets import Task


class Peer:
    """One framework at work on one task, written as its users would write it for speed.

    Parameters
    ----------
    task : Task
        The net, its starting weights, the images and labels. A peer holds the images as uint8 and scales the rows of a
        batch by 1/255 as part of each step.
    device : {"cpu", "cuda"}
        Where it computes.
    """

    settle = 1  # steps until it runs at its full speed

    def __init__(self, task: Task, device: str = "cpu"):
        self.task, self.net, self.device = task, task.net, device

    def restart(self) -> None:
        """Put the starting weights back, and make the optimizer's moments zero."""

    def losses(self, order: np.ndarray) -> list[float]:
        """Loss of each step from the start, on batches of these rows in this order."""
        raise NotImplementedError

    def run(self, passes: int) -> None:
        """Train for so many passes over the images, each in a new random order; return when the work is done."""
        raise NotImplementedError

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (N, 10) of uint8 images (N, 784), on the host."""
        raise NotImplementedError


class Spec(NamedTuple):
    """What a peer is called in tables, where it stands, the packages it needs, and what it is built with."""

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


def missing(name: str) -> list[str]:
    """The packages that a peer needs and that are not installed."""
    return [package for package in PEERS[name].needs if importlib.util.find_spec(package) is None]


def build(name: str, task: Task, device: str = "cpu") -> Any:
    """A peer, ready to start; its framework is imported by this."""
    spec = PEERS[name]
    return getattr(importlib.import_module(f".{spec.module}", __name__), spec.cls)(task, device, **spec.options)
