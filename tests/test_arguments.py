"""base.arguments: which values are accepted as numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest

from minibp import SGD, Dense, LeakyReLU, Network, QuadraticLoss
from minibp.base.arguments import fraction, number, positive
from minibp.errors import ArgumentError


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
