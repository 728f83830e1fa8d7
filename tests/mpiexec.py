"""Starts processes by mpiexec, for the tests of trainings on several."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS = 15  # in which any error must have ended all processes; most of it is the start of Python
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}", "OPENBLAS_NUM_THREADS": "1"}
# Open MPI asks before it starts as root, or more processes than there are cores.
ENVIRONMENT |= dict.fromkeys(("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), "1")
ENVIRONMENT |= {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}


def start(n, script, *arguments, environment=()):
    """Start n processes of a script of this folder. A variable that is None is not in the environment."""
    launcher = Path(sys.executable).parent / "mpiexec"
    launcher = str(launcher) if launcher.exists() else shutil.which("mpiexec")
    command = [launcher, "-n", str(n), sys.executable, *script.split(), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    env = {name: value for name, value in {**ENVIRONMENT, **dict(environment)}.items() if value is not None}
    return subprocess.Popen(command, cwd=HERE, env=env, **pipes)


def run(n, script, *arguments, limit=SECONDS, **options):
    """Run n processes; returns exit status, stdout and stderr. Ends them, and fails, if they do not end by then."""
    process = start(n, script, *arguments, **options)
    try:
        out, error = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()  # ranks that wait for each other do not end by SIGTERM
        pytest.fail(f"{script} {arguments} had not ended after {limit} s:\n{process.communicate()[1]}")
    return process.returncode, out, error
