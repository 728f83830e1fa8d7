"""Build CuPy's own code for a machine without a GPU: python tests/cupy_on_cpu/build.py FOLDER

Fetches CuPy's wheel, its source distribution, the headers of the CUDA runtime and NVIDIA's compiler by pip, rebuilds
the one extension of the wheel that contains the CUDA runtime, and builds the fakes that stand below it. It needs g++
and Cython, and takes a minute, most of it to fetch 230 MB. Nothing that it writes belongs into the repository.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

VERSION = "14.2.0"
CUDA = "12.9"
HERE = Path(__file__).resolve().parent
PACKAGES = (f"cupy-cuda12x=={VERSION}", "cuda-pathfinder")
PACKAGES += (f"nvidia-cuda-runtime-cu12=={CUDA}.*", f"nvidia-cuda-nvrtc-cu12=={CUDA}.*")
# The fakes: source, the library that it takes the place of, the extension that asks for it, and its functions.
FAKES = (
    ("cudart.c", "libcudart.so.12", "cupy_backends/cuda/api/runtime", r"cuda\w+"),
    ("cuda.c", "libcuda.so.1", "cupy_backends/cuda/api/driver", r"cu[A-Z]\w+"),
    ("cublas.c", "libcublas.so.12", "cupy_backends/cuda/libs/cublas", r"cublas\w+"),
)
SETTINGS = {  # those that the wheel was built with
    "CUPY_CUDA_VERSION": 12090,
    "CUPY_HIP_VERSION": 0,
    "CUPY_USE_CUDA_PYTHON": False,
    "CUPY_CUFFT_STATIC": False,
    "CUPY_CYTHON_VERSION": "3.2.0",
}


def run(*command: object) -> str:
    """Run a command; if it fails, show what it said."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def pip(*arguments: object) -> None:
    """Run pip without the packages that these depend on."""
    run(sys.executable, "-m", "pip", *arguments, "--quiet", "--no-deps", "--disable-pip-version-check")


def fetch(folder: Path) -> None:
    """Install CuPy into FOLDER/site, and unpack its source into FOLDER/source."""
    if not (folder / "site/nvidia/cuda_nvrtc").exists():
        pip("install", "--upgrade", "--target", folder / "site", *PACKAGES)
        shutil.rmtree(folder / "site/nvidia/cuda_runtime/lib")  # only its headers are wanted
    if not (folder / "source").exists():
        # pip asks a source distribution for its metadata, and CuPy's looks for CUDA first, unless it builds its manual.
        options = ("--no-build-isolation", "--no-binary", ":all:", "--dest", folder)
        os.environ["READTHEDOCS"] = "True"
        pip("download", *options, f"cupy=={VERSION}")
        with tarfile.open(folder / f"cupy-{VERSION}.tar.gz") as archive:
            archive.extractall(folder / "unpacked", filter="data")
        (folder / "unpacked" / f"cupy-{VERSION}").rename(folder / "source")


def extension(folder: Path, name: str) -> Path:
    """The file of an extension of the installed CuPy."""
    return folder / "site" / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"


def rebuild_runtime(folder: Path) -> None:
    """Put an extension `runtime` in the place of the wheel's that asks a shared library for the CUDA runtime."""
    source = folder / "source" / "cupy_backends" / "cuda" / "api" / "runtime.pyx"
    settings = ",".join(f"{name}={value}" for name, value in SETTINGS.items())
    cython = (sys.executable, "-m", "cython", "-3", "--cplus", "-X", "legacy_implicit_noexcept=True", "-E", settings)
    run(*cython, source)
    includes = [HERE / "include", folder / "site/nvidia/cuda_runtime/include", folder / "source/cupy_backends"]
    includes.append(Path(sysconfig.get_paths()["include"]))
    flags = ["-std=c++17", "-O1", "-w", "-shared", "-fPIC", *(f"-I{path}" for path in includes)]
    target = extension(folder, "cupy_backends/cuda/api/runtime")
    run("g++", *flags, source.with_suffix(".cpp"), "-o", target)


def build_fake(folder: Path, source: str, library: str, asks: str, functions: str) -> int:
    """Build a fake. Functions that CuPy asks for and it lacks say so when they are called; returns their number."""
    own = set(re.findall(rf"^(?:int|const char \*)\s*\*?({functions})\(", (HERE / source).read_text(), re.MULTILINE))
    wanted = re.findall(rf" U ({functions})(?:@.*)?$", run("nm", "-D", extension(folder, asks)), re.MULTILINE)
    if source == "cuda.c":  # looked up by name when CuPy starts
        text = (folder / "source/cupy_backends/cuda/api/_driver_extern.pxi").read_text()
        names = re.findall(r"\.get\(f?'(\w+(?:{version})?)'", text)
        wanted = ["cu" + name.replace("{version}", "_v2") for name in names]
    missing = sorted({*wanted} - own)
    failure = {"cudart.c": 801, "cuda.c": 801, "cublas.c": 15}[source]  # "not supported"
    lines = [f'int {name}(void) {{ fprintf(stderr, "fake: {name}\\n"); return {failure}; }}' for name in missing]
    stubs = folder / f"missing_{source}"
    stubs.write_text("#include <stdio.h>\n" + "\n".join(lines) + "\n")
    versions = folder / f"{library}.map"
    versions.write_text(f"{library} {{ global: *; }};\n")
    flags = ["-O3", "-fPIC", "-shared", "-pthread", f"-I{HERE}", f"-Wl,-soname,{library}"]
    if source != "cuda.c":
        flags.append(f"-Wl,--version-script={versions}")
    others = [] if source == "cudart.c" else [folder / "lib" / "libcudart.so.12"]
    if source == "cuda.c":
        others.append(HERE / "threads.c")
    run("gcc", *flags, HERE / source, stubs, *others, "-o", folder / "lib" / library, "-ldl")
    return len(missing)


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    (folder / "lib").mkdir(parents=True, exist_ok=True)
    fetch(folder)
    print(f"CuPy {VERSION} is in {folder / 'site'}")
    rebuild_runtime(folder)
    print("rebuilt its extension cupy_backends.cuda.api.runtime, to ask a shared library for the CUDA runtime")
    for fake in FAKES:
        missing = build_fake(folder, *fake)
        print(f"built {fake[1]} from {fake[0]}; {missing} functions of it only say that they are missing")
    empty = "libcublasLt.so.12"  # CuPy looks for it, but asks nothing of it
    run("gcc", "-shared", f"-Wl,-soname,{empty}", "-x", "c", "/dev/null", "-o", folder / "lib" / empty)
    print("kernels are compiled by g++ when they are first launched, and kept there, too")


if __name__ == "__main__":
    main()
