"""Time of a training step of minibp and its peers on a GPU: python -m benchmarks.gpu

    python -m benchmarks.gpu --json results.json
    python -m benchmarks.gpu --device cpu --smoke

The second line runs the same code on the CPU, as a test. The peers are those of train_step: minibp on CuPy; PyTorch
eager, with a fused optimizer, and compiled with CUDA graphs; JAX with one scan per epoch. All multiply in full float32
(no TF32), and wait for the GPU before the clock is read.
"""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from collections.abc import Sequence

from minibp.backend import available

from . import tables
from .nets import NETS
from .ratios import TOLERANCE
from .rounds import ROOT
from .train_step import compare, end, head, installed, parser

NAMES = ["minibp-core", "torch-eager", "torch-fused", "torch-compile", "jax-scan"]
LABELS = {"minibp-core": "minibp"}
IMAGES = 60_000  # as in MNIST


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 if a peer disagreed or failed, or there is no GPU."""
    p = parser("Compare the time of a training step on a GPU.", NAMES)
    p.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: the same code, without a GPU")
    p.set_defaults(rows=IMAGES)
    options = p.parse_args(arguments)
    gpu = available()["cupy"]
    if options.device == "cuda" and not gpu.works:
        print(f"nothing to measure: CuPy {gpu}", file=sys.stderr)
        return 1
    peers = installed(options.peers)
    results: tables.Results = {net: compare(net, peers, options, options.device) for net in options.nets}
    found = head(results) | {"device": gpu.detail if options.device == "cuda" else "the CPU: no GPU was measured"}
    print(f"Device: {found['device']}\n\nMicroseconds a step\n\n{tables.absolute(results, LABELS)}\n")
    print(f"Milliseconds an epoch of {IMAGES:,} images\n\n{tables.absolute(epochs(results), LABELS, 1e3)}\n")
    if "minibp-core" in peers:
        print(f"Times as long, median and quartiles\n\n{tables.relative(results, 'minibp-core', LABELS)}\n")
    calls = launches(options.nets)
    figures = [f"{n:.1f}" for n in calls.values()]
    print(tables.markdown(["", *calls], [["launches a step of minibp, at least", *figures]]))
    print("\n" + "\n".join(f"{name}: {NETS[name]}" for name in results))
    print(tables.notes(results, "Losses of the first steps", TOLERANCE))
    return end(options, found, results)


def epochs(results: tables.Results) -> tables.Results:
    """The same results with the seconds of an epoch instead of a step."""
    scaled = copy.deepcopy(results)
    for net, peers in scaled.items():
        for peer in peers.values():
            for turn in peer.get("turns", []):
                turn["seconds"] *= math.ceil(IMAGES / NETS[net].batch)
    return scaled


def launches(nets: Sequence[str]) -> dict[str, float]:
    """Kernel launches per step of minibp, counted in a new process with the stand-in for CuPy."""
    command = [sys.executable, "-m", "benchmarks.launches", *nets]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
