"""The command line on several processes (-m mpi): --mpi of `train` and of the training scripts, and the doctor."""

import os
import re
import signal
import sys

import numpy as np
import pytest
from mpiexec import SECONDS, run, start

from minibp import load
from minibp.cli.command_line import main

PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
LAST = r"test accuracy \d\.\d{4}  loss \d+\.\d{4}  epochs 2  seconds \d+\.\d\n"
DIGITS = "train", "digits", "--mpi", "--hidden", "8", "--epochs", "2"
QUIET = *DIGITS, "--quiet"


def faulty(fault, folder, *options):
    """Train on two processes; returns exit status, stdout and stderr."""
    return run(2, "rank_commands.py", fault, folder, *QUIET, *options)


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_missing_mpi4py_is_named_with_its_extra(monkeypatch, error_line):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert "--mpi needs mpi4py>=4, which is not installed" in error_line(main([*QUIET]))


# --- what is computed, written and printed -------------------------------------------------------------------------


@pytest.mark.mpi
def test_two_processes_save_the_network_of_one_and_the_first_alone_writes(tmp_path):
    outputs = "--save", "net", "--log", "log.csv", "--checkpoint", "ckpt"
    status, out, error = run(2, "rank_commands.py", "none", tmp_path, *DIGITS, *outputs)
    assert status == 0 and error == ""
    assert len(re.findall(LAST, out)) == 1
    assert len(re.findall("^epoch ", out, re.MULTILINE)) == 2
    assert files(tmp_path) == {"0/net", "0/log.csv", "0/ckpt", "0/ckpt.previous"}
    assert len((tmp_path / "0" / "log.csv").read_text().splitlines()) == 3
    main([argument for argument in (*QUIET, "--save", str(tmp_path / "one")) if argument != "--mpi"])
    one, two = load(tmp_path / "one"), load(tmp_path / "0" / "net")
    np.testing.assert_allclose(two.params, one.params, rtol=0, atol=1e-5)


@pytest.mark.mpi
def test_a_script_trains_on_two_processes_and_prints_its_line_once():
    status, out, error = run(2, "-m datasets.digits --mpi --quiet --epochs 2")
    assert (status, error) == (0, "")
    assert re.fullmatch(LAST, out)


@pytest.mark.mpi
def test_a_process_alone_is_told_so_and_trains():
    status, out, error = run(1, "-m minibp", *QUIET)
    assert status == 0 and re.fullmatch(LAST, out)
    assert error.startswith("warning: --mpi: there are no other processes, so this one trains alone")


@pytest.mark.mpi
def test_a_process_of_another_mpi_is_told_so():
    _, _, error = run(1, "-m minibp", *QUIET, environment={"SLURM_STEP_NUM_TASKS": "4"})
    assert re.match(r"warning: this process was started as one of 4 \(SLURM_STEP_NUM_TASKS\)", error)
    assert error.count("warning:") == 1


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.mpi
@pytest.mark.parametrize("fault, message", [
    ("no data", r"error: rank 1 of 2: FileNotFoundError: no such file or folder: nowhere.csv"),
    ("no data on all", r"error: no such file or folder: nowhere.csv"),
    ("no data, others busy", r"error: no such file or folder: nowhere.csv; .*\nrank 1 of 2 on .*: it ends all ranks"),
    ("step", r"error: the disk is gone\nrank 1 of 2 on .*: it ends all ranks"),
    ("log", r"error: the disk is gone\nrank 0 of 2 on .*: it ends all ranks"),
])  # fmt: skip
def test_an_error_on_one_process_ends_all_and_is_printed_once(tmp_path, fault, message):
    status, out, error = faulty(fault, tmp_path, "--log", "log.csv")
    assert status == 2 and out == ""
    assert re.search(message, error), error
    assert error.count("error: ") == 1 and "Traceback" not in error


@pytest.mark.mpi
def test_a_full_disk_after_the_training_ends_all_with_the_result_printed(tmp_path):
    status, out, error = faulty("full disk", tmp_path, "--save", "net")
    assert status == 2 and re.fullmatch(LAST, out)
    assert error.startswith("error: [Errno 28] No space left on device: 'net'\n") and error.count("error: ") == 1


@pytest.mark.mpi
def test_a_mistake_in_the_program_of_the_first_process_ends_all_with_its_traceback(tmp_path):
    status, _, error = faulty("mistake", tmp_path, "--save", "net")
    assert status != 0
    assert error.count("Traceback") == 1 and "TypeError: 'NoneType' object is not callable" in error


@pytest.mark.mpi
@pytest.mark.parametrize("script, message", [
    ("-m minibp train digits --mpi --save nowhere/net", "error: nowhere/net: the folder nowhere does not exist"),
    ("-m minibp train digits --mpi --nonsense", "usage: .*\n.*minibp: error: unrecognized arguments: --nonsense"),
    ("-m minibp train digits --mpi --threads 0", "error: --threads must be an integer of at least 1"),
    ("-m datasets.digits --mpi --probe", "error: --mpi shares one training among processes"),
])  # fmt: skip
def test_what_is_refused_is_refused_once(script, message):
    status, out, error = run(2, script)
    assert status == 2 and out == ""
    assert re.match(message, error), error
    assert error.count("error: ") == 1


@pytest.mark.mpi
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_mpiexec_ends_all_and_the_same_command_continues(tmp_path, sent):
    command = 2, "-m minibp train digits --mpi --hidden 8 --patience 9999 --checkpoint", tmp_path / "ckpt", "--epochs"
    process = start(*command, 9999)
    while not process.stdout.readline().startswith("epoch   2"):
        pass
    process.send_signal(sent)
    _, error = process.communicate(timeout=SECONDS)
    told = error.count("interrupted; the same command line continues from ")
    assert (process.returncode, told) in ((128 + sent, 1), (1, 0))  # Open MPI's mpiexec passes neither on
    assert "Traceback" not in error
    process = start(*command, 9999)
    lines = iter(process.stdout.readline, "")
    assert next(line for line in lines if line.startswith("continuing from "))
    process.terminate()
    process.communicate(timeout=SECONDS)


# --- threads, and the doctor ---------------------------------------------------------------------------------------


@pytest.mark.mpi
@pytest.mark.skipif(PROCESSORS < 2, reason="one processor")
@pytest.mark.parametrize("given, options, threads", [
    (None, (), PROCESSORS // 2),
    ("2", (), 2),
    (None, ("--threads", "2"), 2),
    ("2", ("--threads", "1"), 1),
])  # fmt: skip
def test_processes_share_the_processors_unless_the_user_has_said_how(tmp_path, given, options, threads):
    command = "rank_commands.py", "threads", tmp_path, *QUIET, *options
    status, out, error = run(2, *command, environment={"OPENBLAS_NUM_THREADS": given})
    assert status == 0, error
    assert out.startswith(f"threads {threads}\n")


@pytest.mark.mpi
def test_the_doctor_counts_the_processes_and_says_it_once():
    status, out, error = run(2, "-m minibp doctor")
    assert status == 0, error
    assert re.search(r"^MPI +works: mpi4py \d\S*, .*; start processes by ", out, re.MULTILINE)
    assert re.search(r"^processes +2 of mpiexec; threads of the BLAS in each: 1$", out, re.MULTILINE)
    assert out.count("Python  ") == 1
