"""What a model needs besides its weights: Standardize, and the names of classes and columns."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from networks import samples
from strategies import batches

from minibp import (
    SGD,
    Adam,
    CrossEntropy,
    Dense,
    Flatten,
    Network,
    QuadraticLoss,
    Softmax,
    Standardize,
    load,
    save,
    train,
)
from minibp.cli.commands import predictions
from minibp.data import Dataset
from minibp.errors import ArgumentError, FileFormatError, InputError
from minibp.files import tensorfile


@given(x=batches(size=1e3, min_side=2))
def test_the_inputs_that_it_was_made_of_come_out_with_mean_0_and_deviation_1(x):
    x = np.where(abs(x) < 1e-20, 0, x)  # a square would underflow
    y = Standardize.of(x).forward(x)
    constant = (x == x[:1]).all(axis=0)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_array_equal(y[:, constant], 0)
    moderate = ~constant & (x.std(axis=0) > 1e-6)
    np.testing.assert_allclose(y.std(axis=0)[moderate], 1, rtol=1e-6)


def test_bytes_are_standardized_as_the_network_scales_them(rng):
    images = rng.integers(0, 256, (50, 3, 3)).astype("uint8")
    net = Network([Standardize.of(images), Flatten(), Dense(9, 2)], QuadraticLoss(), dtype="float64")
    inside = net.layers[0].forward(images / 255)
    np.testing.assert_allclose([inside.mean(), inside.std()], [0, 1], atol=1e-9)


def test_it_is_not_trained_and_is_saved_with_the_network(tmp_path):
    data = Dataset(samples().x * 100 + 5, samples().t)
    net = Network([Standardize.of(data.x), Dense(4, 3), Softmax()], CrossEntropy())
    before = net.layers[0].mean.copy(), net.layers[0].std.copy()
    list(train(net, Adam(net), data, 3))  # with no warning about the scale
    np.testing.assert_array_equal(before, (net.layers[0].mean, net.layers[0].std))
    save(net, tmp_path / "net.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "net.safetensors").predict(data.x), net.predict(data.x))


@pytest.mark.parametrize(("mean", "std", "message"), [
    (3.0, 1.0, r"mean has the shape \(\), expected that of a sample"),
    ([1, 2], [1, 0], r"std\[1\] is 0, expected a number above 0; 1 for a constant feature"),
    ([1, 2], [1, -1], r"std\[1\] is -1, expected a number above 0"),
    ([1, 2], [1, 2, 3], r"std must hold finite numbers, shape \(2,\)"),
    ([1, np.nan], [1, 2], "mean must hold finite numbers"),
    (["a"], [1], "mean: received an array of <U1"),
])  # fmt: skip
def test_numbers_that_cannot_be_divided_by_are_refused(mean, std, message):
    with pytest.raises(ArgumentError, match=message):
        Standardize(mean, std)


@pytest.mark.parametrize(("x", "error", "message"), [
    (np.ones(3), ArgumentError, r"received x of shape \(3,\)"),
    (np.ones((0, 3)), ArgumentError, r"received x of shape \(0, 3\)"),
    (np.array([[np.nan, 1.0]]), ArgumentError, "first in sample 0"),
    (np.array([["a"]]), InputError, "received an array of <U1"),
])  # fmt: skip
def test_inputs_without_a_deviation_are_refused(x, error, message):
    with pytest.raises(error, match=message):
        Standardize.of(x)


# --- names ---------------------------------------------------------------------------------------------------------


def named(k=3):
    ending, loss = ([Softmax()], CrossEntropy()) if k > 1 else ([], QuadraticLoss())
    net = Network([Flatten(), Dense(4, k), *ending], loss)
    net.class_names, net.column_names = ["no", "yes, but", "maybe"][: max(k, 2)], ["a", "b", "c", "d"]
    return net


def test_names_are_saved_copied_and_given_back(tmp_path):
    net = named()
    save(net, tmp_path / "net.safetensors")
    for again in (load(tmp_path / "net.safetensors"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert (again.class_names, again.column_names) == (["no", "yes, but", "maybe"], ["a", "b", "c", "d"])
    net.class_names = None
    save(net, tmp_path / "net.safetensors")
    assert load(tmp_path / "net.safetensors").class_names is None


def test_predictions_are_printed_by_name():
    net = named()
    x = samples(2).x
    best = net.predict(x).argmax(axis=1)
    quoted = ["no", '"yes, but"', "maybe"]
    first, *lines = predictions(net, x)
    assert first == "sample,class,output"
    for i, line in enumerate(lines):
        assert line.startswith(f"{i},{quoted[best[i]]},")
    assert next(iter(predictions(net, x, outputs=True))) == 'sample,no,"yes, but",maybe'
    assert {line.split(",")[1] for line in predictions(named(1), x)} <= {"class", "no", '"yes'}


@pytest.mark.parametrize(("name", "value", "message"), [
    ("class_names", ["a", "b"], "class_names holds 2 names, expected 3"),
    ("column_names", ["a", "b"], "column_names holds 2 names, expected 4"),
    ("class_names", ["a", "a", "b"], "class_names holds 'a' twice"),
    ("class_names", "abc", "class_names must be a list of strings, received 'abc'"),
    ("class_names", [0, 1, 2], r"must be a list of strings, received \[0, 1, 2\]"),
    ("class_names", ["", "a", "b"], "must be a list of strings"),
])  # fmt: skip
def test_names_that_do_not_fit_are_refused(name, value, message):
    with pytest.raises(ArgumentError, match=message):
        setattr(named(), name, value)


def test_a_file_with_wrong_names_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    save(named(), path)
    contents, arrays = tensorfile.read(path, "network")
    path.write_bytes(tensorfile.to_bytes("network", contents | {"class_names": ["a"]}, arrays))
    with pytest.raises(FileFormatError, match="class_names holds 1 names, expected 3"):
        load(path)


def test_names_do_not_change_a_training():
    params = []
    for net in (named(), Network([Flatten(), Dense(4, 3), Softmax()], CrossEntropy())):
        list(train(net, SGD(net), samples(), 2))
        params.append(net.params)
    np.testing.assert_array_equal(*params)
