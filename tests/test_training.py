"""Training: what train() yields, learns and refuses; evaluate(); early stopping."""

import copy
import math
import re

import numpy as np
import pytest
from arrays import assert_close, assert_equal, shares_memory
from networks import samples

from minibp import (
    SGD,
    AbsoluteLoss,
    Adam,
    BatchNorm,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    Dropout,
    EarlyStopping,
    Epoch,
    Flatten,
    HuberLoss,
    Layer,
    Network,
    PoissonLoss,
    QuadraticLoss,
    QuantileLoss,
    Sigmoid,
    SigmoidCrossEntropy,
    Softmax,
    Tanh,
    data,
    evaluate,
    train,
)
from minibp.data import Dataset
from minibp.errors import ArgumentError, DivergenceError, ShapeError, TargetError, TrainingWarning
from minibp.schedules import Cosine, Exponential, Schedule, Step, Warmup

pytestmark = pytest.mark.usefixtures("library")


def small(**options):
    """4 inputs, 3 classes, with running statistics and dropout."""
    layers = [Dense(4, 8), BatchNorm(8), Tanh(), Dropout(0.2), Dense(8, 3), Softmax()]
    return Network(layers, CrossEntropy(), **options)


def linear(**options):
    """4 inputs, 3 outputs."""
    return Network([Dense(4, 3)], QuadraticLoss(), **options)


def run(net, dataset, epochs=2, batch_size=4, lr=0.1, **options):
    return list(train(net, SGD(net, lr=lr), dataset, epochs, batch_size, **options))


# --- what train() does ---------------------------------------------------------------------------------------------


def test_xor_is_learned():
    xor = Dataset([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0])
    net = Network([Dense(2, 8), Tanh(), Dense(8, 2), Softmax()], CrossEntropy())
    *_, last = train(net, Adam(net, lr=0.05), xor, epochs=200, validation=xor)
    assert last.loss < 0.1 and last.val_accuracy == 1


def test_digits_are_learned():
    digits = data.digits()
    net = Network([Flatten(), Dense(64, 32), Sigmoid(), Dense(32, 10), Softmax()], CrossEntropy())
    *_, last = train(net, SGD(net, lr=0.5), digits.train, epochs=10, validation=digits.test)
    assert last.val_accuracy > 0.9


@pytest.mark.filterwarnings("ignore:.* turns any batch of one sample")
@pytest.mark.parametrize(("n", "batch_size"), [(1, 1), (10, 3), (10, 5), (10, 10), (10, 99), (300, 256), (600, 7)])
def test_an_epoch_equals_a_loop_written_by_hand(n, batch_size):
    net = small(dtype="float64")
    by_hand, dataset = copy.deepcopy(net), samples(n)
    optimizer = SGD(by_hand, lr=0.1)
    for _ in range(2):
        order = by_hand.rng.permutation(n)
        for start in range(0, n, batch_size):
            rows = order[start : start + batch_size]
            by_hand.forward(dataset.x[rows], dataset.t[rows])
            by_hand.backward()
            optimizer.step()
    run(net, dataset, 2, batch_size)
    assert_close(net.params, by_hand.params, rtol=1e-9, atol=1e-12)


class Recorder(Layer):
    """The identity; keeps its inputs in training."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def formula(self, x):
        if self.training:
            self.seen += x[:, 0].tolist()
        return x

    def gradient(self, dy):
        return dy


def test_every_sample_comes_once_an_epoch_in_another_order_each():
    recorder = Recorder()
    net = Network([recorder, Dense(1, 1)], QuadraticLoss())
    run(net, Dataset(np.arange(50.0)[:, None], np.zeros(50)), epochs=2, batch_size=8, lr=0)
    first, second = recorder.seen[:50], recorder.seen[50:]
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second and first != sorted(first)


def test_epochs_are_numbered_and_yielded_one_by_one():
    net = small()
    optimizer = SGD(net)
    steps = [(epoch.number, optimizer.steps) for epoch in train(net, optimizer, samples(10), epochs=3, batch_size=4)]
    assert steps == [(1, 3), (2, 6), (3, 9)]


def test_loss_of_an_epoch_is_the_mean_over_all_samples():
    dataset, net = samples(10), Network([Dense(4, 3), Softmax()], CrossEntropy())
    (epoch,) = run(net, dataset, epochs=1, batch_size=4, lr=0)  # nothing is learned: each batch has the same weights
    assert epoch.loss == pytest.approx(evaluate(net, dataset).loss, rel=1e-6)


def test_validation_is_evaluated_after_each_epoch():
    net, held_out = small(), samples(20, seed=1)
    for epoch in train(net, SGD(net), samples(10), epochs=2, validation=held_out):
        assert (epoch.val_loss, epoch.val_accuracy) == evaluate(net, held_out)


def test_validation_does_not_change_the_training():
    with_validation, without = small(), small()
    losses = [e.loss for e in run(with_validation, samples(10), validation=samples(10, seed=1))]
    assert losses == [e.loss for e in run(without, samples(10))]
    assert_equal(with_validation.params, without.params)


def test_an_epoch_prints_as_a_line_of_a_log():
    assert str(Epoch(3, 0.5, None, None, 1.234)) == "epoch   3  loss 0.5000  1.23 s"
    assert str(Epoch(3, 0.5, 0.25, 0.9, 1.234)) == (
        "epoch   3  loss 0.5000  val_loss 0.2500  val_accuracy 0.9000  1.23 s"
    )


# --- data ----------------------------------------------------------------------------------------------------------


def test_bytes_are_trained_on_as_their_values_over_255(rng):
    x, t = rng.integers(256, size=(10, 4), dtype="uint8"), np.arange(10) % 3
    from_bytes, from_floats = small(dtype="float64"), small(dtype="float64")
    run(from_bytes, Dataset(x, t))
    run(from_floats, Dataset(x / 255, t))
    assert_close(from_bytes.params, from_floats.params, rtol=1e-9, atol=1e-12)


def test_labels_and_rows_train_alike():
    dataset = samples(10)
    labels, rows = small(), small()
    run(labels, dataset, validation=dataset)
    epochs = run(rows, Dataset(dataset.x, np.eye(3)[dataset.t]), validation=dataset)
    assert_equal(labels.params, rows.params)
    assert epochs[-1].val_accuracy == evaluate(rows, dataset).accuracy


def test_a_memory_map_trains_as_its_array(tmp_path):
    dataset = samples(10)
    np.save(tmp_path / "x.npy", dataset.x)
    from_file, from_array = small(), small()
    run(from_file, Dataset(np.load(tmp_path / "x.npy", mmap_mode="r"), dataset.t))
    run(from_array, dataset)
    assert_equal(from_file.params, from_array.params)


@pytest.mark.parametrize("label", [10**8, -3, 1])
@pytest.mark.parametrize("mapped", [False, True])
def test_labels_that_the_loop_changes_do_not_reach_the_training(tmp_path, mapped, label):
    dataset, net, same = samples(10), small(), small()
    expected = [epoch.val_loss for epoch in run(same, dataset, validation=dataset)]
    t = np.memmap(tmp_path / "t", "int64", "w+", shape=10) if mapped else np.empty(10, "int64")
    t[:] = dataset.t
    changing, losses = Dataset(dataset.x, t), []
    for epoch in train(net, SGD(net, lr=0.1), changing, 2, 4, validation=changing):
        losses.append(epoch.val_loss)
        changing.t[:] = label
    assert losses == expected
    assert_equal(net.params, same.params)


def test_numbers_for_one_output_that_the_loop_changes_do_not_reach_the_training():
    net = Network([Dense(4, 1), Sigmoid()], BinaryCrossEntropy())
    dataset = Dataset(samples(10).x, np.full(10, 0.5, "float32"))
    for epoch in train(net, SGD(net, lr=0.1), dataset, 3):
        assert epoch.loss > 0
        dataset.t[:] = 99


# --- evaluate ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_evaluation_does_not_depend_on_the_batch_size(batch_size):
    net, dataset = small(dtype="float64"), samples(10)
    y = net.predict(dataset.x)
    loss, accuracy = evaluate(net, dataset, batch_size=batch_size)
    assert loss == pytest.approx(-np.log(y[np.arange(10), dataset.t]).mean(), rel=1e-12)
    assert accuracy == (y.argmax(axis=1) == dataset.t).mean()


@pytest.mark.parametrize(("layers", "loss"), [
    ([Sigmoid], BinaryCrossEntropy), ([Sigmoid], QuadraticLoss), ([], SigmoidCrossEntropy)
])  # fmt: skip
def test_one_output_answers_class_1_above_one_half(layers, loss):
    net = Network([Dense(1, 1, W=[[1]]), *[layer() for layer in layers]], loss())
    dataset = Dataset([[-2.0], [-0.3], [0.3], [2.0]], [0, 1, 1, 1])
    assert evaluate(net, dataset).accuracy == 0.75
    run(net, dataset, epochs=1)


def test_targets_that_are_not_classes_have_no_accuracy(rng):
    net = linear()
    loss, accuracy = evaluate(net, Dataset(rng.normal(size=(5, 4)), rng.normal(size=(5, 3))))
    assert math.isfinite(loss) and math.isnan(accuracy)


@pytest.mark.parametrize("t", [np.arange(5), np.arange(5) % 2, np.linspace(0, 1, 5), np.eye(5)[:, :1]])
@pytest.mark.parametrize("loss", [AbsoluteLoss, HuberLoss, QuantileLoss, PoissonLoss])
def test_numbers_have_no_accuracy_and_an_epoch_does_not_print_one(loss, t, rng):
    net, dataset = Network([Dense(4, 1)], loss()), Dataset(rng.normal(size=(5, 4)), t)
    (epoch,) = train(net, SGD(net, lr=0.01), dataset, 1, validation=dataset)
    assert math.isnan(epoch.val_accuracy) and math.isfinite(epoch.val_loss)
    assert re.fullmatch(r"epoch   1  loss -?\d\.\d{4}  val_loss -?\d\.\d{4}  \d+\.\d\d s", str(epoch))


# --- early stopping ------------------------------------------------------------------------------------------------


def stopped(values, patience, min_delta=0):
    """The number of values after which early stopping stops, or None."""
    best = EarlyStopping(small(), patience, min_delta)
    return next((i for i, value in enumerate(values, start=1) if best.should_stop(value)), None)


def test_training_stops_after_more_than_patience_epochs_without_improvement():
    assert stopped([3, 2, 4, 4, 4, 1], patience=2) == 5


def test_an_improvement_restarts_the_count():
    assert stopped([3, 4, 2, 3, 1, 2], patience=1) is None


def test_a_gain_of_min_delta_or_less_is_not_an_improvement():
    assert stopped([3, 2.75, 2.5, 2.25], patience=2) is None
    assert stopped([3, 2.75, 2.5, 2.25], patience=2, min_delta=1) == 4
    assert stopped([3, 2.75, 1.75, 2.25], patience=2, min_delta=1) is None


def test_a_second_training_begins_anew_after_a_reset():
    net = small()
    best = EarlyStopping(net, patience=1)
    assert [best.should_stop(value) for value in (1, 2, 2)] == [False, False, True]
    best.reset()
    assert not best.should_stop(5) and best.best == 5
    net.params[...] = 0
    best.reset()
    best.restore()  # there are none
    assert not net.params.any()


def test_nan_is_not_an_improvement():
    assert stopped([3, math.nan, math.nan], patience=1) == 3


def test_best_weights_and_statistics_are_restored():
    net = small()
    best = EarlyStopping(net)
    kept = {}
    for value in (3, 1, 2):
        run(net, samples(10), epochs=1)
        kept[value] = net.params.copy(), net.buffers.copy()
        best.should_stop(value)
    best.restore()
    assert_equal(net.params, kept[1][0])
    assert_equal(net.buffers, kept[1][1])
    assert best.best == 1


def test_restoring_before_the_first_epoch_changes_nothing():
    net = small()
    before = net.params.copy()
    EarlyStopping(net).restore()
    assert_equal(net.params, before)


def test_early_stopping_needs_a_value_and_patience():
    with pytest.raises(ArgumentError, match=r"EarlyStopping received None.*validation="):
        EarlyStopping(small()).should_stop(None)
    with pytest.raises(ArgumentError, match="patience must be an integer of at least 1, received 0"):
        EarlyStopping(small(), patience=0)
    with pytest.raises(ArgumentError, match="min_delta must be a finite number of at least 0, received -1"):
        EarlyStopping(small(), min_delta=-1)


# --- divergence ----------------------------------------------------------------------------------------------------


def test_a_rate_that_is_too_high_is_named_at_the_end_of_the_epoch():
    net = linear()
    optimizer = SGD(net, lr=0.01)
    with pytest.raises(DivergenceError, match=r"in epoch 2, at step \d+ of 20 .* learning rate 1000 is too high"):
        for _ in train(net, optimizer, samples(200), epochs=3, batch_size=10):
            optimizer.lr = 1000
    assert optimizer.steps == 40


def test_a_first_step_that_fails_in_a_later_epoch_is_the_fault_of_the_rate():
    with pytest.raises(DivergenceError, match=r"in epoch 2, at step 1 of 1\. .* learning rate 1e\+30 is too high"):
        run(linear(), samples(10), batch_size=10, lr=1e30)


@pytest.mark.filterwarnings("ignore:x holds floats from")
def test_inputs_that_are_too_large_are_named_as_the_cause():
    dataset = samples(10)
    with pytest.raises(DivergenceError, match=r"in epoch 1, at step 1 of 3\. .*: the inputs reach \d\S*: scale"):
        run(linear(), Dataset(1e30 * dataset.x, dataset.t))


@pytest.mark.parametrize("size", [1e20, 1e30])
def test_targets_that_are_too_large_are_named_as_the_cause(size):
    dataset = Dataset(samples(10).x, np.full((10, 3), size))
    message = re.escape(f"Likely cause: the targets reach {size:g}: scale them")
    with pytest.raises(DivergenceError, match=rf"at step 1 of 3\. {message}"):
        run(linear(), dataset)
    with pytest.raises(DivergenceError, match=r"the loss of sample 0 .*: its targets are too large .*; scale targets"):
        evaluate(linear(), dataset)


@pytest.mark.parametrize("x", [samples(10).x, np.full((10, 4), 255, "uint8")])
def test_targets_that_train_badly_are_named_beside_the_rate(x):
    with pytest.raises(DivergenceError, match=r"targets reach 200: scale .*; or the learning rate 10 is too high"):
        run(linear(), Dataset(x, np.full((10, 3), 200.0)), epochs=200, lr=10)


def test_weights_that_are_too_large_are_named_as_the_cause():
    net = linear()
    net.params[...] = 1e30
    with pytest.raises(DivergenceError, match=r"at step 1 of 3\. Likely cause: the initial weights are too large"):
        run(net, samples(10))


@pytest.mark.parametrize("schedule", [Cosine(1e30, steps=3), Warmup(Step(1e30, every=1, factor=1e-300), steps=1)])
def test_the_rate_of_the_step_that_failed_is_named(schedule):
    with pytest.raises(DivergenceError, match=r"at step 2 of 10 .* the learning rate 1e\+30 is too high"):
        run(linear(), samples(40), lr=schedule)


def test_moments_that_are_lost_are_refused_by_the_call():
    net = linear()
    optimizer, before = Adam(net, lr=1e39), net.params.copy()
    with pytest.raises(DivergenceError):
        list(train(net, optimizer, samples(10), 2, batch_size=4))
    net.params = before
    with pytest.raises(DivergenceError, match=r"a moment of this Adam is NaN or infinite, .*; create a new one"):
        train(net, optimizer, samples(10), 1)


def test_weights_that_overflow_in_the_last_step_are_named():
    with pytest.raises(DivergenceError, match=r"the weights became NaN or infinite in epoch 1, at step 1 of 1"):
        run(linear(), samples(10), epochs=1, batch_size=10, lr=1e39)


# --- a rate of 0 ---------------------------------------------------------------------------------------------------


class ByEpoch(Schedule):
    """A user's schedule, meant to be called with epochs: 0 from the third call on."""

    def __call__(self, step):
        return max(0.2 - 0.1 * step, 0.0)


@pytest.mark.parametrize("schedule", [
    Cosine(0.1, steps=20), Warmup(Cosine(0.1, steps=10), steps=10), ByEpoch(), Step(0.1, every=1),
    Exponential(0.1, steps=1),
])  # fmt: skip
def test_a_schedule_that_is_0_in_a_whole_epoch_is_told_once(schedule):
    net = linear()
    optimizer = SGD(net, lr=0.1)
    run_on = train(net, optimizer, samples(40), epochs=5, batch_size=4)
    next(run_on), next(run_on)  # 20 steps
    optimizer.lr = schedule
    with pytest.warns(TrainingWarning, match=r"a rate of \(almost\) 0 in all steps.*counts batches") as told:
        rest = list(run_on)
    assert len(rest) == 3 and len(told) == 1
    assert told[0].filename == __file__  # the line of the loop


@pytest.mark.parametrize("lr", [
    0, Cosine(0.1, steps=30), Cosine(0.1, steps=25), Cosine(0.1, steps=1, end=0.01), Step(0.1, 10, 1e-3),
])  # fmt: skip
def test_a_rate_that_is_meant_to_be_0_or_only_ends_there_is_no_warning(lr):
    run(linear(), samples(40), epochs=3, lr=lr)


# --- what is refused before the first epoch -----------------------------------------------------------------------


def bad(x=None, t=None):
    """Samples, with other inputs or targets."""
    good = samples(10)
    return Dataset(good.x if x is None else x, good.t if t is None else t)


@pytest.mark.parametrize(("changed", "error", "message"), [
    ({"epochs": 0}, ArgumentError, "epochs must be an integer of at least 1, received 0"),
    ({"epochs": 1.5}, ArgumentError, "epochs must be an integer"),
    ({"batch_size": 0}, ArgumentError, "batch_size must be an integer of at least 1, received 0"),
    ({"dataset": (np.ones((2, 4)), [0, 1])}, ArgumentError, "dataset must be a Dataset, received tuple"),
    ({"validation": np.ones((2, 4))}, ArgumentError, "validation must be a Dataset, received ndarray"),
    ({"dataset": bad(x=np.ones((10, 5)))}, ShapeError, r"layer 0: Dense\(4, 8\) is fed 5 values by the data"),
    ({"validation": bad(x=np.ones((10, 5)))}, ShapeError, r"layer 0: Dense\(4, 8\) is fed 5 values by the data"),
    ({"dataset": bad(t=np.full(10, 3))}, TargetError, r"label of sample 0 is 3, expected 0\.\.2"),
    ({"validation": bad(t=np.full(10, -1))}, TargetError, r"label of sample 0 is -1, expected 0\.\.2"),
])  # fmt: skip
def test_data_that_do_not_fit_are_refused_before_the_first_epoch(changed, error, message):
    net = small()
    options = {"dataset": samples(10), "epochs": 1} | changed
    with pytest.raises(error, match=message):
        train(net, SGD(net), **options)


def test_an_optimizer_of_another_network_is_refused():
    with pytest.raises(ArgumentError, match="optimizer belongs to another network"):
        train(small(), SGD(small()), samples(10), epochs=1)


def test_nothing_is_trained_before_the_first_epoch_is_asked_for():
    net = small()
    before = net.params.copy()
    train(net, SGD(net), samples(10), epochs=1)
    assert_equal(net.params, before)


# --- the example ---------------------------------------------------------------------------------------------------


def test_the_example_of_the_design_runs_as_written(library):
    digits, backend = data.digits(), "numpy" if library is np else "cupy"
    net = Network(
        [Dense(64, 100), Sigmoid(), Dense(100, 10), Softmax()], CrossEntropy(), backend=backend, dtype="float32", seed=0
    )
    optimizer = SGD(net, lr=0.5)
    for epoch in train(net, optimizer, digits.train, epochs=2, batch_size=32, validation=digits.test):
        assert epoch.number and epoch.loss and epoch.val_loss and epoch.val_accuracy and epoch.seconds
    x, t = digits.test
    assert net.predict(x).shape == (360, 10)
    assert net.forward(x, t) > 0
    net.backward()
    assert net.params.shape == net.grads.shape == (64 * 100 + 100 + 100 * 10 + 10,)
    assert shares_memory(net.layers[0].W, net.params) and shares_memory(net.layers[0].dW, net.grads)


@pytest.mark.parametrize("rows", [[[1, 1], [0, 0], [1, 0]], [[2, -1], [0.5, 0.5], [1, 0]]])
def test_accuracy_is_nan_if_targets_are_not_classes(rows):
    net = Network([Dense(3, 2)], QuadraticLoss())
    assert math.isnan(evaluate(net, Dataset(np.eye(3), np.array(rows, float))).accuracy)
