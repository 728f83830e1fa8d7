"""The experiments of the text that minibp started from reproduce its numbers to every printed digit."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from failing import failing

from datasets import moons
from models import neuron

# The previous section prints these for [2, 8, 8, 2], every 100 epochs.
LOG = [
    "106.621549", "51.138751", "39.983307", "39.076516", "38.783026", "38.425025", "37.709654", "36.134848",
    "32.949924", "28.061959", "22.631995", "18.228867", "15.388130", "13.639390", "12.498768", "11.688902",
    "11.066192", "10.555025", "10.118110", "9.741615",
]  # fmt: skip


# --- one neuron ----------------------------------------------------------------------------------------------------


def test_the_neuron_learns_as_the_text_says(capsys):
    assert neuron.main([]) == 0
    assert capsys.readouterr().out == (
        "quadratic      lr 0.15  start 0.8176  after 300 steps 0.0940\n"
        "quadratic      lr 0.15  start 0.9820  after 300 steps 0.2028\n"
        "cross-entropy  lr 0.15  start 0.8176  after 300 steps 0.0116\n"
        "cross-entropy  lr 0.15  start 0.9820  after 300 steps 0.0120\n"
    )


def test_the_neuron_learns_slowly_at_a_small_rate(capsys):
    assert neuron.main(["--lr", "0.005"]) == 0
    ends = re.findall(r"cross.* steps (.*)", capsys.readouterr().out)
    assert [f"{float(end):.3f}" for end in ends] == ["0.418", "0.780"]


def test_costs_are_those_of_the_outputs():
    run = neuron.learn("quadratic", 0.6, 0.9, steps=5)
    assert len(run.costs) == len(run.outputs) == 6
    np.testing.assert_allclose(run.costs, [a**2 / 2 for a in run.outputs], rtol=1e-12)
    run = neuron.learn("cross-entropy", 0.6, 0.9, steps=5)
    np.testing.assert_allclose(run.costs, [-math.log(1 - a) for a in run.outputs], rtol=1e-12)


# --- two moons -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "maker", "options"), [
    ("moons", "make_moons", {"noise": 0.20}), ("circles", "make_circles", {"noise": 0.10, "factor": 0.5})
])  # fmt: skip
def test_points_are_those_of_scikit_learn(data, maker, options):
    datasets = pytest.importorskip("sklearn.datasets")
    x, labels = moons.POINTS[data](np.random.RandomState(0))
    expected, expected_labels = getattr(datasets, maker)(200, random_state=0, **options)
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize(("data", "first", "last"), [  # of make_moons and make_circles, scikit-learn 1.9
    ("moons", [0.7434611761955393, 0.46465632837724596], [1.5215204998025176, -0.12589229565958063]),
    ("circles", [0.3768831132472517, 0.8668348079268438], [-0.16036077436424606, -0.4262149860170055]),
])  # fmt: skip
def test_first_and_last_point_are_those_of_scikit_learn(data, first, last):
    x, labels = moons.POINTS[data](np.random.RandomState(0))
    np.testing.assert_allclose(x[[0, -1]], [first, last], rtol=1e-12)
    assert labels[:8].tolist() == [0, 1, 1, 0, 1, 1, 0, 1]


def test_quadratic_output_reproduces_the_log(capsys):
    assert moons.main(["--output", "quadratic"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"epoch [{100 * i:4d}] L = {L}" for i, L in enumerate(LOG)]
    assert lines[0].endswith("acc = 0.500000") and lines[-1].endswith("acc = 0.965000")


def previous_section(nodes, epochs):
    """L of the previous section, in plain NumPy: sigmoid units, the sum of squares, the full batch."""
    rng = np.random.RandomState(0)
    x, labels = moons.moons(rng)
    t = np.eye(2)[labels]
    W, b = [], []
    for n_in, n_out in pairwise(nodes):
        W.append(rng.randn(n_in, n_out) / np.sqrt(n_in))
        b.append(rng.randn(1, n_out))
    printed = []
    for epoch in range(epochs):
        z = [x]
        for Wi, bi in zip(W, b, strict=True):
            z.append(1 / (1 + np.exp(-(z[-1] @ Wi + bi))))
        if epoch % 100 == 0:
            printed.append(f"{((z[-1] - t) ** 2).sum():.6f}")
        d = z[-1] * (1 - z[-1]) * (t - z[-1])
        for i in reversed(range(len(W))):
            step = z[i].T @ d, d.sum(axis=0)
            d = z[i] * (1 - z[i]) * (d @ W[i].T)
            W[i] += 0.01 * step[0]
            b[i] += 0.01 * step[1]
    return printed


@pytest.mark.parametrize("nodes", [[2, 2], [2, 3, 2], [2, 4, 3, 2]])
def test_other_nodes_reproduce_the_previous_section(nodes):
    assert [f"{L:.6f}" for L in moons.learn(nodes=nodes).squares] == previous_section(nodes, 2000)


def test_softmax_and_binary_cross_entropy_learn_sooner(capsys):
    assert moons.main([]) == 0
    out = capsys.readouterr().out
    assert out.split("\n\n")[-1] == (
        "output       acc >= 0.95   acc >= 0.97\n"
        "quadratic           1100          1600\n"
        "softmax              500           600\n"
        "bce                  300           400\n"
    )
    assert [len(re.findall(r"epoch \[", part)) for part in out.split("output: ")[1:]] == [20, 20, 20]


def test_an_accuracy_that_was_not_reached_is_reported():
    assert "not reached" in moons.table([moons.learn(epochs=150)])


def test_circles_are_learned_too():
    assert moons.learn("circles", output="softmax").accuracies[-1] > 0.95


# --- plots and mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [neuron.main, lambda arguments: moons.main([*arguments, "--epochs", "101"])])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old releases of matplotlib use what is deprecated
def test_plots_are_drawn(run, tmp_path, capsys):
    assert run(["--plot", str(tmp_path / "plot.png")]) == 0
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("main", "arguments", "message"), [
    (neuron.main, ["--lr", "-1"], "lr must be a finite number"),
    (neuron.main, ["--steps", "0"], "--steps must be an integer of at least 1, received 0"),
    (neuron.main, ["--plot", "nowhere/plot.png"], "the folder nowhere does not exist"),
    (moons.main, ["--nodes", "3", "2"], "--nodes must begin and end with 2"),
    (moons.main, ["--nodes", "2", "-3", "2"], "--nodes must be an integer of at least 1, received -3"),
    (moons.main, ["--plot", "plot.xyz"], "plot.xyz: plots are saved as .png, .svg, .pdf"),
    (neuron.main, ["--plot", "plot"], "plot: plots are saved as .png, .svg, .pdf"),
    (moons.main, ["--epochs", "0"], "--epochs must be an integer of at least 1, received 0"),
    (moons.main, ["--plot", "nowhere/plot.png"], "the folder nowhere does not exist"),
])  # fmt: skip
def test_errors_are_reported_before_the_training(main, arguments, message, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: ") and message in err


@pytest.mark.parametrize("script", [neuron, moons])
def test_an_interrupted_run_says_so(script, monkeypatch, capsys):
    monkeypatch.setattr(script, "learn", failing(KeyboardInterrupt()))
    assert script.main([]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("main", [neuron.main, moons.main])
def test_missing_matplotlib_names_the_extra(main, no_matplotlib, capsys, tmp_path):
    assert main(["--plot", str(tmp_path / "plot.png")]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err
