"""Which array libraries work on this machine, and why not. Only this module imports cupy."""

from __future__ import annotations

import importlib
import sys
import textwrap
import warnings
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from ..errors import BackendError, MinibpWarning, UnknownNameError

NAMES = ("numpy", "cupy", "auto")
INSTALL = 'pip install "cupy-cuda12x[ctk]" (CUDA 12) or "cupy-cuda13x[ctk]" (CUDA 13)'

OLDEST = 14  # of CuPy, whose types of results are those of NumPy 2: in 13 a float32 may become a float64 on the way
NO_GPU = ("finds no GPU", "check that nvidia-smi lists one, and that CUDA_VISIBLE_DEVICES does not hide it")
# Words in CuPy's messages, what they mean, and the cure. The first row that matches is used; the last always matches.
FAULTS = (
    (("NoDevice",), *NO_GPU),
    (
        ("InsufficientDriver", "UNSUPPORTED_PTX_VERSION", "UnsupportedPtxVersion"),
        "needs a newer NVIDIA driver",
        f"update the driver, or install the CuPy that it can run: {INSTALL}",
    ),
    (
        ("gpu-architecture", "NoKernelImageForDevice", "NO_BINARY_FOR_GPU", "ARCH_MISMATCH"),
        "was built for other GPUs than this one",
        f"for an older GPU install the CuPy for an older CUDA, for a newer one the newest CuPy: {INSTALL}",
    ),
    (
        ("MemoryAllocation", "ALLOC_FAILED", "OutOfMemory", "OUT_OF_MEMORY"),
        "finds too little free memory on the GPU",
        "use nvidia-smi to see what uses it, and stop that process",
    ),
    (("cannot open source file",), "lacks the CUDA headers", f"they come with {INSTALL}"),
    ((".so.", ".dll", "shared object", "ImportError"), "lacks CUDA libraries", f"they come with {INSTALL}"),
    (("",), "fails", f"check that nvidia-smi lists the GPU; if it does, reinstall CuPy: {INSTALL}"),
)


class Backend(NamedTuple):
    """The state of an array library on this machine.

    Attributes
    ----------
    name : str
        "numpy" or "cupy".
    works : bool
        Whether a network can compute with it here.
    detail : str
        Its version; if it does not work, the reason.
    cure : str
        What to do if it does not work; else "".
    device : str
        The GPU and its memory, if there is one, even if CuPy does not work with it; else "".
    """

    name: str
    works: bool
    detail: str
    cure: str = ""
    device: str = ""

    def __str__(self) -> str:
        return f"works: {self.detail}" if self.works else f"does not work: {self.detail}; {self.cure}"


_proven: Any = None  # the CuPy that `resolve` found to work: a second try would only wait for the GPU


def available() -> dict[str, Backend]:
    """The state of NumPy and CuPy on this machine, by name; if CuPy does not work, why and what to do."""
    return {"numpy": Backend("numpy", True, f"NumPy {np.__version__}"), "cupy": _cupy()[1]}


def resolve(name: str) -> Any:
    """The array library of this name.

    Parameters
    ----------
    name : {"numpy", "cupy", "auto"}
        "auto" is CuPy if it works, else NumPy.

    Raises
    ------
    UnknownNameError
        If there is no backend of this name.
    BackendError
        If CuPy was asked for and does not work here; the message says why and what to do.
    """
    global _proven
    if name not in NAMES:
        raise UnknownNameError("backend", name, NAMES)
    if name == "numpy":
        return np
    if _proven is not None and sys.modules.get("cupy") is _proven:
        return _proven
    xp, found = _cupy()
    if found.works:
        _proven = xp
        return xp
    if name == "auto":
        return np
    raise BackendError(f'backend "cupy" {found}, or use backend="numpy"')


def choose_gpu(number: int) -> None:
    """Make this GPU current; of fewer, count them again from the first. If there is none, `resolve` says so."""
    with suppress(Exception):
        import cupy

        cupy.cuda.Device(number % cupy.cuda.runtime.getDeviceCount()).use()


def resolve_or_numpy(name: str) -> Any:
    """The array library of this name; NumPy, with a warning, if it does not work here, as after a move from a GPU."""
    try:
        return resolve(name)
    except BackendError as error:
        warnings.warn(f"what was on a GPU computes on NumPy from now on: {error}", MinibpWarning, stacklevel=3)
        return np


def nccl() -> Any:
    """CuPy's module for NCCL, which sums over GPUs; None if NCCL is not there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuPy warns if it is not; who needs it says so
            found = importlib.import_module("cupy.cuda.nccl")
    except ImportError:
        return None
    return found if found.available else None


def _cupy() -> tuple[Any, Backend]:
    """CuPy, and whether it works. It can fail in many ways, and none of them may stop the CPU from working."""

    def broken(detail: str, cure: str, device: str = "") -> tuple[Any, Backend]:
        return None, Backend("cupy", False, detail, cure, device)

    try:
        import cupy
    except Exception as error:
        if isinstance(error, ImportError) and error.name == "cupy":
            return broken("CuPy is not installed", INSTALL)
        cause = error.__cause__ or error  # CuPy wraps it in a long message
        detail = f"CuPy is installed, but cannot be imported ({short_message(cause)})"
        return broken(detail, f"reinstall it: {INSTALL}")

    if not hasattr(cupy, "__version__"):  # an empty folder can be imported, too
        path = getattr(cupy, "__file__", None) or ", ".join(getattr(cupy, "__path__", []))
        return broken(
            f"CuPy is not installed, and something else has its name ({path})",
            f"remove or rename that, then {INSTALL}",
        )
    label, device = f"CuPy {cupy.__version__}", ""
    if int(cupy.__version__.split(".")[0]) < OLDEST:
        return broken(f"{label} is too old: minibp needs {OLDEST} or newer", f"update it: {INSTALL}")
    try:
        runtime = cupy.cuda.runtime
        driver = runtime.driverGetVersion()
        if driver == 0:
            return broken(f"{label} finds no NVIDIA driver", "install the GPU's driver, so that nvidia-smi lists it")
        label += f" (CUDA {_version(runtime.runtimeGetVersion())}, driver for CUDA {_version(driver)})"
        if runtime.getDeviceCount() == 0:
            return broken(f"{label} {NO_GPU[0]}", NO_GPU[1])
        device = _device(cupy)
        a = cupy.ones((2, 2), "float32")
        float((a @ a + 1).sum())  # tries an allocation, cuBLAS, a compiled kernel and a copy to the host
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        fault, cure = next(row[1:] for row in FAULTS if any(word in message for word in row[0]))
        return broken(f"{label} {fault} ({short_message(error)})", cure, device)
    return cupy, Backend("cupy", True, label, device=device)


def short_message(error: BaseException) -> str:
    """An error on one short line."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder=" ...")


def _version(number: int) -> str:
    """A CUDA version as text: 12090 is 12.9."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _device(xp: Any) -> str:
    """The GPU and its memory."""
    device = xp.cuda.Device()
    free, total = device.mem_info
    name = xp.cuda.runtime.getDeviceProperties(device.id)["name"].decode()
    return f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
