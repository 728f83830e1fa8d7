"""benchmarks.scale: how its limits are computed, and that it runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import scale


def test_least_memory_is_four_vectors_and_the_values_of_a_batch():
    parameters = (784 * 16 + 16) + (16 * 10 + 10)
    values = 784 + 2 * (16 + 10)  # of one sample: the inputs, and the outputs and gradients of both layers
    assert scale.least_bytes((784, 16, 10), 32) == 4 * (4 * parameters + 32 * values)


def test_products_are_those_of_a_step_but_for_the_gradient_of_the_data():
    work = scale.products((7, 5, 4, 3), 2)
    assert [out.shape for _, _, out in work] == [
        *[(2, 5), (2, 4), (2, 3)],  # y = x W
        *[(4, 3), (2, 4), (5, 4), (2, 5), (7, 5)],  # dW and dx, from the last layer to the first, which has no dx
    ]
    assert all(out.dtype == np.float32 and np.matmul(a, b, out=out) is out for a, b, out in work)


def test_a_network_without_hidden_layers_has_two_products():
    assert len(scale.products((7, 3), 2)) == 2


def test_data_are_whole_bytes_of_ten_classes_and_the_same_each_time():
    dataset = scale.images(2000)
    assert dataset.x.dtype == np.uint8 and dataset.x.shape == (2000, 784)
    assert np.bincount(dataset.t, minlength=10).min() > 100
    assert np.array_equal(dataset.x, scale.images(2000).x)


def test_smoke_run_prints_all_tables_and_draws_them(tmp_path):
    command = [sys.executable, "-m", "benchmarks.scale", "--smoke", "--json", "scale.json", "--plots", "."]
    path = os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])
    env = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    results = json.loads((tmp_path / "scale.json").read_text())["points"]
    tables = [result["table"] for result in results]
    assert tables == [name for name in scale.HEADS for _ in range(2)] + ["steps"]
    assert done.stdout.count("\n### ") == 5
    assert all(result["peak"] > result["base"] > result["imported"] > 0 for result in results)
    assert (tmp_path / "scale.png").stat().st_size < 100_000
