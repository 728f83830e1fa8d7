"""Layers inside layers: check_gradients checks each alone, and names the one whose own gradient is wrong."""

import numpy as np
import pytest
from arrays import assert_equal
from failing import failing
from mistakes import LABELS, D, K, WrongSign, X, network, with_db, wrong

from minibp import Dense, Dropout, Layer, Network, QuadraticLoss, ReLU, Residual, Sequential, Tanh, check_gradients
from minibp.errors import ArgumentError, InputError

pytestmark = pytest.mark.usefixtures("library")

SIGN = "it is -1 times the right gradient: the sign is wrong"
WrongBias = with_db(lambda dy: 3 * dy.sum(axis=0))


class TwoBranches(Layer):
    """y = left(x) + right(x)."""

    def __init__(self, left=Dense, right=Dense):
        super().__init__()
        self.left, self.right = left(D, D), right(D, D)

    def formula(self, x):
        return self.left.forward(x) + self.right.forward(x)

    def gradient(self, dy):
        return self.left.backward(dy) + self.right.backward(dy)


class ForgottenBranch(TwoBranches):
    def gradient(self, dy):
        self.right.backward(dy)
        return self.left.backward(dy)


class WrongDy(TwoBranches):
    """dx is right, but the parameters of one branch learn from a wrong dy."""

    def gradient(self, dy):
        self.left.backward(dy + 1)
        return dy @ self.left.W.T + self.right.backward(dy)


class ForgottenBackward(TwoBranches):
    def gradient(self, dy):
        return dy @ self.left.W.T + self.right.backward(dy)


class UnusedBranch(TwoBranches):
    def formula(self, x):
        return 2 * self.left.forward(x)

    def gradient(self, dy):
        return self.left.backward(2 * dy)


class Scaled(Layer):
    """y = s inner(x): parameters of its own, beside a list of layers."""

    def __init__(self, inner):
        super().__init__()
        self.parts = [inner]
        self.add_parameter("s", (D,), np.linspace(0.5, 1.5, D))

    def formula(self, x):
        return self.s * self.parts[0].forward(x)

    def gradient(self, dy):
        self.ds = (dy * self.parts[0].y).sum(axis=0)
        return self.parts[0].backward(dy * self.s)


def residual(first=Dense, last=Dense):
    return Residual(first(D, D), ReLU(), last(D, D))


def check(layer):
    return check_gradients(network(layer), X, LABELS)


def named(report):
    """The lines about layer 1 and those inside it."""
    return [line.name for line in report if line.name.startswith("layer 1")]


def blames(report, *places):
    """Whether these places alone are blamed in the lines that have no diagnosis of their own."""
    texts = [line.diagnosis for line in report if "the error comes from " in line.diagnosis]
    return bool(texts) and all(text.endswith(f"the error comes from {' and '.join(places)}") for text in texts)


# --- right gradients -----------------------------------------------------------------------------------------------


def test_each_layer_inside_another_has_lines_of_its_own():
    report = check(residual())
    assert report.ok and named(report) == [
        "layer 1: Residual: x",
        "layer 1.0: Dense(5, 5).W", "layer 1.0: Dense(5, 5).b", "layer 1.0: Dense(5, 5): x",
        "layer 1.1: ReLU(): x",
        "layer 1.2: Dense(5, 5).W", "layer 1.2: Dense(5, 5).b", "layer 1.2: Dense(5, 5): x",
    ]  # fmt: skip


def test_layers_inside_a_layer_of_ones_own_are_named_by_its_attributes():
    report = check(Scaled(Sequential(TwoBranches(), Dropout(0.3))))
    assert report.ok and [name for name in named(report) if not name.endswith((".W", ".b"))] == [
        "layer 1: Scaled.s", "layer 1: Scaled: x", "layer 1.parts.0: Sequential: x",
        "layer 1.parts.0.0: TwoBranches: x", "layer 1.parts.0.0.left: Dense(5, 5): x",
        "layer 1.parts.0.0.right: Dense(5, 5): x", "layer 1.parts.0.1: Dropout(0.3): x",
    ]  # fmt: skip


def test_a_layer_alone_is_checked_with_the_layers_inside_it():
    report = check_gradients(TwoBranches(), X)
    assert report.ok and [line.name for line in report] == [
        "TwoBranches: x",
        "TwoBranches.left: Dense(5, 5).W", "TwoBranches.left: Dense(5, 5).b", "TwoBranches.left: Dense(5, 5): x",
        "TwoBranches.right: Dense(5, 5).W", "TwoBranches.right: Dense(5, 5).b", "TwoBranches.right: Dense(5, 5): x",
    ]  # fmt: skip


def test_layers_inside_the_first_layer_that_trains_pass():
    report = check_gradients(Network([residual(), Dense(D, K)], QuadraticLoss()), X, LABELS)
    assert report.ok, report


def test_the_first_layer_of_a_network_passes_alone():
    net = Network([Residual(Tanh(), Dense(D, D)), Dense(D, K)], QuadraticLoss())
    report = check_gradients(net.layers[0], X)
    assert report.ok, report


# --- wrong gradients -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "place"), [
    (lambda: residual(first=WrongSign), "layer 1.0"),
    (lambda: residual(last=WrongSign), "layer 1.2"),
    (lambda: TwoBranches(right=WrongSign), "layer 1.right"),
    (lambda: Sequential(Scaled(TwoBranches(left=WrongSign)), Dense(D, D)), "layer 1.0.parts.0.left"),
])  # fmt: skip
def test_a_layer_that_passes_a_wrong_dx_is_named_and_not_those_around_it(layer, place):
    report = check(layer())
    found = wrong(report)
    assert found[f"{place}: WrongSign(5, 5): x"] == SIGN
    assert [text for text in found.values() if "the error comes from" not in text] == [SIGN]
    assert blames(report, f"{place}: WrongSign(5, 5)")
    assert "layer 0: Dense(5, 5).W" in found and "layer 2: Dense(5, 3).W" not in found


def test_a_wrong_gradient_of_a_parameter_inside_is_found_there_alone():
    assert list(wrong(check(residual(last=WrongBias)))) == ["layer 1.2: WrongBias(5, 5).b"]


def test_wrong_gradients_in_two_branches_are_both_named():
    report = check(TwoBranches(WrongSign, WrongSign))
    assert blames(report, "layer 1.left: WrongSign(5, 5)", "layer 1.right: WrongSign(5, 5)")


@pytest.mark.parametrize("layer", [ForgottenBranch, lambda: Residual(ForgottenBranch(), Tanh())])
def test_a_layer_that_forgets_a_dx_of_those_inside_is_named_and_not_these(layer):
    report = check(layer())
    (place,) = [line.name[:-3] for line in report if line.name.endswith("ForgottenBranch: x")]
    assert wrong(report)[f"{place}: x"].startswith("it matches no known mistake")
    assert blames(report, place)
    assert not any("left" in name or "right" in name for name in wrong(report))


def test_a_layer_that_passes_a_wrong_dy_to_one_inside_is_named():
    report = check(WrongDy())
    assert list(wrong(report)) == ["layer 1.left: Dense(5, 5).W", "layer 1.left: Dense(5, 5).b"]
    assert blames(report, "layer 1: WrongDy")


def test_a_backward_that_is_never_called_is_named():
    words = "it is never set: gradient of ForgottenBackward must call backward of this layer"
    assert wrong(check_gradients(ForgottenBackward(), X)) == {
        f"ForgottenBackward.left: Dense(5, 5).{name}": words for name in "Wb"
    }


def test_an_error_from_a_later_layer_is_blamed_on_the_layer_inside_it():
    net = network(residual(), residual(last=WrongSign))
    assert blames(check_gradients(net, X, LABELS), "layer 2.2: WrongSign(5, 5)")


def test_a_layer_inside_that_is_never_called_is_reported():
    for report in (check(UnusedBranch()), check_gradients(UnusedBranch(), X)):
        ((name, text),) = wrong(report).items()
        assert name.endswith(".right: Dense(5, 5): x") and text.startswith("no formula calls forward of this layer")


# --- layers that fail or are random --------------------------------------------------------------------------------


class Failing(Dense):
    gradient = failing(ZeroDivisionError("division by zero"))


class Noise(Layer):
    def formula(self, x):
        return x + np.random.default_rng().normal(size=x.shape)

    def gradient(self, dy):
        return dy + 1


def test_a_gradient_inside_that_raises_is_reported_there():
    report = check(residual(last=Failing))
    assert wrong(report) == {
        "layer 1: Residual: x": "the error comes from layer 1.2: Failing(5, 5)",
        **{f"layer 1.2: Failing(5, 5){end}": "gradient fails: ZeroDivisionError: division by zero"
           for end in (".W", ".b", ": x")},
    }  # fmt: skip


def test_a_gradient_inside_that_fails_only_in_a_network_is_reported_there():
    class Doubled(Dense):
        def gradient(self, dy):
            return 1 * super().gradient(dy)  # None in the first layer

    net = Network([Sequential(Tanh(), Residual(Doubled(D, D))), Dense(D, K)], QuadraticLoss())
    found = wrong(check_gradients(net, X, LABELS))
    assert list(found) == [f"layer 0.1.0: Doubled(5, 5){end}" for end in (".W", ".b", ": x")]
    assert all("self.needs_dx is False" in text for text in found.values())


def test_a_random_layer_inside_is_reported_there():
    found = wrong(check(Residual(Dense(D, D), Noise())))
    assert found.pop("layer 1.1: Noise(): x").startswith("formula returns a different y on each call")
    assert found == {"layer 1: Residual: x": "the error comes from layer 1.1: Noise()"}


def test_a_formula_inside_that_changes_its_input_is_reported_there():
    class InPlace(ReLU):
        def formula(self, x):
            x *= x > 0
            return super().formula(x)

    found = wrong(check(Residual(Dense(D, D), InPlace())))
    assert found["layer 1.1: InPlace(): x"].startswith("formula changes x in place")


@pytest.mark.parametrize(("method", "message"), [
    (failing(IndexError("index 9")), "formula fails: IndexError: index 9"),
    (lambda self, x: x * np.inf, "formula returns NaN or numbers of 1e"),
])  # fmt: skip
def test_an_error_in_a_formula_inside_is_raised_with_its_place(method, message):
    layer = type("Broken", (Tanh,), {"formula": method})
    net = network(TwoBranches(left=lambda n, k: Sequential(Dense(n, k), layer())))
    with pytest.raises(ArgumentError, match=rf"^layer 1\.left\.1: Broken\(\): {message}"):
        check_gradients(net, X, LABELS)


def test_a_weight_inside_that_is_not_finite_is_refused():
    layer = TwoBranches()
    layer.right.W[0, 0] = np.nan
    with pytest.raises(InputError, match=r"TwoBranches\(\): right\.W contains NaN or infinity"):
        check_gradients(layer, X)


# --- frozen layers -------------------------------------------------------------------------------------------------


def test_frozen_layers_are_checked_and_stay_frozen():
    net = network(residual(last=WrongBias), Dense(D, D))
    net.layers[0].trainable = net.layers[1].trainable = False
    before, first = net.params.copy(), net.first_trainable
    report = check_gradients(net, X, LABELS)
    assert list(wrong(report)) == ["layer 1.2: WrongBias(5, 5).b"]
    assert "layer 0: Dense(5, 5).W" in [line.name for line in report]
    assert [layer.trainable for layer in net.layers] == [False, False, True, True]
    assert not net.layers[1].layers[2].trainable and net.first_trainable == first
    assert_equal(net.params, before)


def test_a_frozen_layer_alone_is_checked():
    layer = residual(last=WrongBias)
    layer.trainable = False
    assert list(wrong(check_gradients(layer, X))) == ["Residual.2: WrongBias(5, 5).b"]
    assert not layer.trainable and not layer.layers[2].trainable


def test_layers_inside_are_left_as_they_were():
    net, other = (network(Residual(Dense(D, D), Dropout(0.4))) for _ in range(2))
    for each in (net, other):
        each.forward(X, LABELS)
    check_gradients(net, X[:3], LABELS[:3])
    for each in (net, other):
        each.backward()
        each.forward(X, LABELS)
    assert_equal(net.grads, other.grads)
    assert_equal(net.layers[1].y, other.layers[1].y)
