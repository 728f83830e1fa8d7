"""Hints: `train` warns of what learns badly without an error, says what to do, and is silent otherwise."""

import copy
import warnings

import numpy as np
import pytest
from networks import samples

from minibp import (
    SGD,
    BatchNorm,
    CrossEntropy,
    Dense,
    Dropout,
    Flatten,
    Layer,
    LayerNorm,
    Network,
    QuadraticLoss,
    Residual,
    Sequential,
    Softmax,
    Tanh,
    data,
    hints,
    train,
)
from minibp.data import Dataset
from minibp.errors import MinibpWarning, TrainingWarning

pytestmark = pytest.mark.usefixtures("library")


def network(*hidden):
    return Network([Dense(4, 6), *hidden, Tanh(), Dense(6, 3), Softmax()], CrossEntropy())


def warned(net, dataset, batch_size=32, validation=None):
    """The warnings of `train`, as strings. They must point to the line that calls it."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        train(net, SGD(net), dataset, epochs=1, batch_size=batch_size, validation=validation)
    assert {warning.filename for warning in found} <= {__file__}
    assert {warning.category for warning in found} <= {TrainingWarning}
    return [str(warning.message) for warning in found]


def test_hints_are_warnings_of_minibp():
    assert issubclass(TrainingWarning, MinibpWarning) and issubclass(MinibpWarning, UserWarning)


# --- nothing to train ----------------------------------------------------------------------------------------------


def test_a_network_that_is_all_frozen_is_a_warning():
    net = network(BatchNorm(6))
    for layer in net.layers:
        layer.trainable = False
    (hint,) = warned(net, samples(10))
    assert hint == (
        "the network has no parameters to train: all are frozen, or there are none; set layer.trainable = True"
    )
    net.layers[3].trainable = True
    assert warned(net, samples(10)) == []


# --- normalizations of a single value ------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "batch_size"), [(10, 1), (1, 32)])
def test_batch_norm_with_batches_of_one_sample_is_a_warning(n, batch_size):
    (hint,) = warned(network(BatchNorm(6), BatchNorm(6)), samples(n), batch_size)
    assert hint == (
        "layer 1: BatchNorm(6, 0.9, 1e-05) turns any batch of one sample into β, so no layer before it learns; "
        "train with batches of more samples, or use LayerNorm(6)"
    )


def test_layer_norm_of_one_value_is_a_warning():
    net = Network([Dense(4, 1), LayerNorm(1), Dense(1, 3), Softmax()], CrossEntropy())
    assert warned(net, samples(10)) == [
        "layer 1: LayerNorm(1, 1e-05) turns any single value into β, so no layer before it learns; remove it"
    ]


def test_layer_norm_of_one_value_is_not_the_advice_for_batches_of_one_sample():
    net = Network([Dense(4, 1), BatchNorm(1), Dense(1, 3), Softmax()], CrossEntropy())
    (hint,) = warned(net, samples(10), 1)
    assert hint.endswith("; train with batches of more samples")


def test_batch_norm_inside_a_layer_is_found():
    (hint,) = warned(network(Residual(Dense(6, 6), BatchNorm(6))), samples(5), 1)
    assert hint.startswith("layer 1.1: BatchNorm(6, ")


def test_batch_norm_with_larger_batches_is_no_warning():
    assert warned(network(BatchNorm(6)), samples(10), 2) == []
    assert warned(network(BatchNorm(6)), samples(10), 3) == []  # the last batch has one sample


def test_batch_norm_that_uses_its_running_statistics_is_no_warning():
    net = network(BatchNorm(6))
    net.layers[1].training = False
    assert warned(net, samples(10), 1) == []


def test_networks_without_batch_norm_may_have_batches_of_one_sample():
    assert warned(network(LayerNorm(6)), samples(10), 1) == []


# --- the scale of inputs -------------------------------------------------------------------------------------------


class Scaled(Layer):
    """A user's layer."""

    def formula(self, x):
        return x / 255

    def gradient(self, dy):
        return dy / 255


def of(x, *first):
    """The warnings of `train` on inputs of 4 values, for a network that begins with these layers."""
    x = np.asarray(x) if not isinstance(x, np.memmap) else x
    net = Network([*copy.deepcopy(first), Dense(4, 3), Softmax()], CrossEntropy())
    return warned(net, Dataset(x, np.arange(len(x)) % 3))


@pytest.mark.parametrize(("high", "scaled", "cure"), [
    (1, "0.0039", "x.astype('float32')"), (16, "0.063", "x.astype('float32') / 16"),
])  # fmt: skip
def test_small_bytes_are_a_warning(high, scaled, cure):
    assert of(np.eye(4, dtype="uint8") * high) == [
        f"x is uint8 of at most {high}, which the network scales by 1/255, to at most {scaled}; use {cure}"
    ]


def test_floats_in_the_range_of_pixels_are_a_warning():
    (hint,) = of([[0.0, 7.5, 255.0, 3.0]])
    assert hint == (
        "x holds floats from 0 to 255, which the network uses as they are, and trains badly on; "
        "use x / 255 for pixels, else scale each feature to about -1..1"
    )


@pytest.mark.parametrize("x", [[[0.0, 1.0, 2.0, -100.0]], [[0.0, 1900.0, 2.0, 3.0]]])
def test_other_large_floats_are_a_warning_without_pixels(x):
    (hint,) = of(x)
    assert "pixels" not in hint and hint.endswith("; scale each feature to about -1..1")


@pytest.mark.parametrize("x", [
    np.zeros((2, 4), "uint8"), np.eye(4, dtype="uint8") * 17, np.eye(4), [[16.0, -39.0, 0.0, 1.0]],
])  # fmt: skip
def test_other_inputs_are_no_warning(x):
    assert of(x) == []


def test_a_few_large_numbers_are_no_warning_but_a_large_column_is():
    x = np.zeros((1000, 4))
    x[:4, 1] = 500  # counts of a rare word
    assert of(x) == []
    x[:, 1] = 45  # ages
    assert len(of(x)) == 1


def test_the_digits_are_no_warning():
    net = Network([Dense(64, 10), Softmax()], CrossEntropy())
    assert warned(net, data.digits().train) == []


@pytest.mark.parametrize("first", [
    [BatchNorm(4)], [Dropout(0.1), LayerNorm(4)], [Sequential(BatchNorm(4), Dense(4, 4))], [Scaled()],
])  # fmt: skip
def test_layers_that_may_scale_the_inputs_are_no_warning(first):
    assert of([[0.0, 255.0, 9.0, 9.0]] * 3, *first) == []


@pytest.mark.parametrize("first", [[Flatten()], [Dropout(0.1)], [Sequential(Flatten(), Dense(4, 4))]])
def test_layers_that_do_not_scale_the_inputs_are_passed_over(first):
    assert len(of([[0.0, 255.0, 9.0, 9.0]] * 3, *first)) == 1


@pytest.mark.parametrize("first", [[], [BatchNorm(4)]])
@pytest.mark.parametrize(("ours", "theirs"), [
    (np.full((3, 4), 200, "uint8"), np.full((2, 4), 200.0)), (np.eye(4, dtype="float32"), np.eye(4, dtype="uint8")),
])  # fmt: skip
def test_a_validation_set_of_another_scale_is_a_warning(first, ours, theirs):
    net = Network([*copy.deepcopy(first), Dense(4, 3), Softmax()], CrossEntropy())
    ours, theirs = (Dataset(x, np.zeros(len(x), int)) for x in (ours, theirs))
    (hint,) = warned(net, ours, validation=theirs)
    assert hint.startswith("the root mean square of x is 0.") and "in the validation set; scale both" in hint
    assert warned(net, ours, validation=ours) == []


def test_a_validation_set_of_about_the_same_scale_is_no_warning():
    net, x = Network([Dense(4, 3), Softmax()], CrossEntropy()), np.full((3, 4), 255, "uint8")
    for other in (x, x / 255, x / 20, x * 0):
        assert warned(net, Dataset(x, [0, 1, 2]), validation=Dataset(other, [0, 1, 2])) == []


def test_pixels_as_targets_of_pixels_are_a_warning():
    x, net = np.array([[0, 7, 255, 3]], "uint8"), Network([Dense(4, 4)], QuadraticLoss())
    assert warned(net, Dataset(x, x)) == [
        "x and the rows of t are uint8, but only x is scaled by 1/255; use t / 255 for targets that are pixels"
    ]
    for t in (x / 255, np.eye(4, dtype="uint8")[:1]):
        assert warned(net, Dataset(x, t)) == []


def test_only_some_places_of_a_large_data_set_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(hints, "LOOK", 16 * 2 * 4)  # two samples at each place
    x = np.memmap(tmp_path / "x", "float32", "w+", shape=(1000, 4))
    x[10:990] = 255
    assert len(of(x)) == 1
    x[:] = 0
    x[5] = 255  # between two places
    assert of(x) == []
