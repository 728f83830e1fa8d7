"""The compiled loops of the optimizers: the same bits as the formulas, and no part in what they are not for."""

import sys

import numpy as np
import pytest

import minibp
from minibp import SGD, AdaGrad, Adam, AdamW, Dense, Network, QuadraticLoss, RMSProp, optimizer

MAKERS = {
    "SGD": SGD,
    "momentum": lambda net: SGD(net, momentum=0.9),
    "Nesterov": lambda net: SGD(net, momentum=0.9, nesterov=True),
    "AdaGrad": AdaGrad,
    "RMSProp": RMSProp,
    "Adam": Adam,
    "AdamW": AdamW,
    "Adam with all options": lambda net: Adam(net, weight_decay=0.01, clip_norm=0.5, max_norm=1.0),
}


class Halving(SGD):
    """A formula of one's own."""

    def update(self, w, g, delta, *moments):
        w *= 0.5


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Compiled loops from the third step on, for networks of any size."""
    monkeypatch.setattr(optimizer, "LARGE", 0)
    monkeypatch.setattr(optimizer, "LATE", 2)


def stepped(make, dtype="float32"):
    net = Network([Dense(30, 20)], QuadraticLoss(), dtype=dtype)
    made, rng = make(net), np.random.default_rng(0)
    for _ in range(6):
        net.grads = rng.normal(size=net.grads.size) * rng.choice([1e-3, 1, 0], net.grads.size)
        made.step()
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_compiled_loops_give_the_bits_of_the_formulas(make, dtype, monkeypatch):
    pytest.importorskip("numba")
    ours = stepped(make, dtype)
    assert ours.compiled is not None
    monkeypatch.setattr(optimizer, "LATE", 100)
    plain = stepped(make, dtype)
    assert plain.compiled is None
    np.testing.assert_array_equal(ours.net.params, plain.net.params)
    for got, expected in zip(ours.vectors, plain.vectors, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_formula_of_ones_own_is_never_replaced():
    start = Network([Dense(30, 20)], QuadraticLoss()).params
    made = stepped(Halving)
    assert made.compiled is None
    np.testing.assert_array_equal(made.net.params, start * np.float32(0.5**6))


def test_without_numba_the_formulas_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "minibp.compiled", raising=False)
    monkeypatch.delattr(minibp, "compiled", raising=False)
    assert stepped(Adam).compiled is None
