"""Weights of samples: in losses, training, evaluation and metrics, and those that balance classes."""

import copy

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from networks import every_layer, samples
from strategies import seeds

from minibp import (
    SGD,
    AbsoluteLoss,
    Adam,
    BinaryCrossEntropy,
    Checkpoint,
    CrossEntropy,
    Dense,
    Dropout,
    Flatten,
    HuberLoss,
    Network,
    PoissonLoss,
    QuadraticLoss,
    QuantileLoss,
    Sigmoid,
    SigmoidCrossEntropy,
    Softmax,
    SoftmaxCrossEntropy,
    Tanh,
    evaluate,
    metrics,
    train,
)
from minibp.data import Batches, Dataset, class_weights, split
from minibp.errors import ArgumentError, CheckpointError, TargetError

LOSSES = {
    "QuadraticLoss": (QuadraticLoss, []),
    "AbsoluteLoss": (AbsoluteLoss, []),
    "HuberLoss": (lambda: HuberLoss(0.4), []),
    "QuantileLoss": (lambda: QuantileLoss(0.8), []),
    "PoissonLoss": (PoissonLoss, []),
    "SoftmaxCrossEntropy": (SoftmaxCrossEntropy, []),
    "SoftmaxCrossEntropy, smoothed": (lambda: SoftmaxCrossEntropy(0.1), []),
    "CrossEntropy": (CrossEntropy, [Softmax]),
    "CrossEntropy, smoothed": (lambda: CrossEntropy(0.1), [Softmax]),
    "CrossEntropy, not fused": (CrossEntropy, [Softmax, Flatten]),
    "SigmoidCrossEntropy": (SigmoidCrossEntropy, []),
    "BinaryCrossEntropy": (BinaryCrossEntropy, [Sigmoid]),
    "BinaryCrossEntropy, not fused": (BinaryCrossEntropy, [Sigmoid, Flatten]),
}
every_loss = pytest.mark.parametrize("loss", LOSSES)
both_ways = pytest.mark.parametrize("compiled", [False, True])


def network(loss, seed=0):
    make, ending = LOSSES[loss]
    return Network([Dense(4, 5), Tanh(), Dense(5, 3), *(each() for each in ending)], make(), dtype="float64", seed=seed)


def fitting(loss, dataset):
    """The data set with targets that the loss takes: rows, if it is one of numbers."""
    return Dataset(dataset.x, np.eye(3)[dataset.t]) if LOSSES[loss][0]().of_numbers else dataset


def repeated(dataset, counts):
    return Dataset(np.repeat(dataset.x, counts, axis=0), np.repeat(dataset.t, counts, axis=0))


def needs_numba(compiled):
    if compiled:
        pytest.importorskip("numba")


@every_loss
@given(counts=st.lists(st.integers(0, 3), min_size=1, max_size=8).filter(any), seed=seeds)
def test_a_weight_counts_as_so_many_samples(loss, counts, seed):
    dataset = fitting(loss, samples(len(counts), seed % 1000))
    ours, theirs = network(loss), network(loss)
    weighted = ours.forward(dataset.x, dataset.t, weights=counts)
    plain = theirs.forward(*repeated(dataset, counts))
    ours.backward()
    theirs.backward()
    assert float(weighted) == pytest.approx(float(plain), rel=1e-9)
    np.testing.assert_allclose(ours.grads, theirs.grads, rtol=1e-9, atol=1e-12)
    assert ours.forward(*dataset) == theirs.forward(*dataset)  # 1/N is back


@every_loss
@both_ways
def test_training_in_full_batches_counts_them_so(loss, compiled):
    needs_numba(compiled)
    dataset, counts = fitting(loss, samples(20)), np.arange(20) % 3
    losses = []
    for data in (Dataset(*dataset, weights=counts), repeated(dataset, counts)):
        net = network(loss)
        losses.append([epoch[1:4] for epoch in train(net, SGD(net), data, 20, 100, data, compiled=compiled)])
    np.testing.assert_allclose(*losses, rtol=1e-9)


@both_ways
def test_a_batch_in_which_no_sample_counts_makes_no_step(compiled):
    needs_numba(compiled)
    dataset = samples(40)
    weights = np.zeros(40)
    weights[7] = 2.0
    net = network("SoftmaxCrossEntropy")
    sgd, before = SGD(net), copy.deepcopy(net)
    (epoch,) = train(net, sgd, Dataset(*dataset, weights=weights), 1, 8, compiled=compiled)
    assert sgd.steps == 1
    assert epoch.loss == pytest.approx(evaluate(before, dataset[7]).loss, rel=1e-9)
    step = SGD(before)
    before.forward(*dataset[7])
    before.backward()
    step.step()
    np.testing.assert_allclose(net.params, before.params, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(seed=st.integers(0, 50), batch_size=st.integers(1, 12))
def test_compiled_steps_agree_with_the_formulas(dtype, seed, batch_size):
    pytest.importorskip("numba")
    rng = np.random.default_rng(seed)
    data = Dataset(*samples(23), weights=rng.random(23) * rng.integers(0, 2, 23) + (np.arange(23) == 3))
    params = []
    for compiled in (True, False):
        net = Network([Dense(4, 5), Tanh(), Dropout(0.2), Dense(5, 3), Softmax()], CrossEntropy(), dtype=dtype)
        list(train(net, Adam(net, eps=1e-3), data, 10, batch_size, data, compiled=compiled))
        params.append(net.params)
    tolerance = {"float32": 1e-3, "float64": 1e-9}[dtype]
    np.testing.assert_allclose(*params, rtol=0, atol=tolerance * abs(params[0]).max())


def test_weights_are_relative():
    dataset, weights = samples(), np.random.default_rng(0).random(40)
    params = []
    for factor in (1.0, 1e-200, 1e250):
        net = every_layer()
        list(train(net, SGD(net), Dataset(*dataset, weights=weights * factor), 2, 8))
        params.append(net.params)
    np.testing.assert_allclose(params[1], params[0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(params[2], params[0], rtol=1e-3, atol=1e-5)


def test_an_index_and_a_split_keep_the_weights_of_their_samples():
    dataset = Dataset(*samples(), weights=np.arange(40.0))
    np.testing.assert_array_equal(dataset[5:8].weights, [5, 6, 7])
    for part in split(dataset, 0.25):
        for x, weight in zip(part.x, part.weights, strict=True):
            assert weight == float(np.flatnonzero((dataset.x == x).all(axis=1))[0])


def test_a_memory_map_keeps_the_weights_of_its_samples(tmp_path, monkeypatch):
    monkeypatch.setattr("minibp.data.batches.READ_BLOCK", 256)
    monkeypatch.setattr("minibp.data.batches.SHUFFLE_WINDOW", 1024)
    x, t = samples(300)
    np.save(tmp_path / "x.npy", x)
    weights, found = np.arange(300.0), []
    mapped = Dataset(np.load(tmp_path / "x.npy", mmap_mode="r"), t, weights)
    net = network("SoftmaxCrossEntropy")
    for x_part, _, held in Batches(net, mapped, 7).shuffled(np.random.default_rng(0)):
        for row, weight in zip(x_part, held.values, strict=True):
            assert (x[round(weight * 299)] == row).all()
            found.append(weight)
    assert len(found) == 300


@pytest.mark.parametrize(("weights", "message"), [
    (np.ones(3), r"the shape \(3,\), expected \(40,\): one for each sample"),
    (np.ones((40, 1)), r"the shape \(40, 1\), expected \(40,\)"),
    (np.where(np.arange(40) == 7, -1, 1), "that of sample 7 is -1, expected a finite number of at least 0"),
    (np.where(np.arange(40) == 7, np.nan, 1), "that of sample 7 is nan"),
    (np.where(np.arange(40) == 7, np.inf, 1), "that of sample 7 is inf"),
    (np.zeros(40), "all are 0, so no sample counts"),
    (["a"] * 40, "weights: received an array of <U1"),
])  # fmt: skip
def test_weights_that_are_none_are_refused(weights, message):
    dataset = samples()
    with pytest.raises(ArgumentError, match=message):
        Dataset(*dataset, weights=weights)
    with pytest.raises(ArgumentError, match=message):
        network("SoftmaxCrossEntropy").forward(*dataset, weights=weights)
    with pytest.raises(ArgumentError, match=message):
        metrics.accuracy(dataset.t, t=dataset.t, weights=weights)


def test_a_part_of_which_no_sample_counts_is_refused():
    dataset = Dataset(*samples(), weights=np.arange(40) > 19)
    net = network("SoftmaxCrossEntropy")
    for use in (lambda: train(net, SGD(net), dataset[:9], 1), lambda: evaluate(net, dataset[:9])):
        with pytest.raises(ArgumentError, match="the weights of these 9 samples are all 0"):
            use()


@both_ways
def test_a_checkpoint_belongs_to_its_weights(tmp_path, compiled):
    needs_numba(compiled)

    def run(weights, path, stop=None):
        net = network("SoftmaxCrossEntropy")
        checkpoint = Checkpoint(tmp_path / path, "2steps")
        for epoch in train(net, Adam(net), Dataset(*samples(), weights=weights), 4, 8, checkpoint=checkpoint,
                           compiled=compiled):  # fmt: skip
            if epoch.number == stop:
                checkpoint.interrupt()
        return net.params, [epoch.loss for epoch in checkpoint.history]

    weights = np.arange(40.0) % 3
    whole = run(weights, "whole")
    with pytest.raises(KeyboardInterrupt):
        run(weights, "part", stop=2)
    for other in (None, weights + 1):
        with pytest.raises(CheckpointError, match="training data"):
            run(other, "part")
    for ours, theirs in zip(run(weights, "part"), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# --- metrics, class weights, stratified splits ---------------------------------------------------------------------


def test_metrics_count_them_so(rng):
    outputs, t, counts = rng.random((30, 4)), rng.integers(4, size=30), rng.integers(0, 4, 30)
    many = np.repeat(outputs, counts, axis=0), np.repeat(t, counts)
    assert metrics.accuracy(outputs, t=t, weights=counts) == pytest.approx(metrics.accuracy(many[0], t=many[1]))
    ours = metrics.top_k_accuracy(outputs, t=t, k=2, weights=counts)
    assert ours == pytest.approx(metrics.top_k_accuracy(many[0], t=many[1], k=2))


def test_balanced_weights_give_each_class_the_same_total():
    t = np.array([0, 0, 0, 2, 5, 5])
    weights = class_weights(t)
    assert [weights[t == label].sum() for label in (0, 2, 5)] == pytest.approx([2, 2, 2])


def test_weights_of_classes_by_label():
    np.testing.assert_array_equal(class_weights([0, 1, 1, 2], {1: 3, 0: 0.5}), [0.5, 3, 3, 1])


@pytest.mark.parametrize(("t", "kind", "error", "message"), [
    ([0.5, 1], "balanced", TargetError, "expected integer labels"),
    ([[0], [1]], "balanced", TargetError, "expected integer labels"),
    ([0, 1], "even", ArgumentError, '"balanced", or a dict of weights by label'),
    ([0, 1], {2: 1.0}, ArgumentError, r"class 2 has a weight, but does not occur; the classes are \[0, 1\]"),
    ([0, 1], {1: -1.0}, ArgumentError, "is -1, expected a finite number of at least 0"),
])  # fmt: skip
def test_class_weights_that_are_none_are_refused(t, kind, error, message):
    with pytest.raises(error, match=message):
        class_weights(t, kind)


@given(counts=st.lists(st.integers(2, 30), min_size=2, max_size=5), share=st.floats(0.1, 0.9), seed=st.integers(0, 9))
@example(counts=[2, 2, 2, 13], share=0.3125, seed=0)
def test_a_stratified_split_gives_each_class_its_share(counts, share, seed):
    t = np.repeat(np.arange(len(counts)), counts)
    assume(0 < round(share * len(t)) < len(t))
    parts = split(Dataset(np.arange(len(t), dtype=float)[:, None], t), share, seed, stratify=True)
    held_out = len(parts.test) / len(t)
    assert sorted(np.concatenate([part.x[:, 0] for part in parts])) == list(range(len(t)))
    for label, count in enumerate(counts):
        assert abs((parts.test.t == label).sum() - held_out * count) <= 1


@pytest.mark.parametrize(("t", "error", "message"), [
    (np.array([0, 0, 1]), ArgumentError, "class 1 has a single sample"),
    (np.ones((3, 2)), TargetError, "stratify needs labels"),
])  # fmt: skip
def test_what_cannot_be_stratified_is_refused(t, error, message):
    with pytest.raises(error, match=message):
        split(Dataset(np.ones((3, 2)), t), 1, stratify=True)
