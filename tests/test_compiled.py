"""The compiled loops: they give the same bits as the formulas, and replace the formulas of minibp only."""

import copy
import pickle
import types

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import minibp
from minibp import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    CrossEntropy,
    Dense,
    Dropout,
    Flatten,
    Network,
    QuadraticLoss,
    ReLU,
    RMSProp,
    Sigmoid,
    SigmoidCrossEntropy,
    Softmax,
    SoftmaxCrossEntropy,
    Tanh,
    data,
    optimizer,
    train,
)
from minibp.errors import DivergenceError
from minibp.schedules import Schedule

MAKERS = {
    "SGD": SGD,
    "momentum": lambda net: SGD(net, momentum=0.9),
    "Nesterov": lambda net: SGD(net, momentum=0.9, nesterov=True),
    "AdaGrad": AdaGrad,
    "RMSProp": RMSProp,
    "Adam": Adam,
    "AdamW": AdamW,
    "Adam with all options": lambda net: Adam(net, weight_decay=0.01, clip_norm=0.5, max_norm=1.0),
}


class Halving(SGD):
    """A user's optimizer."""

    def update(self, w, g, delta, *moments):
        w *= 0.5


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Compile the loops after 1000 updated parameters: from the third step on in these tests."""
    monkeypatch.setattr(optimizer, "COMPILE_AFTER", 1000)


def stepped(make, dtype="float32"):
    net = Network([Dense(30, 20)], QuadraticLoss(), dtype=dtype)
    made, rng = make(net), np.random.default_rng(0)
    for _ in range(6):
        net.grads = rng.normal(size=net.grads.size) * rng.choice([1e-3, 1, 0], net.grads.size)
        made.step()
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_compiled_loops_give_the_bits_of_the_formulas(make, dtype, monkeypatch):
    pytest.importorskip("numba")
    ours = stepped(make, dtype)
    assert ours.compiled is not None
    monkeypatch.setattr(optimizer, "COMPILE_AFTER", 1e9)
    plain = stepped(make, dtype)
    assert plain.compiled is None
    np.testing.assert_array_equal(ours.net.params, plain.net.params)
    for got, expected in zip(ours.moments, plain.moments, strict=True):
        np.testing.assert_array_equal(got, expected)


def assert_same_bits(ours, theirs):
    """Equal, and zeros of equal sign."""
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(np.signbit(ours), np.signbit(theirs))


def values(rng, n, k, dtype):
    """A batch with small, huge and extreme numbers in it."""
    x = rng.normal(size=(n, k)) * rng.choice([1e-3, 1, 100], (n, k))
    largest = 0.9 * np.finfo(dtype).max
    extreme = rng.choice([0.0, -0.0, 1e30, -1e30, largest, -largest], (n, k))
    return np.where(rng.random((n, k)) < 0.05, extreme, x).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("make", [lambda k: Dense(k, 7, seed=1), *(lambda k, c=c: c() for c in (ReLU, Sigmoid, Tanh))])
@given(n=st.integers(1, 40), k=st.integers(1, 40), seed=st.integers(0, 100))
def test_compiled_layers_give_the_bits_of_their_formulas(make, dtype, n, k, seed):
    compiled = pytest.importorskip("minibp.compiled")
    rng, layers = np.random.default_rng(seed), [make(k).astype(dtype) for _ in range(2)]
    compiled.use(layers[:1])
    for rows in (n, max(n // 2, 1)):  # a full batch and a shorter one
        x = values(rng, rows, k, dtype)
        ours, theirs = (layer.forward(x) for layer in layers)
        assert_same_bits(ours, theirs)
        dy = values(rng, *ours.shape, dtype)
        ours, theirs = (layer.backward(dy) for layer in layers)
        assert_same_bits(ours, theirs)
        for name in layers[0].grads:
            assert_same_bits(layers[0].grads[name], layers[1].grads[name])


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("make", [lambda: Dense(40, 40, seed=1), ReLU, Sigmoid, Tanh, SoftmaxCrossEntropy,
                                  SigmoidCrossEntropy])  # fmt: skip
def test_loops_pass_on_nan_and_infinity_as_the_formulas_do(make, bad):
    compiled = pytest.importorskip("minibp.compiled")
    rng, parts = np.random.default_rng(0), [make().astype("float32") for _ in range(2)]
    compiled.use(parts[:1])
    k = 5 if isinstance(parts[0], minibp.Loss) else 40  # loops of losses are for narrow arrays, of layers for wide ones
    x, t = rng.normal(size=(40, k)).astype("float32"), rng.integers(k, size=40)
    x[0, 0] = x[1, 2] = x[2, -1] = bad
    ours, theirs = (part.unchecked_losses(x, t).copy() if k == 5 else part.forward(x) for part in parts)
    np.testing.assert_array_equal(ours, theirs)
    if k == 5 and np.isnan(bad):
        assert np.isnan(ours[:3]).all()
    ours, theirs = (part.backward(x) if k == 40 else part.gradient() for part in parts)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [SoftmaxCrossEntropy, SigmoidCrossEntropy])
@given(n=st.integers(1, 60), k=st.integers(2, 40), seed=st.integers(0, 100), labels=st.booleans())
@example(n=5000, k=10, seed=0, labels=False)
def test_compiled_losses_give_the_bits_of_their_formulas(make, dtype, n, k, seed, labels):
    compiled = pytest.importorskip("minibp.compiled")
    rng, losses = np.random.default_rng(seed), [make().astype(dtype) for _ in range(2)]
    compiled.use(losses[:1])
    x, t = values(rng, n, k, dtype), rng.integers(0, k, n)
    if not labels:
        t = rng.dirichlet(np.ones(k), n).astype(dtype)
    ours, theirs = (loss.losses(x, t).copy() for loss in losses)
    assert_same_bits(ours, theirs)
    ours, theirs = (loss.backward() for loss in losses)
    assert_same_bits(ours, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_training_ends_with_the_same_bits_with_the_loops_and_without(dtype, monkeypatch):
    pytest.importorskip("numba")
    digits = data.digits().train[:500]

    def run():
        layers = [Flatten(), Dense(64, 40), ReLU(), Dropout(0.1), Dense(40, 30), Sigmoid(), Dense(30, 10), Softmax()]
        net = Network(layers, CrossEntropy(), dtype=dtype)
        losses = [epoch[1:4] for epoch in train(net, Adam(net), digits, 3, 32, validation=digits[:70])]
        return losses, net.params, net.loops

    ours, params, loops = run()
    assert loops is not None
    monkeypatch.setattr(optimizer, "COMPILE_AFTER", 1e12)
    plain, expected, loops = run()
    assert loops is None
    assert ours == plain
    np.testing.assert_array_equal(params, expected)


def test_labels_that_change_while_the_loops_run_are_not_read_again():
    pytest.importorskip("numba")
    digits, params = data.digits().train[:300], []
    for label in (None, -3):
        dataset = data.Dataset(digits.x, digits.t.astype("int64"))
        net = Network([Flatten(), Dense(64, 10), Softmax()], CrossEntropy())
        for _ in train(net, SGD(net), dataset, 3):
            if label is not None:
                dataset.t[:] = label
        assert net.loops is not None
        params.append(net.params)
    np.testing.assert_array_equal(*params)


def test_a_training_that_diverges_still_diverges_with_the_loops(monkeypatch):
    pytest.importorskip("numba")
    digits = data.digits().train[:500]
    for worth in (1000, 1e12):
        monkeypatch.setattr(optimizer, "COMPILE_AFTER", worth)
        net = Network([Flatten(), Dense(64, 40), ReLU(), Dense(40, 10), Softmax()], CrossEntropy())
        with pytest.raises(DivergenceError, match=r"the learning rate 1e\+30 is too high"):
            list(train(net, SGD(net, lr=1e30), digits, 2))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "uint64", ">i4", ">i8"])
def test_labels_of_any_integer_type_are_trained_on(dtype, rng):
    pytest.importorskip("numba")
    x, labels = rng.normal(size=(40, 30)), np.arange(40) % 2
    losses = []
    for t in (labels.astype(dtype), labels):
        net = Network([Dense(30, 2), Softmax()], CrossEntropy())
        net.compile()
        losses.append(float(net.forward(x, t)))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("lr", [0.1, np.float64(0.1)])
def test_a_rate_of_any_kind_gives_the_same_bits(lr, monkeypatch):
    pytest.importorskip("numba")

    class Fixed(Schedule):
        def __call__(self, step):
            return lr

    ours = stepped(lambda net: SGD(net, lr=Fixed()))
    monkeypatch.setattr(optimizer, "COMPILE_AFTER", 1e9)
    np.testing.assert_array_equal(ours.net.params, stepped(lambda net: SGD(net, lr=Fixed())).net.params)


@pytest.mark.parametrize("then", [
    {"momentum": 0.0}, {"momentum": 0.5, "nesterov": True}, {"weight_decay": 0.1, "clip_norm": 0.1, "max_norm": 0.5},
])  # fmt: skip
def test_numbers_assigned_while_the_loops_run_give_the_bits_of_the_formulas(then, monkeypatch):
    pytest.importorskip("numba")

    def run():
        made = stepped(lambda net: SGD(net, momentum=0.9))
        for name, value in then.items():
            setattr(made, name, value)
        for _ in range(2):
            made.step()
        return made

    ours = run()
    monkeypatch.setattr(optimizer, "COMPILE_AFTER", 1e9)
    plain = run()
    assert ours.compiled is not None and plain.compiled is None
    np.testing.assert_array_equal(ours.net.params, plain.net.params)


class Doubled(ReLU):
    """A user's layer."""

    def formula(self, x):
        return 2 * super().formula(x)


def test_a_users_layer_is_never_replaced():
    compiled = pytest.importorskip("minibp.compiled")
    layer = Doubled()
    compiled.use([layer])
    assert layer.forward(np.ones((1, 1))) == 2


def test_copies_and_moved_networks_run_their_formulas_again():
    compiled = pytest.importorskip("minibp.compiled")
    net = Network([Dense(3, 2), Softmax()], CrossEntropy())
    assert net.compile() is compiled and "formula" in vars(net.layers[0])
    twin = copy.deepcopy(net)
    assert twin.loops is None and "formula" not in vars(twin.layers[0])
    assert "formula" not in vars(pickle.loads(pickle.dumps(net)).layers[0])
    net.to("numpy", "float64")
    assert net.loops is None and "formula" not in vars(net.layers[0])


def test_an_optimizer_compiles_again_after_a_move():
    pytest.importorskip("numba")
    made = stepped(Adam)
    made.net.to("numpy", "float64")
    assert made.compiled is None and made.net.loops is None
    made.step()
    assert made.compiled is not None and made.net.loops is not None


def test_a_users_formula_is_never_replaced():
    start = Network([Dense(30, 20)], QuadraticLoss()).params
    made = stepped(Halving)
    assert made.compiled is None
    np.testing.assert_array_equal(made.net.params, start * np.float32(0.5**6))


@pytest.mark.parametrize("numba", [None, types.SimpleNamespace(config=types.SimpleNamespace(DISABLE_JIT=True))])
def test_without_numba_or_its_compiler_the_formulas_run(replace_numba, numba):
    replace_numba(numba)
    assert stepped(Adam).compiled is None
