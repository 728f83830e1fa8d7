"""CuPy's own code on a CPU: the real CuPy, over fakes of the CUDA driver, the CUDA runtime and cuBLAS.

`build.py` builds it, `run` builds it and runs the tests. Its kernels are the ones that CuPy generates, compiled by g++.

It shows what CuPy refuses, casts and converts; which kernels and products it launches, on which memory; and what it
copies, allocates and waits for, by `fake`. It does not show rounding, speed, what runs late, or CUB and Thrust, whose
kernels are binaries for GPUs. So it is no test of a GPU.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
COUNTERS = ("launches", "gemms", "uploads", "reads", "copies", "fills", "syncs", "allocations", "pinned", "most_pinned")
SETTINGS = ("gpus", "driver", "runtime")


class Fake(ctypes.Structure):
    """The counters of the fakes (see fake.h), and what the machine is said to be."""

    _fields_ = tuple((name, ctypes.c_long) for name in COUNTERS + SETTINGS)

    def clear(self) -> None:
        """Count from zero, but for the memory that is page-locked now."""
        for name in COUNTERS[:-2]:
            setattr(self, name, 0)
        self.most_pinned = self.pinned

    def counts(self) -> dict[str, int]:
        """What was counted, without what is zero."""
        return {name: value for name in COUNTERS[:-2] if (value := getattr(self, name))}


fake: Any = None
_runtime: Any = None


@contextmanager
def launched() -> Iterator[list[str]]:
    """A list of the kernels that are launched in the context, by name: "gemm" is one of cuBLAS.

    "in float64" follows the name of one that computes so, "by rows and columns" that of one whose arrays CuPy could not
    take as vectors.
    """
    names: list[str] = []
    watch = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(lambda name: names.append(name.decode()))
    pointer = ctypes.c_void_p.in_dll(_runtime, "fake_watch")
    pointer.value = ctypes.cast(watch, ctypes.c_void_p).value
    try:
        yield names
    finally:
        pointer.value = None


def load(folder: str | Path) -> Any:
    """The CuPy that build.py has made in this folder. `import cupy` then finds it, too."""
    global fake, _runtime
    folder = Path(folder).resolve()
    os.environ["CUPY_ACCELERATORS"] = ""  # not CUB
    for library in ("libcudart.so.12", "libcuda.so.1", "libcublasLt.so.12", "libcublas.so.12"):
        loaded = ctypes.CDLL(str(folder / "lib" / library), ctypes.RTLD_GLOBAL)
        if fake is None:
            fake, _runtime = Fake.in_dll(loaded, "fake"), loaded
    sys.path.insert(0, str(folder / "site"))
    import cupy
    from cupy.cuda import compiler, function

    words = b"".join((HERE / name).read_bytes() for name in ("kernels.h", "threads.h"))
    kernels = folder / f"kernels-{hashlib.sha256(words).hexdigest()[:8]}"
    kernels.mkdir(exist_ok=True)
    include = Path(cupy.__file__).parent / "_core" / "include"
    built: dict[Any, Path] = {}

    def compile_kernels(source: str, options: tuple[str, ...] = (), **_: Any) -> Any:
        if (source, options) not in built:
            built[source, options] = build_kernels(source, kernels, include)
        module = function.Module()
        module.load(str(built[source, options]).encode() + b"\0")
        return module

    compiler._compile_module_with_cache = compile_kernels
    return cupy


def build_kernels(source: str, folder: Path, include: Path) -> Path:
    """A shared library of these kernels, for the fake driver."""
    entries = entries_of(source)
    note = " in float64" * ("typedef double" in source) + " by rows and columns" * ("CIndexer<2" in source)
    entries.append(f'extern "C" const char *on_cpu_note; const char *on_cpu_note = "{note}";')
    if re.search("__sync|__shfl", source):
        entries.append('extern "C" int on_cpu_has_barriers; int on_cpu_has_barriers = 1;')
    plain = re.sub(r"#include <cupy/(complex|atomics)\.cuh>\n", "", source)
    code = "\n".join(['#include "common.h"', plain, *entries])
    path = folder / (hashlib.sha256(code.encode()).hexdigest()[:32] + ".so")
    if not path.exists():
        common = folder / "common.h"
        includes = ("-I", folder, "-I", HERE, "-I", include)
        if not common.exists():
            common.write_text('#include "kernels.h"\n#include <cupy/carray.cuh>\n#include <cupy/math_constants.h>\n')
            _compile("-x", "c++-header", common, *includes, output=common.with_suffix(".h.gch"))
        _compile("-shared", "-x", "c++", "-", *includes, output=path, code=code)
    return path


def entries_of(source: str) -> list[str]:
    """Functions that call the kernels of a source with the arguments of a launch."""
    if "#define KERNEL" in source:  # minibp's own, which are declared by a macro
        command = ["g++", "-E", "-P", "-w", "-x", "c++", "-"]
        source = subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout
    pattern = r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\s*\('
    names = re.findall(pattern, source)
    return [f'extern "C" void on_cpu_{name}(void** a) {{ on_cpu::call({name}, a); }}' for name in names]


def _compile(*arguments: Any, output: Path, code: str = "") -> None:
    flags = ["-std=c++17", "-O1", "-w", "-fPIC", "-ffp-contract=off"]
    scratch = output.with_name(f"{output.name}.{os.getpid()}")  # another process may want it, too
    command = ["g++", *flags, *map(str, arguments), "-o", str(scratch)]
    subprocess.run(command, input=code.encode(), check=True)
    scratch.rename(output)
