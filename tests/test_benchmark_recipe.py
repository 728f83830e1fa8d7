"""benchmarks.recipe and benchmarks.accuracy: what they train and on what, and that they run."""

import argparse
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

import models
from benchmarks import accuracy, recipe
from minibp import data
from minibp.data import Dataset, Splits


@pytest.fixture
def images(monkeypatch):
    """A small set of images that looks like MNIST to both benchmarks."""
    rng = np.random.default_rng(0)
    sets = [Dataset(rng.integers(0, 256, (n, 28, 28), "uint8"), rng.integers(10, size=n)) for n in (64, 10)]
    monkeypatch.setattr(data, "mnist", lambda directory: Splits(*sets))
    return Splits(*sets)


def test_each_part_but_averaged_weights_is_another_model():
    built = [build() for name, build in recipe.PARTS.items() if name != recipe.AVERAGED]
    assert len({f"{model.layers} {model.loss}" for model in built}) == len(built) == len(recipe.PARTS) - 1
    assert {model.batch_size for model in built} == {128}


def test_recipe_compares_all_parts_on_held_out_images(images, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(recipe, "HELD_OUT", 20)
    file = tmp_path / "recipe.json"
    monkeypatch.setattr(sys, "argv", ["recipe", "--epochs", "1", "--seeds", "0", "--json", str(file)])
    recipe.main()
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines()]
    assert rows[2:] == [*recipe.PARTS]
    parts = json.loads(file.read_text())["parts"]
    assert all(np.isclose(20 * part["runs"][0]["accuracy"] % 1, 0) for part in parts.values())  # of 20 images
    assert ["above *" in part for part in parts.values()] == [False, *[True] * (len(parts) - 1)]


def test_held_out_images_are_the_last_of_the_training_set(images):
    splits = accuracy.held_out(images, 20)
    for held, expected in zip(splits, (images.train[:44], images.train[44:]), strict=True):
        assert np.array_equal(held.x, expected.x) and np.array_equal(held.t, expected.t)


@pytest.mark.parametrize("count", [64, 100])
def test_held_out_images_are_not_all_of_the_training_set(images, count):
    with pytest.raises(ValueError, match="the training set has 64 samples"):
        accuracy.held_out(images, count)


def test_averaged_weights_are_those_that_are_evaluated(images):
    outputs = []
    for decay in (None, 0.5):
        model = replace(models.softmax_regression(), epochs=2)
        outputs.append(accuracy.train_once("", model, 0, images, decay)[1])
    plain, averaged = outputs
    assert np.abs(plain - averaged).max() > 1e-6


def test_accuracy_trains_several_networks_at_a_time_and_reports_them_in_order(monkeypatch, capsys, tmp_path):
    file, names, seeds = tmp_path / "accuracy.json", ["softmax", "small"], [3, 1]
    line = ["--dataset", "digits", "--models", *names, "--seeds", *map(str, seeds), "--epochs", "1", "--jobs", "2"]
    monkeypatch.setattr(sys, "argv", ["accuracy", *line, "--json", str(file)])
    accuracy.main()
    assert [row.split()[0] for row in capsys.readouterr().out.splitlines()] == names
    found = json.loads(file.read_text())["models"]
    for name in names:
        assert [run["seed"] for run in found[name]["runs"]] == seeds
        for run in found[name]["runs"]:
            model, splits = replace(models.build(name, n_in=64), epochs=1), data.digits(run["seed"])
            alone = accuracy.train_once("", model, run["seed"], splits)[0]
            assert (run["accuracy"], run["loss"]) == pytest.approx((alone["accuracy"], alone["loss"]), rel=1e-4)


def test_accuracy_takes_hidden_layers_for_models_that_have_a_choice(monkeypatch, capsys):
    options = argparse.Namespace(dataset="digits", data=None, held_out=None, epochs=1, hidden=[5])
    assert accuracy.run("small", 0, options)[1].shape == (360, 10)
    monkeypatch.setattr(sys, "argv", ["accuracy", "--models", "small", "softmax", "--hidden", "5"])
    with pytest.raises(SystemExit):
        accuracy.main()
    assert f"--hidden needs models of {', '.join(models.SIZED)}, received small, softmax" in capsys.readouterr().err
