"""benchmarks.ranks: what it derives, and (-m mpi) that it runs."""

import json
import subprocess
import sys

import pytest
from mpiexec import ENVIRONMENT

from benchmarks import ranks
from benchmarks.peers import ROOT

ONE = {"width": 512, "batch": 128, "ranks": 1, "compiled": 0.008, "parts": {"1": 0.01, "2": 0.006, "4": 0.004}}


def test_ranks_that_share_a_core_take_turns():
    found = [ranks.derived(ONE, {"ranks": n, "sums": 0.001}, cores=2) for n in (2, 4)]
    assert found == pytest.approx([0.006 + 0.001, 2 * 0.004 + 0.001])


def test_a_short_sum_waits_for_the_latency_and_a_long_one_for_the_bandwidth():
    assert ranks.network_sum(8, 4, gigabits=1, latency=1e-3) == pytest.approx(2e-3, rel=1e-3)  # log2 of 4 messages
    bytes_a_second = 1e9 / 8
    found = ranks.network_sum(1e9, 4, gigabits=1, latency=1e-6)
    assert found == pytest.approx(2 * 3 / 4 * 1e9 / bytes_a_second, rel=1e-3)


def test_without_a_network_to_wait_for_the_speed_up_is_that_of_the_parts():
    assert ranks.speed_up(ONE, 4, gigabits=1e9, latency=0) == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("width", [1, 32])
def test_parameters_are_those_of_the_network(width):
    sizes = (784, width), (width, width), (width, 10)
    assert ranks.parameters(width) == sum(n_in * n_out + n_out for n_in, n_out in sizes)


@pytest.mark.mpi
def test_smoke_run_prints_both_tables_and_writes_all_times(tmp_path):
    pytest.importorskip("numba")
    file = tmp_path / "ranks.json"
    command = [sys.executable, "-m", "benchmarks.ranks", "--smoke", "--json", str(file), "--plots", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| 32, ")]
    assert rows == 2 * ["32, 128", "32, 1024"]
    points = json.loads(file.read_text())["points"]
    assert [point["ranks"] for point in points] == [1, 1, 2, 2, 4, 4, 8, 8]
    assert all(point[name] > 0 for point in points for name in ("step", "sums") if point["ranks"] > 1)
    assert (tmp_path / "ranks.png").stat().st_size < 100_000
