"""report(): what minibp finds on this machine, and what it can use, for python -m minibp doctor."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

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
PROBE = "import json, sys; from minibp.parallel import facts_of_mpi; sys.stdout.write(json.dumps(facts_of_mpi()))"
SECONDS = 30  # that MPI has to start
LAUNCHERS = {"Open MPI": ("Open MPI", "OpenRTE"), "MPICH": ("MPICH", "HYDRA")}  # what their --version holds
Rows = list[tuple[str, str]]


def report() -> str:
    """One fact a line: what is installed and works; if something does not work, why and what to do.

    Of the processes of mpiexec, the first one says it; for the others this is empty.
    """
    mpi = find_mpi()
    if mpi.get("rank"):
        return ""
    rows: Rows = []
    blocks = {"machine": _machine, "backends": _backends, "blas": _blas, "numba": _numba}
    for name, facts in {**blocks, "mpi": lambda: _mpi(mpi), "warnings": _warnings}.items():
        try:
            rows += facts()
        except Exception as error:  # one unknown fact must not hide the others
            rows.append((name, f"unknown ({short_message(error)})"))
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


def find_mpi() -> dict[str, Any]:
    """What `facts_of_mpi` finds, in a process of its own, since MPI ends one in which it cannot start; else "fault"."""
    if find_spec("mpi4py") is None:
        return {}
    try:
        done = _run(sys.executable, "-c", PROBE)
        if done.returncode == 0:
            return dict(json.loads(done.stdout.splitlines()[-1]))
        said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        return {"fault": said[-1] if said else f"it ended with status {done.returncode}"}
    except Exception as error:
        return {"fault": short_message(error)}


def _mpi(found: dict[str, Any]) -> Rows:
    """Whether several processes can train together, how to start them, and how many there are."""
    if not found:
        return [("MPI", 'not installed; pip install "mpi4py>=4" mpich lets several processes train together')]
    if "fault" in found:
        return [("MPI", f"does not work: {found['fault']}; pip install mpich installs one that does")]
    rows = [("MPI", f"works: mpi4py {found['mpi4py']}, {found['library']}; {_launcher(found['library'])}")]
    if found["size"] > 1:
        rows.append(("processes", f"{found['size']} of mpiexec; threads of the BLAS in each: {found['threads']}"))
    return rows + ([("warning", found["alone"])] if found["alone"] else [])


def _launcher(library: str) -> str:
    """Which mpiexec starts processes for this library, as far as is known."""
    beside = os.path.dirname(sys.executable)
    path = shutil.which("mpiexec", path=beside) or shutil.which("mpiexec")
    if path is None:
        return f"there is no mpiexec in {beside} or on the PATH"
    version = _run(path, "--version").stdout
    for name, words in LAUNCHERS.items():
        others = LAUNCHERS.keys() - {name}
        if any(word in version for word in words) and any(other in library for other in others):
            return f"but {path} is that of {name}, whose processes would not see each other"
    return f"start processes by {path}"


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program. Files stay open for it, because one of them may lead to mpiexec."""
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=SECONDS, close_fds=False
    )


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
