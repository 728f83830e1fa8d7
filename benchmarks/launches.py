"""Kernel launches per training step of minibp on a GPU, counted without one: python -m benchmarks.launches a b c

Runs on the stand-in for CuPy of the tests, which counts function calls. Each call is at least one kernel launch. Some
need several on a real GPU (sums, split products), so the count is a lower limit.
"""

from __future__ import annotations

import importlib
import json
import sys

from .nets import NETS, task
from .peers import build

BLOCK = 8192  # rows that a GPU gathers at a time


def count(name: str) -> float:
    """Launches per step, counted in the second block of rows to leave out the fixed cost of an epoch."""
    standin = sys.modules["cupy"] = importlib.import_module("tests.standin")
    net = NETS[name]
    steps = BLOCK // net.batch
    calls = []
    for blocks in (1, 2):
        peer = build("minibp-core", task(net, blocks * steps * net.batch), "cuda")
        standin.traffic.clear()
        peer.run(1)
        calls.append(standin.traffic.calls)
    return (calls[1] - calls[0]) / steps


def main() -> None:
    print(json.dumps({name: count(name) for name in sys.argv[1:]}))


if __name__ == "__main__":
    main()
