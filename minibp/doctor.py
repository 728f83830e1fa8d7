"""report(): what minibp finds on this machine, and what it can compute with: python -m minibp doctor"""

from __future__ import annotations

import os
import platform

import numpy as np

from . import __version__
from .backend import available

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
WIDTH = 8


def report() -> str:
    """Python, NumPy and its BLAS, and which backends work, with their devices; of others why not and what to do."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    rows = [
        ("minibp", __version__),
        ("Python", f"{platform.python_version()}, {machine}"),
        ("NumPy", np.__version__),
        ("BLAS", _blas()),
        ("threads", ", ".join(f"{name}={os.environ[name]}" for name in THREADS if name in os.environ) or "not limited"),
        *((backend.name, str(backend)) for backend in available().values()),
    ]
    return "\n".join(f"{name:<{WIDTH}} {text}" for name, text in rows)


def _blas() -> str:
    """The library that multiplies matrices, and the kernels that it runs on this processor."""
    try:
        import threadpoolctl
    except ImportError:
        built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{built['name']} {built['version']}; the kernels it runs are told with pip install threadpoolctl"
    np.ones((2, 2)) @ np.ones((2, 2))  # loads it
    found = [
        f"{pool['internal_api']} {pool['version']}, kernels {pool.get('architecture', 'unknown')}, "
        f"{pool['num_threads']} threads"
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    ]
    return "; ".join(found) or "none that is known"
