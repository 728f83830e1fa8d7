"""diagnose(): each known mistake is recognised, and the layer that makes it is named."""

import numpy as np
import pytest
from mistakes import LABELS, D, K, N, NotANumber, TransposedWeights, WrongSign, X, network, with_db, wrong
from strategies import normals

from minibp import (
    CrossEntropy,
    Dense,
    Dropout,
    Layer,
    Loss,
    Network,
    QuadraticLoss,
    Sigmoid,
    SigmoidCrossEntropy,
    Softmax,
    SoftmaxCrossEntropy,
    Softplus,
    Tanh,
    check_gradients,
)

# --- factors and signs ---------------------------------------------------------------------------------------------


def scaled(factor):
    class Scaled(QuadraticLoss):
        def gradient(self):
            return factor * super().gradient()

    return Scaled


FACTORS = [
    (-1, "it is -1 times the right gradient: the sign is wrong"),
    (2, "it is 2 times the right gradient: the ½ that cancels the 2 of a square is missing"),
    (0.5, "it is ½ times the right gradient: ½ is applied once too often"),
    (N, "it is N times the right gradient: the batch is summed instead of averaged"),
    (1 / N, "it is 1/N times the right gradient: it is divided by N once too often"),
    (K, "it is K times the right gradient: the K outputs are summed instead of averaged"),
    (1 / K, "it is 1/K times the right gradient: the K outputs are averaged instead of summed"),
    (2 * N, "it is 2 · N times the right gradient: the ½ that cancels the 2 of a square is missing"),
    (-N, "it is -1 · N times the right gradient: the sign is wrong, and the batch is summed"),
    (2 / N / K, "it is 2 · 1/N · 1/K times the right gradient"),
    (1.25, "it is 1.25 times the right gradient: a constant factor is wrong"),
]


@pytest.mark.parametrize(("factor", "words"), FACTORS)
def test_a_wrong_factor_of_a_loss_is_named(factor, words):
    loss = scaled(factor)
    found = wrong(check_gradients(network(Tanh(), loss=loss), X, LABELS))
    assert found.pop("loss: Scaled(): x").startswith(words)
    assert len(found) == 4 and set(found.values()) == {"right for its dy; the error comes from loss: Scaled()"}
    (alone,) = check_gradients(loss(), X, np.zeros((N, D)))
    assert not alone.ok and (factor in (K, 1 / K, 2 / N / K) or alone.diagnosis.startswith(words))


def test_factors_that_cannot_be_told_apart_are_both_named():
    (line,) = check_gradients(scaled(2)(), normals((2, 3)), [0, 1])
    first, second = line.diagnosis.split("; or ")
    assert first.startswith("it is N times the right") and second.startswith("it is 2 times the right")


def test_a_wrong_sign_is_reported_for_its_own_layer_only():
    found = wrong(check_gradients(network(WrongSign(D, D), Tanh()), X, LABELS))
    assert found == {
        "layer 0: Dense(5, 5).W": "right for its dy; the error comes from layer 1: WrongSign(5, 5)",
        "layer 0: Dense(5, 5).b": "right for its dy; the error comes from layer 1: WrongSign(5, 5)",
        "layer 1: WrongSign(5, 5): x": "it is -1 times the right gradient: the sign is wrong",
    }


# --- parameters ----------------------------------------------------------------------------------------------------


class Accumulating(Dense):
    def gradient(self, dy):
        kept = self.dW.copy()
        dx = super().gradient(dy)
        self.dW += kept
        return dx


class Forgetful(Dense):
    def gradient(self, dy):
        kept = self.db.copy()
        dx = super().gradient(dy)
        self.db = kept
        return dx


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (with_db(lambda dy: dy.mean(axis=0)), "b", "it is 1/N times the right gradient: it is divided by N once too"),
        (with_db(lambda dy: dy[-1]), "b", "it is dy of one sample, not the sum over the batch: write self.db = dy.sum"),
        (TransposedWeights, "W", "the product is transposed: dW = xᵀ dy, not dyᵀ x"),
        (Accumulating, "W", "it is added to the previous gradient: write self.dW = ..., not +="),
        (Forgetful, "b", "it is never set: gradient(dy) must set self.db"),
        (NotANumber, "W", "it contains NaN or infinity"),
    ],
)
def test_a_wrong_gradient_of_a_parameter_is_diagnosed(kind, name, words):
    found = wrong(check_gradients(network(Tanh(), kind(D, D)), X, LABELS))
    assert list(found) == [f"layer 2: {kind.__name__}(5, 5).{name}"]
    assert all(text.startswith(words) for text in found.values())


# --- inputs --------------------------------------------------------------------------------------------------------


class TransposedInput(Dense):
    def gradient(self, dy):
        super().gradient(dy)
        return dy @ self.W


class ElementwiseSoftmax(Softmax):
    def gradient(self, dy):
        return dy * self.y * (1 - self.y)


class SigmoidAtTheOutput(Sigmoid):
    def gradient(self, dy):
        slope = 1 / (1 + np.exp(-self.y))
        return dy * slope * (1 - slope)


class SigmoidAtTheInput(Sigmoid):
    def gradient(self, dy):
        return dy * self.x * (1 - self.x)


class TanhAtTheInput(Tanh):
    def gradient(self, dy):
        return dy * (1 - self.x**2)


class SoftplusAtTheOutput(Softplus):
    def gradient(self, dy):
        return dy / (1 + np.exp(-self.y))


class PassedOn(Tanh):
    def gradient(self, dy):
        return dy


class WithoutTheChain(Tanh):
    def gradient(self, dy):
        return 1 - self.y**2


class SoftmaxTwice(Softmax):
    def gradient(self, dy):
        return super().gradient(super().gradient(dy).copy())


class NothingReturned(Tanh):
    def gradient(self, dy):
        super().gradient(dy)


class Strange(Tanh):
    def gradient(self, dy):
        return np.cos(self.x) * dy


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (TransposedInput(D, D, seed=0), "W is not transposed: dx = dy Wᵀ, not dy W"),
        (ElementwiseSoftmax(), "only the diagonal y (1 - y) of the Jacobian is used, but each output"),
        (SigmoidAtTheOutput(), "the derivative is computed from the output y: use the input, self.x"),
        (SoftplusAtTheOutput(), "the derivative is computed from the output y: use the input, self.x"),
        (SigmoidAtTheInput(), "the derivative y (1 - y) is computed from the input x: use the output, self.y"),
        (TanhAtTheInput(), "the derivative 1 - y² is computed from the input x: use the output, self.y"),
        (PassedOn(), "dy is returned unchanged: the derivative of this layer is missing"),
        (WithoutTheChain(), "the factor dy is missing: dx is dy times the derivative"),
        (SoftmaxTwice(), "dy is multiplied by the Jacobian of this layer twice"),
        (NothingReturned(), "it is missing: gradient(dy) must return dx"),
        (Strange(), "it matches no known mistake"),
    ],
    ids=str,
)
def test_a_wrong_gradient_of_an_input_is_diagnosed(layer, words):
    found = wrong(check_gradients(layer, X))
    assert list(found) == [f"{layer}: x"] and found[f"{layer}: x"].startswith(words)
    found = wrong(check_gradients(network(type(layer)(*layer.config().values())), X, LABELS))
    assert found.pop(f"layer 1: {layer}: x").startswith(words)
    assert all("Dense(5, 5)" in name and layer.__class__.__name__ in text for name, text in found.items()) or (
        "missing: gradient" in words
    )


# --- losses --------------------------------------------------------------------------------------------------------


class SoftmaxOnceMore(SoftmaxCrossEntropy):
    def gradient(self):
        dx = super().gradient().copy()
        return self.y * (dx - (dx * self.y).sum(axis=1, keepdims=True))


class DiagonalOnceMore(SoftmaxCrossEntropy):
    def gradient(self):
        return super().gradient() * self.y * (1 - self.y)


class SigmoidOnceMore(SigmoidCrossEntropy):
    def gradient(self):
        return super().gradient() * self.y * (1 - self.y)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (SoftmaxOnceMore, "a - t is multiplied by the softmax Jacobian, which it contains already"),
        (DiagonalOnceMore, "a - t is multiplied by the diagonal of the softmax Jacobian, which it contains"),
        (SigmoidOnceMore, "a - t is multiplied by the derivative of σ, which it contains already"),
    ],
)
def test_a_fused_loss_that_applies_the_derivative_once_more_is_diagnosed(kind, words):
    report = check_gradients(network(Tanh(), loss=kind), X, LABELS)
    assert report[-1].name == f"loss: {kind.__name__}(): x" and report[-1].diagnosis.startswith(words)


def test_a_loss_of_probabilities_that_returns_the_gradient_of_the_logits_is_diagnosed():
    class ForTheLogits(CrossEntropy):
        def gradient(self):
            return (self.x - self.t) / len(self.x)

    net = Network([Dense(D, K), Softmax()], ForTheLogits())
    found = wrong(check_gradients(net, X, LABELS))
    assert found["loss: ForTheLogits(): x"].startswith("a - t is the gradient of the logits, but this loss is fed")
    assert found["layer 0: Dense(5, 3).W"] == "right for its dy; the error comes from loss: ForTheLogits()"


class OwnLoss(Loss):
    """Softmax and cross-entropy, as a user would write them."""

    def formula(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.a = e / e.sum(axis=1, keepdims=True)
        return -(t * np.log(self.a)).sum(axis=1)

    def gradient(self):
        return (self.a - self.t) / len(self.a)

    def pushed(self, da):
        return self.a * (da - (da * self.a).sum(axis=1, keepdims=True))


class OwnElementwise(OwnLoss):
    def gradient(self):
        return -self.t / self.a * self.a * (1 - self.a) / len(self.a)


class OwnElementwiseSum(OwnLoss):
    def gradient(self):
        return -self.t * (1 - self.a)


class OwnTwice(OwnLoss):
    def gradient(self):
        return self.pushed(self.pushed(-self.t / self.a)) / len(self.a)


class OwnTwiceSum(OwnLoss):
    def gradient(self):
        return self.pushed(self.a - self.t)


@pytest.mark.parametrize(
    ("kind", "words", "end"),
    [
        (OwnElementwise, "only the diagonal a (1 - a) of the softmax", "return (a - t) / N, where a = softmax(x)"),
        (OwnElementwiseSum, "only the diagonal a (1 - a) of the softmax", "return (a - t) / N, where a = softmax(x)"),
        (OwnTwice, "a - t is multiplied by the softmax Jacobian, which it", "return (a - t) / N, where a = softmax(x)"),
        (OwnTwiceSum, "a - t is multiplied by the softmax Jacobian, which it", "the 1/N is missing, too"),
    ],
)
@pytest.mark.parametrize("targets", [LABELS, np.random.default_rng(0).dirichlet(np.ones(K), N)], ids=["labels", "rows"])
def test_a_users_fused_loss_with_a_wrong_jacobian_is_diagnosed(kind, words, end, targets):
    report = check_gradients(network(Tanh(), loss=kind), X, targets)
    (alone,) = check_gradients(kind(), normals((N, K)), targets)
    for line in (report[-1], alone):
        assert not line.ok and line.diagnosis.startswith(words) and line.diagnosis.endswith(end)


# --- changes in place ------------------------------------------------------------------------------------------------


class ChangesItsInput(Layer):
    """A rectifier."""

    def formula(self, x):
        x[x < 0] = 0
        return x.copy()

    def gradient(self, dy):
        return dy * (self.y > 0)


class ChangesItsGradient(Tanh):
    def gradient(self, dy):
        dy *= 1 - self.y**2
        return dy


class ChangesItsInputBackward(Tanh):
    def gradient(self, dy):
        self.x *= 0
        return super().gradient(dy)


class ChangesItsTargets(Loss):
    """Half the sum of squares."""

    def formula(self, x, t):
        t -= x
        return (t**2).sum(axis=1) / 2

    def gradient(self):
        return -self.t / len(self.t)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (ChangesItsInput, "formula changes x in place"),
        (ChangesItsGradient, "gradient changes dy in place"),
        (ChangesItsInputBackward, "gradient changes x in place"),
    ],
)
def test_a_change_in_place_is_reported_even_if_the_gradients_are_right(kind, words):
    report = check_gradients(kind(), X)
    assert not report.ok and report[0].error < 1e-6 and report[0].diagnosis.startswith(words)
    found = wrong(check_gradients(network(Tanh(), kind()), X, LABELS))
    assert found[f"layer 2: {kind.__name__}(): x"].startswith(words)
    assert all("Dense(5, 5)" in name or kind.__name__ in name for name in found)


def test_targets_that_a_loss_changes_in_place_are_named():
    (line,) = check_gradients(ChangesItsTargets(), X, np.ones(X.shape))
    assert line.error < 1e-6 and line.diagnosis.startswith("formula changes t in place")


def test_the_arrays_of_the_user_are_left_as_they_were():
    x, t = X.copy(), np.ones((N, D))
    check_gradients(Network([ChangesItsInput(), Dense(D, D)], ChangesItsTargets(), dtype="float64"), x, t)
    check_gradients(ChangesItsInput(), x)
    check_gradients(ChangesItsTargets(), x, t)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(t, 1)


class TrainsItself(Dense):
    def gradient(self, dy):
        dx = super().gradient(dy)
        self.W -= 0.1 * self.dW
        return dx


class TrainsItselfFirst(Dense):
    def gradient(self, dy):
        self.W = self.W - 0.1 * self.x.T @ dy
        return super().gradient(dy)


class ScalesItsWeights(Dense):
    def formula(self, x):
        self.W *= 0.9
        return super().formula(x)


@pytest.mark.parametrize(
    ("kind", "wrong_names", "words"),
    [
        (TrainsItself, ["W"], "gradient changes W in place, which only the optimizer may do"),
        (TrainsItselfFirst, ["W", "x"], "gradient changes W in place, which only the optimizer may do"),
        (ScalesItsWeights, ["W"], "formula changes W in place"),
    ],
)
def test_parameters_that_a_layer_changes_in_place_are_named(kind, wrong_names, words):
    net = network(Tanh(), kind(D, D))
    before = net.params.copy()
    found = wrong(check_gradients(net, X, LABELS))
    place = f"layer 2: {kind.__name__}(5, 5)"
    own = {name: text for name, text in found.items() if name.startswith(place)}
    assert list(own) == [f"{place}{': ' if name == 'x' else '.'}{name}" for name in wrong_names]
    assert all(text.startswith(words) for text in own.values())
    assert all(place in text for name, text in found.items() if name not in own)
    np.testing.assert_array_equal(net.params, before)


# --- right gradients -------------------------------------------------------------------------------------------------


def test_a_loss_of_very_small_probabilities_passes():
    x = np.array([[1e-8, 1 - 1e-8], [1e-5, 1 - 1e-5], [0.3, 0.7]])
    assert check_gradients(CrossEntropy(), x, [0, 0, 1]).ok


def test_a_network_without_parameters_is_checked_layer_by_layer():
    report = check_gradients(Network([Sigmoid(), Dropout(0.4)], QuadraticLoss()), X, np.ones((N, D)))
    assert report.ok and [line.name for line in report] == [
        "layer 0: Sigmoid(): x",
        "layer 1: Dropout(0.4): x",
        "loss: QuadraticLoss(): x",
    ]
    assert check_gradients(Network([Softmax()], CrossEntropy()), X, LABELS).ok


def test_a_network_with_a_wrong_layer_is_left_as_it_was():
    net, other = (network(Dropout(0.4), WrongSign(D, D), ChangesItsGradient()) for _ in range(2))
    for each in (net, other):
        each.forward(X, LABELS)
    check_gradients(net, X[:3], LABELS[:3])
    for each in (net, other):  # as if nothing had happened between forward and backward
        each.backward()
        each.forward(X, LABELS)
    for name in ("params", "grads", "buffers"):
        np.testing.assert_array_equal(getattr(net, name), getattr(other, name))
    assert net.rng.bit_generator.state == other.rng.bit_generator.state
    assert net.layers[1].step == 2 and net.layers[0].needs_dx is False
