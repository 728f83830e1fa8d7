"""report(): what minibp finds on this machine, and what it can compute with: python -m minibp doctor"""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np

from . import __version__
from .backend import available, said

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
Rows = list[tuple[str, str]]


def report() -> str:
    """What is here and what it can do, one fact a line; of what does not work, why not and what to do."""
    rows: Rows = []
    for part in (_machine, _backends, _blas, _numba):
        try:
            rows += part()
        except Exception as error:  # what cannot be told must not hide the rest
            rows.append((part.__name__.strip("_"), f"cannot be told ({said(error)})"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def _machine() -> Rows:
    """minibp, Python, and the processors that this process may use, which `taskset` and containers restrict."""
    count = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    return [
        ("minibp", __version__),
        ("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("processors", str(count) if usable == count else f"{usable} of {count} may be used"),
    ]


def _backends() -> Rows:
    """Which backends work, and the GPU where one is seen."""
    backends = available()
    rows = [(name, str(backend)) for name, backend in backends.items()]
    device = backends["cupy"].device
    return [*rows, ("GPU", device)] if device else rows


def _blas() -> Rows:
    """The library that multiplies matrices, the kernels that it runs on this processor, and its threads."""
    pools = _pools()
    unknown = "not told: pip install threadpoolctl" if pools is None else "not known to threadpoolctl"
    built = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    limits = ", ".join(f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ)

    def told(*keys: str) -> str:
        return "; ".join(" ".join(str(pool.get(key) or "unknown") for key in keys) for pool in pools or [])

    return [
        ("BLAS", told("internal_api", "version") or f"{built.get('name', 'unknown')} {built.get('version', '')}"),
        ("kernels", told("architecture") or unknown),
        ("threads", (told("num_threads") or unknown) + (f" ({limits})" if limits else "")),
    ]


def _pools() -> list[dict[str, Any]] | None:
    """What threadpoolctl tells of the BLAS; None where it is not installed."""
    try:
        import threadpoolctl
    except ImportError:
        return None
    np.ones((2, 2)) @ np.ones((2, 2))  # loads the BLAS
    return [pool for pool in threadpoolctl.threadpool_info() if pool.get("user_api") == "blas"]


def _numba() -> Rows:
    """Whether the compiled loops of the optimizers can be used."""
    try:
        import numba

        from . import compiled

        one = np.ones(1, "float32")
        compiled.sgd(one, one, one[0])
    except Exception as error:
        if isinstance(error, ImportError) and error.name == "numba":
            cure = "pip install numba makes the optimizers of large networks faster"
            return [("numba", f"not installed; {cure}")]
        return [("numba", f"does not work: {said(error)}; pip install -U numba numpy brings two that fit")]
    return [("numba", f"works: numba {numba.__version__}, compiles the optimizers of large networks")]
