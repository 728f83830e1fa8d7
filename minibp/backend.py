"""The array library, NumPy or CuPy: the only module that imports cupy, and where arrays change sides."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .errors import BackendError, UnknownNameError

NAMES = ("numpy", "cupy", "auto")
INSTALL = 'pip install "minibp[cuda12]" (for CUDA 12) or "minibp[cuda13]" (for CUDA 13)'


class Backend(NamedTuple):
    """What `available` says of an array library.

    Attributes
    ----------
    name : str
        "numpy" or "cupy".
    works : bool
        Whether a network can compute with it here.
    detail : str
        Version and device where it works, else why it does not.
    cure : str
        What to do where it does not work; else "".
    """

    name: str
    works: bool
    detail: str
    cure: str = ""

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
    """CuPy, and whether it works; each way in which it is known to fail has its cure."""

    def no(detail: str, cure: str) -> tuple[Any, Backend]:
        return None, Backend("cupy", False, detail, cure)

    def said(error: Exception) -> str:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"

    try:
        import cupy
    except ImportError as error:
        if error.name == "cupy":
            return no("CuPy is not installed", INSTALL)
        return no(f"CuPy is installed, but cannot be imported ({said(error)})", f"install it anew: {INSTALL}")
    except Exception as error:  # a broken installation fails in many ways
        return no(f"CuPy is installed, but cannot be imported ({said(error)})", f"install it anew: {INSTALL}")

    label = f"CuPy {cupy.__version__}"
    try:
        driver, runtime = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()
        if driver == 0:
            return no(
                f"{label} is installed, but there is no NVIDIA driver",
                "install the driver of your GPU, until nvidia-smi lists it",
            )
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        if "InsufficientDriver" in str(error):
            return no(
                f"{label} is built for CUDA {_version(runtime)}, the NVIDIA driver is for CUDA {_version(driver)}",
                f"update the driver, or install the CuPy that it can run: {INSTALL}",
            )
        if "NoDevice" in str(error):
            count = 0
        else:
            return no(f"{label} is installed, but CUDA fails ({said(error)})", "see whether nvidia-smi lists a GPU")
    if count == 0:
        return no(
            f"{label} and a driver are installed, but no GPU is to be seen",
            "see whether nvidia-smi lists one, and whether CUDA_VISIBLE_DEVICES hides it",
        )
    try:
        a = cupy.ones((2, 2), "float32")
        float((a @ a + 1).sum())  # an allocation, cuBLAS, a compiled kernel and a copy back
    except Exception as error:
        if isinstance(error, ImportError) or any(word in str(error) for word in (".so", ".dll", "nvrtc", "cublas")):
            return no(f"{label} misses libraries of CUDA ({said(error)})", f"they come with {INSTALL}")
        return no(f"{label} fails on the GPU ({said(error)})", "see whether nvidia-smi lists it with free memory")
    return cupy, Backend("cupy", True, f"{label}, {_device(cupy)}")


def _version(number: int) -> str:
    """CUDA's number of a version, as 12090, as text."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _device(xp: Any) -> str:
    """The GPU and its memory."""
    device = xp.cuda.Device()
    free, total = device.mem_info
    name = xp.cuda.runtime.getDeviceProperties(device.id)["name"].decode()
    return f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"


def free_memory(xp: Any) -> float:
    """Bytes that are free on the device; infinite for NumPy, whose arrays are already where they are needed."""
    if xp is np:
        return float("inf")
    return xp.cuda.Device().mem_info[0] + xp.get_default_memory_pool().free_bytes()  # which CuPy keeps for later


def to_host(array: Any) -> np.ndarray:
    """A NumPy array of these values: the array itself where it is one, else a copy from the device."""
    return array if isinstance(array, np.ndarray) else array.get() if hasattr(array, "get") else np.asarray(array)


def moved(array: Any, xp: Any, dtype: Any) -> Any:
    """These values on this array library in this dtype: the array itself where it is that already.

    From one library to the other they go over the host; a change of dtype alone stays where it is.
    """
    return xp.asarray(array if isinstance(array, xp.ndarray) else to_host(array), dtype)


def gather(array: Any, rows: Any, out: Any) -> None:
    """Write array[rows] into `out`, all three on the same side; rows must lie inside."""
    if isinstance(array, np.ndarray):
        array.take(rows, axis=0, out=out, mode="clip")  # clip: NumPy then writes to `out` without a buffer
    else:
        array.take(rows, axis=0, out=out)
