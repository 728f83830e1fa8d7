"""Mistakes seeded in the kernels for a GPU are found by comparing with the formulas: see kernel_mistakes.py."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kernel_mistakes import FOUND, MISTAKES

pytestmark = [pytest.mark.kernels, pytest.mark.skipif(not shutil.which("g++"), reason="g++ is missing")]
TESTS = Path(__file__).parent
NUMBERS = range(-1, len(MISTAKES))


def compare(number):
    """The process that seeds a mistake and compares."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    command = [sys.executable, "-m", "kernel_mistakes", str(number)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def processes(request):
    """Those of all mistakes that were asked for, by number: as many at a time as there are processors."""
    numbers = [item.callspec.params["number"] for item in request.session.items if item.path == Path(__file__)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield dict(zip(numbers, pool.map(compare, numbers), strict=True))


@pytest.mark.parametrize("number", NUMBERS, ids=["none", *(old for old, _ in MISTAKES)])
def test_mistakes_in_the_kernels_are_found(processes, number):
    done = processes[number]
    assert done.returncode in ((0,) if number < 0 else (FOUND, -signal.SIGABRT)), done.stderr
