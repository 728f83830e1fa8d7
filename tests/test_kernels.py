"""The kernels for a GPU: they agree with the formulas, and are used where they compile.

They run on a CPU, compiled by g++: on the stand-in for CuPy, and with tests/cupy_on_cpu on CuPy's own code.
"""

import importlib
import shutil
import sys
import warnings

import numpy as np
import pytest
from both_ways import HIDDEN, compare, trainings, trainings_on_images
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import every_layer, samples

from minibp import (
    SGD,
    AbsoluteLoss,
    AdaGrad,
    Adam,
    AdamW,
    BatchNorm,
    BinaryCrossEntropy,
    Checkpoint,
    CrossEntropy,
    Dense,
    Dropout,
    HuberLoss,
    LayerNorm,
    Network,
    PoissonLoss,
    QuadraticLoss,
    QuantileLoss,
    ReLU,
    Residual,
    RMSProp,
    Sigmoid,
    Softmax,
    SoftmaxCrossEntropy,
    Tanh,
    evaluate,
    schedules,
    train,
)
from minibp.data import Dataset
from minibp.errors import ArgumentError, DivergenceError, MinibpWarning
from minibp.program import choice, gpu, kernels, launches, rows
from minibp.program.table import UnknownError

HERE = [pytest.param("standin", marks=pytest.mark.kernels), pytest.param("cupy", marks=pytest.mark.gpu)]
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(scope="module", params=HERE, autouse=True)
def xp(request):
    """The library that networks lie on unless a test says otherwise: the stand-in with kernels, or CuPy."""
    xp, (_, *others) = importlib.import_module(request.param), Network.__init__.__defaults__
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "standin":
            if not shutil.which("g++"):
                pytest.skip("g++ is missing")
            patch.setattr(xp, "RawModule", importlib.import_module("standin.kernels").RawModule, raising=False)
        patch.setitem(sys.modules, "cupy", xp)
        patch.setattr(Network.__init__, "__defaults__", ("cupy", *others))
        yield xp


def small():
    return Network([Dense(4, 3), Softmax()], CrossEntropy())


@pytest.mark.filterwarnings("ignore::minibp.errors.TrainingWarning")
@DTYPES
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(training=trainings(steps=30), decay=st.sampled_from([None, 0.9]))
def test_the_kernels_agree_with_the_formulas(dtype, training, decay):
    compare(*training, dtype, decay)


@DTYPES
@pytest.mark.parametrize("sizes", [(33, 65, 70), (300, 5, 40)])
def test_matrices_of_more_than_a_warp_and_a_block_agree(sizes, dtype, rng):
    k, hidden, outputs = sizes
    x, t = rng.normal(size=(150, k)), rng.integers(outputs, size=150)
    make = lambda dtype: Network([Dense(k, hidden), Tanh(), Dense(hidden, outputs), Softmax()], CrossEntropy(),  # noqa: E731
                                 dtype=dtype)  # fmt: skip
    compare(make, lambda net: Adam(net, eps=1e-3, clip_norm=0.1, max_norm=1.0), Dataset(x, t), 2, 70, dtype)


@DTYPES
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(training=trainings_on_images(epochs=2))
def test_moved_images_agree(dtype, training):
    compare(*training, dtype)


@DTYPES
def test_every_layer_agrees(dtype):
    compare(lambda dtype: every_layer(dtype=dtype), lambda net: SGD(net, 0.05), samples(90), 10, 16, dtype)


@DTYPES
@pytest.mark.parametrize("loss", [
    lambda: AbsoluteLoss(), lambda: HuberLoss(0.4), lambda: QuantileLoss(0.8), lambda: PoissonLoss(),
], ids=lambda loss: str(loss()))  # fmt: skip
@pytest.mark.parametrize("t", [np.arange(40) % 5, np.linspace(0, 3, 80).reshape(40, 2)])
def test_losses_of_numbers_agree(loss, t, dtype):
    x, k = samples().x, t.shape[1] if t.ndim == 2 else 1
    compare(lambda dtype: Network([Dense(4, 3), Tanh(), Dense(3, k)], loss(), dtype=dtype),
            lambda net: SGD(net, 0.02), Dataset(x, t), 5, 7, dtype)  # fmt: skip


@DTYPES
@pytest.mark.parametrize("loss", [QuadraticLoss, lambda: CrossEntropy(0.1), BinaryCrossEntropy])
@pytest.mark.parametrize("weights", [
    np.linspace(0.1, 3, 40), np.repeat([0.0, 1.0], 20), np.eye(40)[3],
], ids=["all", "the second half", "one"])  # fmt: skip
def test_weights_of_samples_agree(loss, weights, dtype):
    x, t = samples()
    ending = Softmax if str(loss()).startswith("Cross") else Sigmoid
    compare(lambda dtype: Network([Dense(4, 5), ReLU(), Dropout(0.2), Dense(5, 3), ending()], loss(), dtype=dtype),
            lambda net: SGD(net, 0.1), Dataset(x, np.eye(3)[t], weights=weights), 4, 7, dtype)  # fmt: skip


def test_a_dense_whose_output_two_layers_read_gets_its_bias_once(rng):
    x = rng.normal(size=(40, 4))
    make = lambda dtype: Network([Dense(4, 6, b=np.ones(6)), Residual(ReLU(), Dense(6, 6)), Dense(6, 2)],  # noqa: E731
                                 QuadraticLoss(), dtype=dtype)  # fmt: skip
    compare(make, lambda net: SGD(net, 0.01), Dataset(x, x[:, :2]), 3, 8, "float64")


FORMS = {
    "float16": lambda x: x.astype("float16"),
    "float32": lambda x: x.astype("float32"),
    "bytes": lambda x: (x * 20 + 100).astype("uint8"),
    "images": lambda x: x.reshape(len(x), 2, 2),
}


@pytest.mark.parametrize("room", [True, False], ids=["on the GPU", "on the host"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_inputs_of_any_form_agree_wherever_they_lie(form, room, monkeypatch):
    if not room:
        monkeypatch.setattr("minibp.data.batches.free_memory", lambda xp: 0)
    monkeypatch.setattr(gpu, "STAGED", 200)
    x, t = samples(60)
    make = lambda dtype: Network([Dense(4, 3), Softmax()], CrossEntropy(), dtype=dtype)  # noqa: E731
    compare(make, SGD, Dataset(form(x), t, weights=np.linspace(0.1, 1, 60)), 3, 8, "float64")


def test_a_memory_map_larger_than_the_shuffle_window_agrees(tmp_path, monkeypatch):
    monkeypatch.setattr("minibp.data.batches.READ_BLOCK", 256)
    monkeypatch.setattr("minibp.data.batches.SHUFFLE_WINDOW", 1024)
    monkeypatch.setattr("minibp.data.batches.free_memory", lambda xp: 0)
    x, t = samples(300)
    np.save(tmp_path / "x.npy", x)
    make = lambda dtype: Network([Dense(4, 3), Softmax()], CrossEntropy(), dtype=dtype)  # noqa: E731
    compare(make, SGD, Dataset(np.load(tmp_path / "x.npy", mmap_mode="r"), t), 3, 7, "float64")


def test_schedules_agree():
    schedule = schedules.Warmup(schedules.Step(0.1, 8, 0.5), 5)
    compare(lambda dtype: every_layer(dtype=dtype), lambda net: SGD(net, schedule), samples(), 4, 5, "float64")


@pytest.mark.parametrize("optimizer", [
    lambda net: SGD(net, momentum=0.9), lambda net: SGD(net, momentum=0.9, nesterov=True),
    AdaGrad, RMSProp, Adam, AdamW,
])  # fmt: skip
def test_moments_that_have_overflowed_become_nan(optimizer):
    net = small()
    opt = optimizer(net)
    epochs = train(net, opt, samples(), 1, 8, compiled=True)
    opt.moments[-1][:] = np.inf  # weights that are divided by it would stop unnoticed
    with pytest.raises(DivergenceError):
        next(epochs)
    assert not np.isfinite(opt.moments[-1].get()).any() and np.isnan(opt.moments[-1].get()).any()


OVERFLOWS = {  # a network, and the size of its inputs, of which a number that is infinite would look like a small one
    "ReLU": (lambda: [Dense(4, 1, W=[[3e38], [-3e38], [0], [0]]), ReLU(), Dense(1, 3)], 1e3, {}),
    "BatchNorm": (lambda: [BatchNorm(4), Dense(4, 3)], 1e25, {}),
    "LayerNorm": (lambda: [LayerNorm(4), Dense(4, 3)], 1e25, {}),
    "clipping": (lambda: [Dense(4, 3)], 1e19, {"clip_norm": 1.0}),
}


@pytest.mark.filterwarnings("ignore::minibp.errors.TrainingWarning")
@pytest.mark.parametrize(("layers", "size", "options"), OVERFLOWS.values(), ids=OVERFLOWS)
def test_an_overflow_is_not_hidden(layers, size, options):
    x = np.random.default_rng(0).uniform(0.5, 1, (40, 4)) * size
    net = Network(layers(), QuadraticLoss())
    t = np.zeros((40, 3)) if not options else x[:, :3]
    with pytest.raises(DivergenceError):
        list(train(net, SGD(net, 0.01, **options), Dataset(x, t), 2, 8, compiled=True))


@pytest.mark.filterwarnings("ignore::minibp.errors.TrainingWarning")
def test_a_normalization_agrees_first_frozen_and_in_inference_mode():
    for inference, trainable in ((False, True), (True, True), (False, False), (True, False)):

        def make(dtype, inference=inference, trainable=trainable):
            layers = [BatchNorm(4), Dense(4, 5), BatchNorm(5), Tanh(), LayerNorm(5), Dense(5, 3)]
            for layer in (layers[0], layers[2]):
                layer.training, layer.trainable = not inference, trainable
            return Network(layers, QuadraticLoss(), dtype=dtype)

        compare(make, lambda net: SGD(net, 0.05), Dataset(samples().x, np.eye(3)[samples().t]), 3, 8, "float64")


def test_an_absolute_loss_that_is_0_moves_nothing():
    net = Network([Dense(4, 1, W=np.zeros((4, 1)))], AbsoluteLoss())
    list(train(net, SGD(net), Dataset(samples().x, np.zeros(40)), 1, 8, compiled=True))
    assert not net.params.get().any()


def test_a_logit_of_minus_infinity_counts_where_its_target_does():
    losses = []
    for compiled in (True, False):
        net = Network([Dense(1, 3, W=[[0, -3e38, 0.5]])], SoftmaxCrossEntropy())
        dataset = Dataset(np.full((8, 1), 10.0), np.arange(8) % 2 * 2)
        losses.append(next(train(net, SGD(net, 0.0), dataset, 1, 8, compiled=compiled)).loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and losses[0] < 10


@pytest.mark.filterwarnings("ignore::minibp.errors.TrainingWarning")
def test_a_network_without_a_layer_before_its_loss_trains_nothing():
    x = np.random.default_rng(0).normal(size=(40, 3))
    compare(lambda dtype: Network([Softmax()], CrossEntropy(), dtype=dtype), lambda net: SGD(net, clip_norm=1.0),
            Dataset(x, np.arange(40) % 3), 1, 8, "float64")  # fmt: skip


@DTYPES
def test_the_steps_of_the_estimators_agree(dtype):
    pytest.importorskip("sklearn")
    updates = importlib.import_module("minibp.sklearn.updates")
    for cls in (updates.PerSampleAdam, updates.PerSampleSGD):
        options = {"eps": 1e-3} if cls is updates.PerSampleAdam else {"momentum": 0.9}
        compare(lambda dtype: Network([Dense(4, 5), Tanh(), Dense(5, 3), Softmax()], CrossEntropy(), dtype=dtype),
                lambda net, cls=cls, options=options: cls(net, 0.01, weight_decay=0.5, **options),
                Dataset(*samples(), weights=np.linspace(0.1, 2, 40)), 4, 7, dtype)  # fmt: skip


# --- a training ----------------------------------------------------------------------------------------------------


def trained(epochs=3, **options):
    net = every_layer()
    adam = Adam(net)
    losses = [epoch.loss for epoch in train(net, adam, samples(90), epochs, 16, compiled=True, **options)]
    assert net.compiled and isinstance(net.program, gpu.GpuProgram)
    return [np.array(losses), net.params.get(), net.buffers.get(), *(moment.get() for moment in adam.moments)]


def test_it_is_reproducible_to_the_bit_whatever_the_length_of_a_run(monkeypatch):
    once = trained()
    for most in (256, 1):
        monkeypatch.setattr(gpu, "MOST_STEPS", most)
        for one, other in zip(once, trained(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_resumed_training_ends_with_the_same_bits(path):
    whole, net = trained(4), every_layer()
    adam, checkpoint = Adam(net), Checkpoint(path, "3steps")
    for epoch in train(net, adam, samples(90), 4, 16, checkpoint=checkpoint, compiled=True):
        if epoch.number == 2:
            break
    for one, other in zip(whole[1:], trained(4, checkpoint=Checkpoint(path, "3steps"))[1:], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("at", [0, 1])
def test_a_step_that_is_interrupted_counts_if_its_update_has_begun(monkeypatch, at):
    net, made = every_layer(), []
    sgd, dropouts, launch = SGD(net), [layer for layer in net.layers if isinstance(layer, Dropout)], gpu.launch

    def interrupted(*arguments):
        made.append(None)
        if len(made) == 2 * 3 + at + 1:
            raise KeyboardInterrupt
        launch(*arguments)

    monkeypatch.setattr(gpu, "launch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(train(net, sgd, samples(90), 1, 16, compiled=True))
    assert sgd.steps == 3 + at and {layer.step for layer in dropouts} == {3 + at}


def test_a_schedule_that_fails_stops_at_its_step():
    class Fails(schedules.Schedule):
        def __call__(self, step):
            return 0.1 if step < 13 else "none"

    net = every_layer()
    sgd = SGD(net, Fails())
    with pytest.raises(ArgumentError, match="gives the rate 'none' after 13 steps"):
        list(train(net, sgd, samples(), 5, 8, compiled=True))
    assert sgd.steps == 13


def test_a_divergence_names_its_step():
    class Explodes(schedules.Schedule):
        def __call__(self, step):
            return 1e30 if step == 3 else 1e-3

    net = Network([Dense(4, 3), ReLU(), Dense(3, 3), Softmax()], CrossEntropy())
    with pytest.raises(DivergenceError, match="at step 5 of 10"):
        list(train(net, SGD(net, Explodes()), samples(), 1, 4, compiled=True))


@pytest.mark.parametrize("wrong", [-1, 10**12])
def test_indices_and_labels_are_bounded(monkeypatch, wrong):
    class Wrong(np.random.Generator):
        def permutation(self, n):
            return np.full(n, wrong)

    net = small()
    order, net.rng = net.rng, Wrong(np.random.PCG64(0))
    for weights in (None, np.ones(40)):
        net.params = np.zeros(net.params.size)
        with pytest.raises((DivergenceError, IndexError)):
            list(train(net, SGD(net), Dataset(*samples(), weights=weights), 1, 8, compiled=True))
    net.params, net.rng = np.zeros(net.params.size), order
    monkeypatch.setattr(gpu, "readable_targets", lambda net, x, t: net.xp.full(len(t), wrong))
    with pytest.raises(DivergenceError):
        list(train(net, SGD(net), samples(), 1, 8, compiled=True))


def test_layers_may_be_frozen_and_the_network_may_move_between_two_epochs():
    net = every_layer()
    epochs, dense = train(net, Adam(net), samples(), 5, 8, samples(), compiled=True), net.layers[2]
    next(epochs)
    dense.trainable, before = False, dense.W.copy()
    next(epochs)
    assert (before == dense.W).all() and net.compiled
    net.to("cupy", "float64")
    assert next(epochs).val_loss == pytest.approx(evaluate(net, samples()).loss, rel=1e-12) and net.compiled
    net.to("numpy")
    next(epochs)
    assert not net.compiled


def test_a_network_on_another_gpu_than_the_current_one_trains_there(xp):
    if xp.cuda.runtime.getDeviceCount() < 2 and xp.__name__ == "cupy":
        pytest.skip("there are not two GPUs")
    here = trained()
    with xp.cuda.Device(1):
        net = every_layer()
    adam = Adam(net)
    losses = [epoch.loss for epoch in train(net, adam, samples(90), 3, 16, compiled=True)]
    assert net.params.device == xp.cuda.Device(1) != xp.cuda.Device()
    np.testing.assert_array_equal(losses, here[0])
    with xp.cuda.Device(1):
        np.testing.assert_array_equal(net.params.get(), here[1])


# --- what runs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(xp, monkeypatch):
    """Let the kernels not compile."""

    def fail(dtype):
        return "#define KERNEL(name) extern \"C\" __global__ void name()\nKERNEL(minibp_relu) { this is no C }"

    monkeypatch.setattr(kernels, "_loaded", {})
    monkeypatch.setattr(kernels, "source", fail)


def test_the_work_asked_for_decides():
    for epochs, expected in ((1, False), (10**6, True)):
        net = small()
        next(train(net, SGD(net), samples(), epochs, 8))
        assert net.compiled == expected


def test_kernels_that_do_not_compile_are_told_once_and_the_formulas_run(broken, monkeypatch, capfd):
    monkeypatch.setattr(choice, "PAYS", -1.0)
    with pytest.warns(MinibpWarning, match="minibp's kernels do not compile on this GPU"):
        net = small()
        losses = [epoch.loss for epoch in train(net, SGD(net), samples(), 3, 8)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = small()
        assert losses == [epoch.loss for epoch in train(net, SGD(net), samples(), 3, 8)]
    assert not net.compiled
    with pytest.raises(ArgumentError, match=r"cannot run compiled: minibp's kernels do not compile.*runs the formulas"):
        train(small_net := small(), SGD(small_net), samples(), 3, compiled=True)


def test_a_network_that_moves_to_where_they_do_not_compile_goes_on(xp, monkeypatch):
    net, source = small(), kernels.source
    epochs = train(net, SGD(net), samples(), 3, 8, compiled=True)
    next(epochs)
    assert net.compiled
    monkeypatch.setattr(kernels, "_loaded", {})
    monkeypatch.setattr(kernels, "source", lambda dtype: source(dtype).replace("KERNEL(bias)", "this is no C"))
    net.to("cupy", "float64")
    with pytest.warns(MinibpWarning, match="do not compile"):
        next(epochs)
    assert not net.compiled


def test_predictions_run_the_formulas_and_say_so():
    with pytest.raises(ArgumentError, match="on a GPU, predictions run the formulas"):
        importlib.import_module("minibp").compile(small())


def test_layers_without_kernels_are_named():
    class Own(ReLU):
        pass

    net = Network([Dense(4, 3), Own()], QuadraticLoss())
    with pytest.raises(ArgumentError, match="Own has no compiled operation"):
        train(net, SGD(net), Dataset(samples().x, np.ones((40, 3))), 1, compiled=True)


def test_a_library_that_compiles_none_is_named(xp, monkeypatch):
    with pytest.raises(UnknownError, match="this CuPy compiles no kernels"):
        kernels.load(np, np.dtype("float32"))


def test_each_operation_of_a_table_has_a_kernel_or_needs_none(xp):
    kernel = kernels.load(xp, np.dtype("float32"))
    covered = {type(module) for module in every_layer().modules()} | {type(make(3)) for make in HIDDEN.values()}
    assert {*rows.LAYERS} <= covered  # and so are trained in these tests
    for name in sorted(launches.UPDATES | launches.COLUMNS | launches.ROWS | launches.ACTIVATIONS):
        kernel(name)
