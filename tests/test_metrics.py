"""Metrics: examples computed by hand, and agreement with scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibp.errors import ArgumentError, InputError, ShapeError, TargetError
from minibp.metrics import (
    accuracy,
    classes,
    confusion_matrix,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    top_k_accuracy,
)

OUTPUTS = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1]])  # answers 0, 2, 1, 1
LABELS = np.array([0, 1, 1, 2])
ROWS = np.eye(3)[LABELS]

needs_k_and_seed = given(n=st.integers(1, 30), k=st.integers(2, 6), seed=st.integers(0, 2**32 - 1))


def some(n, k, seed):
    """Outputs without ties, and labels."""
    rng = np.random.default_rng(seed)
    return rng.random((n, k)), rng.integers(k, size=n)


# --- accuracy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [LABELS, ROWS, LABELS.tolist(), LABELS.astype("uint8")])
@pytest.mark.parametrize("outputs", [OUTPUTS, OUTPUTS.argmax(axis=1), OUTPUTS.tolist()])
def test_accuracy_is_the_share_of_right_answers(outputs, t):
    assert accuracy(outputs, t=t) == 0.5


def test_the_first_of_equal_outputs_is_the_answer():
    assert classes(np.array([[0.4, 0.4, 0.2], [0.0, 0.0, 0.0]])).tolist() == [0, 0]


@pytest.mark.parametrize("t", [[0, 1, 1, 1], [[0], [1], [1], [1]], [0.0, 1.0, 1.0, 1.0], [False, True, True, True]])
def test_one_output_answers_class_1_above_one_half(t):
    assert accuracy([[0.1], [0.5], [0.6], [0.9]], t=t) == 0.75


@pytest.mark.parametrize("answers", [[3, 5, 2, 0], [[3], [5], [2], [0]], np.array([[3], [5], [2], [0]], "uint8")])
def test_a_column_of_integers_holds_labels(answers):
    for t in ([3, 5, 2, 1], [[3], [5], [2], [1]]):
        assert accuracy(answers, t=t) == 0.75
        assert np.argwhere(confusion_matrix(answers, t=t)).tolist() == [[1, 0], [2, 2], [3, 3], [5, 5]]
    assert accuracy(answers, t=[[7], [9], [1], [4]]) == 0


def test_a_column_of_labels_is_compared_with_the_largest_outputs():
    for metric in (accuracy, top_k_accuracy, confusion_matrix):
        options = {"k": 1} if metric is top_k_accuracy else {}
        np.testing.assert_equal(metric(OUTPUTS, t=LABELS[:, None], **options), metric(OUTPUTS, t=LABELS, **options))


# --- top k ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "share"), [(1, 0.5), (2, 0.75), (3, 1)])
@pytest.mark.parametrize("t", [LABELS, ROWS])
def test_top_k_accuracy_lets_each_sample_answer_k_times(k, share, t):
    assert top_k_accuracy(OUTPUTS, t=t, k=k) == share


def test_lower_classes_come_first_if_outputs_are_equal():
    row = np.arange(20) % 2  # the largest are those of 1, 3, ..., 19
    assert [top_k_accuracy([row], t=[5], k=k) for k in range(1, 6)] == [0, 0, 1, 1, 1]


def test_outputs_that_are_bytes_are_ordered_as_numbers():
    assert top_k_accuracy(np.array([[0, 1, 255]], "uint8"), t=[2], k=1) == 1


@needs_k_and_seed
@pytest.mark.parametrize("kind", [lambda x: x, lambda x: 2**53 + (2 * x).astype("int64"), lambda x: x < 0.5])
def test_top_1_accuracy_is_accuracy(kind, n, k, seed):
    outputs, t = some(n, k, seed)
    outputs = kind(outputs)
    assert top_k_accuracy(outputs, t=t, k=1) == accuracy(outputs, t=t)


@pytest.mark.parametrize("k", [0, 4, 1.5])
def test_top_k_needs_k_among_the_outputs(k):
    with pytest.raises(ArgumentError, match=r"k must (be an integer of at least 1|lie in 1\.\.3)"):
        top_k_accuracy(OUTPUTS, t=LABELS, k=k)


@pytest.mark.parametrize("outputs", [LABELS, OUTPUTS[:, :1]])
def test_top_k_needs_outputs_of_several_classes(outputs):
    with pytest.raises(ShapeError, match="at least 2 classes"):
        top_k_accuracy(outputs, t=[0, 1, 1, 0], k=1)


# --- confusion matrix ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [LABELS, ROWS])
@pytest.mark.parametrize("outputs", [OUTPUTS, OUTPUTS.argmax(axis=1)])
def test_confusion_matrix_counts_true_classes_in_rows_and_answers_in_columns(outputs, t):
    assert confusion_matrix(outputs, t=t).tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 0]]


@pytest.mark.parametrize("metric", [accuracy, top_k_accuracy, confusion_matrix])
def test_targets_are_given_by_name_because_libraries_differ_in_the_order(metric):
    with pytest.raises(TypeError, match="positional argument"):
        metric(LABELS, OUTPUTS)


def test_confusion_matrix_of_one_output_is_2_by_2():
    assert confusion_matrix([[0.9], [0.1], [0.2]], t=[1, 1, 0]).tolist() == [[1, 0], [1, 1]]


def test_confusion_matrix_of_labels_has_as_many_classes_as_asked_for():
    assert confusion_matrix([0, 0], t=[0, 0]).shape == (2, 2)
    assert confusion_matrix([0, 2], t=[0, 1]).shape == (3, 3)
    assert confusion_matrix([0, 2], t=[0, 1], k=5).shape == (5, 5)


def test_confusion_matrix_of_bytes_does_not_overflow():
    labels = np.array([200], "uint8")
    assert confusion_matrix(labels, t=labels.astype("uint64"))[200, 200] == 1


def test_confusion_matrix_refuses_fewer_classes_than_there_are():
    with pytest.raises(ArgumentError, match=r"class 2 occurs, but there are only 2 classes, 0\.\.1"):
        confusion_matrix(OUTPUTS, t=LABELS, k=2)


def test_confusion_matrix_of_very_many_classes_asks_whether_these_are_labels():
    with pytest.raises(TargetError, match=r"class 1000000 occurs, which makes 1000001 classes: are these labels"):
        confusion_matrix([0], t=[10**6])


def test_a_confusion_matrix_has_very_many_classes_only_if_confirmed(monkeypatch):
    monkeypatch.setattr("minibp.metrics.MOST", 3)
    assert confusion_matrix([0], t=[2]).shape == (3, 3)
    assert confusion_matrix([0], t=[3], k=4).shape == confusion_matrix([[1, 0, 0, 0]], t=[3]).shape == (4, 4)
    with pytest.raises(TargetError, match="which makes 4 classes: are these labels"):
        confusion_matrix([0], t=[3])


@pytest.mark.parametrize("k", [10**6, 10**12, 10**5000], ids=["6", "12", "5000"])
def test_confusion_matrix_refuses_more_classes_than_fit_into_memory(k):
    with pytest.raises(ArgumentError, match="k must be at most 100000, because the matrix has k × k counts"):
        confusion_matrix([0], t=[1], k=k)


# --- numbers -------------------------------------------------------------------------------------------------------

OF_NUMBERS = mean_squared_error, mean_absolute_error, r2_score
every_metric_of_numbers = pytest.mark.parametrize("metric", OF_NUMBERS)


@every_metric_of_numbers
@pytest.mark.parametrize("outputs", [[2, 2, 4, 2], [[2], [2], [4], [2]], np.array([[2], [2], [4], [2]], "float32")])
@pytest.mark.parametrize("t", [[1, 2, 3, 4], [[1], [2], [3], [4]], np.array([1, 2, 3, 4], "uint8")])
def test_columns_and_vectors_of_numbers_are_the_same(metric, outputs, t):
    expected = {mean_squared_error: 1.5, mean_absolute_error: 1, r2_score: 1 - 6 / 5}
    assert metric(outputs, t=t) == pytest.approx(expected[metric])


@every_metric_of_numbers
def test_metrics_of_numbers_are_the_mean_over_the_outputs(metric):
    x, t = np.random.default_rng(0).normal(size=(2, 30, 3))
    each = [metric(x[:, k], t=t[:, k]) for k in range(3)]
    assert metric(x, t=t) == pytest.approx(np.mean(each))


@every_metric_of_numbers
def test_a_weight_of_0_removes_a_sample_from_a_metric_of_numbers(metric):
    x, t = np.random.default_rng(0).normal(size=(2, 30, 3))
    counts = np.arange(30) % 3
    repeated = metric(np.repeat(x, counts, axis=0), t=np.repeat(t, counts, axis=0))
    assert metric(x, t=t, weights=counts) == pytest.approx(repeated, rel=1e-12)


@every_metric_of_numbers
def test_right_numbers_are_perfect_and_bytes_do_not_overflow(metric):
    t = np.array([0, 255], "uint8")
    assert metric(t, t=t) == (metric is r2_score)
    assert metric(t, t=t[::-1]) == {mean_squared_error: 255**2, mean_absolute_error: 255, r2_score: -3}[metric]


def test_r2_of_the_mean_is_0_and_of_constant_targets_0_or_1():
    assert r2_score([2, 2, 2], t=[1, 2, 3]) == 0
    assert r2_score([0.1] * 10, t=[0.1] * 10) == 1  # whose mean is not 0.1
    assert r2_score([0.2] * 10, t=[0.1] * 10) == 0


@every_metric_of_numbers
@pytest.mark.parametrize(("outputs", "t", "error", "message"), [
    ([[1, 2], [3, 4]], [1, 2], ShapeError, r"outputs \(2, 2\) and targets \(2, 1\), expected the same shape"),
    ([[1], [2], [3]], [1, 2], ShapeError, r"outputs \(3, 1\) and targets \(2, 1\), expected the same shape"),
    (np.ones((2, 1, 1)), np.ones((2, 1, 1)), ShapeError, r"expected the same shape, \(N, K\) or \(N,\)"),
    (1.0, 2.0, ShapeError, r"outputs \(\) and targets \(\)"),
    ([], [], ShapeError, "at least one sample"),
    ([1, np.nan], [1, 2], InputError, "outputs: NaN or infinity, first in sample 1"),
    ([1, 2], [np.inf, 2], TargetError, "targets: NaN or infinity, first in sample 0"),
    (["a"], [1], InputError, "received an array of <U1, expected numbers"),
])  # fmt: skip
def test_numbers_that_do_not_fit_together_are_refused(metric, outputs, t, error, message):
    with pytest.raises(error, match=message):
        metric(outputs, t=t)


def test_r2_of_one_sample_is_refused():
    for x, t, weights in (([1], [2], None), ([1, 2], [2, 4], [0, 3])):
        with pytest.raises(TargetError, match="received 1 sample that counts, expected at least 2"):
            r2_score(x, t=t, weights=weights)


# --- agreement with scikit-learn -----------------------------------------------------------------------------------


@needs_k_and_seed
def test_metrics_agree_with_scikit_learn(n, k, seed):
    theirs = pytest.importorskip("sklearn.metrics")
    outputs, t = some(n, k, seed)
    answers = outputs.argmax(axis=1)
    assert accuracy(outputs, t=t) == pytest.approx(theirs.accuracy_score(t, answers))
    np.testing.assert_array_equal(confusion_matrix(outputs, t=t), theirs.confusion_matrix(t, answers, labels=range(k)))
    if k > 2:  # for two classes scikit-learn expects one column of scores
        expected = theirs.top_k_accuracy_score(t, outputs, k=2, labels=range(k))
        assert top_k_accuracy(outputs, t=t, k=2) == pytest.approx(expected)


@needs_k_and_seed
def test_metrics_of_numbers_agree_with_scikit_learn(n, k, seed):
    theirs = pytest.importorskip("sklearn.metrics")
    x, t = np.random.default_rng(seed).normal(size=(2, n + 1, k))
    t[:, 0] = 0  # constant, and so exactly their mean
    w = np.random.default_rng(seed).random(n + 1) + 0.01
    for metric in OF_NUMBERS:
        their = getattr(theirs, metric.__name__)
        assert metric(x, t=t) == pytest.approx(their(t, x))
        assert metric(x, t=t, weights=w) == pytest.approx(their(t, x, sample_weight=w))


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [accuracy, top_k_accuracy, confusion_matrix])
@pytest.mark.parametrize(("outputs", "t", "error", "message"), [
    (OUTPUTS, LABELS[:3], TargetError, "4 outputs and 3 targets, expected as many"),
    (np.empty((0, 3)), [], TargetError, "0 outputs and 0 targets"),
    (OUTPUTS, 1, ShapeError, r"targets \(\)"),
    (np.ones((2, 2, 2)), [0, 1], ShapeError, r"outputs have shape \(2, 2, 2\)"),
    (np.ones((2, 0)), [0, 1], ShapeError, r"outputs have shape \(2, 0\)"),
    (OUTPUTS, ROWS[:, :2], ShapeError, r"shape \(4, 3\), targets \(4, 2\); expected the same"),
    ([[0, 1], [np.inf, np.nan]], [0, 1], InputError, "outputs: NaN or infinity, first in sample 1; no class"),
    ([[0, 1], [1, 0]], [[0, 1], [np.inf, 0]], TargetError, "targets: NaN or infinity, first in sample 1; no class"),
    ([[0, 1], [1, 0]], [0.0, np.nan], TargetError, "targets: NaN or infinity, first in sample 1; no class"),
    (OUTPUTS, [0.0, 1.0, 1.0, 2.0], TargetError, "targets must be integer labels, received an array of float64"),
    (OUTPUTS, [-1, 0, 1, 2], TargetError, "targets must be labels of at least 0, received -1"),
    (OUTPUTS, [0, 1, 2, 3], TargetError, "class 3 is among the targets, but there are 3 outputs"),
    ([[3.1], [5.2]], [[3.0], [5.0]], TargetError, "numbers that name no classes, expected labels, or 0 and 1"),
    ([[0.6], [0.7]], [0.5, 0.6], TargetError, "numbers that name no classes, expected labels, or 0 and 1"),
    ([[0.1, 2], [3, 4]], [[0.1, 2], [3, 4]], TargetError, "name no classes, expected labels, or rows that sum to 1"),
    ([[0.6], [0.7]], [[3], [5]], TargetError, "class 5 is among the targets, but there are 1 outputs"),
    ([["a", "b"]], [0], InputError, "received an array of <U1, expected numbers"),
])  # fmt: skip
def test_outputs_and_targets_that_do_not_fit_together_are_refused(metric, outputs, t, error, message):
    with pytest.raises(error, match=message):
        metric(outputs, t=t)
