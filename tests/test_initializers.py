"""Initializers: the spread of what they draw."""

import math

import numpy as np
import pytest

from minibp import initializers
from minibp.errors import ArgumentError
from minibp.initializers import Constant, Normal, Ones, Zeros

FAN_IN, FAN_OUT = 400, 100

VARIANCES = {
    "GlorotUniform": 2 / (FAN_IN + FAN_OUT),
    "GlorotNormal": 2 / (FAN_IN + FAN_OUT),
    "HeUniform": 2 / FAN_IN,
    "HeNormal": 2 / FAN_IN,
    "LeCunUniform": 1 / FAN_IN,
    "LeCunNormal": 1 / FAN_IN,
}


@pytest.fixture(params=VARIANCES)
def name(request):
    return request.param


@pytest.fixture
def drawn(name, rng):
    return getattr(initializers, name)()((FAN_IN, FAN_OUT), rng)


def test_weights_have_mean_zero_and_the_variance_of_the_paper(name, drawn):
    std = math.sqrt(VARIANCES[name])
    assert drawn.shape == (FAN_IN, FAN_OUT) and drawn.dtype == np.float64
    assert abs(drawn.mean()) < 5 * std / math.sqrt(drawn.size)
    assert drawn.var() == pytest.approx(VARIANCES[name], rel=0.04)


def test_uniform_weights_fill_their_limits_and_normal_ones_exceed_them(name, drawn):
    limit = math.sqrt(3 * VARIANCES[name])
    share_outside = (abs(drawn) > limit).mean()
    if name.endswith("Uniform"):
        assert share_outside == 0 and abs(drawn).max() > 0.999 * limit
    else:
        assert share_outside == pytest.approx(math.erfc(math.sqrt(1.5)), rel=0.1)  # of |z| > √3


def test_biases_cannot_be_scaled_by_their_fan_in(name, rng):
    with pytest.raises(ArgumentError, match=rf"{name} needs a weight matrix .*, received shape \(10,\)"):
        getattr(initializers, name)()((10,), rng)


def test_normal_has_the_standard_deviation_asked_for(rng):
    drawn = Normal(0.3)((FAN_IN, FAN_OUT), rng)
    assert drawn.std() == pytest.approx(0.3, rel=0.02)
    assert abs(drawn.mean()) < 5 * 0.3 / math.sqrt(drawn.size)


@pytest.mark.parametrize(("start", "value"), [(Constant(-2.5), -2.5), (Zeros(), 0), (Ones(), 1), (Normal(0), 0)])
def test_constants_fill_the_array(start, value, rng):
    np.testing.assert_array_equal(start((2, 3), rng), np.full((2, 3), value))


@pytest.mark.parametrize("start", [Normal(), *(getattr(initializers, name)() for name in VARIANCES)])
def test_draws_are_those_of_the_generator(start):
    first, second, other = (start((2, 3), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("std", [-0.1, math.inf, math.nan])
def test_invalid_standard_deviations_are_refused(std):
    with pytest.raises(ArgumentError, match="Normal: std must be a finite number of at least 0, received"):
        Normal(std)


@pytest.mark.parametrize("value", [-math.inf, math.nan, "1", None])
def test_constants_that_are_not_numbers_are_refused_at_once(value):
    with pytest.raises(ArgumentError, match="Constant: value must be a finite number, received"):
        Constant(value)
