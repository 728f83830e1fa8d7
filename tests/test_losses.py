"""Losses: formulas and gradients, fused and separate softmax and sigmoid, and which targets are refused."""

import re

import numpy as np
import pytest
from arrays import assert_close, assert_equal
from hypothesis import given
from hypothesis import strategies as st
from strategies import batches, normals, seeds

from minibp import (
    AbsoluteLoss,
    BinaryCrossEntropy,
    CrossEntropy,
    HuberLoss,
    Loss,
    PoissonLoss,
    QuadraticLoss,
    QuantileLoss,
    Sigmoid,
    SigmoidCrossEntropy,
    Softmax,
    SoftmaxCrossEntropy,
    check_gradients,
)
from minibp.errors import ArgumentError, InputError, ShapeError, StateError, TargetError

pytestmark = pytest.mark.usefixtures("library")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def huber(r, delta):
    return r**2 / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2)


def narrow_huber():
    return HuberLoss(0.3)


def high_quantile():
    return QuantileLoss(0.9)


def smoothed_cross_entropy():
    return CrossEntropy(0.2)


def smoothed_softmax_cross_entropy():
    return SoftmaxCrossEntropy(label_smoothing=0.2)


def smoothed(t):
    return 0.8 * t + 0.2 / len(t)


FORMULAS = {  # the loss of one sample, by plain sums over its outputs
    QuadraticLoss: lambda x, t: sum((x - t) ** 2) / 2,
    AbsoluteLoss: lambda x, t: sum(abs(x - t)),
    HuberLoss: lambda x, t: sum(huber(r, 1) for r in x - t),
    narrow_huber: lambda x, t: sum(huber(r, 0.3) for r in x - t),
    high_quantile: lambda x, t: sum(max(0.9 * -r, 0.1 * r) for r in x - t),
    PoissonLoss: lambda x, t: sum(np.exp(x) - t * x),
    CrossEntropy: lambda x, t: -sum(t * np.log(x)),
    smoothed_cross_entropy: lambda x, t: -sum(smoothed(t) * np.log(x)),
    SoftmaxCrossEntropy: lambda x, t: -sum(t * np.log(softmax(x))),
    smoothed_softmax_cross_entropy: lambda x, t: -sum(smoothed(t) * np.log(softmax(x))),
    BinaryCrossEntropy: lambda x, t: -sum(t * np.log(x) + (1 - t) * np.log(1 - x)),
    SigmoidCrossEntropy: lambda x, t: -sum(t * np.log(sigmoid(x)) + (1 - t) * np.log(1 - sigmoid(x))),
}
DISTRIBUTIONS = CrossEntropy, SoftmaxCrossEntropy  # whose targets are one of K classes, or probabilities of them
BINARY = BinaryCrossEntropy, SigmoidCrossEntropy  # whose targets are K probabilities, each by itself
NUMBERS = AbsoluteLoss, HuberLoss, QuantileLoss, PoissonLoss  # whose targets are never labels
LABELLED = QuadraticLoss, *DISTRIBUTIONS, *BINARY

every_loss = pytest.mark.parametrize("kind", FORMULAS)
a_loss_of_labels = pytest.mark.parametrize("kind", LABELLED)
a_loss_of_classes = pytest.mark.parametrize("kind", DISTRIBUTIONS)
a_loss_of_one_output = pytest.mark.parametrize("kind", [QuadraticLoss, *BINARY])
a_loss_of_numbers = pytest.mark.parametrize("kind", NUMBERS)


def predictions(kind, n, k, seed):
    """Outputs that the loss is defined for."""
    x, cls = normals((n, k), seed), type(kind())
    return softmax(x) if cls is CrossEntropy else sigmoid(x) if cls is BinaryCrossEntropy else x


def target_rows(kind, n, k, seed):
    """Rows that are not labels: soft targets, rates for a Poisson loss, or any numbers."""
    t, cls = normals((n, k), seed + 1), type(kind())
    t = np.exp(t) if cls is PoissonLoss else t
    return softmax(t) if cls in DISTRIBUTIONS else sigmoid(t) if cls in BINARY else t


@st.composite
def problems(draw, kind):
    """Predictions and target rows."""
    n, k, seed = draw(st.integers(1, 6)), draw(st.integers(kind().min_outputs, 6)), draw(seeds)
    return predictions(kind, n, k, seed), target_rows(kind, n, k, seed)


# --- formulas and gradients ---------------------------------------------------------------------------------------


@every_loss
@given(data=st.data())
def test_loss_of_each_sample_is_its_formula(kind, data):
    x, t = data.draw(problems(kind))
    expected = [FORMULAS[kind](*sample) for sample in zip(x, t, strict=True)]
    losses = kind().losses(x, t)
    assert losses.shape == (len(x),)
    assert_close(losses, expected, rtol=1e-11, atol=1e-14)


@every_loss
@given(data=st.data())
def test_forward_is_the_mean_of_the_losses(kind, data):
    x, t = data.draw(problems(kind))
    assert_close(kind().forward(x, t), kind().losses(x, t).mean(), rtol=1e-14)


@every_loss
@given(data=st.data())
def test_gradient_is_that_of_the_formula(kind, data):
    report = check_gradients(kind(), *data.draw(problems(kind)))
    assert report.ok, report


@every_loss
def test_gradient_of_a_batch_carries_one_over_n(kind):
    loss, x, t = kind(), predictions(kind, 5, 3, 0), target_rows(kind, 5, 3, 0)
    singles = []
    for n in range(5):
        loss.forward(x[n : n + 1], t[n : n + 1])
        singles.append(loss.backward()[0] / 5)
    loss.forward(x, t)
    assert_close(loss.backward(), singles, rtol=1e-14)


@every_loss
def test_backward_twice_gives_the_same_and_changes_neither_x_nor_t(library, kind):
    loss, x, t = kind(), predictions(kind, 4, 3, 0), target_rows(kind, 4, 3, 0)
    x_before, t_before = x.copy(), t.copy()
    x, t = library.asarray(x), library.asarray(t)
    loss.forward(x, t)
    dx = loss.backward().copy()
    assert_equal(loss.backward(), dx)
    assert_equal(x, x_before)
    assert_equal(t, t_before)


def test_quadratic_loss_is_half_the_sum_of_squares():
    assert QuadraticLoss().forward([[3, 1]], [[1, 0]]) == 2.5


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize(("dtype", "huge"), [("float32", 3e38), ("float64", 1.7e308)])
def test_softmax_and_cross_entropy_are_exact_for_the_largest_logits(library, dtype, huge):
    loss = SoftmaxCrossEntropy().astype(dtype)
    assert_equal(loss.losses([[huge, -huge], [huge, -huge]], [0, 1]), [0, np.inf])  # no number is 2 * huge
    assert_equal(loss.backward(), [[0, 0], [0.5, -0.5]])


def test_cross_entropy_of_an_impossible_class_is_large_and_finite():
    loss = CrossEntropy()
    assert_close(loss.forward([[1, 0]], [1]), 708.4, atol=0.1)  # -log of the smallest normal number
    assert np.isfinite(loss.backward()).all()


def test_binary_cross_entropy_of_a_wrong_certainty_is_large_and_finite():
    loss = BinaryCrossEntropy()
    assert_close(loss.losses([[0], [1]], [1, 0]), 708.4, atol=0.1)
    assert np.isfinite(loss.backward()).all()


def test_small_binary_cross_entropies_keep_their_digits():
    x = 1 - 2.0**-20
    assert_close(BinaryCrossEntropy().astype("float32").losses([[x]], [1]), [-np.log(x)], rtol=1e-6)


@every_loss
def test_loss_in_float32_is_computed_in_float32(kind):
    loss, x, t = kind().astype("float32"), predictions(kind, 4, 3, 0), target_rows(kind, 4, 3, 0)
    losses = loss.losses(x, t)
    assert losses.dtype == loss.backward().dtype == np.float32
    assert_close(losses, kind().losses(x, t), rtol=1e-5)


# --- numbers ---------------------------------------------------------------------------------------------------------


@given(data=st.data())
def test_half_the_absolute_loss_is_that_of_the_median(data):
    x, t = data.draw(problems(AbsoluteLoss))
    absolute, median = AbsoluteLoss(), QuantileLoss(0.5)
    assert_close(median.losses(x, t), absolute.losses(x, t) / 2, rtol=1e-14)
    assert_close(median.backward(), absolute.backward() / 2, rtol=1e-14)


@given(data=st.data())
def test_a_huber_loss_lies_between_the_quadratic_and_the_absolute_one(data):
    x, t = data.draw(problems(HuberLoss))
    assert_close(HuberLoss(1e3).losses(x, t), QuadraticLoss().losses(x, t), rtol=1e-12)
    assert_close(HuberLoss(1e-9).losses(x, t) / 1e-9, AbsoluteLoss().losses(x, t), rtol=1e-6)


@pytest.mark.parametrize("q", [0.1, 0.25, 0.9])
def test_the_quantile_of_the_targets_has_the_smallest_quantile_loss(q):
    t = normals(101)
    loss, best = QuantileLoss(q), np.quantile(t, q)
    mean = {x: float(loss.forward(np.full((101, 1), x), t)) for x in (best - 0.05, best, best + 0.05)}
    assert min(mean, key=mean.get) == best


def test_the_mean_of_the_counts_has_the_smallest_poisson_loss():
    loss, t = PoissonLoss(), [0, 1, 7]
    loss.forward(np.full((3, 1), np.log(8 / 3)), t)
    assert abs(loss.backward().sum()) < 1e-15


@pytest.mark.parametrize(("kind", "slope"), [(AbsoluteLoss, 1), (HuberLoss, 1), (narrow_huber, 0.3)])
@pytest.mark.parametrize(("dtype", "big"), [("float32", 1e38), ("float64", 1e308)])
def test_large_errors_have_a_finite_loss_and_a_bounded_gradient(kind, slope, dtype, big):
    loss = kind().astype(dtype)
    assert_close(loss.losses([[big], [-big], [0]], [0.0, 0.0, big]), [slope * big] * 3, rtol=1e-6)
    assert_close(3 * loss.backward(), [[slope], [-slope], [-slope]], rtol=1e-6)


@pytest.mark.parametrize(("dtype", "big"), [("float32", 1e38), ("float64", 1e308)])
def test_large_errors_weigh_by_their_side_in_a_quantile_loss(dtype, big):
    loss = high_quantile().astype(dtype)
    assert_close(loss.losses([[big], [-big]], [0.0, 0.0]), [0.1 * big, 0.9 * big], rtol=1e-6)
    assert_close(2 * loss.backward(), [[0.1], [-0.9]], rtol=1e-6)


@pytest.mark.parametrize("kind", [AbsoluteLoss, HuberLoss, high_quantile])
def test_a_right_output_has_no_loss_and_no_gradient(kind):
    loss = kind()
    assert_equal(loss.losses([[2.0, -3.0]], [[2, -3]]), [0])
    assert_equal(loss.backward(), [[0, 0]])


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize(("dtype", "least", "most"), [("float32", 88, 89), ("float64", 709, 710)])
def test_a_poisson_loss_is_finite_for_small_logits_and_infinite_for_rates_beyond_the_dtype(dtype, least, most):
    loss = PoissonLoss().astype(dtype)
    assert_close(loss.losses([[-1e30], [-1e30], [least]], [0, 3, 0]), [0, 3e30, np.exp(least)], rtol=1e-5)
    assert_close(3 * loss.backward(), [[0], [-3], [np.exp(least)]], rtol=1e-5)
    assert_equal(loss.losses([[most]], [5]), [np.inf])


@a_loss_of_numbers
@pytest.mark.parametrize("dtype", [list, "uint8", "int64", "uint64", "float16"])
def test_with_one_output_integers_are_numbers(kind, dtype):
    t = [3, 0, 200] if dtype is list else np.array([3, 0, 200], dtype)
    for each in (t, np.reshape(t, (3, 1))):
        assert_same(kind, predictions(kind, 3, 1, 0), each, [[3.0], [0.0], [200.0]])


@a_loss_of_numbers
@pytest.mark.parametrize("t", [[0, 1], [0.5, 1.5]])
def test_numbers_for_one_output_are_refused_by_several(kind, t):
    with pytest.raises(TargetError, match=r"received targets \(2,\) for 3 outputs, expected rows \(2, 3\)$"):
        kind().forward(predictions(kind, 2, 3, 0), t)


@a_loss_of_numbers
def test_rows_of_another_length_are_refused_by_losses_of_numbers(kind):
    with pytest.raises(TargetError, match=r"targets \(2, 2\) for 1 outputs, expected numbers \(2,\) or rows \(2, 1\)$"):
        kind().forward(predictions(kind, 2, 1, 0), np.ones((2, 2)))


@pytest.mark.parametrize(("x", "t"), [(np.ones((2, 1)), [1, -2]), (np.ones((2, 2)), [[1, 0], [3, -2.0]])])
def test_a_poisson_loss_refuses_negative_counts(x, t):
    message = r"PoissonLoss\(\): the target row of sample 1 holds -2\.0, expected counts or rates of at least 0"
    with pytest.raises(TargetError, match=message):
        PoissonLoss().forward(x, t)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: HuberLoss(0), "HuberLoss: delta must be above 0, received 0"),
    (lambda: HuberLoss(-1), "HuberLoss: delta must be a finite number of at least 0, received -1"),
    (lambda: QuantileLoss(0), r"QuantileLoss: quantile must lie in \(0, 1\), received 0"),
    (lambda: QuantileLoss(1), r"QuantileLoss: quantile must lie in \(0, 1\), received 1"),
    (lambda: QuantileLoss(np.nan), r"QuantileLoss: quantile must lie in \(0, 1\), received nan"),
    (lambda: CrossEntropy(1), r"CrossEntropy: label_smoothing must lie in \[0, 1\), received 1"),
    (lambda: SoftmaxCrossEntropy(-0.1), r"SoftmaxCrossEntropy: label_smoothing must lie in \[0, 1\), received -0\.1"),
])  # fmt: skip
def test_arguments_outside_their_range_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


# --- label smoothing ---------------------------------------------------------------------------------------------


@a_loss_of_classes
@given(n=st.integers(1, 6), k=st.integers(2, 6), epsilon=st.floats(0, 0.99), seed=seeds)
def test_label_smoothing_is_the_loss_of_smoothed_rows(kind, n, k, epsilon, seed):
    x, t = predictions(kind, n, k, seed), np.random.default_rng(seed).integers(k, size=n)
    ours, theirs = kind(epsilon), kind()
    rows = (1 - epsilon) * np.eye(k)[t] + epsilon / k
    for given_t in (t, np.eye(k)[t]):
        assert_close(ours.losses(x, given_t), theirs.losses(x, rows), rtol=1e-12)
        assert_close(ours.backward(), theirs.backward(), rtol=1e-9, atol=1e-15)


@a_loss_of_classes
def test_no_label_smoothing_changes_no_bit(kind):
    x, t = predictions(kind, 4, 3, 0), [0, 1, 2, 2]
    ours, theirs = kind(0.0), kind()
    assert_equal(ours.losses(x, t), theirs.losses(x, t))
    assert_equal(ours.backward(), theirs.backward())
    assert str(ours) == f"{kind.__name__}()" and str(kind(0.1)) == f"{kind.__name__}(0.1)"


@a_loss_of_classes
def test_label_smoothing_cannot_be_changed_because_a_fused_loss_would_not_know(kind):
    with pytest.raises(StateError, match=r"label_smoothing is 0\.1 and cannot be changed; create a new"):
        kind(0.1).label_smoothing = 0.2


# --- fused and separate --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "loss", "fused"),
    [(Softmax, CrossEntropy, SoftmaxCrossEntropy), (Sigmoid, BinaryCrossEntropy, SigmoidCrossEntropy)],
)
@given(x=batches(size=10, min_side=2), seed=seeds)
def test_separate_and_fused_losses_agree_in_value_and_gradient(layer, loss, fused, x, seed):
    layer, separate, fused = layer(), loss(), fused()
    t = target_rows(loss, *x.shape, seed)
    assert_close(separate.losses(layer.forward(x), t), fused.losses(x, t), rtol=1e-9)
    assert_close(layer.backward(separate.backward()), fused.backward(), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(("kind", "activation"), [(SoftmaxCrossEntropy, softmax), (SigmoidCrossEntropy, sigmoid)])
@given(data=st.data())
def test_fused_gradient_is_a_minus_y(kind, activation, data):
    z, y = data.draw(problems(kind))
    loss = kind()
    loss.forward(z, y)
    assert_close(loss.backward(), (activation(z) - y) / len(z), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("kind", "logits", "target", "expected", "gradient"),
    [
        (SoftmaxCrossEntropy, [1e4, 0], 0, 0, [0, 0]),
        (SoftmaxCrossEntropy, [1e4, 0], 1, 1e4, [1, -1]),
        (SoftmaxCrossEntropy, [-1e4, 1e4], 0, 2e4, [-1, 1]),
        (SoftmaxCrossEntropy, [1e4, 1e4], 0, np.log(2), [-0.5, 0.5]),
        (SoftmaxCrossEntropy, [-1e4, -1e4], 1, np.log(2), [0.5, -0.5]),
        (SoftmaxCrossEntropy, [1e4, 0], [0.5, 0.5], 5e3, [0.5, -0.5]),
        (SigmoidCrossEntropy, [1e4], 1, 0, [0]),
        (SigmoidCrossEntropy, [1e4], 0, 1e4, [1]),
        (SigmoidCrossEntropy, [-1e4], 0, 0, [0]),
        (SigmoidCrossEntropy, [-1e4], 1, 1e4, [-1]),
        (SigmoidCrossEntropy, [0], 1, np.log(2), [-0.5]),
        (SigmoidCrossEntropy, [1e4, -1e4], [0.25, 1], 1.75e4, [0.75, -1]),
    ],
)
def test_fused_losses_are_exact_at_extreme_logits(kind, logits, target, expected, gradient, dtype):
    loss = kind().astype(dtype)
    assert_close(loss.losses([logits], [target]), [expected], rtol=1e-7)
    assert_close(loss.backward(), [gradient], rtol=1e-7)


# --- targets ---------------------------------------------------------------------------------------------------------


def assert_same(kind, x, t, rows):
    """Targets t mean these rows: the same loss and gradient."""
    a, b = kind(), kind()
    assert_equal(a.losses(x, t), b.losses(x, rows))
    assert_equal(a.backward(), b.backward())


@a_loss_of_labels
@given(n=st.integers(1, 6), k=st.integers(2, 6), seed=seeds)
def test_labels_and_their_one_hot_rows_are_the_same(kind, n, k, seed):
    labels = np.random.default_rng(seed).integers(k, size=n)
    assert_same(kind, predictions(kind, n, k, seed), labels, np.eye(k)[labels])


@a_loss_of_labels
@pytest.mark.parametrize("dtype", [list, "bool", "int8", "uint8", "int64", "uint64"])
def test_labels_of_any_integer_type_are_accepted(kind, dtype):
    labels = [1, 0, 1] if dtype is list else np.array([1, 0, 1], dtype)
    assert_same(kind, predictions(kind, 3, 3, 0), labels, np.eye(3)[[1, 0, 1]])


@pytest.mark.parametrize("kind", [*LABELLED, *NUMBERS])
@pytest.mark.parametrize("dtype", [list, "bool", "int64", "float32"])
def test_rows_of_any_type_are_accepted(kind, dtype):
    rows = [[1, 0], [0, 1]] if dtype is list else np.array([[1, 0], [0, 1]], dtype)
    assert_same(kind, predictions(kind, 2, 2, 0), rows, np.eye(2))


@pytest.mark.parametrize("kind", [QuadraticLoss, *BINARY, *NUMBERS])
@pytest.mark.parametrize("t", [[1, 0, 1], [True, False, True], [1.0, 0.0, 1.0], [[1], [0], [1]]])
def test_with_one_output_labels_are_the_targets_themselves(kind, t):
    assert_same(kind, predictions(kind, 3, 1, 0), t, [[1.0], [0.0], [1.0]])


@pytest.mark.parametrize("kind", [QuadraticLoss, *BINARY, *NUMBERS])
def test_with_one_output_floats_are_rows(kind):
    assert_same(kind, predictions(kind, 3, 1, 0), [0.2, 0.5, 0.9], [[0.2], [0.5], [0.9]])


@a_loss_of_classes
def test_rows_that_sum_to_one_except_for_rounding_are_accepted(kind):
    rows = softmax(normals((50, 10))).astype("float32")
    assert np.isfinite(kind().forward(predictions(kind, 50, 10, 0), rows))
    assert np.isfinite(kind().forward(predictions(kind, 50, 10, 0), softmax(normals((50, 10))).astype("float16")))


@a_loss_of_labels
def test_labels_and_rows_may_alternate(kind):
    loss, x = kind(), predictions(kind, 4, 3, 0)
    labels, rows = [2, 0, 1, 1], target_rows(kind, 4, 3, 0)
    for t in (labels, rows, labels, rows[:2], labels[:1], rows):
        fresh = kind()
        assert_equal(loss.losses(x[: len(t)], t), fresh.losses(x[: len(t)], t))
        assert_equal(loss.backward(), fresh.backward())


# --- what is refused -------------------------------------------------------------------------------------------------


@a_loss_of_labels
@pytest.mark.parametrize(
    ("t", "message"),
    [
        ([0, -1], r"the label of sample 1 is -1, expected 0\.\.2, since there are 3 outputs"),
        ([3, 0], r"the label of sample 0 is 3, expected 0\.\.2, since there are 3 outputs"),
        ([0.0, 1.5], r"labels must be integers 0\.\.2, received an array of float64 that holds 1\.5"),
        (np.array([0, 2**64 - 1], "uint64"), "the label of sample 1 is 18446744073709551615, expected 0"),
        ([0.0, 1.0], r"labels must be integers 0\.\.2, received an array of float64; convert it: t\.astype\(int\)"),
        ([0], "received 1 targets for 2 samples, expected one for each"),
        (0, "received no targets for 2 samples"),
        (["0", "1"], "targets: received an array of <U1, expected numbers"),
        ([[0], [1]], r"received targets \(2, 1\) for 3 outputs, expected labels \(2,\) or rows \(2, 3\)"),
        (np.eye(4)[:2], r"received targets \(2, 4\) for 3 outputs, expected labels \(2,\) or rows \(2, 3\)"),
        (np.ones((2, 3, 1)), r"received targets \(2, 3, 1\)"),
        ([[1, 0, 0], [0, np.nan, 1]], "targets: NaN or infinity, first in sample 1"),
    ],
)
def test_targets_that_do_not_fit_are_refused(kind, t, message):
    with pytest.raises(TargetError, match=rf"{kind.__name__}\(\): {message}"):
        kind().forward(predictions(kind, 2, 3, 0), t)


@a_loss_of_classes
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1.5, -0.5, 0], "holds -0.5, expected no negative values"),
        ([0.3, 0.3, 0.3], "sums to 0.9, expected 1; divide counts by their sums; to give classes"),
        ([1, 1, 0], "sums to 2, expected 1"),
        ([0.333, 0.333, 0.333], "sums to 0.999, expected 1"),
    ],
)
def test_rows_that_are_not_probabilities_of_classes_are_refused(kind, row, message):
    with pytest.raises(TargetError, match=f"the target row of sample 1 {message}"):
        kind().forward(predictions(kind, 2, 3, 0), [[1, 0, 0], row])


@pytest.mark.parametrize("kind", BINARY)
@pytest.mark.parametrize("row", [[1.5, 0], [0, -0.5], [0, 2]])
def test_rows_outside_zero_to_one_are_refused_by_binary_losses(kind, row):
    with pytest.raises(TargetError, match=r"the target row of sample 1 is \[.*\], expected values in \[0, 1\]"):
        kind().forward(predictions(kind, 2, 2, 0), [[1, 0], row])


@pytest.mark.parametrize("kind", BINARY)
def test_numbers_outside_zero_to_one_are_refused_by_binary_losses_of_one_output(kind):
    with pytest.raises(TargetError, match=r"the target row of sample 0 is \[1\.5\], expected values in \[0, 1\]"):
        kind().forward(predictions(kind, 2, 1, 0), [1.5, 0.0])


@a_loss_of_one_output
@pytest.mark.parametrize("label", [-1, 2])
def test_with_one_output_labels_other_than_zero_and_one_are_refused(kind, label):
    with pytest.raises(TargetError, match=f"sample 1 is {label}, expected 0 or 1 for one output, or floats"):
        kind().forward(predictions(kind, 2, 1, 0), [1, label])


@a_loss_of_classes
def test_losses_of_classes_refuse_one_output(kind):
    with pytest.raises(ShapeError, match=r"is fed 1 value, but needs at least 2 outputs.*use Sigmoid\(\)"):
        kind().forward([[0.5]], [0])


@every_loss
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([0.5, 0.5], ShapeError, r"received x of shape \(2,\), expected \(N, K\): one row of K outputs a sample"),
        (np.ones((2, 3, 1)), ShapeError, r"received x of shape \(2, 3, 1\)"),
        ([[0.5, np.nan], [0.5, 0.5]], InputError, "x holds NaN or infinity"),
        (np.ones((0, 2)), InputError, r"received an empty batch, x of shape \(0, 2\)"),
        (np.ones((2, 0)), InputError, r"received an empty batch, x of shape \(2, 0\)"),
        ([["a", "b"]], InputError, "x: received an array of <U1"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(kind, x, error, message):
    with pytest.raises(error, match=rf"{re.escape(str(kind()))}:? {message}"):
        kind().forward(x, [0, 1])


@every_loss
def test_backward_before_forward_is_refused(kind):
    with pytest.raises(StateError, match="backward was called before forward; call forward"):
        kind().backward()


def test_a_missing_method_of_a_loss_is_named():
    class Empty(Loss):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty needs a method formula\(self, x, t\)"):
        Empty().forward([[1, 2]], [0])
    Empty.formula = lambda self, x, t: x.sum(axis=1)
    loss = Empty()
    loss.forward([[1, 2]], [0])
    with pytest.raises(NotImplementedError, match=r"Empty needs a method gradient\(self\)"):
        loss.backward()


@pytest.mark.parametrize("loss", [CrossEntropy, BinaryCrossEntropy])
@pytest.mark.parametrize("x", [[[2.0, -1.0]], [[0.5, 1.5]]])
def test_predictions_that_are_not_probabilities_are_refused(loss, x):
    with pytest.raises(InputError, match=r"received values from .* expected probabilities"):
        loss().losses(x, [0])


def test_predictions_that_do_not_sum_to_1_are_refused_by_a_loss_of_classes():
    with pytest.raises(InputError, match=r"rows that sum to 1 to 1\.3, expected probabilities that sum to 1; end"):
        CrossEntropy().losses([[0.5, 0.5], [0.6, 0.7]], [0, 1])
    assert_close(CrossEntropy().losses([[0.33, 0.67, 0.0], [0.33, 0.33, 0.33]], [0, 1]), -np.log([0.33, 0.33]))
    BinaryCrossEntropy().losses([[0.6, 0.7]], [[0, 1]])


def test_a_users_loss_passes_the_gradient_check():
    class Cubic(Loss):
        """ℓ = Σₖ |x - t|³ / 3."""

        def formula(self, x, t):
            return (abs(x - t) ** 3 / 3).sum(axis=1)

        def gradient(self):
            residual = self.x - self.t
            return residual * abs(residual) / len(residual)

    assert check_gradients(Cubic(), np.array([[1.0, 2.0], [0.5, -1.0]]), [0, 1]).ok
