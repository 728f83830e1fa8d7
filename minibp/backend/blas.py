"""The BLAS, the library that multiplies matrices on the host: which one it is, its kernels and its threads."""

from __future__ import annotations

from typing import Any

import numpy as np


def loaded_blas() -> list[dict[str, Any]]:
    """What threadpoolctl finds of each loaded BLAS: "internal_api", "version", "architecture", "num_threads"."""
    import threadpoolctl  # here, because few programs ask

    np.ones((2, 2)) @ np.ones((2, 2))  # loads the BLAS
    return [pool for pool in threadpoolctl.threadpool_info() if pool.get("user_api") == "blas"]


def describe_blas() -> str:
    """The BLAS in words. Where they differ, results may differ in rounding."""
    keys = ("internal_api", "version", "architecture")
    found = [
        f"{' '.join(str(pool.get(key) or 'unknown') for key in keys)}, threads {pool.get('num_threads', 'unknown')}"
        for pool in loaded_blas()
    ]
    return "; ".join(sorted(found)) or "unknown"
