"""check_gradients(): it passes right gradients, finds wrong ones, and does not change what it checks."""

import numpy as np
import pytest
from arrays import assert_equal
from mistakes import NotANumber, WrongSign
from networks import every_layer
from strategies import normals

import minibp
from minibp import (
    AbsoluteLoss,
    BatchNorm,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    Dropout,
    Flatten,
    HuberLoss,
    Layer,
    LayerNorm,
    LeakyReLU,
    Loss,
    Network,
    PoissonLoss,
    QuadraticLoss,
    QuantileLoss,
    RandomAffine,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    SigmoidCrossEntropy,
    Softmax,
    SoftmaxCrossEntropy,
    Standardize,
    Tanh,
    check_gradients,
)

pytestmark = pytest.mark.usefixtures("library")

N, K = 6, 3
X = normals((N, 2, 2))
LABELS = np.array([0, 2, 1, 1, 0, 2])
ENDS = [  # of networks for classes
    (QuadraticLoss,),
    (Softmax, QuadraticLoss),
    (Softmax, CrossEntropy),
    (SoftmaxCrossEntropy,),
    (Sigmoid, BinaryCrossEntropy),
    (SigmoidCrossEntropy,),
]
OF_NUMBERS = [AbsoluteLoss, HuberLoss, lambda: HuberLoss(0.1), lambda: QuantileLoss(0.8), PoissonLoss]
ARGUMENTS = {
    Dense: lambda: (5, 5),
    BatchNorm: lambda: (5,),
    LayerNorm: lambda: (5,),
    Standardize: lambda: (np.linspace(-1, 1, 5), np.linspace(0.5, 2, 5)),
    Dropout: lambda: (0.4,),
    Sequential: lambda: (Dense(5, 5), Tanh()),
    Residual: lambda: (Dense(5, 5), Tanh()),
}


def public(base):
    """The layers or losses that minibp exports."""
    exported = [getattr(minibp, name) for name in minibp.__all__]
    return [kind for kind in exported if isinstance(kind, type) and issubclass(kind, base) and kind is not base]


def network(*between, end=(Softmax, CrossEntropy), dtype="float32"):
    *last, loss = (kind() for kind in end)
    return Network([Flatten(), Dense(4, 5), *between, Dense(5, K), *last], loss, dtype=dtype)


def names(case):
    return "-".join(getattr(part, "__name__", str(part)) for part in case)


def arrays(net):
    return [net.params.copy(), net.grads.copy(), net.buffers.copy()]


def of_parameters(report):
    return [line for line in report if not line.name.endswith(": x")]


# --- right gradients -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [LABELS, np.eye(K)[LABELS]], ids=["labels", "rows"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("end", ENDS, ids=names)
def test_networks_that_end_in_any_loss_pass(end, dtype, targets):
    report = check_gradients(network(Tanh(), end=end, dtype=dtype), X, targets)
    assert report.ok and len(of_parameters(report)) == 4, report


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", OF_NUMBERS, ids=lambda loss: str(loss()))
def test_networks_that_end_in_a_loss_of_numbers_pass(loss, dtype):
    report = check_gradients(network(Tanh(), end=(loss,), dtype=dtype), X, np.abs(normals((N, K), 1)))
    assert report.ok and len(of_parameters(report)) == 4, report


def test_every_loss_is_the_end_of_a_network():
    assert {end[-1] for end in ENDS} | {type(loss()) for loss in OF_NUMBERS} == set(public(Loss))


# All but those that stand before the first layer that trains.
@pytest.mark.parametrize("kind", [kind for kind in public(Layer) if not issubclass(kind, RandomAffine)])
def test_networks_with_any_layer_pass(kind):
    layer = kind(*ARGUMENTS.get(kind, tuple)())
    report = check_gradients(network(layer), X, LABELS)
    parameters = sum(len(each.params) for each in layer.modules())
    assert report.ok and len(of_parameters(report)) == 4 + parameters, report
    assert f"layer 2: {layer if not layer.children() else kind.__name__}: x" in [line.name for line in report]
    assert not any(line.diagnosis for line in report)


def test_network_of_all_layers_at_once_passes():
    net = every_layer()
    report = check_gradients(net, X, LABELS)
    assert report.ok and len(of_parameters(report)) == sum(len(each.params) for each in net.modules()), report


def test_network_of_bytes_passes():
    report = check_gradients(network(Tanh()), np.arange(N * 4, dtype="uint8").reshape(N, 2, 2), LABELS)
    assert report.ok, report


def test_layer_of_a_network_passes():
    net = network(Tanh())
    for layer, width in ((net.layers[1], 4), (net.layers[3], 5)):
        report = check_gradients(layer, normals((N, width)))
        assert report.ok and [line.name for line in report] == [f"{layer}.W", f"{layer}.b", f"{layer}: x"]


# --- wrong gradients -------------------------------------------------------------------------------------------------


class WrongFactor(Dense):
    def gradient(self, dy):
        dx = super().gradient(dy)
        self.dW *= 1.001
        return dx


class ForgottenGradient(Dense):
    def gradient(self, dy):
        return dy @ self.W.T


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (WrongFactor, ["W"]),
        (ForgottenGradient, ["W", "b"]),
        (WrongSign, ["x"]),
        (NotANumber, ["W"]),
    ],
)
def test_wrong_gradient_of_a_layer_is_found_and_named(kind, wrong):
    report = check_gradients(kind(4, 3, seed=0), normals((5, 4)))
    assert not report.ok
    assert [line.name[-1] for line in report if not line.ok] == wrong


def test_report_is_a_table():
    right, wrong, why = str(check_gradients(WrongSign(2, 3, seed=0), normals((4, 2)))).splitlines()[1:]
    assert right.startswith("WrongSign(2, 3).b   ") and right.endswith("  ok")
    assert wrong.startswith("WrongSign(2, 3): x  ") and wrong.endswith("  2.0e+00  WRONG")
    assert why == "    it is -1 times the right gradient: the sign is wrong"


# --- kinks and rounding ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("between", "x", "places"),
    [
        (lambda: [ReLU()], 0 * X, ["layer 1: Dense(4, 5).b", "layer 2: ReLU(): x"]),
        (lambda: [Dropout(0.4), ReLU()], X, ["layer 3: ReLU(): x"]),
        (lambda: [ReLU(), LeakyReLU()], X, ["layer 3: LeakyReLU(0.01): x"]),
        (lambda: [BatchNorm(5), ReLU()], X[:1], ["layer 2: BatchNorm(5, 0.9, 1e-05).beta", "layer 3: ReLU(): x"]),
    ],
)
def test_elements_at_a_kink_are_not_judged_and_the_report_says_so(between, x, places):
    report = check_gradients(network(*between()), x, LABELS[: len(x)] // 2)
    found = [line for line in report if line.kinks]
    assert report.ok and [line.name for line in found] == places, report
    assert report.kinks == sum(line.kinks for line in found)
    assert all(line.verdict.endswith("kink not judged" if X is x else "a kink: not judged") for line in found)


def test_the_other_elements_are_judged():
    class NoReLU(ReLU):
        def gradient(self, dy):
            return dy

    x = np.array([[0.0, 1, -2], [3, 0, -1]])
    assert str(check_gradients(ReLU(), x)).endswith("  ok, 2 of 6 at a kink not judged")
    assert str(check_gradients(ReLU(), 0 * x)).endswith("  a kink: not judged")
    (line,) = check_gradients(NoReLU(), x)
    assert not line.ok and line.diagnosis.startswith("dy is returned unchanged")


class ForgottenBias(Dense):
    def gradient(self, dy):
        dx = super().gradient(dy)
        self.db = 0 * self.b
        return dx


class WrongDy(Sequential):
    def gradient(self, dy):
        self.layers[0].backward(dy + 1)
        return dy @ self.layers[0].W.T


@pytest.mark.parametrize(
    ("layer", "end"),
    [(lambda: ForgottenBias(5, 5), "ForgottenBias(5, 5).b"), (lambda: WrongDy(Dense(5, 5)), ".0: Dense(5, 5).b")],
)
def test_a_kink_later_in_the_network_hides_no_mistake(layer, end):
    report = check_gradients(network(layer(), ReLU()), 0 * X, LABELS // 2)
    (line,) = [line for line in report if not line.ok]
    assert line.name.endswith(end) and line.kinks and line.verdict == "WRONG" and line.error > 0.1


@pytest.mark.parametrize("shift", [12, 20, 40, 100, 1e4, 1e10])
def test_gradients_that_are_only_rounding_pass(shift):
    net = network(Tanh(), end=(SoftmaxCrossEntropy,))
    net.layers[-1].b = [shift, 0, 0]
    report = check_gradients(net, X, np.zeros(N, int))
    assert report.ok and not report.kinks, report


def test_a_curve_that_begins_at_a_kink_passes():
    report = check_gradients(network(ReLU(), end=(SoftmaxCrossEntropy,)), 0 * X, LABELS)  # the mean of y - t is 0
    assert report.ok, report


def test_mistakes_before_a_gradient_of_zero_are_found():
    net = network(WrongSign(5, 5), Tanh())
    net.layers[-2].W = np.zeros((5, K))  # nothing comes back
    report = check_gradients(net, X, LABELS)
    assert [line.name for line in report if not line.ok] == ["layer 2: WrongSign(5, 5): x"]


# --- nothing is changed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_network_is_left_as_it_was(dtype):
    net, other = (network(BatchNorm(5), Dropout(0.4), dtype=dtype) for _ in range(2))
    for each in (net, other):
        each.forward(X, LABELS)
    before = arrays(net)
    check_gradients(net, X[:2], LABELS[:2])
    for array, kept in zip(arrays(net), before, strict=True):
        assert_equal(array, kept)
    assert net.rng.bit_generator.state == other.rng.bit_generator.state
    for each in (net, other):  # as if nothing had happened between forward and backward
        each.backward()
        each.forward(X, LABELS)
    for array, kept in zip(arrays(net), arrays(other), strict=True):
        assert_equal(array, kept)
    assert net.dtype == dtype and net.layers[3].step == 2


@pytest.mark.parametrize("make", [lambda: Dense(4, 3, seed=0), lambda: BatchNorm(4), lambda: Dropout(0.4, seed=0)])
def test_layer_is_left_as_it_was(make):
    layer, other, x = make(), make(), normals((5, 4))
    dy = normals(layer.forward(x).shape, seed=1)
    other.forward(x)
    check_gradients(layer, x[:2])
    assert_equal(layer.backward(dy), other.backward(dy))
    assert_equal(layer.forward(x), other.forward(x))
    for name in ("params", "grads", "buffers"):
        for array, kept in zip(getattr(layer, name).values(), getattr(other, name).values(), strict=True):
            assert_equal(array, kept)


def test_layer_without_weights_is_left_for_a_network_to_draw():
    layer = Dense(4, 3)
    check_gradients(layer, normals((5, 4)))
    layer, other = (Network([each], QuadraticLoss(), seed=1).layers[0] for each in (layer, Dense(4, 3)))
    assert_equal(layer.W, other.W)


def test_a_buffer_that_each_batch_changes_does_not_spoil_the_check():
    class Center(Layer):
        def __init__(self):
            super().__init__()
            self.add_parameter("mean", (5,), np.zeros(5), trained=False)

        def formula(self, x):
            y = x - self.mean
            self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
            return y

        def gradient(self, dy):
            return dy

    report = check_gradients(network(Center()), X, LABELS)
    assert report.ok, report
