"""Freezing: layers with trainable = False keep their parameters to the bit, and cost no gradients."""

import copy

import numpy as np
import pytest
from arrays import assert_equal
from networks import samples

from minibp import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    BatchNorm,
    CrossEntropy,
    Dense,
    LayerNorm,
    Network,
    QuadraticLoss,
    ReLU,
    Residual,
    RMSProp,
    Softmax,
    train,
)
from minibp.errors import ArgumentError

OPTIMIZERS = {
    "sgd": lambda net: SGD(net, 0.1, weight_decay=0.1, clip_norm=1.0, max_norm=0.5),
    "momentum": lambda net: SGD(net, 0.1, momentum=0.9, weight_decay=0.1),
    "adagrad": lambda net: AdaGrad(net, weight_decay=0.1),
    "rmsprop": lambda net: RMSProp(net, max_norm=0.5),
    "adam": lambda net: Adam(net, weight_decay=0.1),
    "adamw": AdamW,
}


def build(dtype="float32"):
    layers = [Dense(4, 6), BatchNorm(6), ReLU(), Residual(Dense(6, 6), LayerNorm(6)), Dense(6, 3), Softmax()]
    return Network(layers, CrossEntropy(), dtype=dtype)


def fit(net, optimizer, epochs=2):
    for _ in train(net, optimizer, samples(), epochs, 8):
        pass


def values(layer):
    return [value.copy() for module in layer.modules() for value in module.params.values()]


@pytest.mark.filterwarnings("ignore:the network has no parameters to train")
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("frozen", [[0, 1], [3], [4], [0, 1, 4], [0, 1, 3, 4]], ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_frozen_layers_keep_their_bits_and_the_others_learn(optimizer, frozen):
    net = build()
    adam = optimizer(net)
    fit(net, adam)  # so that there are moments
    before = [values(layer) for layer in net.layers]
    for i in frozen:
        net.layers[i].trainable = False
    fit(net, adam)
    for i, (layer, old) in enumerate(zip(net.layers, before, strict=True)):
        for now, was in zip(values(layer), old, strict=True):
            assert bool((now == was).all()) == (i in frozen)


@pytest.mark.usefixtures("library")
def test_a_layer_that_is_frozen_and_thawed_trains_again():
    net = build()
    optimizer = Adam(net)
    net.layers[0].trainable = False
    fit(net, optimizer)
    before = values(net.layers[0])
    net.layers[0].trainable = True
    fit(net, optimizer)
    assert all((now != was).any() for now, was in zip(values(net.layers[0]), before, strict=True))


def test_the_gradients_of_the_others_are_those_without_freezing():
    net = build("float64")
    frozen = copy.deepcopy(net)
    frozen.layers[3].trainable = False
    x, t = samples()
    for each in (net, frozen):
        each.forward(x, t)
        each.backward()
    for ours, theirs in zip(frozen.layers, net.layers, strict=True):
        for a, b in zip(ours.modules(), theirs.modules(), strict=True):
            for name, gradient in a.grads.items():
                assert_equal(gradient, 0 * b.grads[name] if a in frozen.layers[3].modules() else b.grads[name])


def test_clipping_ignores_frozen_layers():
    net = build("float64")
    net.forward(*samples())
    net.backward()
    net.grads *= 1000
    net.layers[4].trainable = False
    before = net.params.copy()
    SGD(net, lr=1.0, clip_norm=1.0).step()
    assert float(((net.params - before) ** 2).sum()) == pytest.approx(1)


class Untouched(Dense):
    """A layer whose gradient must not be computed."""

    def gradient(self, dy):
        raise AssertionError("this gradient is not needed")


def test_backward_stops_at_the_first_layer_that_trains():
    net = Network([Untouched(4, 6), ReLU(), Dense(6, 3), Softmax()], CrossEntropy())
    net.layers[0].trainable = False
    fit(net, SGD(net))
    assert not net.layers[2].needs_dx
    net.layers[2].trainable = False
    net.layers[0].trainable = True
    with pytest.raises(AssertionError, match="not needed"):
        fit(net, SGD(net))


def test_backward_stops_inside_a_container_too():
    net = Network([Residual(Untouched(4, 4), ReLU(), Dense(4, 4)), Dense(4, 3), Softmax()], CrossEntropy())
    residual = net.layers[0]
    residual.layers[0].trainable = False
    fit(net, SGD(net))
    assert not residual.layers[2].needs_dx


@pytest.mark.filterwarnings("ignore:the network has no parameters to train")
def test_a_network_whose_layers_are_all_frozen_stays_as_it_is():
    net = build()
    for layer in net.layers:
        layer.trainable = False
    before = net.params.copy()
    fit(net, SGD(net, weight_decay=0.1, clip_norm=1.0, max_norm=0.1))
    assert_equal(net.params, before)


def test_freezing_a_container_freezes_its_layers():
    net = build()
    net.layers[3].trainable = False
    assert [layer.trainable for layer in net.layers[3].modules()] == [False] * 3
    net.layers[3].layers[1].trainable = True
    assert not net.layers[3].layers[0].trainable


def test_copies_and_moves_keep_what_is_frozen(library):
    net = build()
    net.layers[3].trainable = False
    for each in (copy.deepcopy(net), net.to(net.backend, "float64")):
        before = values(each.layers[3])
        fit(each, SGD(each, weight_decay=0.1))
        for now, was in zip(values(each.layers[3]), before, strict=True):
            assert_equal(now, was)


def test_layers_keep_their_mode_in_another_network():
    net = build()
    net.layers[1].training = net.layers[1].trainable = False  # a BatchNorm that is frozen with its statistics
    other = Network([*copy.deepcopy(net.layers[:3]), Dense(6, 3), Softmax()], CrossEntropy())
    before = other.layers[1].running_mean.copy()
    fit(other, SGD(other))
    assert [layer.training for layer in other.layers] == [True, False, True, True, True]
    assert_equal(other.layers[1].running_mean, before)


def test_trainable_must_be_true_or_false():
    with pytest.raises(ArgumentError, match="Dense: trainable must be True or False, received 'no'"):
        build().layers[0].trainable = "no"


class Scaled(QuadraticLoss):
    """A loss with a parameter, ℓ = ½ Σ (x - t)² + ½ (c - 1)²."""

    def __init__(self):
        super().__init__()
        self.add_parameter("c", (1,), np.zeros(1))

    def formula(self, x, t):
        return super().formula(x, t) + 0.5 * (self.c[0] - 1) ** 2

    def gradient(self):
        self.dc = self.c - 1
        return super().gradient()


def test_a_loss_with_a_parameter_learns_when_all_layers_are_frozen():
    net = Network([Dense(4, 3)], Scaled())
    net.layers[0].trainable = False
    fit(net, SGD(net, lr=0.5))
    assert float(net.loss.c[0]) == pytest.approx(1, abs=1e-3)
