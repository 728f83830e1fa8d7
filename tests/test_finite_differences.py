"""Layers and losses that fail, are random, or compute in float32: the report blames them, and no others."""

import numpy as np
import pytest
from failing import failing
from mistakes import LABELS, D, K, N, TransposedWeights, X, network, with_db, wrong
from strategies import normals

from minibp import (
    Dense,
    Dropout,
    Layer,
    Network,
    QuadraticLoss,
    Sequential,
    Sigmoid,
    SigmoidCrossEntropy,
    Tanh,
    check_gradients,
)
from minibp.errors import ArgumentError, ShapeError

pytestmark = pytest.mark.usefixtures("library")

ROWS = normals((N, K), seed=1)

# --- float32 -------------------------------------------------------------------------------------------------------


class Float32Output(Layer):
    def formula(self, x):
        return np.tanh(x).astype(np.float32)

    def gradient(self, dy):
        return dy * (1 - self.y**2)


class Float32Array(Float32Output):
    def formula(self, x):
        y = np.zeros(x.shape, np.float32)
        y[...] = np.tanh(x)
        return y

    def gradient(self, dy):
        dx = np.zeros(dy.shape, np.float32)
        dx[...] = dy * (1 - self.y**2)
        return dx


class Float32Within(Dense):
    """Widened again by W and b, which are float64."""

    def formula(self, x):
        return x.astype(np.float32) @ self.W + self.b


class Float32Weights(Dense):
    def formula(self, x):
        return x @ self.W.astype(np.float32) + self.b


class Float16Output(Float32Output):
    def formula(self, x):
        return np.tanh(x).astype(np.float16)


@pytest.mark.parametrize("kind", [Float32Output, Float32Array, Float32Within, Float32Weights, Float16Output])
def test_a_layer_that_computes_in_float32_is_reported_and_no_other(kind):
    layer = kind(D, D) if issubclass(kind, Dense) else kind()
    words = f"formula computes in {'float16' if kind is Float16Output else 'float32'}, which is too coarse"
    for report in (check_gradients(layer, X), check_gradients(network(Tanh(), layer, Sigmoid()), X, LABELS)):
        found = wrong(report)
        assert len(found) == 1 + len(layer.params)
        assert all(str(layer) in name and text.startswith(words) for name, text in found.items())


def test_a_layer_in_float32_before_the_first_parameters_does_no_harm():
    report = check_gradients(Network([Float32Output(), Dense(D, K)], QuadraticLoss()), X, LABELS)
    assert report.ok, report


def test_a_loss_that_computes_in_float32_is_reported_and_no_layer():
    class Float32Loss(QuadraticLoss):
        def formula(self, x, t):
            return super().formula(x, t).astype(np.float32)

    found = wrong(check_gradients(network(Tanh(), loss=Float32Loss), X, LABELS))
    assert list(found) == ["loss: Float32Loss(): x"]
    assert found["loss: Float32Loss(): x"].startswith("formula computes in float32, which")


def test_mistakes_before_and_after_a_layer_in_float32_are_found():
    class WrongSign(Tanh):
        def gradient(self, dy):
            return -super().gradient(dy)

    found = wrong(check_gradients(network(WrongSign(), Float32Output(), WrongSign()), X, LABELS))
    assert list(found) == ["layer 1: WrongSign(): x", "layer 2: Float32Output(): x", "layer 3: WrongSign(): x"]
    assert found["layer 1: WrongSign(): x"] == found["layer 3: WrongSign(): x"]
    assert found["layer 1: WrongSign(): x"].startswith("it is -1 times the right gradient")


@pytest.mark.parametrize("x", [40 * X, 1e6 + X, 1e-6 * X, np.round(X)], ids=["flat", "far", "small", "whole"])
def test_a_wrong_layer_in_float64_is_not_mistaken_for_float32(x):
    class Twice(Sigmoid):
        def gradient(self, dy):
            return 2 * super().gradient(dy)

    class TwiceDense(Dense):
        def gradient(self, dy):
            return 2 * super().gradient(dy)

    for layer in (Twice(), TwiceDense(D, K, seed=0)):
        assert not any("float32" in line.diagnosis for line in check_gradients(layer, x))


# --- random --------------------------------------------------------------------------------------------------------


class GlobalDropout(Layer):
    def formula(self, x):
        self.mask = (np.random.rand(*x.shape) > 0.3) / 0.7  # noqa: NPY002
        return x * self.mask

    def gradient(self, dy):
        return dy * self.mask


class OwnDropout(GlobalDropout):
    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def formula(self, x):
        self.mask = self.rng.random(x.shape) > 0.1
        return x * self.mask


class OwnNoise(OwnDropout):
    def formula(self, x):
        return x + self.rng.normal(size=x.shape, scale=1e-3)

    def gradient(self, dy):
        return dy


@pytest.mark.parametrize("kind", [GlobalDropout, OwnDropout, OwnNoise])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_random_layer_is_reported_and_no_other(kind, place):
    words = "formula returns a different y on each call: for this check, "
    layers = [Dense(D, D), Dense(D, K)]
    layers.insert(place, kind())
    found = wrong(check_gradients(Network(layers, QuadraticLoss()), X, LABELS))
    assert list(found) == [f"layer {place}: {kind.__name__}(): x"] and next(iter(found.values())).startswith(words)
    (alone,) = check_gradients(kind(), X)
    assert not alone.ok and alone.diagnosis.startswith(words)


def test_a_layer_whose_random_numbers_are_fixed_passes():
    class Fixed(GlobalDropout):
        def formula(self, x):
            self.mask = np.random.default_rng(0).random(x.shape) > 0.3
            return x * self.mask

    assert check_gradients(network(Fixed(), Dropout(0.3)), X, LABELS).ok


# --- gradients that fail -------------------------------------------------------------------------------------------


KeptDimension = with_db(lambda dy: dy.sum(0, keepdims=True))
WrongAxis, WrongAxisKept = with_db(lambda dy: dy.sum(axis=1)), with_db(lambda dy: dy.sum(axis=1, keepdims=True))
Unsummed = with_db(lambda dy: dy)


class WrongAxisInto(Dense):
    def gradient(self, dy):
        dx = super().gradient(dy)
        self.db[...] = dy.sum(axis=1)
        return dx


class UnsummedInto(Dense):
    def gradient(self, dy):
        dx = super().gradient(dy)
        self.db[...] = dy
        return dx


class UnsummedAdded(Dense):
    def gradient(self, dy):
        dx = super().gradient(dy)
        self.db += dy
        return dx


class TransposedProduct(Dense):
    def gradient(self, dy):
        self.dW = self.x @ dy
        return dy @ self.W.T


class NoProduct(Dense):
    def gradient(self, dy):
        return dy + np.ones((2, 9))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (KeptDimension, "gradient fails: ShapeError: WrongBias(5, 4): db has shape (4,), received an array of"),
        (KeptDimension, "db has shape (1, 4), expected (4,): drop keepdims from the sum over the batch"),
        (WrongAxis, "db has shape (7,), expected (4,): the sum runs over the wrong axis, the batch is axis 0"),
        (WrongAxisInto, "db has shape (7,), expected (4,): the sum runs over the wrong axis"),
        (WrongAxisKept, "db has shape (7, 1), expected (4,): the sum runs over the wrong axis"),
        (Unsummed, "db has shape (7, 4), expected (4,): the sum over the batch is missing, .sum(axis=0)"),
        (UnsummedInto, "db has shape (7, 4), expected (4,): the sum over the batch is missing"),
        (UnsummedAdded, "db has shape (7, 4), expected (4,): the sum over the batch is missing"),
        (TransposedWeights, "dW has shape (4, 5), expected (5, 4): the product is transposed"),
        (TransposedProduct, "if the shapes of a product do not fit, a factor often needs a transpose"),
        (NoProduct, "gradient fails: ValueError: operands could not be broadcast together with shapes (7,4) (2,9) "),
    ],
)
def test_a_shape_that_does_not_fit_is_explained(kind, words):
    net = Network([Dense(D, D), kind(D, 4), Dense(4, K)], QuadraticLoss())
    found = wrong(check_gradients(net, X, LABELS))
    assert list(found) == [f"layer 1: {kind.__name__}(5, 4){end}" for end in (".W", ".b", ": x")]
    assert all(text.startswith("gradient fails: ") and words in text for text in found.values())
    assert "product" in words or not any("product" in text for text in found.values())


def test_a_sum_over_the_wrong_axis_is_reported_even_if_its_shape_fits():
    found = wrong(check_gradients(WrongAxis(D, N, seed=0), X))
    words = "it is the sum over the outputs, not over the batch: write self.db = dy.sum(axis=0)"
    assert found == {"WrongBias(5, 7).b": words}


def test_a_gradient_that_returns_a_tuple_is_reported():
    class Tuple(Dense):
        def gradient(self, dy):
            return dy @ self.W.T, self.x.T @ dy, dy.sum(axis=0)

    found = wrong(check_gradients(network(Tuple(D, D)), X, LABELS))
    assert found.pop("layer 1: Tuple(5, 5): x").startswith("gradient(dy) must return dx alone, received a tuple")
    assert found == {
        f"layer 1: Tuple(5, 5).{name}": f"it is never set: gradient(dy) must set self.d{name}" for name in "Wb"
    }


def failing_in(base, method, error):
    """A subclass of a layer or loss in which this method fails."""
    return type("Failing", (base,), {method: failing(error)})


ERRORS = [
    IndexError("index 9 is out of bounds"),
    AttributeError("no attribute 'z'"),
    TypeError("unsupported operand"),
    ZeroDivisionError("division by zero"),
    NotImplementedError("later"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_gradient_that_raises_is_reported_with_its_place(error):
    words = f"gradient fails: {type(error).__name__}: {error}"
    found = wrong(check_gradients(network(failing_in(Tanh, "gradient", error)()), X, LABELS))
    assert found == {"layer 1: Failing(): x": words}
    found = wrong(check_gradients(network(loss=failing_in(QuadraticLoss, "gradient", error)), X, LABELS))
    assert found == {"loss: Failing(): x": words}
    assert wrong(check_gradients(failing_in(Tanh, "gradient", error)(), X)) == {"Failing(): x": words}


@pytest.mark.parametrize("error", [*ERRORS, ValueError("not aligned")], ids=lambda error: type(error).__name__)
def test_an_error_in_a_formula_is_raised_with_its_place(error):
    words = rf"formula fails: {type(error).__name__}: "
    with pytest.raises(ArgumentError, match=rf"^layer 1: Failing\(\): {words}") as caught:
        check_gradients(network(failing_in(Tanh, "formula", error)()), X, LABELS)
    assert caught.value.__cause__ is error and str(error) in str(caught.value)
    with pytest.raises(ArgumentError, match=rf"^loss: Failing\(\): {words}"):
        check_gradients(network(loss=failing_in(QuadraticLoss, "formula", error)), X, LABELS)
    with pytest.raises(ArgumentError, match=rf"^Failing\(\): {words}"):
        check_gradients(failing_in(Tanh, "formula", error)(), X)
    with pytest.raises(ArgumentError, match=rf"^Failing\(\): {words}"):
        check_gradients(failing_in(SigmoidCrossEntropy, "formula", error)(), ROWS, LABELS)


def both_refuse(net, message):
    for call in (lambda: net.forward(X, LABELS), lambda: check_gradients(net, X, LABELS)):
        with pytest.raises(ShapeError, match=message):
            call()


SCALAR = r"(a float|one of shape \(\))"  # of NumPy, or on a device
NO_ARRAY = [(lambda y: None, "None"), (lambda y: y.tolist(), "a list"), (lambda y: y.mean(), SCALAR)]


@pytest.mark.parametrize(("change", "received"), [*NO_ARRAY, (lambda y: y[1:], r"one of shape \(6, 5\)")])
def test_a_formula_of_a_layer_must_return_one_row_a_sample(change, received):
    class Mine(Tanh):
        def formula(self, x):
            return change(super().formula(x))

    message = rf"^Mine\(\): formula must return y, an array of shape \(7, 5\); it returned {received}"
    both_refuse(network(Mine()), message)


@pytest.mark.parametrize(("change", "received"), [*NO_ARRAY, (lambda y: y[:, None], r"one of shape \(7, 1\)")])
def test_a_formula_of_a_loss_must_return_one_number_a_sample(change, received):
    class Mine(QuadraticLoss):
        def formula(self, x, t):
            return change(super().formula(x, t))

    message = rf"^Mine\(\): formula must return the loss of each sample, an array of shape \(7,\); .* {received}"
    both_refuse(network(loss=Mine), message)


@pytest.mark.parametrize(("change", "received"), [
    (lambda dx: None, "None"),
    (lambda dx: dx.mean(), SCALAR),
    (lambda dx: dx.sum(axis=1, keepdims=True), r"one of shape \(7, 1\)"),
])  # fmt: skip
def test_the_layer_or_loss_whose_gradient_returns_no_dx_is_named(change, received):
    class Mine(Tanh):
        def gradient(self, dy):
            return change(super().gradient(dy))

    class MyLoss(QuadraticLoss):
        def gradient(self):
            return change(super().gradient())

    alone, inside = network(Tanh(), Mine()), Network([Sequential(Dense(D, K), Mine()), Tanh()], QuadraticLoss())
    for net, name in ((alone, "Mine"), (inside, "Mine"), (network(loss=MyLoss), "MyLoss")):
        net.forward(X, LABELS)
        with pytest.raises(ShapeError, match=rf"^{name}\(\): gradient must return dx, .* it returned {received}"):
            net.backward()


def test_an_error_of_minibp_in_a_formula_is_passed_on():
    class OtherShape(Tanh):
        def formula(self, x):
            return x[:, :2]

    with pytest.raises(ShapeError, match="define output_shape"):
        check_gradients(network(OtherShape()), X, LABELS)


def test_a_gradient_that_fails_only_in_a_network_is_reported_with_its_place():
    class Doubled(Dense):
        def gradient(self, dy):
            return 1 * super().gradient(dy)  # None in the first layer

    found = wrong(check_gradients(Network([Doubled(D, D), Dense(D, K)], QuadraticLoss()), X, LABELS))
    assert list(found) == [f"layer 0: Doubled(5, 5){end}" for end in (".W", ".b", ": x")]
    assert all(
        text.startswith("gradient fails: TypeError: ") and "self.needs_dx is False" in text for text in found.values()
    )
