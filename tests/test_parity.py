"""One network, two array libraries: they start bit-equal and agree, and a training step reads nothing back.

The other library is the stand-in for CuPy, or CuPy itself in tests marked `gpu`.
"""

import gc
import importlib
import pickle
import sys
import weakref

import numpy as np
import pytest
import standin
from arrays import assert_close, assert_equal, host
from failing import failing

import minibp
import models
from minibp import (
    ELU,
    GELU,
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    BatchNorm,
    CrossEntropy,
    Dense,
    Dropout,
    EarlyStopping,
    ElasticDistortion,
    Exp,
    Flatten,
    GaussianNoise,
    LayerNorm,
    LeakyReLU,
    Network,
    RandomAffine,
    ReLU,
    RMSProp,
    Sequential,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
    backend,
    data,
    evaluate,
    load,
    probe,
    save,
    train,
)
from minibp.data import Dataset
from minibp.data.batches import Batches
from minibp.errors import ArgumentError, InputError, ShapeError, TargetError

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}  # of a forward and a backward, relative to the largest value
TRAINED = {"float32": 1e-3, "float64": 1e-9}  # of the weights after 100 steps, in which rounding errors grow
# RMSProp's first step is as long for a gradient of 1e-9 as for one of 1. On NumPy alone, initial weights that differ
# in their last bit end in losses 5e-3 apart, and in other weights. So are Adam's, where a gradient is all but 0, as of
# units that almost never get through dropout and ReLU: with some kernels of a BLAS a few weights move otherwise. In
# mlp_distorted_long, on NumPy alone, 7 % of the weights then end more than 1e-3 apart, the losses 2e-4.
SENSITIVE = {
    ("keras512", "float32"): 2e-2,
    ("mlp_distorted_long", "float32"): 1e-3,
    ("srivastava_relu", "float32"): 1e-2,
    ("srivastava_max_norm", "float32"): 1e-2,
}

LAYERS = {
    "Dense": lambda: Dense(6, 5),
    "Flatten": lambda: Flatten(),
    "Sigmoid": lambda: Sigmoid(),
    "Tanh": lambda: Tanh(),
    "ReLU": lambda: ReLU(),
    "LeakyReLU": lambda: LeakyReLU(),
    "ELU": lambda: ELU(1.5),
    "GELU": lambda: GELU(),
    "Exp": lambda: Exp(),
    "Softplus": lambda: Softplus(),
    "Softmax": lambda: Softmax(),
    "Dropout": lambda: Dropout(0.4),
    "GaussianNoise": lambda: GaussianNoise(0.4),
    "BatchNorm": lambda: BatchNorm(6),
    "LayerNorm": lambda: LayerNorm(6),
}
LOSSES = {
    "QuadraticLoss": lambda: minibp.QuadraticLoss(),
    "AbsoluteLoss": lambda: minibp.AbsoluteLoss(),
    "HuberLoss": lambda: minibp.HuberLoss(0.3),
    "QuantileLoss": lambda: minibp.QuantileLoss(0.8),
    "PoissonLoss": lambda: minibp.PoissonLoss(),
    "CrossEntropy": lambda: CrossEntropy(),
    "SoftmaxCrossEntropy": lambda: minibp.SoftmaxCrossEntropy(),
    "smoothed": lambda: minibp.SoftmaxCrossEntropy(0.1),
    "BinaryCrossEntropy": lambda: minibp.BinaryCrossEntropy(),
    "SigmoidCrossEntropy": lambda: minibp.SigmoidCrossEntropy(),
}
OPTIMIZERS = {
    "SGD": lambda net: SGD(net, lr=0.1),
    "Nesterov": lambda net: SGD(net, lr=0.1, momentum=0.9, nesterov=True),
    "SGD with all options": lambda net: SGD(net, lr=0.5, weight_decay=1e-3, clip_norm=0.5, max_norm=1.0),
    "AdaGrad": lambda net: AdaGrad(net),
    "RMSProp": lambda net: RMSProp(net),
    "Adam": lambda net: Adam(net),
    "AdamW": lambda net: AdamW(net),
}

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(params=["standin", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request, monkeypatch):
    """The library that backend="cupy" means."""
    module = importlib.import_module(request.param)
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


@pytest.fixture
def stand_in(monkeypatch):
    """The stand-in, which counts the transfers between host and device."""
    monkeypatch.setitem(sys.modules, "cupy", standin)
    return standin


@pytest.fixture(scope="module")
def digits():
    return data.digits().train


def every_layer(n_in=64, n_out=10):
    """Every kind of layer, for the digits."""
    return [
        Sequential(RandomAffine(), ElasticDistortion(8, 2), Flatten()),
        *(Dense(n_in, 32), BatchNorm(32), ReLU()),
        *(GaussianNoise(0.1), Dropout(0.2), Dense(32, 24), LayerNorm(24), GELU()),
        *(Dense(24, 20), ELU(), Dense(20, 20), LeakyReLU(), Dense(20, 20), Softplus(), Dense(20, 16), Tanh()),
        *(Dense(16, 12), Sigmoid(), Dense(12, n_out), Softmax()),
    ]


def close(got, expected, tolerance):
    """Close, relative to the largest value."""
    largest = abs(np.asarray(host(expected))).max(initial=1e-3)
    assert_close(got, expected, rtol=0, atol=tolerance * largest)


def both(build):
    """What `build` returns for NumPy and for the other library."""
    return build("numpy"), build("cupy")


# --- the two agree -------------------------------------------------------------------------------------------------


@dtypes
def test_networks_start_bit_equal(xp, dtype):
    ours, theirs = both(lambda name: Network(every_layer(), CrossEntropy(), backend=name, dtype=dtype, seed=3))
    for vector in ("params", "grads", "buffers"):
        assert isinstance(getattr(theirs, vector), xp.ndarray)
        assert_equal(getattr(theirs, vector), getattr(ours, vector))


@dtypes
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_layers_agree(xp, rng, layer, dtype):
    x, t = rng.normal(size=(9, 6)).astype(dtype), rng.normal(size=(9, 4)).astype(dtype)

    def build(name):
        made = layer()
        width = made.output_shape((6,))[0]
        net = Network([Dense(6, 6), made, Dense(width, 4)], minibp.QuadraticLoss(), backend=name, dtype=dtype)
        return net, net.forward(x, t), net.backward()

    (ours, our_loss, _), (theirs, their_loss, _) = both(build)
    close(their_loss, our_loss, TOLERANCE[dtype])
    close(theirs.grads, ours.grads, TOLERANCE[dtype])
    close(theirs.buffers, ours.buffers, TOLERANCE[dtype])
    close(theirs.predict(x), ours.predict(x), TOLERANCE[dtype])


@dtypes
@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_agree(xp, rng, name, k, dtype):
    ours, theirs = LOSSES[name]().astype(dtype), LOSSES[name]()
    if k < ours.min_outputs:
        pytest.skip(f"{name} needs {ours.min_outputs} outputs")
    x = rng.uniform(0.01, 0.99, (8, k)).astype(dtype)
    x = x / x.sum(axis=1, keepdims=True) if name == "CrossEntropy" else x
    t = rng.uniform(0, 2, (8, k)) if ours.of_numbers else rng.integers(0, max(k, 2), 8)
    theirs.attach(xp, np.dtype(dtype), {})
    close(theirs.losses(x, t), ours.losses(x, t), TOLERANCE[dtype])
    close(theirs.backward(), ours.backward(), TOLERANCE[dtype])


@dtypes
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_agree(xp, rng, make, dtype):
    gradients = rng.normal(size=(10, 6 * 5 + 5)).astype(dtype)

    def build(name):
        net = Network([Dense(6, 5)], minibp.QuadraticLoss(), backend=name, dtype=dtype)
        optimizer = make(net)
        for gradient in gradients:
            net.grads = gradient
            optimizer.step()
        return net.params

    ours, theirs = both(build)
    close(theirs, ours, 10 * TOLERANCE[dtype])


@dtypes
@pytest.mark.parametrize("name", models.MODELS)
def test_models_agree_after_a_hundred_steps(xp, digits, name, dtype):
    batch_size = 32
    some = digits[: 50 * batch_size // 2]  # 25 steps an epoch

    def build(library):
        model = models.build(name, n_in=64, n_out=10)
        net = model.network(backend=library, dtype=dtype, seed=1)
        optimizer = model.make_optimizer(net, len(some))
        losses = [epoch.loss for epoch in train(net, optimizer, some, 4, batch_size)]
        assert optimizer.steps == 100
        return losses, net.params

    (our_losses, ours), (their_losses, theirs) = both(build)
    tolerance = SENSITIVE.get((name, dtype), TRAINED[dtype])
    assert their_losses == pytest.approx(our_losses, rel=tolerance)
    if (name, dtype) not in SENSITIVE:
        close(theirs, ours, tolerance)


def test_dropout_draws_the_same_masks(xp, rng):
    x = rng.normal(size=(50, 40))
    ours, theirs = Dropout(0.3, seed=5), Dropout(0.3, seed=5)
    theirs.attach(xp, np.dtype("float64"), {})
    for _ in range(3):
        assert_equal(host(theirs.forward(x)) == 0, ours.forward(x) == 0)


@dtypes
@pytest.mark.parametrize("make", [lambda: RandomAffine(20, 0.2, 10, 0.1), lambda: ElasticDistortion(8, 2, 20, 0.2)])
def test_images_are_moved_alike(xp, digits, make, dtype):
    x = (digits.x[:50] / 255).astype(dtype)
    ours, theirs = make().astype(dtype), make()
    ours.seed = theirs.seed = 5
    theirs.attach(xp, np.dtype(dtype), {})
    for _ in range(3):
        close(theirs.forward(x), ours.forward(x), TOLERANCE[dtype])


def test_evaluation_and_prediction_agree(xp, digits):
    ours, theirs = both(lambda name: Network(every_layer(), CrossEntropy(), backend=name))
    assert evaluate(theirs, digits) == pytest.approx(evaluate(ours, digits), rel=1e-5)
    predicted = theirs.predict(digits.x)
    assert isinstance(predicted, np.ndarray)
    close(predicted, ours.predict(digits.x), 1e-5)


def test_weighted_samples_agree(xp, digits, rng):
    weighted = data.Dataset(*digits[:200], weights=rng.integers(0, 3, 200) * (np.arange(200) > 40))

    def build(library):
        net = Network([Flatten(), Dense(64, 10), Softmax()], CrossEntropy(), backend=library)
        loss = float(net.forward(*digits[:9], weights=np.arange(9)))
        return [loss, *(epoch[1:4] for epoch in train(net, SGD(net, lr=0.1), weighted, 3, 16, weighted))], net.params

    (our_losses, ours), (their_losses, theirs) = both(build)
    assert their_losses[0] == pytest.approx(our_losses[0], rel=1e-5)
    np.testing.assert_allclose(their_losses[1:], our_losses[1:], rtol=1e-5)
    close(theirs, ours, 1e-5)


# --- moving --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_network_that_moves_trains_as_one_that_stays(xp, digits, make):
    some = digits[:320]
    stays, moves = (Network([Flatten(), Dense(64, 10), Softmax()], CrossEntropy(), seed=2) for _ in range(2))
    optimizers = make(stays), make(moves)
    for net, optimizer in zip((stays, moves), optimizers, strict=True):
        *_, _ = train(net, optimizer, some, 1)
    assert moves.to("cupy") is moves and moves.backend == "cupy"
    for net, optimizer in zip((stays, moves), optimizers, strict=True):
        *_, _ = train(net, optimizer, some, 1)
    for vector in (moves.params, moves.grads, moves.layers[1].W, moves.layers[1].dW, *optimizers[1].moments):
        assert isinstance(vector, xp.ndarray)
    close(moves.params, stays.params, 1e-4)
    moves.to("numpy")
    assert isinstance(moves.params, np.ndarray)
    close(moves.params, stays.params, 1e-4)


@pytest.mark.parametrize(("first", "then"), [("numpy", "cupy"), ("cupy", "numpy")])
def test_a_training_continues_when_the_network_moves_between_epochs(xp, digits, first, then):
    def run(*libraries):
        net = Network([Flatten(), Dense(64, 10), Softmax()], CrossEntropy(), backend=libraries[0], seed=2)
        optimizer, losses = Adam(net), []
        epochs = train(net, optimizer, digits[:320], 3, validation=digits[:50])
        for epoch, library in zip(epochs, libraries[1:], strict=True):
            losses += [epoch.loss, epoch.val_loss]
            net.to(library)
        return losses

    assert run(first, first, first, first) == pytest.approx(run(first, first, then, then), rel=1e-4)


def test_a_network_moves_with_its_optimizer_and_frees_the_memory_of_the_device(xp):
    net = Network([Dense(6, 5)], minibp.QuadraticLoss(), backend="cupy")
    optimizer, held = Adam(net), weakref.ref(net.params)
    optimizer.step()
    net.to("numpy")
    assert all(isinstance(vector, np.ndarray) for vector in (net.params, *optimizer.moments))
    gc.collect()
    assert held() is None  # and its memory on the device is free


def test_a_network_of_a_gpu_is_unpickled_where_there_is_none(xp, monkeypatch):
    net = Network([Dense(6, 5)], minibp.QuadraticLoss(), backend="cupy")
    written, x = pickle.dumps(net), np.ones((2, 6))
    outputs = net.predict(x)
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.warns(minibp.errors.MinibpWarning, match=r"computes on NumPy.*CuPy is not installed"):
        twin = pickle.loads(written)
    assert twin.backend == "numpy"
    assert_close(twin.predict(x), outputs, rtol=1e-6)


def test_optimizers_are_pickled_as_host_arrays(xp):
    net = Network([Dense(6, 5)], minibp.QuadraticLoss(), backend="cupy")
    optimizer = Adam(net)
    net.grads += 1
    optimizer.step()
    assert all(isinstance(vector, np.ndarray) for vector in optimizer.__getstate__()["moments"])
    twin = pickle.loads(pickle.dumps(optimizer))
    assert all(isinstance(vector, xp.ndarray) for vector in twin.moments)
    assert_equal(twin.moments[0], optimizer.moments[0])
    twin.net.to("numpy")
    assert isinstance(twin.moments[0], np.ndarray) and isinstance(optimizer.moments[0], xp.ndarray)


def test_a_move_that_fails_leaves_the_network_as_it_was(stand_in, monkeypatch):
    net = Network([Dense(6, 5)], minibp.QuadraticLoss())
    before, x = net.params, np.ones((2, 6))
    expected = net.predict(x)

    monkeypatch.setattr(stand_in, "empty", failing(MemoryError("out of memory")), raising=False)
    with pytest.raises(MemoryError):
        net.to("cupy")
    assert net.backend == "numpy" and net.params is before
    assert_equal(net.predict(x), expected)


def test_using_a_network_does_not_move_it(xp, digits, tmp_path):
    net = Network(every_layer(), CrossEntropy(), backend="cupy")
    optimizer, kept = Adam(net), net.params
    best = EarlyStopping(net)
    for epoch in train(net, optimizer, digits[:320], 2, validation=digits[:50]):
        best.should_stop(epoch.val_loss)
    save(net, tmp_path / "net.safetensors")
    evaluate(net, digits)
    probe(net, optimizer, digits[:100])
    best.restore()
    _ = f"{net} {net.summary()} {net.predict(digits.x[:3])} {net.params}"
    assert net.params is kept and net.backend == "cupy"
    assert_equal(load(tmp_path / "net.safetensors").params, net.params)
    assert load(tmp_path / "net.safetensors", backend="cupy").backend == "cupy"


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [np.asarray, lambda a: sys.modules["cupy"].asarray(a)], ids=["host", "device"])
def test_bad_batches_are_refused_wherever_they_lie(xp, where):
    net = Network([Dense(2, 3), Softmax()], CrossEntropy(), backend="cupy")
    x, labels = np.ones((2, 2), "float32"), np.array([0, 2])
    net.forward(where(x), where(labels))
    with pytest.raises(TargetError, match="the label of sample 1 is 3"):
        net.forward(where(x), where(labels + np.array([0, 1])))
    with pytest.raises(InputError, match="x: NaN, infinity or"):
        net.forward(where(x * [1, np.nan]), where(labels))


class HostSquare(minibp.Layer):
    """A layer that forgets self.xp."""

    def formula(self, x):
        return np.square(host(x))

    def gradient(self, dy):
        return 2 * self.x * dy


def test_a_layer_that_leaves_the_device_is_refused(xp):
    net = Network([Dense(2, 3), HostSquare(), Dense(3, 2)], minibp.QuadraticLoss(), backend="cupy")
    with pytest.raises(ShapeError, match=r"HostSquare\(\): formula must return y, .* one of NumPy; compute with"):
        net.forward(np.ones((2, 2)), np.ones((2, 2)))


class HostInside(minibp.Residual):
    """A layer that feeds the layers inside it from the host."""

    def formula(self, x):
        return super().formula(host(x))


def test_a_layer_inside_that_is_fed_from_the_host_is_refused(xp):
    net = Network([HostInside(Dense(2, 2))], minibp.QuadraticLoss(), backend="cupy")
    with pytest.raises(InputError, match=r"Dense\(2, 2\) is fed a NumPy array but runs on CuPy; compute x with self"):
        net.forward(np.ones((2, 2)), np.ones((2, 2)))


def test_vectors_and_parameters_can_be_assigned_from_host_and_device(xp):
    net = Network([Dense(2, 3)], minibp.QuadraticLoss(), backend="cupy")
    values = np.arange(9, dtype="float32")
    for side in (values, xp.asarray(values)):
        net.params = side
        assert_equal(net.layers[0].b, [6, 7, 8])
    net.layers[0].W = np.zeros((2, 3))
    assert_equal(net.params[:6], np.zeros(6))
    net.to("numpy")
    net.layers[0].W = xp.ones((2, 3))
    assert_equal(net.params[:6], np.ones(6))


# --- transfers between host and device -----------------------------------------------------------------------------


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_training_step_reads_nothing_back(stand_in, digits, make, loss):
    last = {"CrossEntropy": [Softmax()], "BinaryCrossEntropy": [Sigmoid()]}.get(loss, [])
    net = Network([*every_layer()[:-1], *last], LOSSES[loss](), backend="cupy")
    optimizer = make(net)
    dataset = Dataset(digits.x, np.eye(10)[digits.t]) if net.loss.of_numbers else digits
    batches = Batches(net, dataset, 32)(np.arange(320))
    net.unchecked_losses(*next(batches))
    stand_in.traffic.clear()
    for batch in batches:
        net.unchecked_losses(*batch)
        net.backward()
        optimizer.step()
    assert stand_in.traffic.reads == 0
    assert stand_in.traffic.calls > 100


def test_norms_make_no_products_and_no_squares_of_all_weights(stand_in, monkeypatch):
    net = Network([Dense(200, 100), Dense(100, 10)], minibp.QuadraticLoss(), backend="cupy")
    optimizer = SGD(net, clip_norm=1.0, max_norm=1.0)
    optimizer.step()
    for name in ("dot", "einsum"):
        monkeypatch.setattr(stand_in, name, failing(AssertionError(name)), raising=False)
    optimizer.step()


def test_moments_are_not_flushed_on_a_device(stand_in):
    net = Network([Dense(2, 3)], minibp.QuadraticLoss(), backend="cupy")
    optimizer, calls = Adam(net), []
    optimizer.step()
    for step in (100, 101):
        optimizer.steps = step
        stand_in.traffic.clear()
        optimizer.step()
        calls.append(stand_in.traffic.calls)
    assert calls[0] - calls[1] == 4  # two moments, in which infinity becomes NaN: isinf and copyto


def test_a_network_works_on_its_gpu_whichever_is_current(xp, digits, request):
    if xp is not standin:
        request.getfixturevalue("two_gpus")
    with xp.cuda.Device(1):
        net = Network(every_layer(), CrossEntropy(), backend="cupy")
    optimizer = Adam(net)
    some = digits[:64]
    float(net.forward(*some))
    net.backward()
    optimizer.step()
    net.predict(some.x)
    net.params = backend.to_host(net.params)
    net.layers[1].b = np.zeros(32)
    net.layers[1].W = xp.asarray(backend.to_host(net.layers[1].W))  # which lies on the current one
    net.load_state_dict(net.state_dict())
    optimizer.load_state_dict(optimizer.state_dict())
    *_, _ = train(net, optimizer, some, 2, validation=some)
    evaluate(net, some)
    for array in (net.params, net.grads, net.layers[1].W, *optimizer.moments):
        assert array.device.id == 1
    assert xp.cuda.Device().id == 0
    before = net.predict(some.x)
    net.to("cupy")  # to the current one
    assert net.params.device.id == optimizer.moments[0].device.id == 0
    close(net.predict(some.x), before, 1e-5)


def test_switching_weight_decay_on_reads_nothing_back(stand_in, digits):
    net = Network([Dense(2, 3)], minibp.QuadraticLoss(), backend="cupy")
    optimizer = Adam(net)
    optimizer.weight_decay = 0.1
    stand_in.traffic.clear()
    optimizer.step()
    assert (stand_in.traffic.reads, stand_in.traffic.uploads) == (0, 0)


@pytest.mark.gpu
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_training_step_does_not_wait_for_the_gpu(digits, make):
    cupy = importlib.import_module("cupy")
    net = Network(every_layer(), CrossEntropy(), backend="cupy")
    optimizer = make(net)
    batch = next(Batches(net, digits, 32)(np.arange(32)))

    def step():
        net.unchecked_losses(*batch)
        net.backward()
        optimizer.step()

    step()  # compiles the kernels
    a, product = cupy.ones((4096, 4096), "float32"), cupy.empty((4096, 4096), "float32")
    for _ in range(100):  # work for many times as long as it takes to launch a step behind it
        cupy.matmul(a, a, out=product)
    step()
    assert not cupy.cuda.Stream.null.done


def test_reads_and_uploads_of_an_epoch_do_not_grow_with_its_steps(stand_in, digits):
    counts = []
    for samples in (320, 1280):
        net = Network(every_layer(), CrossEntropy(), backend="cupy")
        some = data.Dataset(*digits[:samples], weights=np.ones(samples))
        epochs = train(net, Adam(net), some, 3, validation=digits[:64])
        next(epochs)  # makes the workspaces, and sends the data
        stand_in.traffic.clear()
        next(epochs)
        counts.append((stand_in.traffic.reads, stand_in.traffic.uploads))
    assert counts[0] == counts[1]
    reads, uploads = counts[0]
    assert reads <= 5  # the losses of training and validation, the answers, whether all is finite
    assert uploads <= 5  # the order of the samples, and their weights


def test_a_prediction_waits_for_a_few_large_pieces(stand_in, rng):
    x = rng.integers(256, size=(20_000, 784)).astype("uint8")
    net = Network([Dense(784, 30), Sigmoid(), Dense(30, 10), Softmax()], CrossEntropy(), backend="cupy")
    stand_in.traffic.clear()
    outputs = net.predict(x)
    assert stand_in.traffic.reads == stand_in.traffic.uploads == 2
    close(outputs[-600:], net.predict(x[-600:], batch_size=7), 1e-5)


def test_data_are_uploaded_once_without_conversion(stand_in, digits):
    net = Network([Flatten(), Dense(64, 10), Softmax()], CrossEntropy(), backend="cupy")
    batches = Batches(net, digits, 32)
    assert isinstance(batches.x, stand_in.ndarray)
    assert batches.x.dtype == np.uint8 and batches.x.shape == digits.x.shape


def test_a_large_upload_takes_no_more_page_locked_memory_than_a_piece(stand_in, monkeypatch):
    monkeypatch.setattr("minibp.backend.arrays.UPLOAD", 1 << 16)
    rows = 20_000  # their order and labels are larger than a piece, too
    x = np.arange(64 * rows, dtype="uint8").reshape(rows, 64)
    net = Network([Dense(64, 2), Softmax()], CrossEntropy(), backend="cupy")
    stand_in.traffic.clear()
    batches = Batches(net, Dataset(x[::-1], np.arange(rows) % 2, np.ones(rows)), 4096)
    for _ in batches(np.arange(rows)):
        pass
    assert stand_in.traffic.page_locked <= 1 << 16 and stand_in.traffic.uploads > 20
    assert_equal(batches.x, x[::-1])


NO_NUMBERS = {
    "strings": np.array(["a"] * 9),
    "objects": np.array([None] * 9),
    "a list of strings": ["a"] * 9,
}


@pytest.mark.parametrize("values", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_is_assigned_must_be_numbers(xp, values):
    net = Network([Dense(2, 3)], minibp.QuadraticLoss(), backend="cupy")
    for name in ("params", "grads", "buffers"):
        with pytest.raises(ArgumentError, match=f"the network: {name}: received an array of .*, expected numbers"):
            setattr(net, name, values)
    with pytest.raises(ArgumentError, match=r"Dense\(2, 3\): db: received an array of .*, expected numbers"):
        net.layers[0].db = values


@pytest.mark.parametrize("batch_size", [32, 500])
def test_data_that_do_not_fit_are_streamed_with_the_same_result(stand_in, digits, batch_size, monkeypatch):
    def run():
        net = Network([Flatten(), Dense(64, 10), Softmax()], CrossEntropy(), backend="cupy")
        batches = Batches(net, digits, batch_size)
        *_, last = train(net, SGD(net, lr=0.1), digits, 2, batch_size, validation=digits[:100])
        return isinstance(batches.x, np.ndarray), last[1:4], net.params.get()

    on_host, losses, params = run()
    assert not on_host
    monkeypatch.setattr("minibp.data.batches.BYTES_ON_DEVICE", 64 * 64 * 5)  # 64 samples, as uint8 and as float32
    monkeypatch.setattr("minibp.data.batches.free_memory", lambda xp: 1000)
    on_host, streamed_losses, streamed = run()
    assert on_host
    assert streamed_losses == losses
    assert_equal(streamed, params)


@pytest.mark.parametrize("free", [6 << 20, 5 << 20])
def test_a_data_set_goes_to_the_device_if_it_leaves_half_of_the_memory(stand_in, free, monkeypatch):
    monkeypatch.setattr("minibp.data.batches.BYTES_ON_DEVICE", 1 << 20)
    monkeypatch.setattr("minibp.data.batches.free_memory", lambda xp: free)
    wide = data.Dataset(np.zeros((2048, 1024), "uint8"), np.zeros(2048, "uint8"))  # 2 MiB, and 1 for a block
    batches = Batches(Network([Dense(1024, 2), Softmax()], CrossEntropy(), backend="cupy"), wide, 32)
    assert batches.raw.nbytes + batches.scaled.nbytes <= 1 << 20
    assert isinstance(batches.x, np.ndarray) == (free == 5 << 20)


def test_free_memory_is_that_of_the_device_and_of_the_pool(stand_in, monkeypatch):
    assert backend.free_memory(np) == float("inf")
    assert backend.free_memory(stand_in) == 8 << 30
    monkeypatch.setattr(stand_in._Pool, "free", 1 << 30)
    assert backend.free_memory(stand_in) == 9 << 30
