"""The doctor: what is installed, what works, and what makes NumPy slow."""

import os
import subprocess
import sys
import types

import numpy as np
import pytest
import threadpoolctl
from failing import failing

import minibp
from minibp import program
from minibp.cli.doctor import find_mpi, report


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Remove the variables that affect NumPy from the environment."""
    monkeypatch.setattr("minibp.cli.doctor.find_mpi", dict)  # not installed; the real one starts a process
    for name in list(os.environ):
        if name.endswith("_NUM_THREADS") or name.startswith(("OPENBLAS_", "NPY_")):
            monkeypatch.delenv(name)


def show_config(**config):
    return lambda mode: config


def test_it_prints_one_fact_per_line(doctor, monkeypatch):
    pool = {"user_api": "blas", "internal_api": "openblas", "version": "0.3", "architecture": "Zen", "num_threads": 3}
    other = {"user_api": "blas", "internal_api": "mkl", "version": None, "num_threads": 1}
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: [pool, {"user_api": "openmp"}, other])
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    rows = doctor()
    names = ["minibp", "Python", "processors", "numpy", "cupy", "BLAS", "kernels", "threads", "numba", "MPI"]
    assert list(rows) == names
    assert rows["minibp"] == minibp.__version__
    assert rows["Python"].startswith(sys.version.split()[0])
    assert rows["numpy"] == f"works: NumPy {np.__version__}"
    assert rows["BLAS"] == "openblas 0.3; mkl unknown"
    assert rows["kernels"] == "Zen; unknown"
    assert rows["threads"] == "3; 1 (OMP_NUM_THREADS=3)"


def test_its_columns_are_aligned():
    done = subprocess.run([sys.executable, "-m", "minibp", "doctor"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("minibp  ")
    assert {line[10:12] for line in lines} == {"  "}
    assert all(line[12:].strip() == line[12:] for line in lines)


def test_it_counts_the_processors_that_this_process_may_use(doctor, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2}, raising=False)
    monkeypatch.setattr("minibp.cli.doctor.QUOTA", "nowhere")
    assert doctor()["processors"] == "1 of 4 may be used"
    monkeypatch.delattr(os, "sched_getaffinity")  # there is none on Windows and macOS
    assert doctor()["processors"] == "4"


@pytest.mark.parametrize(
    ("quota", "more"),
    [
        ("150000 100000", ", but this container gets the time of 2: set OPENBLAS_NUM_THREADS=2"),
        ("1000 100000", ", but this container gets the time of 1: set OPENBLAS_NUM_THREADS=1"),
        ("400000 100000", ""),
        ("max 100000", ""),
    ],
)
def test_it_says_how_many_threads_fit_the_quota_of_a_container(doctor, monkeypatch, tmp_path, quota, more):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr("minibp.cli.doctor.QUOTA", str(tmp_path / "cpu.max"))
    assert doctor()["processors"] == f"4{more}"


@pytest.mark.parametrize("config", [{}, {"Build Dependencies": {}}, {"Build Dependencies": {"blas": {"found": False}}}])
def test_a_numpy_that_does_not_name_its_blas_is_not_an_error(doctor, monkeypatch, config):
    monkeypatch.setattr(threadpoolctl, "threadpool_info", list)
    monkeypatch.setattr(np, "show_config", show_config(**config))
    assert doctor()["BLAS"].startswith("unknown")


def test_a_blas_that_threadpoolctl_does_not_know_is_not_an_error(doctor, monkeypatch):
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: [{"user_api": "openmp"}])
    assert doctor()["kernels"] == "unknown to threadpoolctl"


def test_an_unknown_fact_does_not_hide_the_others(doctor, monkeypatch):
    monkeypatch.setattr(threadpoolctl, "threadpool_info", failing(OSError("broken")))
    rows = doctor()
    assert rows["blas"] == "unknown (OSError: broken)"
    assert {"Python", "numpy", "numba"} < set(rows)


def test_it_says_whether_numba_compiles_the_formulas(doctor):
    numba = pytest.importorskip("numba")
    assert doctor()["numba"].startswith(f"works: numba {numba.__version__}")


def test_it_says_how_to_get_numba(doctor, replace_numba):
    replace_numba(None)
    assert doctor()["numba"].startswith("not installed; pip install numba")


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (ImportError("Numba needs NumPy 2.3 or less"), "pip install -U numba"),
        (RuntimeError("cannot cache function"), "set NUMBA_CACHE_DIR to an empty folder that can be written; if that"),
    ],
)
def test_it_says_why_numba_does_not_work(doctor, monkeypatch, replace_numba, error, cure):
    replace_numba(types.ModuleType("numba"))
    monkeypatch.setattr(program, "check", failing(error))
    assert doctor()["numba"].startswith(f"does not work: {type(error).__name__}: {error}; {cure}")


# --- MPI -----------------------------------------------------------------------------------------------------------

STARTED = {"mpi4py": "4.1", "library": "Open MPI v5.0.8", "rank": 0, "size": 1, "threads": 2, "alone": ""}


@pytest.fixture
def mpi(doctor, monkeypatch):
    """A function that runs the doctor where these are the facts about MPI, and returns its rows."""

    def run(**facts):
        monkeypatch.setattr("minibp.cli.doctor.find_mpi", lambda: {**STARTED, **facts})
        return doctor()

    return run


def test_it_says_how_to_get_mpi(doctor, monkeypatch):
    monkeypatch.setattr("minibp.cli.doctor.find_spec", lambda name: None)
    monkeypatch.setattr("minibp.cli.doctor.find_mpi", find_mpi)
    assert doctor()["MPI"].startswith('not installed; pip install "mpi4py>=4" mpich')


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit('no launcher\\nMPI_Init failed')", "MPI_Init failed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "it ended with status -9"),
        ("import time; time.sleep(60)", "TimeoutExpired: "),
    ],
)
def test_it_outlives_an_mpi_that_does_not_start(doctor, monkeypatch, program, reason):
    monkeypatch.setattr("minibp.cli.doctor.find_spec", lambda name: True)
    monkeypatch.setattr("minibp.cli.doctor.find_mpi", find_mpi)
    monkeypatch.setattr("minibp.cli.doctor.PROBE", program)
    monkeypatch.setattr("minibp.cli.doctor.SECONDS", 1)
    assert doctor()["MPI"].startswith(f"does not work: {reason}")


@pytest.fixture
def launcher(tmp_path, monkeypatch):
    """A function that puts an mpiexec with this answer to --version in the place of all others."""

    def put(version):
        file = tmp_path / "mpiexec"
        file.write_text(f"#!/bin/sh\necho '{version}'\n")
        file.chmod(0o755)
        return file

    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    return put


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("mpirun (Open MPI) 5.0.8", "start processes by {}"),
        ("HYDRA build details:", "but {} is that of MPICH, whose processes would not see each other"),
        ("something else", "start processes by {}"),
    ],
)
def test_it_says_whose_mpiexec_it_finds(mpi, launcher, version, expected):
    file = launcher(version)
    assert mpi()["MPI"] == f"works: mpi4py 4.1, Open MPI v5.0.8; {expected.format(file)}"


def test_it_says_if_there_is_no_mpiexec(mpi, launcher, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert mpi()["MPI"].endswith(f"; there is no mpiexec in {tmp_path} or on the PATH")


def test_it_counts_the_processes_of_mpiexec_and_only_the_first_says_so(mpi):
    assert mpi(size=4)["processes"] == "4 of mpiexec; threads of the BLAS in each: 2"
    assert "processes" not in mpi()
    assert mpi(size=4, rank=1) == {}


# --- warnings ------------------------------------------------------------------------------------------------------

BEFORE, SINCE = ["AVX2", "AVX512F", "AVX512_SKX"], ["X86_V3", "X86_V4"]  # NumPy 2.4 has other names


@pytest.fixture
def warned(monkeypatch, capsys):
    """A function that runs the doctor for a processor with these features and kernels, and returns the warnings."""

    def run(features, kernels=None, api="openblas"):
        pool = {"user_api": "blas", "internal_api": api, "version": "0.3", "architecture": kernels, "num_threads": 1}
        monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: [pool])
        monkeypatch.setattr(np, "show_config", show_config(**{"SIMD Extensions": {"found": features}}))
        return [row.split(maxsplit=1)[1] for row in report().splitlines() if row.startswith("warning")]

    return run


@pytest.mark.parametrize(
    ("features", "kernels", "instructions"),
    [(BEFORE, "Haswell", "AVX-512"), (SINCE, "Zen", "AVX-512"), (SINCE[:1], "Nehalem", "AVX2")],
)
def test_it_warns_of_kernels_that_the_environment_makes_slower(monkeypatch, warned, features, kernels, instructions):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "x")
    (warning,) = warned(features, kernels)
    expected = f"forces {kernels} kernels, slower than those with {instructions}, which the processor has: unset it"
    assert warning == f"OPENBLAS_CORETYPE=x {expected}"


@pytest.mark.parametrize(
    ("features", "kernels", "api"),
    [
        (SINCE, "SkylakeX", "openblas"),
        (SINCE[:1], "Haswell", "openblas"),
        ([], "Nehalem", "openblas"),
        (["SVE"], "neoversen1", "openblas"),
        (SINCE, None, "openblas"),
        (SINCE, "haswell", "blis"),
    ],
)
def test_it_does_not_warn_of_kernels_that_are_not_slower_or_unknown(monkeypatch, warned, features, kernels, api):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "x")
    assert warned(features, kernels, api) == []


def test_it_does_not_warn_of_kernels_that_nothing_forces(warned):
    assert warned(SINCE, "Haswell") == []


@pytest.mark.parametrize("name", ["OPENBLAS_L2_SIZE", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"])
def test_it_warns_of_other_variables_that_slow_numpy_down(monkeypatch, warned, name):
    monkeypatch.setenv(name, "256")
    (warning,) = warned(SINCE, "SkylakeX")
    assert warning.startswith(f"{name}=256 ")
    assert warning.endswith(": unset it")


def test_kernels_forced_by_the_environment_are_reported_by_a_real_process(monkeypatch):
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    if not {"AVX512_SKX", "X86_V4"} & {*simd["baseline"], *simd["found"]}:
        pytest.skip("the processor has no AVX-512")
    if not any(pool["internal_api"] == "openblas" for pool in threadpoolctl.threadpool_info()):
        pytest.skip("NumPy's BLAS is not OpenBLAS")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")  # read when the library is loaded
    command = [sys.executable, "-m", "minibp", "doctor"]
    assert "forces Haswell kernels" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
