"""Dropout: which values are dropped, and how often."""

import math

import numpy as np
import pytest
from arrays import assert_close, assert_equal, host
from hypothesis import given
from hypothesis import strategies as st
from strategies import batches, seeds

from minibp import Dense, Dropout, Network, QuadraticLoss
from minibp.dropout import key, lowbias32
from minibp.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("library")

SIGMAS = 5  # how far from its mean a statistic of random masks may lie


def mask(rate, seed, step=1, shape=(1, 2**14)):
    """1 where Dropout keeps a value at this step, else 0."""
    layer = Dropout(rate, seed=seed)
    layer.step = step - 1
    return (host(layer.forward(np.ones(shape))) > 0).astype(float)


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


@given(x=batches(), rate=st.floats(0, 0.99), seed=seeds)
def test_values_are_dropped_or_scaled_up(x, rate, seed):
    y, kept = Dropout(rate, seed=seed).forward(x), mask(rate, seed, shape=x.shape)
    assert_close(y, x * kept / (1 - rate), rtol=1e-15)


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_share_that_is_kept_is_one_minus_the_rate(rate, seed):
    kept = mask(rate, seed)
    assert abs(kept.mean() - (1 - rate)) < SIGMAS * math.sqrt(rate * (1 - rate) / kept.size)


def test_mean_of_the_outputs_is_that_of_the_inputs(rng):
    x = rng.uniform(1, 3, (100, 1000))
    assert_close(Dropout(0.3, seed=0).forward(x).mean(), x.mean(), rtol=0.01)


def test_rate_zero_drops_nothing(rng):
    x = rng.normal(size=(50, 50))
    assert_equal(Dropout(0, seed=0).forward(x), x)


def test_at_inference_nothing_is_dropped_and_no_step_is_counted(rng):
    x, layer = rng.normal(size=(50, 50)), Dropout(0.5, seed=0)
    layer.training = False
    assert_equal(layer.forward(x), x)
    assert_equal(layer.backward(x), x)
    assert layer.step == 0


# --- masks are a function of (seed, step, index) --------------------------------------------------------------------


def test_same_seed_and_step_give_the_same_mask():
    running = Dropout(0.5, seed=4)
    for step in (1, 2, 3):
        assert_equal(running.forward(np.ones((20, 30))) > 0, mask(0.5, 4, step, (20, 30)))


@pytest.mark.parametrize("shape", [(40, 3), (3, 40), (120, 1), (2, 3, 20)])
def test_mask_depends_on_the_index_and_not_on_the_shape(shape):
    assert_equal(mask(0.5, 0, shape=shape).ravel(), mask(0.5, 0, shape=(1, 120)).ravel())


def test_masks_of_different_seeds_and_steps_are_uncorrelated():
    masks = [mask(0.5, seed, step) for seed in (0, 1, 2, 2**32) for step in (1, 2, 3, 1000)]
    bound = SIGMAS / math.sqrt(masks[0].size)
    assert all(abs(correlation(a, b)) < bound for i, a in enumerate(masks) for b in masks[:i])


def test_masks_of_two_steps_are_not_shifted_copies():
    keys = np.array([lowbias32(key(0, 0, 0) + step) for step in range(2000)])
    order = np.argsort(keys)
    nearest = np.argmin(np.diff(keys[order]))  # the two steps whose first keys differ least, by about a thousand
    a, b = (np.fft.fft(mask(0.5, 0, int(step))[0] - 0.5) for step in order[nearest : nearest + 2])
    correlations = np.fft.ifft(a * b.conj()).real / (0.25 * a.size)  # for each of 16384 shifts
    assert abs(correlations).max() < (SIGMAS + 1) / math.sqrt(a.size)


@pytest.mark.parametrize("distance", [1, 2, 3, 8, 28, 32, 100, 128, 784, 1024])
def test_values_at_a_distance_are_dropped_independently(distance):
    kept = mask(0.5, 0)[0]
    assert abs(correlation(kept[distance:], kept[:-distance])) < SIGMAS / math.sqrt(kept.size - distance)


@pytest.mark.parametrize("seed", [0, 7, 2**32, 2**80 + 5])
def test_the_hash_is_that_of_its_definition(seed):
    layer = Dropout(0.5, seed=seed)
    layer.forward(np.ones((2, 5)))
    first, second = (lowbias32(key(start, seed, 0) + 1) for start in (0, 1))
    for index, value in enumerate(host(layer.hash).ravel()):
        h = (index + first) % 2**32
        h = (h ^ h >> 16) * 0x21F0AAAD % 2**32 ^ second
        h = (h ^ h >> 15) * 0xD35A2D97 % 2**32 ^ second
        assert value == h ^ h >> 15


def test_hash_of_one_number_is_lowbias32():
    assert [lowbias32(n) for n in (0, 1, 2**32 + 1)] == [0, 114555507, 114555507]  # Wellons' C, run


def test_layers_of_the_same_seed_differ_by_their_place_in_the_network():
    x = np.ones((50, 64))
    net = Network([Dropout(0.5, seed=1), Dense(64, 64), Dropout(0.5, seed=1)], QuadraticLoss())
    net.forward(x, x)
    a, b = (host(net.layers[i].kept) for i in (0, 2))
    assert abs(correlation(a, b)) < SIGMAS / math.sqrt(a.size)
    assert net.layers[2].index == 2


def test_layer_without_a_seed_draws_one_and_keeps_it():
    layer = Dropout(0.5)
    first = layer.forward(np.ones((20, 30))).copy()
    layer.step = 0
    assert_equal(layer.forward(np.ones((20, 30))), first)
    assert not np.array_equal(Dropout(0.5).forward(np.ones((20, 30))), first)


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, math.nan])
def test_rates_outside_0_to_1_are_refused(rate):
    with pytest.raises(ArgumentError, match=r"Dropout: rate must lie in \[0, 1\), received"):
        Dropout(rate)
