"""Mutate valid ONNX files, and read them: python tests/fuzz/onnx_files.py --runs 100000

Each gives a FileFormatError or a network. That is compared with what onnx's own evaluator makes of the file. The first
failure stops the run, and the file stays in ./failed.onnx.
"""

import argparse
import collections
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import onnx_files  # noqa: E402


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--runs", type=int, default=100_000, help="files to try; default 100000")
    p.add_argument("--seed", type=int, default=0)
    options = p.parse_args()
    warnings.simplefilter("ignore")
    rng, counts, slowest = random.Random(options.seed), collections.Counter(), 0.0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        files = onnx_files.valid_files(Path(folder))
        path = Path(folder) / "net.onnx"
        for _ in range(options.runs):
            name = rng.choice(list(files))
            path.write_bytes(onnx_files.mutated(rng, files[name]))
            start = time.perf_counter()
            try:
                counts[onnx_files.read_and_compare(path)] += 1
            except BaseException:
                shutil.copy(path, "failed.onnx")
                print(f"after {sum(counts.values())} files, from {name!r}: ./failed.onnx")
                raise
            slowest = max(slowest, time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{dict(counts)}; the slowest took {slowest:.2f} s, with onnx's own evaluation; {memory:.0f} MB in all")


if __name__ == "__main__":
    main()
