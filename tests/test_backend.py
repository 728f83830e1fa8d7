"""The array libraries: which work, why one does not, and what to do."""

import re
import sys
import types

import numpy as np
import pytest
import standin
from failing import failing

from minibp import Dense, Network, QuadraticLoss, backend
from minibp.backend import INSTALL, available, choose_gpu, gather, resolve
from minibp.errors import BackendError, UnknownNameError


def fails(message, kind=RuntimeError):
    return failing(kind(message))


class OutOfMemoryError(MemoryError):
    """Has the name of the error of CuPy."""


def cupy(
    driver=lambda: 12020,
    count=lambda: 1,
    ones=None,
    device=lambda: types.SimpleNamespace(id=0, mem_info=(2**31, 2**32)),
    version="14.2.0",
):
    """A CuPy that fails in one way."""
    runtime = types.SimpleNamespace(
        driverGetVersion=driver,
        runtimeGetVersion=lambda: 13000,
        getDeviceCount=count,
        getDeviceProperties=lambda device: {"name": b"GPU"},
    )
    module = types.ModuleType("cupy")
    module.__dict__.update(__version__=version, cuda=types.SimpleNamespace(runtime=runtime, Device=device), ones=ones)
    return module


def importing_fails(error):
    """A finder of modules that raises this error for CuPy."""

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "cupy":
                raise error

    return Finder()


OLD_DRIVER = fails("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version")
UPDATE = "update the driver, or install the CuPy that it can run"
OTHER = "for an older GPU install the CuPy for an older CUDA, for a newer one the newest CuPy"

CASES = {  # the messages are CuPy's
    "not installed": (None, "CuPy is not installed", INSTALL),
    "too old": (cupy(version="13.6.0"), "CuPy 13.6.0 is too old: minibp needs 14 or newer", f"update it: {INSTALL}"),
    "no driver": (cupy(driver=lambda: 0), "finds no NVIDIA driver", "install the GPU's driver"),
    "driver too old": (
        cupy(count=OLD_DRIVER),
        "CUDA 13.0, driver for CUDA 12.2. needs a newer NVIDIA driver",
        UPDATE,
    ),
    "driver too old to tell its version": (cupy(driver=OLD_DRIVER), "CuPy 14.2.0 needs a newer NVIDIA driver", UPDATE),
    "PTX too new": (
        cupy(ones=fails("CUDA_ERROR_UNSUPPORTED_PTX_VERSION: the provided PTX was compiled with ...")),
        "needs a newer NVIDIA driver",
        UPDATE,
    ),
    "no GPU": (cupy(count=fails("cudaErrorNoDevice: no CUDA-capable device is detected")), "no GPU", "nvidia-smi"),
    "GPU hidden": (cupy(count=lambda: 0), "finds no GPU", "CUDA_VISIBLE_DEVICES"),
    "GPU too new": (
        cupy(ones=fails("cudaErrorNoKernelImageForDevice: no kernel image is available for execution on the device")),
        "built for other GPUs",
        OTHER,
    ),
    "GPU too old": (
        cupy(ones=fails("nvrtc: error: invalid value for --gpu-architecture (-arch)")),
        "built for other GPUs",
        OTHER,
    ),
    "library missing": (
        cupy(ones=fails('Failure finding "libnvrtc.so.13 or libnvrtc.so.12": No such file: libnvrtc.so.13')),
        "lacks CUDA libraries .*libnvrtc.so.12",
        f"they come with {INSTALL}",
    ),
    "library missing on Windows": (
        cupy(ones=fails("DLL load failed while importing cublas", ImportError)),
        "lacks CUDA libraries .*cublas",
        f"they come with {INSTALL}",
    ),
    "headers missing": (
        cupy(ones=fails('cupy/carray.cuh(4): catastrophic error: cannot open source file "vector_types.h"')),
        "lacks the CUDA headers .*vector_types.h",
        f"they come with {INSTALL}",
    ),
    "no memory for CUDA": (
        cupy(device=fails("cudaErrorMemoryAllocation: out of memory")),
        "too little free memory",
        "what uses it",
    ),
    "no memory for arrays": (
        cupy(ones=fails("Out of memory allocating 512 bytes", OutOfMemoryError)),
        "too little free memory",
        "what uses it",
    ),
    "no memory for cuBLAS": (cupy(ones=fails("CUBLAS_STATUS_ALLOC_FAILED")), "too little free memory", "what uses it"),
    "device that cannot be queried": (cupy(device=fails("no", KeyError)), "fails .KeyError: 'no'", "nvidia-smi"),
    "something else": (cupy(ones=fails("cudaErrorUnknown: unknown error")), "fails .*unknown error", "nvidia-smi"),
    "something else entirely": (
        cupy(count=fails("x", AttributeError)),
        "fails .AttributeError: x",
        "reinstall CuPy",
    ),
}
every_case = pytest.mark.parametrize(("module", "why", "cure"), CASES.values(), ids=CASES)


@every_case
def test_cupy_that_does_not_work_says_why_and_what_to_do(monkeypatch, module, why, cure):
    monkeypatch.setitem(sys.modules, "cupy", module)
    found = available()["cupy"]
    assert not found.works
    assert re.search(why, found.detail)
    assert cure in found.cure


@every_case
def test_building_a_network_for_the_gpu_fails_with_the_same_message(monkeypatch, module, why, cure):
    monkeypatch.setitem(sys.modules, "cupy", module)
    with pytest.raises(BackendError) as error:
        Network([Dense(2, 1)], QuadraticLoss(), backend="cupy")
    assert str(available()["cupy"]) in str(error.value)
    assert str(error.value).endswith('or use backend="numpy"')


@every_case
def test_the_doctor_prints_the_same_message_and_exits_with_0(monkeypatch, doctor, module, why, cure):
    monkeypatch.setitem(sys.modules, "cupy", module)
    assert doctor()["cupy"] == str(available()["cupy"])


@every_case
def test_auto_chooses_numpy_if_cupy_does_not_work(monkeypatch, module, why, cure):
    monkeypatch.setitem(sys.modules, "cupy", module)
    assert resolve("auto") is np


@pytest.mark.parametrize("error", [ImportError("libcublas.so.12: no such file"), AttributeError("broken")])
def test_a_broken_cupy_is_distinguished_from_a_missing_one(monkeypatch, error):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [importing_fails(error), *sys.meta_path])
    found = available()["cupy"]
    assert f"cannot be imported ({type(error).__name__}: {error})" in found.detail
    assert found.cure.startswith("reinstall it")


def test_the_cause_of_an_import_error_that_cupy_wraps_is_reported(monkeypatch):
    error = ImportError("Failed to import CuPy. " + "Check the Installation Guide. " * 20)
    error.__cause__ = ImportError("libcudart.so.12: no such file")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [importing_fails(error), *sys.meta_path])
    assert "cannot be imported (ImportError: libcudart.so.12: no such file)" in available()["cupy"].detail


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.with_suffix(".py").touch()])
def test_an_empty_folder_or_file_called_cupy_is_not_mistaken_for_cupy(monkeypatch, tmp_path, make):
    make(tmp_path / "cupy")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])  # on the whole path a real CuPy would come before a folder
    monkeypatch.setitem(sys.modules, "cupy", None)  # so that the imported module is removed afterwards
    del sys.modules["cupy"]
    found = available()["cupy"]
    assert re.search("not installed, and something else has its name .*cupy", found.detail)
    assert found.cure.startswith("remove or rename that")


def test_a_long_message_is_cut():
    assert len(backend.short_message(RuntimeError("word " * 1000))) <= 200


def test_a_working_cupy_is_reported_with_its_device_and_auto_chooses_it(monkeypatch, doctor):
    monkeypatch.setitem(sys.modules, "cupy", standin)
    detail, device = f"CuPy {standin.__version__} (CUDA 12.9, driver for CUDA 12.9)", "stand-in, 8.0 of 16.0 GiB free"
    assert available()["cupy"] == ("cupy", True, detail, "", device)
    assert resolve("auto") is resolve("cupy") is standin
    assert Network([Dense(2, 1)], QuadraticLoss(), backend="auto").xp is standin
    rows = doctor()
    assert (rows["cupy"], rows["GPU"]) == (f"works: {detail}", device)


def test_a_cupy_that_has_worked_is_not_tried_again(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", standin)
    first = resolve("cupy")
    standin.traffic.clear()
    assert resolve("cupy") is resolve("auto") is first
    assert (standin.traffic.calls, standin.traffic.reads) == (0, 0)


def test_a_cupy_that_did_not_work_is_tried_again(monkeypatch):
    broken = cupy(count=lambda: 0)
    monkeypatch.setitem(sys.modules, "cupy", broken)
    assert resolve("auto") is np
    broken.cuda, broken.ones = standin.cuda, standin.ones
    assert resolve("auto") is broken


def test_a_gpu_is_reported_even_if_cupy_does_not_work(monkeypatch, doctor):
    monkeypatch.setitem(sys.modules, "cupy", cupy(ones=fails("libnvrtc.so.12: cannot open shared object file")))
    assert available()["cupy"].device == doctor()["GPU"] == "GPU, 2.0 of 4.0 GiB free"


def test_numpy_always_works():
    assert available()["numpy"] == ("numpy", True, f"NumPy {np.__version__}", "", "")


def test_an_error_about_an_unknown_backend_lists_those_that_exist():
    with pytest.raises(UnknownNameError, match="unknown backend 'torch': choose one of numpy, cupy, auto"):
        resolve("torch")


def test_gather_picks_rows_on_the_host_and_on_a_device():
    for xp in (np, standin):
        out = xp.empty((2, 3), "uint8")
        gather(xp.asarray(np.arange(12, dtype="uint8").reshape(4, 3)), xp.asarray([3, 1]), out)
        assert backend.to_host(out).tolist() == [[9, 10, 11], [3, 4, 5]]


@pytest.mark.parametrize("number, expected", [(0, 0), (1, 1), (5, 1)])
def test_processes_take_one_gpu_after_the_other(monkeypatch, number, expected):
    monkeypatch.setitem(sys.modules, "cupy", standin)
    monkeypatch.setattr(standin.cuda.runtime, "getDeviceCount", lambda: 2)
    monkeypatch.setattr(standin.cuda.Device, "current", [0])
    choose_gpu(number)
    assert standin.cuda.Device().id == expected
