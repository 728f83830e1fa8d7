"""What a stranger could feed to the readers and the command lines, made from bytes.

Each target takes any bytes, and fails with an error that is none of those the project promises. Hypothesis gives it
such bytes in test_hostile.py, fuzz/fuzz.py many more.
"""

import gzip

from .files import checkpoint, idx, model
from .lines import commands

TARGETS = {"idx": idx, "model": model, "checkpoint": checkpoint, "commands": commands}
SEEDS = {
    "idx": [b"\0\0\x08\x02\0\0\0\x02\0\0\0\x03" + bytes(6), b"\0\0\x0d\x01\0\0\0\x01" + bytes(4), b"<html>", bytes(60)],
    "model": [bytes([0, mode, *range(8)]) for mode in range(16)],
    "commands": [bytes([0, 1, option, value, 7]) for option in range(17) for value in range(70, 100)],
    "checkpoint": [bytes([which, which, mode, *range(8)]) for which in range(8) for mode in range(4)],
}
SEEDS["idx"] += [gzip.compress(content) for content in SEEDS["idx"]]
