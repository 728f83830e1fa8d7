"""Any bytes give the right object or an error of minibp, in bounded time and memory.

The targets are those of fuzz/fuzz.py, which tries millions of inputs. These tests try a few, and those that it found.
"""

import io
import pickle
import sys
import time

import numpy as np
import pytest
from changes import array, schedule, state
from hostile import SEEDS, TARGETS, files, lines, taken
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import traced

from datasets import moons
from datasets.script import main
from minibp import SGD, Dense, Network, QuadraticLoss, Tanh, load, train
from minibp.base import write_atomically
from minibp.base.shapes import refuse_unusable
from minibp.cli.session import encodable
from minibp.data import Dataset
from minibp.errors import ArgumentError, CheckpointError, DivergenceError, FileFormatError
from minibp.files import tensorfile
from minibp.files.checkpoint import KIND
from minibp.schedules import Step

HUGE = 2**60
SECONDS, MEMORY = 5, 5e6  # limits of one input; most take milliseconds and less than 0.1 MB
REDUCE, WARMUP, COSINE, OWN = 0, 1, 2, 3  # places in files.SCHEDULES, with SGD; 4 more with Adam


def within_memory(target, data):
    """Try an input, and check how much memory it takes."""
    with traced() as memory:
        TARGETS[target](data)
    assert memory.peak < MEMORY


@pytest.mark.parametrize("target", list(TARGETS))
def test_any_bytes_give_the_right_object_or_an_error_of_minibp(target):
    for data in SEEDS[target]:  # fuzzing starts from these; they also create what all inputs share
        within_memory(target, data)

    @settings(max_examples=100, deadline=SECONDS * 1000)
    @given(data=st.binary(max_size=60))
    def check(data):
        within_memory(target, data)

    check()


# --- checkpoints ---------------------------------------------------------------------------------------------------


def resume(which, change):
    """Resume from a checkpoint of the second epoch with changed contents; returns the result of `files.training`."""
    contents, arrays = pickle.loads(files.good_checkpoints(which)[-1])
    change(contents, arrays)
    files.write(tensorfile.to_bytes(KIND, contents, arrays))
    return files.training(which)


@pytest.mark.parametrize("which", range(2 * len(files.SCHEDULES)))
def test_an_unchanged_checkpoint_resumes(which):
    assert resume(which, lambda contents, arrays: None) == (files.STOPS[-1], files.undisturbed(which))


@pytest.mark.parametrize(("which", "change", "message"), [
    (REDUCE, state("network", "layers.2.seed", -1), "Dropout: seed must be an integer of at least 0"),  # endless
    (REDUCE, state("network", "layers.2.step", None), "Dropout: step must be"),
    (REDUCE, state("network", "layers.2.rate", "0"), "Dropout: rate must lie in"),
    (REDUCE, state("network", "layers.2.training", 1), "training must be True or False"),
    (REDUCE, state("network", "layers.1.n", 7), "BatchNorm: the state has the unknown n"),
    (REDUCE, array("network.layers.1.running_var", np.full(2, -1.0, "f4")), "must not hold negative numbers"),
    (REDUCE, array("network.layers.0.W", np.ones((2, 3))), r"W must hold finite numbers, shape \(2, 2\)"),
    (OWN, state("network", "layers.2.kind", 3), "Drop: kind is a str, the state has a int"),
    (OWN, state("network", "layers.2.random", "state", "state", -1), "random: not the state of a generator of PCG64"),
    (OWN, state("network", "layers.2.random", "bit_generator", "MT19937"), "not the state of a generator of PCG64"),
    (OWN, state("network", "layers.2.formula", 1), "the unknown formula"),
    (REDUCE, state("optimizer", "max_norm", 10**400), "max_norm is too large for a float"),
    (REDUCE, state("optimizer", "momentum", 2), "SGD: momentum must lie"),
    (REDUCE, state("optimizer", "n_moments", 0), "SGD: the state has the unknown n_moments"),
    (REDUCE, state("optimizer", {"steps": 1}), "SGD: the state has no"),
    (REDUCE + 4, state("optimizer", "beta2", 1.0), "Adam: beta2 must lie"),
    (REDUCE + 4, state("optimizer", "steps", 10**400), "steps must be an integer of at least 0"),
    (REDUCE, state("optimizer", "schedule.waited", True), "waited must be an integer"),
    (REDUCE, state("optimizer", "schedule.best", "x"), "expected a number"),
    (REDUCE, state("optimizer", "schedule.update", 1), "the unknown update"),
    (REDUCE, schedule("Exponential", lr=1, steps=9, factor=-0.5), "factor must be"),
    (REDUCE, schedule("Schedule"), "the state is one of Schedule, expected ReduceOnPlateau"),
    (REDUCE, schedule("ArgumentError"), "the state is one of ArgumentError"),
    (REDUCE, state("optimizer", "schedule.class", 0.1), "the state is one of 0.1"),
    (WARMUP, state("optimizer", "schedule.then.every", 0), "every must be"),
    (WARMUP, state("optimizer", "schedule.then.class", "Drop"), "the state is one of Drop"),
    (COSINE, state("optimizer", "schedule.steps", 0.5), "steps must be"),
    (REDUCE, state("early stopping", "waited", -1), "waited must be an integer of at least 0"),
    (REDUCE, state("early stopping", "net", 1), "the unknown net"),
    (REDUCE, array("early stopping.best_params", np.full(10, np.nan, "f4")), "best_params must hold finite numbers"),
    (REDUCE, state("progress", "order", "state", "state", -1), "order: not the state of a generator"),
])  # fmt: skip
def test_a_checkpoint_whose_values_would_break_the_training_later_is_refused(which, change, message):
    with pytest.raises(FileFormatError, match=message):
        resume(which, change)


def test_a_factor_that_makes_the_rate_infinite_is_a_divergence():
    net = Network([Dense(2, 2)], QuadraticLoss())
    optimizer = SGD(net, Step(0.1, every=1, factor=1e200))
    with pytest.raises(DivergenceError, match="learning rate"):
        list(train(net, optimizer, Dataset(np.ones((9, 2)), np.zeros(9, int)), epochs=1, batch_size=1))


# --- sizes ---------------------------------------------------------------------------------------------------------


def claims(kind):
    """Files that claim 2**60 items: in the header, its length, or the description of a network."""
    good = tensorfile.to_bytes(kind, {}, {"W": np.ones(1, "f4")})
    header, values = taken.parts(good)
    header["W"] = {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}
    yield taken.joined(header, values)
    yield HUGE.to_bytes(8, "little") + good[8:]
    yield tensorfile.to_bytes(kind, {}, {"W": np.zeros((0, 2**58), "f4")})
    huge = ["Dense", {"n_in": HUGE, "n_out": HUGE}]
    inside = ["Sequential", {"layers": [{"layer": huge}]}]
    for layer in (huge, inside, ["BatchNorm", {"n": HUGE}], ["Dense", {"n_in": 9**9}]):
        described = {"layers": [layer], "loss": ["QuadraticLoss", {}], "dtype": "float32"}
        yield tensorfile.to_bytes(kind, described, {"layers.0.W": np.zeros((0, 2**58), "f4")})


@pytest.mark.parametrize(("kind", "reader"), [("network", load), (KIND, lambda path: files.training(0))])
def test_a_file_that_claims_too_much_allocates_no_memory(kind, reader):
    files.good_checkpoints(0)  # now, so that their memory is not counted
    for content in claims(kind):
        files.remove()
        path = files.write(content)
        with traced() as memory, pytest.raises((FileFormatError, CheckpointError)):
            reader(path)
        assert memory.peak < 1e6


def test_the_time_to_build_a_network_is_linear_in_the_number_of_layers():
    layers = [Tanh() for _ in range(20_000)]
    start = time.process_time()
    refuse_unusable(layers, QuadraticLoss())
    assert time.process_time() - start < 1.5


@pytest.mark.parametrize("depth", [80, 900])
def test_a_deeply_nested_description_is_refused(tmp_path, monkeypatch, depth):
    inner = 0
    for _ in range(depth):
        inner = [inner]
    with monkeypatch.context() as patch:
        patch.setattr(tensorfile, "_depth", lambda value: 0)  # else no such file is written
        write_atomically(tmp_path / "net", tensorfile.to_bytes("network", {"layers": inner}, {}))
    with pytest.raises(FileFormatError, match="its description is damaged"):
        load(tmp_path / "net")


# --- command lines -------------------------------------------------------------------------------------------------


def test_characters_that_cannot_be_printed_are_escaped(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert encodable("a\udcff") == r"a\udcff" and encodable("é") == r"\xe9"


@pytest.mark.parametrize("units", [[2**44], [2**40, 2**40], [2**60], [10**30]])
def test_units_beyond_all_memory_are_an_error(units, capsys):
    words = list(map(str, units))
    assert main("mnist", lambda folder: lines.SPLITS, ["--model", "mlp", "--hidden", *words]) == 2
    assert "memory" in capsys.readouterr().err
    assert moons.main(["--nodes", "2", *words, "2"]) == 2
    assert "memory" in capsys.readouterr().err


def test_a_layer_with_more_values_than_numpy_can_count_is_refused():
    with pytest.raises(ArgumentError, match=r"Dense: W of shape .* more values than fit into memory"):
        Dense(2**40, 2**40)
