"""The comparison of outputs: the same initial weights, rates chosen without the test set, and the printed tables."""

import re

import numpy as np
import pytest

from datasets import compare
from datasets.compare import Setting, build, choose, table
from datasets.moons import OUTPUTS
from datasets.script import main
from minibp import SGD, data, evaluate, train

SMALL = Setting(hidden=[8], epochs=2)


@pytest.fixture(scope="module")
def splits():
    return data.digits()


@pytest.fixture(scope="module")
def curves(splits):
    return compare.compare(splits, SMALL, rates=(0.3, 3.0))


@pytest.fixture
def script(printed_lines):
    """A function that runs the comparison on the digits and returns the lines that it prints."""
    start = ["--compare-losses", "--epochs", "2", "--hidden", "8"]
    return lambda *arguments: printed_lines(main("digits", data.digits, [*start, *map(str, arguments)]))


# --- the comparison ------------------------------------------------------------------------------------------------


def test_all_outputs_start_from_the_same_weights(splits):
    start, *others = (build(splits.train, output, SMALL).params for output in OUTPUTS)
    for params in others:
        np.testing.assert_array_equal(params, start)


def test_another_seed_starts_from_other_weights(splits):
    first, other = (build(splits.train, "softmax", SMALL._replace(seed=seed)).params for seed in (0, 1))
    assert (first != other).any()


def test_networks_differ_in_last_layer_and_loss_only(splits):
    for output, (last, loss) in OUTPUTS.items():
        net = build(splits.train, output, SMALL)
        assert [str(layer) for layer in net.layers[:-1]] == ["Dense(64, 8)", "Sigmoid()", "Dense(8, 10)"]
        assert (type(net.layers[-1]), type(net.loss)) == (last, loss)


def test_the_rate_chosen_is_the_best_on_the_samples_held_out(curves):
    for curve in curves:
        choice = curve.choice
        assert choice.accuracies[choice.rates.index(choice.rate)] == max(choice.accuracies)


def test_the_rate_is_judged_by_the_mean_over_the_epochs_on_the_samples_held_out(splits):
    parts = data.split(splits.train, 1 / 6, seed=0)
    net = build(splits.train, "softmax", SMALL)
    first, last = train(net, SGD(net, lr=3.0), parts.train, epochs=2, validation=parts.test)
    assert first.val_accuracy != last.val_accuracy
    mean = (first.val_accuracy + last.val_accuracy) / 2
    assert choose(splits.train, "softmax", SMALL, rates=[3.0]).accuracies == (mean,)


def test_of_equal_rates_the_smallest_is_chosen(splits, monkeypatch):
    monkeypatch.setattr(compare, "learn", lambda *_: iter([]))
    assert choose(splits.train, "bce", SMALL, rates=(3.0, 0.3, 1.0)).rate == 0.3


def test_a_rate_that_diverges_is_not_chosen(splits):
    choice = choose(splits.train, "quadratic", SMALL, rates=(1e38, 0.3))
    assert choice.rate == 0.3
    assert choice.accuracies[1] > choice.accuracies[0]


def test_the_choice_is_the_same_whatever_the_test_set(splits, curves):
    wrong = data.Dataset(splits.test.x, 9 - splits.test.t)
    again = compare.compare(data.Splits(splits.train, wrong), SMALL, rates=(0.3, 3.0))
    assert [curve.choice for curve in again] == [curve.choice for curve in curves]
    assert [curve.accuracies for curve in again] != [curve.accuracies for curve in curves]


def test_the_whole_training_set_is_trained_on_at_the_chosen_rate(splits, curves):
    for curve in curves:
        net = build(splits.train, curve.output, SMALL)
        epochs = train(net, SGD(net, lr=curve.choice.rate), splits.train, epochs=2, validation=splits.test)
        assert [epoch.val_accuracy for epoch in epochs] == curve.accuracies


def test_further_seeds_learn_at_the_rate_that_the_first_has_chosen(splits, curves):
    with_others = compare.compare(splits, SMALL, rates=(0.3, 3.0), others=1)
    assert [curve[:3] for curve in with_others] == [curve[:3] for curve in curves]
    for curve in with_others:
        net = build(splits.train, curve.output, SMALL._replace(seed=1))
        epochs = train(net, SGD(net, lr=curve.choice.rate), splits.train, epochs=2, validation=splits.test)
        assert curve.others == [[epoch.val_accuracy for epoch in epochs]]


def test_each_curve_ends_with_the_accuracy_of_its_network(splits, curves):
    assert [curve.output for curve in curves] == list(OUTPUTS)
    for curve in curves:
        assert evaluate(curve.net, splits.test).accuracy == curve.accuracies[-1]


def test_cross_entropy_learns_faster_than_the_quadratic_loss(splits):
    curves = compare.compare(splits, Setting(epochs=5), rates=(1.0, 3.0))
    accuracy = {curve.output: curve.accuracies[-1] for curve in curves}
    assert min(accuracy["softmax"], accuracy["bce"]) > accuracy["quadratic"]


# --- the scripts ---------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_epoch_and_a_column_for_each_output(curves):
    head, *rows = table(curves).splitlines()
    assert head.split() == ["epoch", *OUTPUTS]
    assert [row.split() for row in rows] == [
        [str(i + 1), *(f"{curve.accuracies[i]:.4f}" for curve in curves)] for i in range(2)
    ]


def test_the_script_prints_the_choices_and_then_the_table(script):
    lines = script()
    assert lines[0] == "digits: 1,437 training and 360 test images"
    assert lines[1] == "8 hidden sigmoid units, SGD, batches of 32"
    assert lines.count("output      lr 0.3     lr 1     lr 3    lr 10    lr 30   chosen") == 1
    for output in OUTPUTS:
        assert [line for line in lines if re.fullmatch(rf"{output} +(\d\.\d{{4}} +){{5}}\S+", line)]
    assert lines[-3].split() == ["epoch", *OUTPUTS]


def test_the_quiet_script_prints_the_table_alone(script):
    loud, quiet = script(), script("--quiet")
    assert quiet == loud[-3:]


def test_batch_size_and_seed_are_those_of_the_command_line(script):
    assert script("--batch-size", 50, "--quiet") != script("--quiet") != script("--seed", 1, "--quiet")
    assert "batches of 50" in script("--batch-size", 50)[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old releases of matplotlib use what is deprecated
def test_the_three_curves_are_drawn(script, tmp_path):
    script("--quiet", "--plot", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--model", "mlp"], "--model cannot be used with --compare-losses"),
    (["--optimizer", "adam"], "--optimizer cannot be used with --compare-losses"),
    (["--lr", 1], "--lr cannot be used with --compare-losses"),
    (["--weight-decay", 0], "--weight-decay cannot be used with --compare-losses"),
    (["--save", "a.safetensors"], "--save cannot be used with --compare-losses"),
    (["--log", "a.csv"], "--log cannot be used with --compare-losses"),
    (["--epochs", 0], "epochs must be an integer of at least 1, received 0"),
    (["--batch-size", 0], "batch_size must be an integer of at least 1, received 0"),
    (["--hidden", 0], "must be an integer of at least 1, received 0"),
    (["--seed", -1], "--seed must be at least 0, received -1"),
    (["--data", "."], "the digits are part of minibp"),
    (["--plot", "curves.txt"], "curves.txt: plots are saved as .png, .svg, .pdf"),
])  # fmt: skip
def test_options_that_contradict_the_comparison_are_refused(capsys, arguments, message):
    assert main("digits", data.digits, ["--compare-losses", "--quiet", *map(str, arguments)]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.startswith("error: ") and message in error


def test_missing_matplotlib_is_reported_before_the_comparison(capsys, monkeypatch, no_matplotlib):
    monkeypatch.setattr("datasets.compare.compare", lambda *_, **__: pytest.fail("it was trained"))
    assert main("digits", data.digits, ["--compare-losses", "--plot", "curves.png"]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err
