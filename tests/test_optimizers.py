"""Optimizers: each one is the formula of its paper, and does nothing else."""

import copy
import re

import numpy as np
import pytest
from arrays import assert_close, assert_equal, host
from hypothesis import given
from hypothesis import strategies as st

import minibp
from minibp import SGD, AdaGrad, Adam, AdamW, Dense, Network, QuadraticLoss, RMSProp, Tanh
from minibp.errors import ArgumentError, StateError, UnknownNameError
from minibp.optimizer import Optimizer
from minibp.optimizers import OPTIMIZERS, by_name
from minibp.schedules import Exponential, Schedule, Step

pytestmark = pytest.mark.usefixtures("library")

STEPS = 20


def network(dtype="float64"):
    return Network([Dense(3, 4), Tanh(), Dense(4, 2)], QuadraticLoss(), dtype=dtype)


def random_gradients(net, steps=STEPS):
    return np.random.default_rng(1).normal(size=(steps, net.params.size)).astype(net.dtype)


def parameters(net):
    """The parameters as they are now, copied to the host."""
    return host(net.params.copy())


def follow(optimizer, gradients):
    """Make a step for each of the gradients; returns the parameters."""
    for g in gradients:
        optimizer.net.grads = g
        optimizer.step()
    return parameters(optimizer.net)


# --- the formulas, as in the papers: w the parameters, g a gradient, decay λ for weights and 0 for biases -----------


def gradient_descent(w, gradients, decay, lr):
    for g in gradients:
        w = w - lr * (g + decay * w)
    return w


def heavy_ball(w, gradients, decay, lr, momentum):
    m = 0
    for g in gradients:
        m = momentum * m + g + decay * w
        w = w - lr * m
    return w


def nesterov(w, gradients, decay, lr, momentum, nesterov):
    """Sutskever et al., 2013: the network holds the point ahead, and the gradient is taken there."""
    position, v, ahead = w, 0, w
    for g in gradients:
        v = momentum * v - lr * (g + decay * ahead)
        position = position + v
        ahead = position + momentum * v
    return ahead


def adagrad(w, gradients, decay, lr, eps):
    v = 0
    for g in gradients:
        g = g + decay * w
        v = v + g**2
        w = w - lr * g / (np.sqrt(v) + eps)
    return w


def rmsprop(w, gradients, decay, lr, rho, eps):
    v = 0
    for g in gradients:
        g = g + decay * w
        v = rho * v + (1 - rho) * g**2
        w = w - lr * g / (np.sqrt(v) + eps)
    return w


def adam(w, gradients, decay, lr, beta1, beta2, eps, decoupled=0):
    m = v = 0
    for t, g in enumerate(gradients, start=1):
        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        w = w - lr * (m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps) + decoupled * w)
    return w


def adamw(w, gradients, decay, **options):
    return adam(w, gradients, 0, **options, decoupled=decay)


@pytest.mark.parametrize("weight_decay", [0, 0.1])
@pytest.mark.parametrize(("cls", "formula", "options"), [
    (SGD, gradient_descent, {"lr": 0.3}),
    (SGD, heavy_ball, {"lr": 0.3, "momentum": 0.8}),
    (SGD, nesterov, {"lr": 0.3, "momentum": 0.8, "nesterov": True}),
    (AdaGrad, adagrad, {"lr": 0.2, "eps": 1e-3}),
    (RMSProp, rmsprop, {"lr": 0.02, "rho": 0.8, "eps": 1e-3}),
    (Adam, adam, {"lr": 0.02, "beta1": 0.8, "beta2": 0.95, "eps": 1e-3}),
    (AdamW, adamw, {"lr": 0.02, "beta1": 0.8, "beta2": 0.95, "eps": 1e-3}),
])  # fmt: skip
def test_steps_are_those_of_the_paper(cls, formula, options, weight_decay):
    net = network()
    gradients = random_gradients(net)
    decay = np.where(np.arange(net.params.size) < net.weight_count, weight_decay, 0)  # of weights, not of biases
    expected = formula(parameters(net), gradients, decay, **options)
    got = follow(cls(net, **options, weight_decay=weight_decay), gradients)
    assert_close(got, expected, rtol=1e-12, atol=1e-14)


# --- common options ------------------------------------------------------------------------------------------------


@given(norm=st.floats(1e-3, 1e3), clip_norm=st.floats(1e-3, 1e3))
def test_gradients_of_a_larger_norm_are_scaled_to_clip_norm(norm, clip_norm):
    net = network()
    g = random_gradients(net)[0]
    g *= norm / np.linalg.norm(g)
    before = parameters(net)
    step = before - follow(SGD(net, lr=1, clip_norm=clip_norm), [g])
    assert_close(step, g * min(clip_norm / norm, 1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clipping_does_not_hide_a_gradient_that_is_not_finite(bad):
    net = network()
    g = random_gradients(net)[0]
    g[3] = bad
    assert np.isnan(follow(SGD(net, clip_norm=1), [g])).all()


def test_clipping_does_not_overflow():
    net = network("float32")
    g = np.zeros(net.params.size, "float32")
    g[:2] = 3e30, -4e30
    before = parameters(net)
    assert_close(before - follow(SGD(net, lr=1.0, clip_norm=1), [g]), g / 5e30, rtol=1e-4, atol=1e-7)


def test_units_with_weights_of_a_larger_norm_are_scaled_to_max_norm():
    net = network()
    W = net.layers[0].W = np.array([[3, 0, 0.1, 0], [4, 0.5, 0, 0], [0, 0, 0, 0]])
    other, biases = host([net.layers[2].W.copy(), net.params[net.weight_count :].copy()])
    follow(SGD(net, lr=0, max_norm=2), random_gradients(net, 1))
    assert_close(net.layers[0].W, W * [0.4, 1, 1, 1], rtol=1e-15)
    assert (np.linalg.norm(other, axis=0) < 2).all()
    assert_equal(net.layers[2].W, other)
    assert_equal(net.params[net.weight_count :], biases)


EVERY_OPTION = {"weight_decay": 0.1, "clip_norm": 1.0, "max_norm": 1.0}


@pytest.mark.parametrize("options", [{}, *({name: value} for name, value in EVERY_OPTION.items()), EVERY_OPTION])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_are_left_as_they_are(name, options):
    net = network()
    g = random_gradients(net)[0]
    follow(by_name(name)(net, **options), [g])
    assert_equal(net.grads, g)


@pytest.mark.host  # a GPU updates the vectors as a whole
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_network_cut_into_pieces_learns_the_same(name, monkeypatch):
    whole, cut = network(), network()
    gradients = random_gradients(whole)
    expected = follow(by_name(name)(whole, **EVERY_OPTION), gradients)
    monkeypatch.setattr("minibp.optimizer.PIECE", 7)
    assert_close(follow(by_name(name)(cut, **EVERY_OPTION), gradients), expected, rtol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_follows_a_network_that_moves(name):
    stays, moves = network("float32"), network("float32")
    first, then = np.split(random_gradients(stays), 2)
    both = [by_name(name)(net) for net in (stays, moves)]
    for optimizer in both:
        follow(optimizer, first)
    moves.to("numpy", "float64")
    expected, params = (follow(optimizer, then) for optimizer in both)
    assert expected.dtype == np.float32 and params.dtype == np.float64
    assert_close(params, expected, rtol=1e-4, atol=1e-6)


def test_a_copied_optimizer_continues_as_the_original_would():
    net = network()
    optimizer = Adam(net)
    first, then = np.split(random_gradients(net), 2)
    follow(optimizer, first)
    twin = copy.deepcopy(optimizer)
    expected = follow(optimizer, then)
    assert_equal(follow(twin, then), expected)
    assert twin.net is not net


@pytest.mark.host  # a GPU is as fast with subnormal numbers
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [Adam, RMSProp, lambda net: SGD(net, momentum=0.9)], ids=["Adam", "RMSProp", "SGD"])
def test_moments_without_gradients_end_at_zero_and_not_below_the_normal_numbers(make, dtype):
    net, tiny = network(dtype), np.finfo(dtype).tiny
    optimizer = make(net)
    follow(optimizer, random_gradients(net, 1))
    net.grads[:] = 0
    for _ in range(1000 if dtype == "float32" else 8000):
        optimizer.step()
        (m, *_) = host(optimizer.moments)
        assert not ((m != 0) & (abs(m) < tiny)).any()
    assert not m.any()


def test_small_moments_are_kept_and_infinite_ones_become_nan():
    net = network("float32")
    optimizer = Adam(net)
    before = np.array([1e-30, -1e-30, 1e-3, np.nan, np.inf], "float32")
    optimizer.moments[0][:5] = np.asarray(before) if net.xp is np else net.xp.asarray(before)
    optimizer._flush(optimizer._cut())
    assert_equal(optimizer.moments[0][:5], [*before[:4], np.nan])


def test_a_network_without_parameters_makes_empty_steps():
    optimizer = Adam(Network([Tanh()], QuadraticLoss()), **EVERY_OPTION)
    optimizer.step()
    assert optimizer.steps == 1


# --- numbers assigned later ----------------------------------------------------------------------------------------

LATER = [
    (SGD, {"momentum": 0.9}, {"momentum": 0.5, "nesterov": True}),
    (SGD, {"momentum": 0.9, "nesterov": True}, {"nesterov": False, "momentum": 0}),
    (AdaGrad, {}, {"eps": 0.1}),
    (RMSProp, {}, {"rho": 0.5, **EVERY_OPTION}),
    (Adam, EVERY_OPTION, {"beta1": 0.5, "beta2": 0.7, "weight_decay": 0, "clip_norm": None, "max_norm": None}),
    (AdamW, {}, {"weight_decay": 0}),
]


@pytest.mark.parametrize(("cls", "first", "then"), LATER)
def test_numbers_assigned_before_the_first_step_work_like_arguments(cls, first, then):
    got, expected = cls(network(), **first), cls(network(), **first | then)
    for name, value in then.items():
        setattr(got, name, value)
    assert got.config() == expected.config()
    gradients = random_gradients(got.net)
    assert_equal(follow(got, gradients), follow(expected, gradients))


# --- the learning rate ---------------------------------------------------------------------------------------------


def test_the_rate_can_be_set_at_any_time():
    net = network()
    optimizer = SGD(net, lr=0.1)
    g = random_gradients(net)[0]
    follow(optimizer, [g])
    before = parameters(net)
    optimizer.lr = 0.5
    assert_close(before - follow(optimizer, [g]), 0.5 * g, rtol=1e-9, atol=1e-15)


def test_a_schedule_is_called_before_each_step():
    net = network()
    optimizer = SGD(net, lr=Step(1.0, every=2, factor=0.5))
    rates, g = [], np.ones(net.params.size)
    for _ in range(5):
        before = parameters(net)
        rates.append(float((before - follow(optimizer, [g])).mean()))
    assert rates == pytest.approx([1, 1, 0.5, 0.5, 0.25])
    assert optimizer.lr == 0.25


def test_a_schedule_can_be_set_and_counts_all_steps():
    net = network()
    optimizer = SGD(net)
    follow(optimizer, random_gradients(net, 10))
    optimizer.lr = Exponential(1.0, steps=10, factor=0.1)
    assert optimizer.lr == pytest.approx(0.1)


def test_numpy_numbers_are_accepted():
    assert SGD(network(), lr=np.float32(0.5)).lr == 0.5


@pytest.mark.parametrize("bad", [-0.1, np.nan, -np.inf, np.float32(-0.1), None, "0.1", [0.1], np.array([0.1, 0.2])])
def test_a_schedule_that_returns_an_invalid_rate_is_refused_at_its_step(bad):
    class Falling(Schedule):
        def __call__(self, step):
            return bad if step == 2 else 0.1

    net = network()
    optimizer = SGD(net, lr=Falling())
    before = follow(optimizer, random_gradients(net, 2))
    with pytest.raises(ArgumentError, match=re.escape(f"Falling gives the rate {bad!r} after 2 steps, expected")):
        optimizer.step()
    assert_equal(parameters(net), before)
    assert optimizer.steps == 2


def test_a_class_without_its_method_says_what_to_define():
    class Empty(Schedule):
        pass

    class Idle(Optimizer):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty needs a method __call__\(self, step\)"):
        SGD(network(), lr=Empty()).step()
    with pytest.raises(NotImplementedError, match=r"Idle needs a method update\(self, w, g, delta, \*moments\)"):
        Idle(network(), lr=0.1).step()


@pytest.mark.parametrize(("name", "value", "becomes"), [
    ("eps", 1e-50, 0), ("clip_norm", 1e-50, 0), ("max_norm", 1e50, "inf"), ("weight_decay", 1e50, "inf")
])  # fmt: skip
def test_a_number_that_vanishes_or_overflows_in_the_dtype_is_refused(name, value, becomes):
    message = f"Adam: {name}={value} becomes {becomes} in float32; choose a"
    net = Network([Dense(2, 3)], QuadraticLoss())
    for use in (lambda: Adam(net, **{name: value}), lambda: setattr(Adam(net), name, value)):
        with pytest.raises(ArgumentError, match=re.escape(message)):
            use()
    optimizer = Adam(net.to(net.backend, "float64"), **{name: value})
    net.to(net.backend, "float32")
    with pytest.raises(ArgumentError, match=re.escape(message)):
        optimizer.step()


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf, "0.1", None, True])
@pytest.mark.parametrize("name", ["lr", "weight_decay"])
def test_rates_are_finite_numbers_of_at_least_0(name, value):
    with pytest.raises(ArgumentError, match=f"{name} must be a finite number of at least 0, received"):
        SGD(network(), **{name: value})


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, "1"])
@pytest.mark.parametrize(("cls", "name"), [(SGD, "clip_norm"), (SGD, "max_norm"), (AdaGrad, "eps"), (RMSProp, "eps"),
                                           (Adam, "eps")])  # fmt: skip
def test_divisors_and_bounds_are_above_0(cls, name, value):
    with pytest.raises(ArgumentError, match=f"{name} must be"):
        cls(network(), **{name: value})


@pytest.mark.parametrize("value", [1, -0.1, np.nan, "0.9", None])
@pytest.mark.parametrize(("cls", "name"), [(SGD, "momentum"), (RMSProp, "rho"), (Adam, "beta1"), (AdamW, "beta2")])
def test_decay_rates_lie_in_0_to_1(cls, name, value):
    with pytest.raises(ArgumentError, match=rf"{name} must lie in \[0, 1\)"):
        cls(network(), **{name: value})


@pytest.mark.parametrize(("cls", "name", "value", "message"), [
    (SGD, "lr", -0.1, "SGD: lr must be a finite number of at least 0, received -0.1"),
    (Adam, "lr", abs, "Adam: lr must be a number or a Schedule, received <.*>; make a function of the step a sub"),
    (SGD, "weight_decay", -1, "weight_decay must be a finite number of at least 0, received -1"),
    (SGD, "clip_norm", -1, "clip_norm must be a finite number of at least 0, received -1"),
    (SGD, "max_norm", 0, "max_norm must be above 0, received 0"),
    (SGD, "momentum", 1, r"momentum must lie in \[0, 1\), received 1"),
    (SGD, "momentum", 0.9, r"the momentum was 0 when this SGD was created, .*; create a new one: SGD\(net"),
    (SGD, "nesterov", "no", "nesterov must be True or False, received 'no'"),
    (SGD, "nesterov", True, r"nesterov=True needs a momentum, e\.g\. momentum=0\.9"),
    (AdaGrad, "eps", 0, "eps must be above 0"),
    (RMSProp, "rho", np.nan, r"rho must lie in \[0, 1\)"),
    (AdamW, "beta1", None, r"beta1 must lie in \[0, 1\)"),
    (AdamW, "weight_decay", None, "weight_decay must be a finite number"),
])  # fmt: skip
def test_a_wrong_assignment_is_refused_and_changes_nothing(cls, name, value, message):
    optimizer = cls(network())
    before = optimizer.config(), optimizer.lr
    with pytest.raises(ArgumentError, match=message):
        setattr(optimizer, name, value)
    assert (optimizer.config(), optimizer.lr) == before


def test_an_optimizer_stays_with_its_network():
    one, other = network(), network()
    optimizer = SGD(one)
    with pytest.raises(StateError, match=r"SGD.*: net is Network.* and cannot be changed; create a new SGD"):
        optimizer.net = other
    optimizer.net = one
    assert optimizer.net is one


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ArgumentError, match=r"needs a momentum, e\.g\. momentum=0\.9"):
        SGD(network(), nesterov=True)
    with pytest.raises(ArgumentError, match="needs a momentum"):
        SGD(network(), momentum=0.9, nesterov=True).momentum = 0


def test_an_error_about_an_unknown_name_lists_those_that_exist():
    with pytest.raises(UnknownNameError, match="unknown optimizer 'sdg': choose one of sgd, rmsprop, adagrad, adam, "):
        by_name("sdg")


@pytest.mark.parametrize(("make", "text"), [
    (lambda net: SGD(net), "SGD(net, lr=0.1)"),
    (lambda net: SGD(net, 0.2, momentum=0.9, nesterov=True), "SGD(net, lr=0.2, momentum=0.9, nesterov=True)"),
    (lambda net: AdamW(net), "AdamW(net, lr=0.001, weight_decay=0.01, beta1=0.9, beta2=0.999, eps=1e-08)"),
    (lambda net: SGD(net, Step(0.1, 10), max_norm=1), "SGD(net, lr=Step(lr=0.1, every=10, factor=0.1), max_norm=1.0)"),
])  # fmt: skip
def test_a_repr_is_the_code_that_makes_it(make, text):
    net = Network([Dense(3, 2)], QuadraticLoss())
    optimizer = make(net)
    assert repr(optimizer) == text
    assert repr(eval(text, vars(minibp) | {"net": net, "Step": Step})) == text
