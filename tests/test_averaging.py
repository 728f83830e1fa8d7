"""WeightAverage: what it averages, when the network holds it, and how a training is resumed with it."""

import copy
import importlib
import pickle
import sys

import numpy as np
import pytest
from arrays import host
from networks import every_layer, samples

from minibp import (
    SGD,
    Adam,
    BatchNorm,
    Checkpoint,
    CrossEntropy,
    Dense,
    EarlyStopping,
    Network,
    ReLU,
    Softmax,
    WeightAverage,
    evaluate,
    train,
)
from minibp.errors import ArgumentError, CheckpointError


def small(seed=0, **options):
    layers = [Dense(4, 5), BatchNorm(5), ReLU(), Dense(5, 3), Softmax()]
    return Network(layers, CrossEntropy(), seed=seed, **options)


@pytest.mark.parametrize("backend", ["numpy", "standin", pytest.param("cupy", marks=pytest.mark.gpu)])
def test_it_is_the_mean_of_the_weights_after_each_step_that_decay(backend, monkeypatch):
    if backend == "standin":
        monkeypatch.setitem(sys.modules, "cupy", importlib.import_module(backend))
    net, decay = small(dtype="float64", backend="numpy" if backend == "numpy" else "cupy"), 0.8
    sgd, average, seen = SGD(net), WeightAverage(net, decay), []
    for _ in train(net, sgd, samples(40), 3, 40, average=average):  # a step an epoch
        seen.append([host(vector).copy() for vector in average.weights])
    counts = decay ** np.arange(3)[::-1]
    for i, held in enumerate((net.params, net.buffers)):
        expected = np.average([values[i] for values in seen], axis=0, weights=counts)
        np.testing.assert_allclose(host(held), expected, rtol=1e-12)
    assert average.step == 3


def test_the_steps_go_on_from_the_weights_of_the_training():
    with_average, without = small(), small()
    average = WeightAverage(with_average)
    epochs = train(with_average, Adam(with_average), samples(), 3, 8, average=average)
    losses = [[epoch.loss for epoch in each] for each in (epochs, train(without, Adam(without), samples(), 3, 8))]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(average.weights[0], without.params)
    assert (with_average.params != without.params).any()


def test_what_the_loop_sees_is_the_average():
    net, held_out = small(), samples(30)
    average, stopping = WeightAverage(net, 0.9), EarlyStopping(net)
    for epoch in train(net, SGD(net), samples(), 3, 8, held_out, average=average):
        assert evaluate(net, held_out).loss == pytest.approx(epoch.val_loss, rel=1e-6)
        stopping.should_stop(-epoch.number)
        np.testing.assert_array_equal(stopping.kept[0], net.params)
    np.testing.assert_array_equal(stopping.kept[0], net.params)  # also after the training


def test_a_training_that_was_left_goes_on():
    whole, parts = small(), small()
    pairs = []
    for net, epochs in ((whole, [2]), (parts, [1, 1])):
        average, adam = WeightAverage(net), Adam(net)
        for count in epochs:
            for epoch in train(net, adam, samples(), count + 1, 8, average=average):
                if epoch.number == count:
                    break
        pairs.append((net.params, average.params, *average.weights))
    for one, other in zip(*pairs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("change", [
    lambda net, held: net.load_state_dict(held), lambda net, held: net.__setattr__("params", np.zeros(net.params.size)),
    lambda net, held: list(train(net, SGD(net), samples(), 2, 8)),
], ids=["load_state_dict", "assignment", "another training"])  # fmt: skip
def test_after_a_change_of_the_weights_the_steps_go_on_from_these(change):
    net, other = small(), small()
    average, held = WeightAverage(net), small(seed=1).state_dict()
    list(train(net, SGD(net), samples(), 2, 8, average=average))
    change(net, held)
    other.load_state_dict(net.state_dict())
    other.rng.bit_generator.state = net.rng.bit_generator.state
    list(train(net, SGD(net), samples(), 1, 8, average=average))
    list(train(other, SGD(other), samples(), 1, 8))
    np.testing.assert_array_equal(average.weights[0], other.params)


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("where", [("numpy", "float64"), ("cupy", "float32")])
def test_it_moves_along_with_the_network(monkeypatch, within, where):
    monkeypatch.setitem(sys.modules, "cupy", importlib.import_module("standin"))
    net, still = small(dtype="float64"), small(dtype="float64")
    results = []
    for each in (net, still):
        average, sgd = WeightAverage(each), SGD(each)
        epochs = train(each, sgd, samples(), 2, 8, average=average)
        next(epochs)
        if each is net:
            each.to(*where)
        if not within:
            epochs = train(each, sgd, samples(), 1, 8, average=average)
        list(epochs)
        results.append(host(average.weights[0]))
        assert average.params.dtype == each.params.dtype
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


def test_after_ctrl_c_the_network_holds_the_average(monkeypatch):
    net = small()
    average, update = WeightAverage(net), WeightAverage.update

    def interrupted(self):
        update(self)
        if self.step == 13:
            raise KeyboardInterrupt

    monkeypatch.setattr(WeightAverage, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(train(net, SGD(net), samples(), 5, 8, average=average))
    np.testing.assert_array_equal(net.params, average.params)
    assert average.step == 13 and (average.weights[0] != net.params).any()


def test_a_call_of_train_alone_changes_nothing():
    net = small()
    average = WeightAverage(net)
    list(train(net, SGD(net), samples(), 1, 8, average=average))
    before = net.params.copy()
    train(net, SGD(net), samples(), 1, 8, average=average)
    np.testing.assert_array_equal(net.params, before)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("every", [1, "3steps"])
def test_a_resumed_training_ends_with_the_same_bits(path, compiled, every):
    if compiled:
        pytest.importorskip("numba")

    def run(checkpoint=None, stop=0):
        net = every_layer()
        average = WeightAverage(net, 0.9)
        options = {"checkpoint": checkpoint, "compiled": compiled, "average": average}
        for epoch in train(net, Adam(net), samples(), 4, 8, **options):
            if epoch.number == stop:
                checkpoint.interrupt()
        return net.params, net.buffers, *average.weights, average.step

    whole = run()
    with pytest.raises(KeyboardInterrupt):
        run(Checkpoint(path, every), stop=2)
    for one, other in zip(whole, run(Checkpoint(path, every)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_checkpoint_with_an_average_is_not_resumed_without(path):
    net = small()
    next(train(net, SGD(net), samples(), 2, 8, checkpoint=Checkpoint(path), average=WeightAverage(net)))
    net = small()
    with pytest.raises(CheckpointError, match=r"average\n    here         none\n    in the file  WeightAverage\(net, "):
        train(net, SGD(net), samples(), 2, 8, checkpoint=Checkpoint(path))


def test_copies_and_pickles_are_those_of_the_network():
    net = small()
    average = WeightAverage(net)
    next(train(net, SGD(net), samples(), 1, 8, average=average))
    for other_net, other in (copy.deepcopy((net, average)), pickle.loads(pickle.dumps((net, average)))):
        assert other.net is other_net and other.step == average.step
        np.testing.assert_array_equal(other.params, average.params)
        list(train(other_net, SGD(other_net), samples(), 1, 8, average=other))


@pytest.mark.parametrize(("decay", "message"), [(1.0, r"decay must lie in \[0, 1\)"), ("much", "decay")])
def test_a_decay_outside_its_range_is_refused(decay, message):
    with pytest.raises(ArgumentError, match=message):
        WeightAverage(small(), decay)


def test_an_average_of_another_network_is_refused():
    net = small()
    with pytest.raises(ArgumentError, match="the average belongs to another network; create one for this network"):
        train(net, SGD(net), samples(), 1, average=WeightAverage(small()))
    with pytest.raises(ArgumentError, match=r"average.*WeightAverage"):
        train(net, SGD(net), samples(), 1, average=0.999)
    with pytest.raises(ArgumentError, match="the network comes first"):
        WeightAverage(0.99)
