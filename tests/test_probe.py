"""The option --probe of the scripts: saturation on real images, an undisturbed training, and what is printed."""

import re

import numpy as np
import pytest

from datasets import probe
from datasets.moons import OUTPUTS
from datasets.probe import Track, lines, probe_steps, table, watch
from datasets.script import main
from minibp import (
    SGD,
    Adam,
    BatchNorm,
    CrossEntropy,
    Dense,
    Dropout,
    Flatten,
    Network,
    ReLU,
    Softmax,
    data,
    load,
    train,
)
from minibp.errors import ArgumentError, DivergenceError, ShapeError
from minibp.schedules import Schedule

ROW = re.compile(r" *(\d+)  +(\d\.\d{4})  layer (\d): Dense\(\d+, \d+\) +(\S+e\S+) +(\S+%|-) +(\S+%|-) +(\S+e\S+|-)")
LAST_LINE = re.compile(r"(test accuracy \d\.\d{4}  loss \d+\.\d{4}  epochs \d+)  seconds \d+\.\d")


@pytest.fixture(scope="module")
def digits():
    return data.digits().train


def network(**options):
    """A network with dropout and running statistics."""
    layers = [Flatten(), Dense(64, 16), BatchNorm(16), ReLU(), Dropout(0.2), Dense(16, 10), Softmax()]
    return Network(layers, CrossEntropy(), **options)


class Leap(Schedule):
    """A learning rate that is far too high once."""

    def __call__(self, step):
        return 1e38 if step == 5 else 0.1


@pytest.fixture
def script(printed_lines):
    """A function that runs the script of the digits with --probe, and returns the lines that it prints."""
    return lambda *arguments: printed_lines(main("digits", data.digits, ["--probe", *map(str, arguments)]))


# --- watching a training -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "expected"), [
    (1, [0, 1]),
    (3, [0, 1, 3]),
    (144, [0, 1, 3, 10, 30, 100, 144]),
    (1000, [0, 1, 3, 10, 30, 100, 300, 1000]),
])  # fmt: skip
def test_probed_steps_are_spaced_logarithmically_and_end_with_the_last(steps, expected):
    assert probe_steps(steps) == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "batch_size"), [(300, 7), (60, 99)])
@pytest.mark.parametrize("optimizer", [SGD, Adam])
def test_a_training_that_is_watched_ends_with_the_same_bits(digits, dtype, n, batch_size, optimizer):
    plain, watched = network(dtype=dtype), network(dtype=dtype)
    list(train(plain, optimizer(plain), digits[:n], 2, batch_size))
    list(watch(watched, optimizer(watched), digits[:n], 2, batch_size))
    for one, other in ((plain.params, watched.params), (plain.buffers, watched.buffers), (plain.grads, watched.grads)):
        np.testing.assert_array_equal(one, other)
    assert plain.rng.bit_generator.state == watched.rng.bit_generator.state


def test_a_training_is_probed_at_its_steps_and_each_epoch_is_reported(digits):
    net, epochs = network(), []
    points = list(watch(net, SGD(net), digits[:100], 3, 10, lambda: epochs.append(1)))
    assert [point.step for point in points] == probe_steps(30) and len(epochs) == 3
    assert points[0].accuracy < points[-1].accuracy <= 1


def test_no_more_than_a_thousand_samples_are_probed(digits, monkeypatch):
    seen = []
    monkeypatch.setattr(probe, "probe", lambda net, optimizer, dataset, batch_size: seen.append(len(dataset)))
    net = network()
    list(watch(net, SGD(net), digits, 1, 1000))
    assert seen == [1000, 1000, 1000]


def test_watching_refuses_what_training_refuses(digits):
    net = network()
    for arguments in ((SGD(network()), digits, 1), (SGD(net), digits.x, 1), (SGD(net), digits, 0)):
        with pytest.raises(ArgumentError):
            watch(net, *arguments)
    with pytest.raises(ArgumentError, match="batch_size must be an integer of at least 1"):
        watch(net, SGD(net), digits, 1, 0)
    with pytest.raises(ShapeError):
        list(watch(net, SGD(net), data.Dataset(np.ones((3, 5)), [0, 1, 2]), 1))


def test_a_divergence_is_reported_with_its_step_and_cause(digits):
    net = Network([Flatten(), Dense(64, 10), Softmax()], CrossEntropy())
    with pytest.raises(DivergenceError, match=r"at step 1 of 45. Likely cause: the learning rate 1e\+38 is too high"):
        list(watch(net, SGD(net, lr=1e38), digits, 1))


def test_a_training_that_diverges_between_two_probes_stops_at_once(digits):
    net = network()
    with pytest.raises(DivergenceError, match="at step 7 of 144"):
        list(watch(net, SGD(net, lr=Leap()), digits, 1, 10))


def test_an_infinite_initial_loss_is_not_blamed_on_the_rate(digits):
    net = network()
    net.params = np.full_like(net.params, 1e38)
    with pytest.raises(DivergenceError, match=r"the loss of sample 0 .* scale inputs to about -1\.\.1"):
        next(watch(net, SGD(net), digits, 1))


# --- the three outputs ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tracks():
    """The probes of each output that the script makes by default."""
    found = []
    kept = probe.table
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "table", lambda tracks: found.extend(tracks) or kept(tracks))
        assert main("digits", data.digits, ["--probe", "--quiet"]) == 0
    return {track.name: track.points for track in found}


def test_wrong_outputs_saturate_with_the_quadratic_loss_and_never_with_cross_entropy(tracks):
    stuck = {name: [point.layers[-1].saturated for point in points] for name, points in tracks.items()}
    assert list(stuck) == list(OUTPUTS)
    assert max(stuck["quadratic"]) > 0.5
    assert set(stuck["softmax"]) == set(stuck["bce"]) == {0}


def test_with_the_quadratic_loss_the_deltas_of_every_layer_are_smaller(tracks):
    for layer in range(2):
        delta = {name: [point.layers[layer].delta for point in points[1:]] for name, points in tracks.items()}
        for name in ("softmax", "bce"):
            assert all(3 * low < high for low, high in zip(delta["quadratic"], delta[name], strict=True))


def test_with_the_quadratic_loss_the_network_learns_slowly(tracks):
    accuracy = {name: points[-1].accuracy for name, points in tracks.items()}
    assert min(accuracy["softmax"], accuracy["bce"]) > accuracy["quadratic"] + 0.2


def test_the_three_outputs_start_from_the_same_weights(tracks):
    assert len({points[0].layers[0].saturated for points in tracks.values()}) == 1


def test_a_probe_prints_a_header_and_a_line_for_each_layer(tracks):
    point = tracks["softmax"][2]
    head, *rows = lines(point, first=True)
    assert head.split() == ["step", "accuracy", "layer", "delta", "saturated", "dead", "update"]
    assert rows == lines(point, first=False) and len(rows) == 2
    step, accuracy, layer, *cells = ROW.fullmatch(rows[1]).groups()
    assert (step, accuracy, layer, cells) == ("3", f"{point.accuracy:.4f}", "2", point.layers[1].cells())


def test_the_table_shows_the_outputs_side_by_side(tracks):
    above, head, *rows = table([Track(name, points, 0.1) for name, points in tracks.items()]).splitlines()
    assert above.split() == ["wrong", "outputs,", "saturated", "accuracy"]
    assert head.split() == ["step", *OUTPUTS, *OUTPUTS] and len(above) == len(head) == len(rows[0])
    points = [points[3] for points in tracks.values()]
    saturated = [f"{point.layers[-1].saturated:.1%}" for point in points]
    assert rows[3].split() == ["10", *saturated, *(f"{point.accuracy:.4f}" for point in points)]


def test_the_script_prints_a_block_for_each_output_and_then_the_table(script):
    printed = script()
    assert printed[:2] == [
        "digits: 1,437 training and 360 test images", "30 hidden sigmoid units, SGD, batches of 10, 1 epoch"
    ]  # fmt: skip
    for line in ("quadratic: Sigmoid(), QuadraticLoss(), learning rate 3",
                 "softmax: Softmax(), CrossEntropy(), learning rate 0.5",
                 "bce: Sigmoid(), BinaryCrossEntropy(), learning rate 0.5"):  # fmt: skip
        assert printed.count(line) == 1
    assert len([line for line in printed if ROW.fullmatch(line)]) == 3 * 2 * len(probe_steps(144))
    assert printed[-9:] == script("--quiet")


@pytest.mark.parametrize("arguments", [
    ["--lr", 2], ["--hidden", 8], ["--hidden"], ["--batch-size", 50], ["--epochs", 2], ["--seed", 1]
])  # fmt: skip
def test_the_options_have_their_effect(script, arguments):
    assert script("--quiet", *arguments) != script("--quiet")


# --- one model -----------------------------------------------------------------------------------------------------


def test_probing_a_model_does_not_change_its_result(script, capsys):
    arguments = ["--model", "small", "--epochs", "2", "--seed", "1", "--quiet"]
    (probed,) = script(*arguments)
    assert main("digits", data.digits, arguments) == 0
    (plain,) = capsys.readouterr().out.splitlines()
    assert LAST_LINE.fullmatch(probed)[1] == LAST_LINE.fullmatch(plain)[1]


def test_the_recipe_and_the_layers_of_a_model_are_printed_at_each_probed_step(script):
    printed = script("--model", "small", "--epochs", 1)
    assert "Adam, learning rate 0.002, batches of 32, 1 epochs" in printed
    shown = [ROW.fullmatch(line).groups()[::2][:2] for line in printed if ROW.fullmatch(line)]
    assert shown == [(str(step), layer) for step in probe_steps(45) for layer in "147"]
    assert LAST_LINE.fullmatch(printed[-1])


def test_options_override_the_recipe_of_a_model(script):
    printed = script("--model", "small", "--epochs", 1, "--optimizer", "sgd", "--lr", 0.25, "--hidden", 7)
    assert "SGD, learning rate 0.25, batches of 32, 1 epochs" in printed
    assert len([line for line in printed if "layer 1: Dense(64, 7)" in line]) == len(probe_steps(45))


def test_a_model_that_is_probed_can_be_saved(script, tmp_path):
    script("--model", "softmax", "--epochs", 1, "--quiet", "--save", tmp_path / "net.safetensors")
    assert load(tmp_path / "net.safetensors").params.any()


# --- plots, and what is refused ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old releases of matplotlib use what is deprecated
@pytest.mark.parametrize("arguments", [
    ["--hidden", 6, 6, 6, 6, 6], ["--model", "softmax"], ["--model", "mlp", "--hidden", *[9] * 7]
])  # fmt: skip
def test_probes_are_drawn(script, tmp_path, arguments):
    script("--quiet", "--epochs", 1, "--plot", tmp_path / "a.png", *arguments)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--compare-losses"], "--probe cannot be used with --compare-losses"),
    (["--optimizer", "adam"], "--optimizer cannot be used with --probe without --model"),
    (["--weight-decay", 0], "--weight-decay cannot be used with --probe without --model"),
    (["--save", "a.safetensors"], "--save cannot be used with --probe without --model"),
    (["--log", "a.csv"], "--log cannot be used with --probe without --model"),
    (["--log", "a.csv", "--model", "small"], "--log cannot be used with --probe, which has no results for"),
    (["--model", "lenet"], "unknown model 'lenet'"),
    (["--model", "small", "--epochs", 0], "epochs must be an integer of at least 1, received 0"),
    (["--epochs", 0], "epochs must be an integer of at least 1, received 0"),
    (["--batch-size", 0], "batch_size must be an integer of at least 1, received 0"),
    (["--hidden", 0], "must be an integer of at least 1, received 0"),
    (["--lr", "nan"], "lr must be a finite number"),
    (["--seed", -1], "--seed must be at least 0, received -1"),
    (["--data", "."], "the digits are part of minibp"),
    (["--plot", "curves.txt"], "curves.txt: plots are saved as .png, .svg, .pdf"),
    (["--model", "softmax", "--lr", 1e38], "is too high: try a tenth of it"),
])  # fmt: skip
def test_options_that_contradict_a_probe_are_refused(capsys, arguments, message):
    assert main("digits", data.digits, ["--probe", "--quiet", *map(str, arguments)]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.startswith("error: ") and message in error


def test_missing_matplotlib_is_reported_before_the_training(capsys, monkeypatch, no_matplotlib):
    monkeypatch.setattr(probe, "watch", lambda *_: pytest.fail("it was trained"))
    assert main("digits", data.digits, ["--probe", "--plot", "curves.png"]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err


# --- real data -----------------------------------------------------------------------------------------------------


def test_mnist_saturates_with_the_quadratic_loss_only(mnist_directory, capsys):
    assert main("mnist", data.mnist, ["--data", str(mnist_directory), "--probe", "--quiet", "--batch-size", "100"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert max(float(row[1][:-1]) for row in rows) > 50
    assert {row[2] for row in rows} == {row[3] for row in rows} == {"0.0%"}
