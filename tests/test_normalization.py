"""BatchNorm and LayerNorm against the formulas of their papers."""

import math

import numpy as np
import pytest
from arrays import assert_close, assert_equal, host
from hypothesis import given
from strategies import batches, normals, signals

from minibp import BatchNorm, LayerNorm, check_gradients
from minibp.errors import ArgumentError, ShapeError

pytestmark = pytest.mark.usefixtures("library")

both = pytest.mark.parametrize(("kind", "axis"), [(BatchNorm, 0), (LayerNorm, 1)])


def textbook(x, axis, eps=1e-5):
    return (x - x.mean(axis=axis, keepdims=True)) / np.sqrt(x.var(axis=axis, keepdims=True) + eps)


def with_parameters(layer):
    """The layer, with parameters and statistics that are neither 0 nor 1."""
    for seed, name in enumerate([*layer.params, *layer.buffers]):
        setattr(layer, name, abs(normals(layer.n, seed)) + 0.5)
    return layer


@both
@given(x=batches())
def test_normalization_is_its_formula(kind, axis, x):
    layer = with_parameters(kind(x.shape[1]))
    expected = host(layer.gamma) * textbook(x, axis) + host(layer.beta)
    assert_close(layer.forward(x), expected, rtol=1e-9, atol=1e-9)


@both
def test_outputs_have_mean_zero_and_variance_one_at_the_start(kind, axis):
    y = kind(50).forward(7 + 30 * normals((50, 50)))
    assert_close(y.mean(axis=axis), 0, atol=1e-12)
    assert_close(y.var(axis=axis), 1, rtol=1e-6)


@both
def test_eps_is_added_to_the_variance(kind, axis):
    x = normals((4, 4))
    assert_close(kind(4, eps=0.5).forward(x), textbook(x, axis, eps=0.5))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
@given(x=signals)
def test_gradients_are_those_of_the_formula(kind, training, x):
    layer = with_parameters(kind(x.shape[1]))
    layer.training = training
    report = check_gradients(layer, x)
    assert report.ok, report


@both
def test_constant_inputs_give_the_shift(kind, axis):
    layer = with_parameters(kind(3))
    assert_equal(layer.forward(np.full((4, 3), 9.0)), np.tile(host(layer.beta), (4, 1)))


@given(first=batches(min_side=2), second=batches(min_side=6))
def test_running_statistics_follow_the_batches(first, second):
    n, k = first.shape
    layer, second = BatchNorm(k, momentum=0.7), second[:n, :k]
    layer.forward(first)
    layer.forward(second)
    mean = 0.7 * (0.7 * 0 + 0.3 * first.mean(axis=0)) + 0.3 * second.mean(axis=0)
    variance = 0.7 * (0.7 * 1 + 0.3 * first.var(axis=0, ddof=1)) + 0.3 * second.var(axis=0, ddof=1)
    assert_close(layer.running_mean, mean, rtol=1e-12, atol=1e-12)
    assert_close(layer.running_var, variance, rtol=1e-12, atol=1e-12)


def test_running_statistics_are_buffers_and_not_trained():
    layer = BatchNorm(3)
    assert list(layer.params) == list(layer.grads) == ["gamma", "beta"]
    assert list(layer.buffers) == ["running_mean", "running_var"]


def test_a_batch_of_one_returns_the_shift_and_does_not_change_running_statistics():
    layer = with_parameters(BatchNorm(3))
    before = {name: array.copy() for name, array in layer.buffers.items()}
    assert_equal(layer.forward([[5, -2, 0.1]]), [layer.beta])
    assert_equal(layer.backward([[1, 2, 3]]), np.zeros((1, 3)))
    for name, array in layer.buffers.items():
        assert_equal(array, before[name])


@given(x=batches())
def test_at_inference_running_statistics_are_used_and_not_changed(x):
    layer = with_parameters(BatchNorm(x.shape[1]))
    layer.training = False
    mean, variance = host([layer.running_mean.copy(), layer.running_var.copy()])
    expected = host(layer.gamma) * (x - mean) / np.sqrt(variance + 1e-5) + host(layer.beta)
    assert_close(layer.forward(x), expected, rtol=1e-12, atol=1e-12)
    assert_equal([layer.running_mean, layer.running_var], [mean, variance])


@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be an integer of at least 1, received 0"),
        ({"n": 3, "eps": 0.0}, "eps must be a finite number of at least 1e-37, received 0.0"),
        ({"n": 3, "eps": 1e-50}, "eps must be a finite number of at least 1e-37, received 1e-50"),  # 0 in float32
        ({"n": 3, "eps": math.nan}, "eps must be a finite number of at least 1e-37, received nan"),
    ],
)
def test_bad_arguments_are_refused(kind, arguments, message):
    with pytest.raises(ArgumentError, match=f"{kind.__name__}: {message}"):
        kind(**arguments)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, math.nan])
def test_momentum_outside_0_to_1_is_refused(momentum):
    with pytest.raises(ArgumentError, match=r"BatchNorm: momentum must lie in \[0, 1\), received"):
        BatchNorm(3, momentum=momentum)


@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
def test_inputs_of_another_width_are_refused(kind):
    with pytest.raises(ShapeError, match=rf"{kind.__name__}\(3, .*\) is fed 4 values, but takes 3 values"):
        kind(3).forward(np.ones((2, 4)))
