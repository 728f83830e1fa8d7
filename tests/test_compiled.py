"""The compiled program: it agrees with the formulas, is reproducible, and is used where it can be and pays."""

import copy
import math
import pickle
import threading
import types

import numpy as np
import pytest
from both_ways import compare, trainings, trainings_on_images
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TwoBranches, every_layer, samples
from runs import Run, assert_same

import minibp
from minibp import (
    SGD,
    AbsoluteLoss,
    Adam,
    BinaryCrossEntropy,
    Checkpoint,
    CrossEntropy,
    Dense,
    ElasticDistortion,
    Flatten,
    GaussianNoise,
    HuberLoss,
    LeakyReLU,
    Network,
    PoissonLoss,
    QuadraticLoss,
    QuantileLoss,
    RandomAffine,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    SoftmaxCrossEntropy,
    Tanh,
    evaluate,
    schedules,
    train,
)
from minibp.data import Dataset
from minibp.errors import ArgumentError, CheckpointError, DivergenceError, InputError
from minibp.program import choice, rows

numba = pytest.importorskip("numba")

@pytest.mark.filterwarnings("ignore::minibp.errors.TrainingWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=40)
@given(training=trainings(), decay=st.sampled_from([None, 0.9]))
def test_the_program_agrees_with_the_formulas(dtype, training, decay):
    compare(*training, dtype, decay)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_agrees(dtype):
    compare(lambda dtype: every_layer(dtype=dtype), lambda net: SGD(net, 0.05), samples(90), 10, 16, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=40)
@given(training=trainings_on_images())
def test_moved_images_agree(dtype, training):
    compare(*training, dtype)


def test_ranges_of_images_count_from_the_next_epoch():
    nets, x = [], np.random.default_rng(0).random((40, 8, 8))
    for compiled in (True, False):
        layers = [RandomAffine(), ElasticDistortion(8, 2), GaussianNoise(), Flatten(), Dense(64, 3)]
        net = Network(layers, SoftmaxCrossEntropy(), dtype="float64")
        for _ in train(net, SGD(net), Dataset(x, np.arange(40) % 3), 3, 8, compiled=compiled):
            layers[0].rotation /= 2
            layers[1].alpha /= 2
            layers[2].std *= 2
        nets.append(net)
    np.testing.assert_allclose(nets[0].params, nets[1].params, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matrices_that_are_not_transposed_first_agree(dtype):
    hidden = rows.SMALL // 60 + 1
    layers = [Dense(4, 60), Tanh(), Dense(60, hidden), ReLU(), Dense(hidden, 3)]
    compare(lambda dtype: Network(copy.deepcopy(layers), SoftmaxCrossEntropy(), dtype=dtype),
            lambda net: SGD(net, 0.01), samples(90), 20, 16, dtype)  # fmt: skip


@pytest.mark.parametrize("loss", [BinaryCrossEntropy, QuadraticLoss])
@pytest.mark.parametrize("t", [np.arange(40) % 2, np.linspace(0, 1, 40), np.linspace(0, 1, 40)[:, None]])
def test_one_output_agrees(loss, t):
    x = samples().x
    compare(lambda dtype: Network([Dense(4, 3), Tanh(), Dense(3, 1), Sigmoid()], loss(), dtype=dtype), Adam,
            Dataset(x, t), 5, 7, "float64")  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", [
    lambda: AbsoluteLoss(), lambda: HuberLoss(0.4), lambda: QuantileLoss(0.8), lambda: PoissonLoss(),
], ids=lambda loss: str(loss()))  # fmt: skip
@pytest.mark.parametrize("t", [np.arange(40) % 5, np.linspace(0, 3, 40), np.linspace(0, 3, 80).reshape(40, 2)])
def test_losses_of_numbers_agree(loss, t, dtype):
    x, k = samples().x, t.shape[1] if t.ndim == 2 else 1
    compare(lambda dtype: Network([Dense(4, 3), Tanh(), Dense(3, k)], loss(), dtype=dtype),
            lambda net: SGD(net, 0.02), Dataset(x, t), 5, 7, dtype)  # fmt: skip


def test_numbers_of_losses_count_from_the_next_epoch():
    nets = []
    for compiled in (True, False):
        net = Network([Dense(4, 1)], HuberLoss(), dtype="float64")
        for _ in train(net, SGD(net), Dataset(samples().x, np.linspace(0, 9, 40)), 3, 8, compiled=compiled):
            net.loss.delta /= 3
        nets.append(net)
    np.testing.assert_allclose(nets[0].params, nets[1].params, rtol=1e-9)


@pytest.mark.parametrize(("dtype", "most"), [("float32", 89), ("float64", 710)])
def test_rates_beyond_the_dtype_are_not_taken_for_large_numbers(dtype, most):
    net = minibp.compile(Network([Dense(1, 1, W=[[1]])], PoissonLoss(), dtype=dtype))
    assert np.isfinite(net.predict(np.array([[87.0]]))).all()
    with pytest.raises(DivergenceError, match="the outputs of sample 0 are NaN or infinite"):
        net.predict(np.array([[float(most)]]))
    with pytest.raises(DivergenceError, match="the loss of sample 0 of this data set is NaN or infinite"):
        evaluate(net, Dataset([[float(most)]], [1]))


@pytest.mark.parametrize("schedule", [schedules.Cosine(0.1, 30), schedules.Warmup(schedules.Step(0.1, 8, 0.5), 5)])
def test_schedules_agree(schedule):
    make = lambda dtype: Network([Dense(4, 3), Softmax()], CrossEntropy(), dtype=dtype)  # noqa: E731
    compare(make, lambda net: SGD(net, schedule), samples(), 4, 5, "float64")


INPUTS = {
    "float16": lambda x: x.astype("float16"),
    "float32": lambda x: x.astype("float32"),
    "column by column": np.asfortranarray,
    "every second": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "images": lambda x: x.reshape(len(x), 2, 2),
    "read-only": lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),
}


@pytest.mark.parametrize("form", INPUTS.values(), ids=INPUTS)
def test_inputs_of_any_form_agree(form):
    x, t = samples(60)
    make = lambda dtype: Network([Flatten(), Dense(4, 3), Softmax()], CrossEntropy(), dtype=dtype)  # noqa: E731
    for dtype in ("float32", "float64"):
        compare(make, SGD, Dataset(form(x), t), 3, 8, dtype)


def test_a_memory_map_larger_than_the_shuffle_window_agrees(tmp_path, monkeypatch):
    monkeypatch.setattr("minibp.data.batches.READ_BLOCK", 256)
    monkeypatch.setattr("minibp.data.batches.SHUFFLE_WINDOW", 1024)
    x, t = samples(300)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    make = lambda dtype: Network([Dense(4, 3), Softmax()], CrossEntropy(), dtype=dtype)  # noqa: E731
    compare(make, SGD, Dataset(mapped, t), 3, 7, "float64")


def test_moments_that_have_almost_decayed_are_flushed(monkeypatch):
    x, t = samples(40)
    x[:, 0] = 0
    for compiled in (True, False):
        net = Network([Dense(4, 3), Softmax()], CrossEntropy())
        adam = Adam(net)
        adam.moments[1][:] = 1e-37
        list(train(net, adam, Dataset(x, t), 1, 8, compiled=compiled))
        assert (adam.moments[1][:3] == 0).all() and (adam.moments[1][3:12] > 0).all()


def trained(compiled=True, seed=0, epochs=3, **options):
    net = every_layer(seed=seed)
    adam = Adam(net)
    losses = [epoch.loss for epoch in train(net, adam, samples(90), epochs, 16, compiled=compiled, **options)]
    return [np.array(losses), net.params, net.buffers, *adam.moments, net.predict(samples(9).x)]


def assert_same_arrays(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_way_is_reproducible_to_the_bit():
    for compiled in (True, False):
        assert_same_arrays(trained(compiled), trained(compiled))


def test_the_length_of_a_run_does_not_change_a_bit(monkeypatch):
    once = trained()
    monkeypatch.setattr("minibp.program.program.LONG", 0.0)  # one step a run
    assert_same_arrays(once, trained())


def test_two_threads_give_each_network_its_own_bits():
    alone, results = [trained(seed=seed) for seed in range(4)], [None] * 4

    def run(seed):
        results[seed] = trained(seed=seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, theirs in zip(results, alone, strict=True):
        assert_same_arrays(ours, theirs)


def test_a_network_predicts_the_same_in_several_threads_at_a_time(rng):
    net, x = minibp.compile(every_layer()), samples(500).x
    expected, found = net.predict(x, 100), []
    threads = [threading.Thread(target=lambda: found.append(net.predict(x, 100))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for each in found:
        np.testing.assert_array_equal(each, expected)


# --- what runs, and what tells it ----------------------------------------------------------------------------------


def first_epoch(net, optimizer=Adam, **options):
    next(train(net, optimizer(net), samples(), **{"epochs": 2, "batch_size": 8, **options}))
    return net.compiled


def small():
    return Network([Dense(4, 3), Softmax()], CrossEntropy())


def test_the_work_asked_for_decides():
    assert not first_epoch(small())
    assert first_epoch(small(), epochs=10**6)
    assert not first_epoch(small(), epochs=10**6, compiled=False)
    assert first_epoch(small(), compiled=True)


class Doubled(ReLU):
    """A user's layer."""

    def formula(self, x):
        return 2 * super().formula(x)


class Halving(SGD):
    """A user's optimizer."""

    def update(self, w, g, delta, *moments):
        w *= 0.5


class Halved(QuadraticLoss):
    """A user's loss."""


class Own(Network):
    """A user's network."""


@pytest.mark.parametrize(("net", "optimizer", "named"), [
    (lambda: Network([Dense(4, 3), Doubled()], QuadraticLoss()), SGD, "Doubled has no compiled operation"),
    (lambda: Network([Residual(TwoBranches(4)), Dense(4, 3)], QuadraticLoss()), SGD, "TwoBranches has no"),
    (lambda: Network([Dense(4, 3)], Halved()), SGD, "Halved has no compiled operation"),
    (lambda: Own([Dense(4, 3)], QuadraticLoss()), SGD, "Own is a class of its own"),
    (small, Halving, "Halving has no compiled operation"),
])  # fmt: skip
def test_classes_of_a_user_run_their_formulas(net, optimizer, named):
    assert not first_epoch(net(), optimizer, epochs=10**6)
    with pytest.raises(ArgumentError, match=named):
        first_epoch(net(), optimizer, compiled=True)


def test_a_method_that_was_replaced_runs():
    net = small()
    net.layers[0].forward = net.layers[0].forward
    with pytest.raises(ArgumentError, match="a method of this Dense was replaced"):
        minibp.compile(net)


@pytest.mark.parametrize(("module", "reason"), [
    (None, r"numba is missing: pip install 'minibp\[fast\]'"), (types.ModuleType("numba"), "ImportError: cannot import")
])  # fmt: skip
def test_without_a_numba_that_works_the_formulas_run(replace_numba, module, reason):
    replace_numba(module)
    assert not first_epoch(small(), epochs=10**6)
    with pytest.raises(ArgumentError, match=reason):
        minibp.compile(small())


def test_without_a_blas_that_is_known_the_formulas_run(monkeypatch, doctor):
    from minibp.program import products

    monkeypatch.setattr(products, "blas_libraries", list)
    products.blas.cache_clear()
    assert not first_epoch(small(), epochs=10**6)
    with pytest.raises(ArgumentError, match="finds no BLAS"):
        minibp.compile(small())
    assert doctor()["numba"].startswith("is not used: threadpoolctl finds no BLAS")


def test_copies_and_moved_networks_run_their_formulas_again():
    net = minibp.compile(small())
    assert net.compiled and not copy.deepcopy(net).compiled and not pickle.loads(pickle.dumps(net)).compiled
    assert not net.to("numpy", "float64").compiled


def test_a_network_may_move_between_two_epochs():
    net = every_layer()
    epochs = train(net, SGD(net), samples(), 3, 8, samples(), compiled=True)
    next(epochs)
    net.to("numpy", "float64")
    loss = next(epochs).val_loss
    assert net.compiled and loss == pytest.approx(evaluate(net, samples()).loss, rel=1e-12)
    np.testing.assert_allclose(net.predict(samples().x), copy.deepcopy(net).predict(samples().x), rtol=1e-9)


def test_layers_may_be_frozen_between_two_epochs():
    net = every_layer()
    epochs, dense = train(net, Adam(net, weight_decay=0.1), samples(), 3, 8, compiled=True), net.layers[2]
    next(epochs)
    dense.trainable, before = False, dense.W.copy()
    next(epochs)
    np.testing.assert_array_equal(dense.W, before)


# --- predictions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 700])
def test_predictions_and_evaluations_agree(n):
    net, dataset = every_layer(dtype="float64"), samples(n)
    outputs, (loss, accuracy) = net.predict(dataset.x), evaluate(net, dataset)
    minibp.compile(net)
    np.testing.assert_allclose(net.predict(dataset.x), outputs, rtol=1e-9)
    np.testing.assert_allclose(net.predict(dataset.x, batch_size=3), outputs, rtol=1e-9)
    assert evaluate(net, dataset) == (pytest.approx(loss, rel=1e-9), accuracy)


def test_numbers_of_layers_count_from_the_next_prediction():
    net = Network([Dense(4, 5), LeakyReLU(0.1), Dense(5, 3)], QuadraticLoss(), dtype="float64")
    twin, x = copy.deepcopy(net), samples().x
    minibp.compile(net).predict(x)
    net.layers[1].slope = twin.layers[1].slope = 0.9
    net.layers[0].W = twin.layers[0].W = np.ones((4, 5))
    np.testing.assert_allclose(net.predict(x), twin.predict(x), rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_inputs_that_are_not_finite_are_refused(bad):
    x = samples().x
    x[7, 1] = bad
    with pytest.raises(InputError, match="first in sample 7"):
        minibp.compile(small()).predict(x)


def test_weights_that_are_not_finite_are_named():
    net = minibp.compile(every_layer())
    net.params[-1] = np.nan
    with pytest.raises(DivergenceError, match=r"layer 19: Dense\(8, 3\): b holds NaN"):
        net.predict(samples().x)


# --- errors and interruptions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [True, False])
def test_a_divergence_names_its_step(compiled):
    class Explodes(schedules.Schedule):
        def __call__(self, step):
            return 1e30 if step == 3 else 1e-3

    net = Network([Dense(4, 3), ReLU(), Dense(3, 3), Softmax()], CrossEntropy())
    with pytest.raises(DivergenceError, match="at step 5 of 10"):
        list(train(net, SGD(net, Explodes()), samples(), 1, 4, compiled=compiled))


def test_labels_are_bounded(monkeypatch):
    net = small()
    prepared = minibp.data.Batches.windows

    def wrong(self, rng, done=0):
        for window in prepared(self, rng, done):
            yield window._replace(t=np.full(len(window.t), 10**9))

    monkeypatch.setattr(minibp.data.Batches, "windows", wrong)
    with pytest.raises(DivergenceError):
        list(train(net, SGD(net), samples(), 1, 8, compiled=True))


@pytest.mark.parametrize("sample", [-1, 10**12])
def test_indices_are_bounded(monkeypatch, sample):
    net = small()

    class Wrong(np.random.Generator):
        def permutation(self, n):
            return np.full(n, sample)

    net.rng = Wrong(np.random.PCG64(0))
    with pytest.raises(DivergenceError):
        list(train(net, SGD(net), samples(), 1, 8, compiled=True))


def test_a_schedule_that_fails_stops_at_its_step():
    class Fails(schedules.Schedule):
        def __call__(self, step):
            return 0.1 if step < 13 else "none"

    net = small()
    sgd = SGD(net, Fails())
    with pytest.raises(ArgumentError, match="gives the rate 'none' after 13 steps"):
        list(train(net, sgd, samples(), 5, 8, compiled=True))
    assert sgd.steps == 13


# --- checkpoints ---------------------------------------------------------------------------------------------------


@pytest.fixture
def always(monkeypatch):
    """Let every training run compiled."""
    monkeypatch.setattr(choice, "PAYS", -1.0)


class Twice(Run):
    """A run whose loop stops it after two epochs, or the checkpoint in the middle of one."""

    def go(self, path, epochs=4, compiled=True, every="3steps", stop=None):
        self.checkpoint = Checkpoint(path, every)
        for epoch in train(self.net, self.optimizer, samples_of_run(), epochs, 8, None, self.checkpoint, compiled):
            self.epochs.append(epoch)
            if epoch.number == stop:
                self.checkpoint.interrupt()
        return self


def samples_of_run():
    rng = np.random.default_rng(0)
    return Dataset(rng.normal(size=(50, 6)).astype("float32"), rng.integers(3, size=50))


def test_a_resumed_training_ends_with_the_same_bits(tmp_path):
    whole = Twice().go(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        Twice().go(tmp_path / "run", stop=2)
    again = Twice().go(tmp_path / "run")
    assert 0 < len(again.epochs) < 4
    assert_same(again, whole)


def test_a_checkpoint_is_resumed_as_it_was_begun(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Twice().go(tmp_path / "run", stop=2)
    with pytest.raises(CheckpointError, match=r"steps\n    here         by the formulas\n    in the file  compiled"):
        Twice().go(tmp_path / "run", compiled=False)
    assert Twice().go(tmp_path / "run", compiled=None).net.compiled  # though the work does not pay


def test_a_checkpoint_of_the_formulas_is_resumed_by_them(tmp_path, always):
    with pytest.raises(KeyboardInterrupt):
        Twice().go(tmp_path / "run", stop=2, compiled=False)
    with pytest.raises(CheckpointError, match=r"here         compiled\n    in the file  by the formulas"):
        Twice().go(tmp_path / "run", compiled=True)
    assert not Twice().go(tmp_path / "run", compiled=None).net.compiled


def test_a_compiled_checkpoint_is_refused_without_numba(tmp_path, replace_numba):
    with pytest.raises(KeyboardInterrupt):
        Twice().go(tmp_path / "run", stop=2)
    replace_numba(None)
    with pytest.raises(CheckpointError, match="its steps are compiled, which cannot be done here: numba"):
        Twice().go(tmp_path / "run", compiled=None)


# --- the table -----------------------------------------------------------------------------------------------------


def test_every_layer_loss_and_optimizer_has_operations():
    public = {value for value in vars(minibp).values() if isinstance(value, type)}
    known = {*rows.LAYERS, *rows.LOSSES, *rows.OPTIMIZERS}
    known = {cls for cls in known if cls.__module__ != "minibp.sklearn.updates"}  # there if that was imported
    bases = {minibp.Layer, minibp.Loss, minibp.Optimizer}
    assert {cls for cls in public if issubclass(cls, tuple(bases))} - bases == known


ELEMENTARY = {
    "exp": (np.exp, -87, 88), "exp_or_infinity": (np.exp, -87, 88),
    "expm1": (np.expm1, -87, 3), "log": (np.log, 1e-30, 9), "log1p": (np.log1p, 0, 1),
    "tanh": (np.tanh, -9, 9), "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -80, 80),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ELEMENTARY)
def test_elementary_functions_are_exact_to_4_units_in_the_last_place(name, dtype, rng):
    from minibp.program import elementary

    function, (exact, low, high) = getattr(elementary, name), ELEMENTARY[name]

    @numba.njit(error_model="numpy")
    def run(x, y):
        for i in range(x.size):
            y[i] = function(x[i])

    x = np.concatenate([rng.uniform(low, high, 3000), np.clip(rng.normal(size=3000) * 1e-3, low, high)]).astype(dtype)
    y, expected = np.empty_like(x), exact(x.astype("longdouble"))
    run(x, y)
    assert (abs(y - expected) <= 4 * np.spacing(abs(expected).astype(dtype))).all()
    bad = np.array([np.nan], dtype)
    run(bad, bad)
    assert math.isnan(bad[0])
