"""Networks for numbers: what they predict, learn and refuse. test_losses.py has their losses."""

import copy

import numpy as np
import pytest
from arrays import assert_close, assert_equal

from minibp import (
    AbsoluteLoss,
    Adam,
    Dense,
    HuberLoss,
    Network,
    PoissonLoss,
    QuadraticLoss,
    QuantileLoss,
    evaluate,
    train,
)
from minibp.data import Dataset
from minibp.errors import DivergenceError, TargetError
from minibp.metrics import mean_squared_error

pytestmark = pytest.mark.usefixtures("library")

LOSSES = [QuadraticLoss, AbsoluteLoss, HuberLoss, QuantileLoss, PoissonLoss]


def constant(loss, t, lr=0.05, epochs=300):
    """The number that a network learns which sees no difference between the samples."""
    net, x = Network([Dense(1, 1)], loss, dtype="float64"), np.zeros((len(t), 1))
    for _ in train(net, Adam(net, lr), Dataset(x, t), epochs, len(t)):
        pass
    return float(net.predict(x[:1])[0, 0])


@pytest.mark.parametrize(("loss", "expected"), [
    (QuadraticLoss, 4), (AbsoluteLoss, 2), (PoissonLoss, 4), (lambda: QuantileLoss(0.7), 3),
    (lambda: HuberLoss(3), 2.25),  # Σ of the limited errors: 2.25 + 1.25 + 0.25 - 0.75 - 3 = 0
])  # fmt: skip
def test_each_loss_has_its_own_best_constant(loss, expected):
    assert constant(loss(), np.array([0.0, 1, 2, 3, 14])) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("t", [[0.0, 2.0, 5.0], [[0], [2], [5]], np.array([[0.0], [2], [5]], "float16")])
def test_one_output_is_a_column_whatever_the_shape_of_the_targets(loss, dtype, t):
    net, x = Network([Dense(2, 1)], loss(), dtype=dtype), np.ones((3, 2))
    list(train(net, Adam(net), Dataset(x, t), 1))
    assert net.predict(x).shape == (3, 1) and net.predict(x)[:, 0].shape == (3,)
    assert np.isfinite(mean_squared_error(net.predict(x), t=t))


@pytest.mark.parametrize("loss", [AbsoluteLoss, HuberLoss, QuantileLoss, PoissonLoss])
def test_counts_are_learned_as_integers_and_as_floats(loss):
    counts, x = np.array([0, 3, 200]), np.eye(3)
    nets = [Network([Dense(3, 1)], loss()) for _ in range(2)]
    for net, t in zip(nets, (counts, counts.astype(float)), strict=True):
        list(train(net, Adam(net), Dataset(x, t), 3))
    assert_equal(nets[0].params, nets[1].params)


def test_a_poisson_loss_predicts_rates(rng):
    net, x = Network([Dense(3, 2)], PoissonLoss(), dtype="float64"), rng.normal(size=(5, 3))
    logits = copy.deepcopy(net.layers[0]).forward(net.xp.asarray(x))
    assert_close(net.predict(x), net.xp.exp(logits), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_rate_beyond_the_dtype_is_reported(dtype):
    net, x = Network([Dense(1, 1, W=[[1]])], PoissonLoss(), dtype=dtype), np.array([[0.0], [800.0]])
    with pytest.raises(DivergenceError, match="the outputs of sample 1 are NaN or infinite"):
        net.predict(x)
    with pytest.raises(DivergenceError, match="the loss of sample 1 of this data set is NaN or infinite"):
        evaluate(net, Dataset(x, [0, 0]))


def test_a_network_refuses_negative_counts_before_the_first_epoch():
    net = Network([Dense(2, 1)], PoissonLoss())
    with pytest.raises(TargetError, match="the target row of sample 2 holds -1"):
        train(net, Adam(net), Dataset(np.ones((3, 2)), [0, 1, -1]), 1)


def test_large_integers_as_targets_are_named_when_a_training_diverges():
    net = Network([Dense(2, 1)], HuberLoss(1e30))
    with pytest.raises(DivergenceError, match=r"Likely cause: the targets reach 1e\+18: scale them"):
        list(train(net, Adam(net, lr=1e30), Dataset(np.ones((3, 2)), [1, 2, 10**18]), 3))
