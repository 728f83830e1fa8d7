"""Fuzz the readers of files and the command lines, guided by coverage: python tests/fuzz/fuzz.py TARGET --runs 1000000

It stops at the first input that raises another error than those promised, and writes it to ./crash-...; --again FILE
tries it once more. Needs atheris: pip install atheris
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROUND = 200_000  # inputs of one process; the next continues with its corpus. atheris takes up to 2 KB an input
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the matrices are tiny

try:
    import atheris
except ImportError:
    sys.exit("fuzzing needs atheris, which is not installed: pip install atheris")

with atheris.instrument_imports(include=["minibp", "datasets", "models"]):
    import hostile


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("target", choices=hostile.TARGETS)
    p.add_argument("--runs", type=int, default=1_000_000, help="inputs to try; default 1000000")
    p.add_argument("--seed", type=int, default=0, help="0, the default, for another one each time")
    p.add_argument("--again", metavar="FILE", help="try this input only")
    options = p.parse_args()
    target = hostile.TARGETS[options.target]
    warnings.simplefilter("ignore")
    if options.again:
        target(Path(options.again).read_bytes())
        return
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as corpus:
        for i, content in enumerate(hostile.SEEDS[options.target]):
            (Path(corpus) / str(i)).write_bytes(content)
        for done in range(0, options.runs, ROUND):
            if child := os.fork():  # the fuzzer ends its process without cleaning up
                if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
                    sys.exit(status)
                continue
            limits = ["-rss_limit_mb=1024", "-timeout=10", "-max_len=512", "-print_final_stats=1", "-reload=0"]
            runs, seed = min(ROUND, options.runs - done), options.seed and options.seed + done // ROUND
            atheris.Setup([sys.argv[0], f"-runs={runs}", f"-seed={seed}", *limits, corpus], target)
            atheris.Fuzz()
    print(f"{options.target}: {options.runs} inputs tried in {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
