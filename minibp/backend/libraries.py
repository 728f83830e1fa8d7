"""Which array libraries work here, NumPy or CuPy, and why not: the only module that imports cupy."""

from __future__ import annotations

import textwrap
from typing import Any, NamedTuple

import numpy as np

from ..errors import BackendError, UnknownNameError

NAMES = ("numpy", "cupy", "auto")
INSTALL = 'pip install "cupy-cuda12x[ctk]" (CUDA 12) or "cupy-cuda13x[ctk]" (CUDA 13)'

NO_GPU = ("finds no GPU", "see whether nvidia-smi lists one, and whether CUDA_VISIBLE_DEVICES hides it")
# Words of CuPy's messages, what they mean, and the cure. The first row that fits counts; the last fits all.
FAULTS = (
    (("NoDevice",), *NO_GPU),
    (
        ("InsufficientDriver", "UNSUPPORTED_PTX_VERSION", "UnsupportedPtxVersion"),
        "needs a newer NVIDIA driver",
        f"update the driver, or install the CuPy that it can run: {INSTALL}",
    ),
    (
        ("gpu-architecture", "NoKernelImageForDevice", "NO_BINARY_FOR_GPU", "ARCH_MISMATCH"),
        "is made for other GPUs than this one",
        f"for an older GPU install the CuPy of the older CUDA, for a newer one the newest CuPy: {INSTALL}",
    ),
    (
        ("MemoryAllocation", "ALLOC_FAILED", "OutOfMemory", "OUT_OF_MEMORY"),
        "finds too little free memory on the GPU",
        "see in nvidia-smi what uses it, and end that",
    ),
    (("cannot open source file",), "misses the headers of CUDA", f"they come with {INSTALL}"),
    ((".so.", ".dll", "shared object", "ImportError"), "misses libraries of CUDA", f"they come with {INSTALL}"),
    (("",), "fails", f"see whether nvidia-smi lists the GPU; if it does, install CuPy anew: {INSTALL}"),
)


class Backend(NamedTuple):
    """What `available` says of an array library.

    Attributes
    ----------
    name : str
        "numpy" or "cupy".
    works : bool
        Whether a network can compute with it here.
    detail : str
        Its version; where it does not work, why not.
    cure : str
        What to do where it does not work; else "".
    device : str
        The GPU and its memory where one is seen, even if CuPy does not work with it; else "".
    """

    name: str
    works: bool
    detail: str
    cure: str = ""
    device: str = ""

    def __str__(self) -> str:
        return f"works: {self.detail}" if self.works else f"does not work: {self.detail}; {self.cure}"


def available() -> dict[str, Backend]:
    """What each array library can do here, by name; where it cannot be used, why not and what to do."""
    return {"numpy": Backend("numpy", True, f"NumPy {np.__version__}"), "cupy": _cupy()[1]}


def resolve(name: str) -> Any:
    """The array library of this name.

    Parameters
    ----------
    name : {"numpy", "cupy", "auto"}
        "auto" takes CuPy where it works, else NumPy.

    Raises
    ------
    UnknownNameError
        If there is no backend of that name.
    BackendError
        If CuPy was asked for and does not work here; the message says why and what to do, as `available` does.
    """
    if name not in NAMES:
        raise UnknownNameError("backend", name, NAMES)
    if name == "numpy":
        return np
    xp, found = _cupy()
    if found.works:
        return xp
    if name == "auto":
        return np
    raise BackendError(f'backend "cupy" {found}, or use backend="numpy"')


def _cupy() -> tuple[Any, Backend]:
    """CuPy, and whether it works: it fails in many ways, and the CPU must go on working whichever it is."""

    def no(detail: str, cure: str, device: str = "") -> tuple[Any, Backend]:
        return None, Backend("cupy", False, detail, cure, device)

    try:
        import cupy
    except Exception as error:
        if isinstance(error, ImportError) and error.name == "cupy":
            return no("CuPy is not installed", INSTALL)
        cause = error.__cause__ or error  # CuPy wraps it in a page of advice
        return no(f"CuPy is installed, but cannot be imported ({short_message(cause)})", f"install it anew: {INSTALL}")

    if not hasattr(cupy, "__version__"):  # an empty folder can be imported, too
        place = getattr(cupy, "__file__", None) or ", ".join(getattr(cupy, "__path__", []))
        return no(
            f"CuPy is not installed, and something else bears its name ({place})",
            f"remove or rename that, then {INSTALL}",
        )
    label, device = f"CuPy {cupy.__version__}", ""
    try:
        runtime = cupy.cuda.runtime
        driver = runtime.driverGetVersion()
        if driver == 0:
            return no(f"{label} finds no NVIDIA driver", "install the driver of your GPU, until nvidia-smi lists it")
        label += f" (CUDA {_version(runtime.runtimeGetVersion())}, driver for CUDA {_version(driver)})"
        if runtime.getDeviceCount() == 0:
            return no(f"{label} {NO_GPU[0]}", NO_GPU[1])
        device = _device(cupy)
        a = cupy.ones((2, 2), "float32")
        float((a @ a + 1).sum())  # an allocation, cuBLAS, a compiled kernel and a copy back
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        fault, cure = next(row[1:] for row in FAULTS if any(word in message for word in row[0]))
        return no(f"{label} {fault} ({short_message(error)})", cure, device)
    return cupy, Backend("cupy", True, label, device=device)


def short_message(error: BaseException) -> str:
    """An error on one line that is not too long."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder=" ...")


def _version(number: int) -> str:
    """CUDA's number of a version, as 12090, as text."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _device(xp: Any) -> str:
    """The GPU and its memory."""
    device = xp.cuda.Device()
    free, total = device.mem_info
    name = xp.cuda.runtime.getDeviceProperties(device.id)["name"].decode()
    return f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
