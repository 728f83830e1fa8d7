"""Mistakes seeded in the kernels for a GPU are found by comparing with the formulas: see kernel_mistakes.py."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_mistakes import FOUND, MISTAKES

pytestmark = [pytest.mark.kernels, pytest.mark.skipif(not shutil.which("g++"), reason="g++ is missing")]
TESTS = Path(__file__).parent


@pytest.mark.parametrize("number", range(-1, len(MISTAKES)), ids=["none", *(old for old, _ in MISTAKES)])
def test_mistakes_in_the_kernels_are_found(number):
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    command = [sys.executable, "-m", "kernel_mistakes", str(number)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode in ((0,) if number < 0 else (FOUND, -signal.SIGABRT)), done.stderr
