"""base.arguments: which values are accepted as numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest

from minibp import (
    SGD,
    CrossEntropy,
    Dense,
    Dropout,
    EarlyStopping,
    LeakyReLU,
    Network,
    QuadraticLoss,
    Residual,
    Softmax,
    schedules,
)
from minibp.base.arguments import fraction, number, positive
from minibp.errors import ArgumentError, UnknownNameError


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), Fraction(1, 2)])
@pytest.mark.parametrize("check", [number, positive, fraction])
def test_numbers_of_every_kind_become_floats(check, value):
    assert check("it", value) == 0.5 and type(check("it", value)) is float


def test_a_number_may_have_any_sign_if_unbounded():
    assert number("it", -3, -math.inf) == -3
    with pytest.raises(ArgumentError, match="it must be a finite number, received -inf"):
        number("it", -math.inf, -math.inf)


@pytest.mark.parametrize("value", [10**400, -(10**5000), Fraction(10**400, 3)], ids=["400", "unprintable", "fraction"])
@pytest.mark.parametrize("make", [
    lambda value: SGD(Network([Dense(2, 2)], QuadraticLoss()), value),
    LeakyReLU,
    lambda value: positive("it", value),
])  # fmt: skip
def test_integers_beyond_all_floats_are_refused(make, value):
    with pytest.raises(ArgumentError, match="is too large for a float"):
        make(value)


# --- attributes that do not exist -----------------------------------------------------------------------------------


def objects():
    net = Network([Dense(3, 3), Dropout(0.5), Residual(Dense(3, 3)), Softmax()], CrossEntropy())
    optimizer = SGD(net, lr=schedules.Cosine(0.1, steps=9), momentum=0.9)
    return {
        "Dense": net.layers[0], "Dropout": net.layers[1], "Residual": net.layers[2], "CrossEntropy": net.loss,
        "SGD": optimizer, "Cosine": optimizer.schedule, "EarlyStopping": EarlyStopping(net), "Network": net,
    }  # fmt: skip


@pytest.mark.parametrize(
    "kind, name, known",
    [
        ("Dense", "weight", "training, trainable, W, b"),
        ("Dropout", "rate_", "training, trainable, seed, step, rate"),
        ("Residual", "frozen", "training, trainable"),
        ("CrossEntropy", "weights", "training, trainable"),
        ("SGD", "learning_rate", "lr, weight_decay, clip_norm, max_norm, momentum, nesterov"),
        ("Cosine", "epochs", "lr, steps, end"),
        ("EarlyStopping", "min_epochs", "best, waited, patience, min_delta"),
    ],
)
def test_an_attribute_that_minibp_does_not_have_is_refused_with_those_that_it_has(kind, name, known):
    thing = objects()[kind]
    before = dict(vars(thing))
    with pytest.raises(UnknownNameError, match=f"unknown attribute of {kind} '{name}': choose one of {known}$"):
        setattr(thing, name, 0.5)
    assert vars(thing).keys() == before.keys()


def test_a_network_and_objects_of_a_subclass_take_any_attribute():
    class OwnDense(Dense):
        pass

    class OwnSGD(SGD):
        pass

    net = Network([OwnDense(3, 3)], QuadraticLoss())
    for thing in (net, net.layers[0], OwnSGD(net)):
        thing.anything = 0.5
        assert thing.anything == 0.5
