"""report(): what minibp finds on this machine, and what it can use, for python -m minibp doctor."""

from __future__ import annotations

import os
import platform
from contextlib import suppress

import numpy as np

from .. import __version__, program
from ..backend import THREAD_VARIABLES, available, loaded_blas, short_message
from ..errors import ArgumentError

QUOTA = "/sys/fs/cgroup/cpu.max"  # of a container: microseconds of processor time per microseconds, or "max"

WITHOUT_AVX2 = (
    "prescott core2 penryn dunnington nehalem atom nano sandybridge "
    "opteron opteron_sse3 barcelona bobcat bulldozer piledriver steamroller excavator"
)
# Instruction sets, their names in NumPy before and since 2.4, and the kernels of OpenBLAS that do not use them.
WIDEST_FIRST = (
    ("AVX-512", {"AVX512_SKX", "X86_V4"}, f"{WITHOUT_AVX2} haswell zen"),
    ("AVX2", {"AVX2", "X86_V3"}, WITHOUT_AVX2),
)
Rows = list[tuple[str, str]]


def report() -> str:
    """One fact a line: what is installed and works; if something does not work, why and what to do."""
    rows: Rows = []
    for facts in (_machine, _backends, _blas, _numba, _warnings):
        try:
            rows += facts()
        except Exception as error:  # one unknown fact must not hide the others
            rows.append((facts.__name__.strip("_"), f"unknown ({short_message(error)})"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def _machine() -> Rows:
    """minibp, Python, and the processors that this process may use (see `taskset`, and `docker run --cpus`)."""
    count = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    processors = str(count) if usable == count else f"{usable} of {count} may be used"
    with suppress(OSError, ValueError), open(QUOTA) as file:
        quota, period = map(float, file.read().split())  # a ValueError for "max"
        if (at_once := max(1, round(quota / period))) < usable:  # no BLAS looks at it
            processors += f", but this container gets the time of {at_once}: set OPENBLAS_NUM_THREADS={at_once}"
    return [
        ("minibp", __version__),
        ("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("processors", processors),
    ]


def _backends() -> Rows:
    """Which backends work, and the GPU if there is one."""
    backends = available()
    rows = [(name, str(backend)) for name, backend in backends.items()]
    device = backends["cupy"].device
    return [*rows, ("GPU", device)] if device else rows


def _blas() -> Rows:
    """The library that multiplies matrices, its kernels on this processor, and its threads."""
    pools, unknown = loaded_blas(), "unknown to threadpoolctl"
    built = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    limits = ", ".join(f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ)

    def values(*keys: str) -> str:
        return "; ".join(" ".join(str(pool.get(key) or "unknown") for key in keys) for pool in pools)

    return [
        ("BLAS", values("internal_api", "version") or f"{built.get('name', 'unknown')} {built.get('version', '')}"),
        ("kernels", values("architecture") or unknown),
        ("threads", (values("num_threads") or unknown) + (f" ({limits})" if limits else "")),
    ]


def _numba() -> Rows:
    """Whether steps can run compiled."""
    try:
        import numba

        program.check()
    except Exception as error:
        if isinstance(error, ImportError) and error.name == "numba":
            return [("numba", "not installed; pip install numba makes trainings of small networks many times faster")]
        if isinstance(error, ArgumentError):
            return [("numba", f"is not used: {error}")]
        cure = "pip install -U numba numpy installs two that fit"
        if not isinstance(error, ImportError):  # its cache cannot be written, or is damaged
            cure = f"set NUMBA_CACHE_DIR to an empty folder that can be written; if that does not help, {cure}"
        return [("numba", f"does not work: {short_message(error)}; {cure}")]
    return [("numba", f"works: numba {numba.__version__}, runs the steps of long trainings compiled")]


def _warnings() -> Rows:
    """Environment variables that make NumPy slower than it could be on this processor."""
    effects = {
        "OPENBLAS_CORETYPE": _forced_kernels(),
        "OPENBLAS_L2_SIZE": "replaces the cache size that OpenBLAS detects",
        "NPY_DISABLE_CPU_FEATURES": "keeps NumPy from using instructions of the processor",
        "NPY_ENABLE_CPU_FEATURES": "keeps NumPy from using all other instructions of the processor",
    }
    set_here = {name: effect for name, effect in effects.items() if effect and os.environ.get(name)}
    return [("warning", f"{name}={os.environ[name]} {effect}: unset it") for name, effect in set_here.items()]


def _forced_kernels() -> str:
    """The effect of OPENBLAS_CORETYPE, if it is set and its kernels do not use all instructions; else ""."""
    if not os.environ.get("OPENBLAS_CORETYPE"):
        return ""
    kernels = [pool.get("architecture") or "" for pool in loaded_blas() if pool.get("internal_api") == "openblas"]
    simd = np.show_config(mode="dicts").get("SIMD Extensions", {})
    processor = {*simd.get("baseline", []), *simd.get("found", [])}
    for instructions, names, slower in WIDEST_FIRST:
        for kernel in kernels:
            if names & processor and kernel.lower() in slower.split():
                return f"forces {kernel} kernels, slower than those with {instructions}, which the processor has"
    return ""
