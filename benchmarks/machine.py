"""The machine of a measurement: processor, versions, BLAS, and the load of other processes."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib import metadata
from pathlib import Path

import numpy as np

PACKAGES = ("numpy", "numba", "torch", "jax", "scikit-learn", "cupy-cuda12x", "cupy-cuda13x", "threadpoolctl")


def machine() -> dict[str, str]:
    """The processor and the versions, for every result."""
    import minibp

    return {
        "processor": processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "minibp": minibp.__version__,
    }


def about() -> dict[str, str]:
    """The same with the date, the number of cores, and the versions of the installed peers."""
    found = {"date": date.today().isoformat(), "system": platform.platform(), "cores": str(cores()), **machine()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The name of the processor, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def blas() -> list[str]:
    """The BLAS libraries that this process has loaded, with their kernels and threads."""
    try:
        import threadpoolctl
    except ImportError:
        return ["unknown: threadpoolctl is not installed"]
    np.ones((2, 2)) @ np.ones((2, 2))  # loads the BLAS
    return [
        f"{pool['internal_api']} {pool['version']}, kernels {pool.get('architecture', 'unknown')}, "
        f"threads {pool['num_threads']}"
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    ]


def busy() -> float | None:
    """CPU seconds that all processes and other guests of the host have used so far; None if not known."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def others(before: float | None, after: float | None, own: float, wall: float) -> float | None:
    """The share of all processors that others used, from two values of `busy` and the CPU seconds of the process."""
    if before is None or after is None:
        return None
    return max(after - before - own, 0.0) / (wall * (os.cpu_count() or 1))
