"""The process of one peer. It answers commands, one line of JSON each, until its input ends.

It waits between commands, so it uses no processor time while another peer is measured.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from . import machine
from .nets import FRESH, NETS, inputs, task
from .peers import build

CHECKED = 20  # steps whose losses are compared
FIRST = 10  # inputs whose probabilities are compared


def order(rows: int, batch: int) -> np.ndarray:
    """The rows of the first steps, on which the losses of all peers are compared."""
    return np.random.default_rng(3).permutation(rows)[: min(CHECKED * batch, rows)]


class Session:
    """One peer and its commands. Each public method is a command and returns the answer."""

    def build(self, peer: str, net: str, rows: int, device: str) -> dict[str, Any]:
        """Import the framework and build the peer."""
        self.task = task(NETS[net], rows)
        self.peer = build(peer, self.task, device)
        return {"blas": machine.blas()}

    def losses(self) -> dict[str, Any]:
        """Losses of the first steps, or None if the peer has none."""
        try:
            return {"losses": self.peer.losses(order(len(self.task.x), self.task.net.batch))}
        except NotImplementedError:
            return {"losses": None}

    def train(self, seconds: float) -> dict[str, Any]:
        """Prepare to measure training, in turns of at least these seconds (0: one pass, cold). The unit is a step."""
        steps = len(self.task.x) // self.task.net.batch  # of a pass
        self.peer.restart()
        for _ in range(math.ceil(self.peer.settle / steps) if seconds else 1):
            took = self._timed(self.peer.run, 1)
        passes = max(min(math.ceil(seconds / took), FRESH // steps), 1)
        self.seconds, self.units, self.again = seconds, passes * steps, self.peer.restart
        self.work: Callable[[], None] = lambda: self.peer.run(passes)
        return {}

    def predict(self, seconds: float, images_at_once: int) -> dict[str, Any]:
        """Prepare to measure predictions. The unit is a call. Answers the first probabilities."""
        x, _ = inputs(self.task.net, images_at_once, seed=1)
        answer = self.peer.predict(x)
        took = min(self._timed(self.peer.predict, x) for _ in range(5))
        calls = max(math.ceil(seconds / 10 / took), 1)
        self.seconds, self.units, self.again = seconds, calls, lambda: None

        def work() -> None:
            for _ in range(calls):
                self.peer.predict(x)

        self.work = work
        return {"probabilities": answer[:FIRST].tolist()}

    def turn(self) -> dict[str, Any]:
        """Measure once: seconds per unit, and the share of all processors that others used meanwhile."""
        before, own, start = machine.busy(), time.process_time(), time.perf_counter()
        seconds, units = 0.0, 0
        while not units or seconds < self.seconds:
            self.again()
            seconds += self._timed(self.work)
            units += self.units
        wall, own, after = time.perf_counter() - start, time.process_time() - own, machine.busy()
        return {"seconds": seconds / units, "units": units, "others": machine.others(before, after, own, wall)}

    @staticmethod
    def _timed(work: Callable[..., Any], *args: Any) -> float:
        start = time.perf_counter()
        work(*args)
        return time.perf_counter() - start


def main() -> None:
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # frameworks print to stderr, not between the answers
        session = Session()
        for line in sys.stdin:
            command = json.loads(line)
            try:
                answer = getattr(session, command.pop("do"))(**command)
            except Exception as error:  # of any kind: the parent decides what to do
                answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
