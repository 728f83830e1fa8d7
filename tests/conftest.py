"""Fixtures that several test files use."""

import importlib
import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from minibp import Network, program
from minibp.base.module import Module
from minibp.cli.command_line import main

settings.register_profile("minibp", deadline=None, max_examples=30, derandomize="CI" in os.environ)
settings.load_profile("minibp")

ROOT = Path(__file__).parent.parent
folder = os.environ.get("MINIBP_CUPY_ON_CPU")  # where build.py of tests/cupy_on_cpu has put it
if folder:
    importlib.import_module("cupy_on_cpu").load(folder)

WITHOUT_NUMBA = {"table", "rows", "runs", "kernels", "launches", "gpu", "choice"}  # modules of program/
LIBRARIES = ["numpy", "standin", pytest.param("cupy", marks=pytest.mark.gpu)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def doctor(capsys):
    """A function that runs `python -m minibp doctor` and returns its rows by name."""

    def run():
        assert main(["doctor"]) == 0
        return dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())

    return run


@pytest.fixture
def path(tmp_path):
    """A file for a checkpoint."""
    return tmp_path / "run.ckpt"


@pytest.fixture
def printed_lines(capsys):
    """A function that returns the lines that a program printed; its exit status must be 0."""

    def printed(status):
        assert status == 0
        return capsys.readouterr().out.splitlines()

    return printed


@pytest.fixture
def error_line(capsys):
    """A function that returns the error of a program; its exit status must be 2, and it must print nothing else."""

    def printed(status):
        assert status == 2
        out, error = capsys.readouterr()
        assert out == "" and error.startswith("error: ")
        return error

    return printed


def pytest_collection_modifyitems(items):
    """Skip what CuPy's own code cannot show on a CPU, and say why."""
    if not folder:
        return
    reason = importlib.import_module("cupy_on_cpu.not_shown").reason
    for item in items:
        if item.get_closest_marker("gpu") and (why := reason(item.name)):
            item.add_marker(pytest.mark.skip(reason=f"not shown by CuPy's code on a CPU: {why}"))


@pytest.fixture
def two_gpus():
    """Two GPUs, the first of them current."""
    if importlib.import_module("cupy").cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there are not two GPUs")


def pytest_generate_tests(metafunc):
    """Run a test that uses `library` once with each library, or on NumPy alone if it is marked `host`."""
    if "library" in metafunc.fixturenames:
        only_numpy = metafunc.definition.get_closest_marker("host")
        metafunc.parametrize("library", LIBRARIES[:1] if only_numpy else LIBRARIES, indirect=True, scope="module")


@pytest.fixture(scope="module")
def library(request):
    """The array library that layers, losses and networks use unless a test names one.

    It is NumPy, the stand-in for CuPy, or CuPy itself on a machine with a GPU. `arrays` compares the results.
    """
    xp = importlib.import_module(request.param)
    if xp is np:
        yield xp
        return
    _, dtype, seed = Network.__init__.__defaults__
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", xp)
        patch.setattr(Network.__init__, "__defaults__", ("cupy", dtype, seed))
        patch.setattr(Module, "xp", xp)
        yield xp


@pytest.fixture
def no_matplotlib(monkeypatch):
    """Make matplotlib a package that is not installed."""
    for name in ("datasets.plot", "minibp.cli.plot"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def replace_numba(monkeypatch):
    """A function that puts another module, or None, in the place of numba, as if minibp had not looked for it yet."""

    def replace(module):
        monkeypatch.setitem(sys.modules, "numba", module)
        for name in [name for name in vars(program) if f"minibp.program.{name}" in sys.modules]:
            if name not in WITHOUT_NUMBA:
                monkeypatch.delitem(sys.modules, f"minibp.program.{name}")
                monkeypatch.delattr(program, name)

    return replace


@pytest.fixture
def dead_port(monkeypatch):
    """An address at which no server answers."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{one.getsockname()[1]}/"  # bound, but nobody listens


@pytest.fixture(scope="session")  # set up before a test's own fixtures, some of which remove MINIBP_DATA
def mnist_directory():
    """The folder of MNIST's four files."""
    for root in (os.environ.get("MINIBP_DATA"), ROOT.parent / "shared" / "data"):
        if root and (Path(root) / "mnist").is_dir():
            return Path(root) / "mnist"
    pytest.skip("MNIST not found: set MINIBP_DATA")
