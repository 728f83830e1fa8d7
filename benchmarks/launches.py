"""Launches of a training step of minibp on a GPU, counted without one: python -m benchmarks.launches a b c

On the stand-in for CuPy that the tests use: it counts the functions that are called, each at least one launch of a
kernel. Some take several on a real GPU (sums, products that are split), so this is a lower limit.
"""

from __future__ import annotations

import importlib
import json
import sys

from .nets import NETS, task
from .peers import build

BLOCK = 8192  # rows that are gathered at a time on a GPU


def count(name: str) -> float:
    """Launches a step: the second block of rows alone, so that what an epoch costs once is not in it."""
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
