"""Hostile inputs of the readers and the command lines, made from bytes.

Each target takes any bytes. It fails if an error is raised that minibp does not promise, or if the result differs from
the file. test_hostile.py tries a few inputs, fuzz/fuzz.py many more.
"""

import gzip

from .files import checkpoint, idx, model
from .lines import commands

TARGETS = {"idx": idx, "model": model, "checkpoint": checkpoint, "commands": commands}
SEEDS = {
    "idx": [b"\0\0\x08\2\0\0\0\2\0\0\0\3abcdef", b"\0\0\x0d\1\0\0\0\1abcd", b"<html>", bytes(60)],
    "model": [bytes([good, mode, *range(8)]) for good in range(2) for mode in range(16)],
    "commands": [bytes([0, 1, option, value, 7]) for option in range(17) for value in range(70, 100)],
    "checkpoint": [
        bytes([which, good, mode, *range(8)]) for which in range(8) for good in range(3) for mode in range(4)
    ],
}
SEEDS["commands"] += [bytes([9, how, *range(command, command + 9)]) for how in range(8) for command in range(4)]
SEEDS["idx"] += [gzip.compress(content) for content in SEEDS["idx"]]
