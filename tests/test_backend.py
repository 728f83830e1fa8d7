"""The array libraries: which work, why one does not, and what to do."""

import re
import subprocess
import sys
import types

import numpy as np
import pytest
import standin

from minibp import Dense, Network, QuadraticLoss, backend
from minibp.__main__ import main
from minibp.backend import available, gather, resolve
from minibp.errors import BackendError, UnknownNameError


def fails(message):
    def function(*_):
        raise RuntimeError(message)

    return function


def cupy(driver=12090, count=lambda: 1, ones=None):
    """A CuPy that fails in one way."""
    runtime = types.SimpleNamespace(
        driverGetVersion=lambda: driver, runtimeGetVersion=lambda: 13000, getDeviceCount=count
    )
    module = types.ModuleType("cupy")
    module.__dict__.update(__version__="14.2.0", cuda=types.SimpleNamespace(runtime=runtime), ones=ones)
    return module


def importing_fails(error):
    """What stands for a CuPy whose import raises this."""

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "cupy":
                raise error

    return Finder()


CASES = {
    "not installed": (None, "CuPy is not installed", 'pip install "minibp[cuda12]"'),
    "no driver": (cupy(driver=0), "there is no NVIDIA driver", "install the driver"),
    "driver too old": (
        cupy(driver=12020, count=fails("cudaErrorInsufficientDriver: CUDA driver version is insufficient")),
        "built for CUDA 13.0, the NVIDIA driver is for CUDA 12.2",
        "update the driver, or install the CuPy that it can run",
    ),
    "no GPU": (cupy(count=fails("cudaErrorNoDevice: no CUDA-capable device is detected")), "no GPU", "nvidia-smi"),
    "GPU hidden": (cupy(count=lambda: 0), "no GPU is to be seen", "CUDA_VISIBLE_DEVICES"),
    "CUDA fails": (cupy(count=fails("cudaErrorUnknown: unknown error")), "CUDA fails .*unknown error", "nvidia-smi"),
    "libraries missing": (
        cupy(ones=fails("libnvrtc.so.12: cannot open shared object file")),
        "misses libraries of CUDA .*libnvrtc.so.12",
        'they come with pip install "minibp[cuda12]"',
    ),
    "out of memory": (cupy(ones=fails("cudaErrorMemoryAllocation")), "fails on the GPU", "free memory"),
}
every_case = pytest.mark.parametrize(("module", "why", "cure"), CASES.values(), ids=CASES)


@pytest.fixture
def doctor(capsys):
    def run():
        assert main(["doctor"]) == 0
        return capsys.readouterr().out

    return run


@every_case
def test_cupy_that_does_not_work_says_why_and_what_to_do(monkeypatch, module, why, cure):
    monkeypatch.setitem(sys.modules, "cupy", module)
    found = available()["cupy"]
    assert not found.works
    assert re.search(why, found.detail)
    assert cure in found.cure


@every_case
def test_a_network_for_the_gpu_fails_when_it_is_built_in_the_same_words(monkeypatch, module, why, cure):
    monkeypatch.setitem(sys.modules, "cupy", module)
    with pytest.raises(BackendError) as error:
        Network([Dense(2, 1)], QuadraticLoss(), backend="cupy")
    assert str(available()["cupy"]) in str(error.value)
    assert str(error.value).endswith('or use backend="numpy"')


@every_case
def test_the_doctor_says_the_same_and_exits_with_0(monkeypatch, doctor, module, why, cure):
    monkeypatch.setitem(sys.modules, "cupy", module)
    assert f"cupy     {available()['cupy']}" in doctor()


@every_case
def test_auto_takes_numpy_where_cupy_does_not_work(monkeypatch, module, why, cure):
    monkeypatch.setitem(sys.modules, "cupy", module)
    assert resolve("auto") is np


@pytest.mark.parametrize("error", [ImportError("libcublas.so.12: no such file"), AttributeError("broken")])
def test_a_cupy_that_cannot_be_imported_is_told_from_one_that_is_not_there(monkeypatch, error):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [importing_fails(error), *sys.meta_path])
    found = available()["cupy"]
    assert f"cannot be imported ({type(error).__name__}: {error})" in found.detail
    assert found.cure.startswith("install it anew")


def test_where_cupy_works_it_is_named_with_its_device_and_auto_takes_it(monkeypatch, doctor):
    monkeypatch.setitem(sys.modules, "cupy", standin)
    assert available()["cupy"] == ("cupy", True, f"CuPy {standin.__version__}, stand-in, 8.0 of 16.0 GiB free", "")
    assert resolve("auto") is resolve("cupy") is standin
    assert Network([Dense(2, 1)], QuadraticLoss(), backend="auto").xp is standin
    assert "cupy     works: CuPy" in doctor()


def test_numpy_always_works():
    assert available()["numpy"] == ("numpy", True, f"NumPy {np.__version__}", "")


def test_an_unknown_backend_is_told_which_there_are():
    with pytest.raises(UnknownNameError, match="unknown backend 'torch': choose one of numpy, cupy, auto"):
        resolve("torch")


@pytest.mark.parametrize("threadpoolctl", [True, False])
def test_the_doctor_reports_python_numpy_blas_and_threads(monkeypatch, doctor, threadpoolctl):
    if threadpoolctl:
        pytest.importorskip("threadpoolctl")
    else:
        monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rows = dict(line.split(maxsplit=1) for line in doctor().splitlines())
    assert set(rows) == {"minibp", "Python", "NumPy", "BLAS", "threads", "numpy", "cupy"}
    assert rows["Python"].startswith(sys.version.split()[0])
    assert rows["NumPy"] == np.__version__
    assert ("kernels" in rows["BLAS"]) and ("threadpoolctl" in rows["BLAS"]) != threadpoolctl
    assert "OMP_NUM_THREADS=1" in rows["threads"]


def test_the_doctor_runs_by_its_command():
    done = subprocess.run([sys.executable, "-m", "minibp", "doctor"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("minibp   ")


def test_gather_takes_the_rows_on_either_side():
    for xp in (np, standin):
        out = xp.empty((2, 3), "uint8")
        gather(xp.asarray(np.arange(12, dtype="uint8").reshape(4, 3)), xp.asarray([3, 1]), out)
        assert backend.to_host(out).tolist() == [[9, 10, 11], [3, 4, 5]]
