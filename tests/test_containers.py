"""Layers made of layers: Sequential, Residual, and a user's own."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from arrays import assert_equal
from hypothesis import given
from hypothesis import strategies as st
from networks import samples

from minibp import (
    SGD,
    Adam,
    CrossEntropy,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Network,
    QuadraticLoss,
    ReLU,
    Residual,
    Sequential,
    Softmax,
    Tanh,
    check_gradients,
    load,
    save,
    train,
)
from minibp.errors import ArgumentError, ShapeError, StateError

on_every_library = pytest.mark.usefixtures("library")


class Branches(Layer):
    """A user's layer with two branches, y = left(x) + Σ right(x)."""

    gives = "numbers"

    def __init__(self, left, right):
        super().__init__()
        self.left, self.right = left, [right]

    def config(self):
        return {"left": self.left, "right": self.right[0]}

    def formula(self, x):
        return self.left.forward(x) + self.right[0].forward(x)

    def gradient(self, dy):
        return self.left.backward(dy) + self.right[0].backward(dy)


LAYERS = {
    "sequential": lambda: Sequential(Dense(4, 5), Tanh(), Dense(5, 4)),
    "residual": lambda: Residual(Dense(4, 4), Tanh(), Dense(4, 4)),
    "branches": lambda: Branches(Dense(4, 4), Sequential(Dense(4, 3), Tanh(), Dense(3, 4))),
    "nested": lambda: Residual(Sequential(Dense(4, 4), Residual(Tanh(), Dense(4, 4))), Dropout(0.2, seed=1)),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def build(make, **options):
    return Network([Dense(4, 4), make(), Dense(4, 3), Softmax()], CrossEntropy(), **options)


def fit(net, epochs=2):
    for _ in train(net, Adam(net), samples(), epochs, 8):
        pass
    return net


def test_a_sequential_is_its_layers_one_after_the_other(rng):
    layers = Dense(4, 5), Tanh(), Dense(5, 2)
    one, x, dy = Sequential(*layers), rng.normal(size=(3, 4)), rng.normal(size=(3, 2))
    assert_equal(one.forward(x), layers[2].forward(layers[1].forward(layers[0].forward(x))).copy())
    assert_equal(one.backward(dy), layers[0].backward(layers[1].backward(layers[2].backward(dy))))
    assert one.in_shape == (4,) and one.output_shape((4,)) == (2,) and one.gives == "numbers"


@given(n=st.integers(1, 5), width=st.integers(1, 40), seed=st.integers(0, 100))
def test_a_residual_adds_its_input(n, width, seed):
    rng = np.random.default_rng(seed)
    inner = Dense(width, width, seed=seed)
    x, dy = rng.normal(size=(2, n, width))
    residual = Residual(copy.deepcopy(inner))
    np.testing.assert_allclose(residual.forward(x), x + (x @ inner.W + inner.b))
    np.testing.assert_allclose(residual.backward(dy), dy + dy @ inner.W.T)


def test_a_network_with_a_sequential_has_the_bits_of_its_layers():
    def layers():
        return Dense(4, 6), Tanh(), Dense(6, 5)

    last = Dense(5, 3), Softmax()
    both = [*layers(), *last], [Sequential(*layers()), *copy.deepcopy(last)]
    flat, nested = (fit(Network(each, CrossEntropy())) for each in both)
    assert_equal(nested.params, flat.params)
    assert_equal(nested.predict(samples().x), flat.predict(samples().x))


@on_every_library
@every_layer
def test_inner_layers_train_and_have_dotted_names(make):
    net = build(make)
    before = {name: value for name, value in net.state_dict().items() if name.endswith((".W", ".b"))}
    assert any(name.startswith("layers.1.") for name in before)
    assert net.params.size == sum(value.size for value in before.values())
    fit(net)
    after = net.state_dict()
    assert all((after[name] != value).any() for name, value in before.items())


@every_layer
def test_gradients_are_right(make, rng):
    net = build(make, dtype="float64")
    assert check_gradients(net, rng.normal(size=(5, 4)), np.array([0, 1, 2, 0, 1])).ok
    assert check_gradients(make(), rng.normal(size=(5, 4))).ok


@every_layer
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
                         ids=["copy", "deepcopy", "pickle"])  # fmt: skip
def test_copies_predict_the_same_and_train_alone(make, copied):
    net = fit(build(make))
    twin = copied(net)
    before = net.predict(samples().x)
    assert_equal(twin.predict(samples().x), before)
    fit(twin)
    assert_equal(net.predict(samples().x), before)
    assert (twin.params != net.params).any()


@on_every_library
@every_layer
def test_the_network_moves_and_comes_back_with_the_same_bits(make):
    net, x = fit(build(make)), samples().x.astype("float32")
    before, name = net.predict(x), net.backend
    for backend in ("numpy", name):
        net.to(backend)
        for module in net.layers[1].modules():
            assert all(isinstance(value, net.xp.ndarray) for value in module.params.values())
    np.testing.assert_allclose(net.predict(x), before, rtol=1e-6)


@every_layer
def test_a_layer_of_layers_works_alone_in_either_dtype(make, rng):
    layer, x = make(), rng.normal(size=(3, 4))
    assert layer.forward(x).dtype == np.float64
    y = layer.astype("float32").forward(x)
    assert y.dtype == np.float32 and layer.backward(np.ones_like(y)).dtype == np.float32


def test_the_mode_reaches_inner_layers(rng):
    layer = Residual(Sequential(Dropout(0.5, seed=1)))
    x = layer.xp.asarray(rng.normal(size=(20, 4)))
    layer.training = False
    assert_equal(layer.forward(x), 2 * x)
    layer.training = True
    assert (layer.forward(x) != 2 * x).any()


def test_predictions_run_inner_layers_in_inference_mode():
    net = build(LAYERS["nested"])
    assert_equal(net.predict(samples().x), net.predict(samples().x))
    assert net.layers[1].layers[1].step == 0  # of Dropout


def test_two_dropouts_inside_draw_different_masks(rng):
    net = Network([Sequential(Dropout(0.5, seed=1), Dropout(0.5, seed=1)), Dense(4, 2)], QuadraticLoss())
    net.forward(rng.normal(size=(50, 4)), np.zeros((50, 2)))
    first, second = net.layers[0].layers
    assert (first.mask != second.mask).any()


def test_layers_in_lists_tuples_and_dicts_are_children():
    layer = Branches(Dense(2, 2), Dense(2, 2))
    layer.more = {"a": (Dense(2, 3),), "b": Dense(2, 4)}
    layer.pair = (Dense(2, 5), "text", 1.5)
    assert list(layer.children()) == ["left", "right.0", "more.a.0", "more.b", "pair.0"]


class Blocks(Layer):
    """A user's layer with layers in lists of pairs in a dict."""

    def __init__(self):
        super().__init__()
        self.blocks = OrderedDict(a=[(Dense(4, 4), Tanh())], b=[(Dense(4, 4), Dropout(0.5)), 3])

    def chain(self):
        return [layer for pair in (self.blocks["a"][0], self.blocks["b"][0]) for layer in pair]

    def formula(self, x):
        for layer in self.chain():
            x = layer.forward(x)
        return x

    def gradient(self, dy):
        for layer in reversed(self.chain()):
            dy = layer.backward(dy)
        return dy


def test_layers_in_nested_lists_train_and_predict_as_any_other(tmp_path):
    net = build(Blocks)
    before = net.params.copy()
    fit(net)
    assert (net.params != before).all()
    assert_equal(net.predict(samples().x), net.predict(samples().x))  # no dropout
    save(net, tmp_path / "net")
    assert_equal(load(tmp_path / "net", own=[Blocks]).predict(samples().x), net.predict(samples().x))


class Shortcut(Residual):
    """A user's residual layer with a layer of its own, y = s(x) + f(x)."""

    def __init__(self, *layers, shortcut):
        super().__init__(*layers)
        self.shortcut = shortcut

    def config(self):
        return super().config() | {"shortcut": self.shortcut}

    def formula(self, x):
        return super().formula(x) - x + self.shortcut.forward(x)

    def gradient(self, dy):
        return super().gradient(dy) - dy + self.shortcut.backward(dy)


class Named(Layer):
    """A user's layer with a dict of layers as its argument, and a number called t."""

    def __init__(self, parts):
        super().__init__()
        self.parts_by_name, self.t = parts, 2.0

    def config(self):
        return {"parts": self.parts_by_name}

    def formula(self, x):
        return self.parts_by_name["a"].forward(x) * self.dtype.type(self.t)

    def gradient(self, dy):
        return self.parts_by_name["a"].backward(dy * self.dtype.type(self.t))


@pytest.mark.parametrize("make", [
    lambda: Shortcut(Dense(4, 4), Tanh(), shortcut=Dense(4, 4)),
    lambda: Named({"a": Dense(4, 4)}),
], ids=["subclass of Residual", "dict"])  # fmt: skip
def test_users_layers_of_layers_train_copy_and_save(make, tmp_path, rng):
    net = build(make)
    before, x = net.params.copy(), samples().x
    fit(net)
    assert (net.params != before).all()
    assert_equal(copy.deepcopy(net).predict(x), net.predict(x))
    save(net, tmp_path / "net")
    assert_equal(load(tmp_path / "net", own=[type(net.layers[1])]).predict(x), net.predict(x))
    assert check_gradients(build(make, dtype="float64"), rng.normal(size=(5, 4)), np.array([0, 1, 2, 0, 1])).ok


# --- what is refused -----------------------------------------------------------------------------------------------


def test_a_layer_in_two_parents_is_refused_by_name():
    shared = Dense(4, 4)
    with pytest.raises(StateError, match=r"layer 1\.left: Dense\(4, 4\) is layer 0 again; use each layer once"):
        Network([shared, Branches(shared, Dense(4, 4))], QuadraticLoss())
    with pytest.raises(StateError, match=r"layer 0\.right\.0 and layer 0\.left are the same Dense"):
        Network([Branches(shared, shared)], QuadraticLoss())
    with pytest.raises(StateError, match="1 and 0 are the same Dense"):
        Sequential(shared, shared)
    Network([shared], QuadraticLoss())
    with pytest.raises(StateError, match=r"layer 0\.0: Dense\(4, 4\) belongs to another network"):
        Network([Sequential(shared)], QuadraticLoss())


def test_a_layer_that_holds_itself_is_refused():
    layer = Branches(Dense(2, 2), Dense(2, 2))
    layer.left = layer
    with pytest.raises(StateError, match=r"layer 0\.left and layer 0 are the same Branches"):
        Network([layer], QuadraticLoss())


def test_a_layer_of_a_network_gets_no_other_layers():
    net = build(LAYERS["branches"])
    with pytest.raises(StateError, match="belongs to a network, so left cannot be another layer; build a new network"):
        net.layers[1].left = Dense(4, 4)


def test_the_dtype_of_a_networks_layers_cannot_be_set_through_another_layer():
    net = build(LAYERS["branches"])
    with pytest.raises(StateError, match="belongs to a network, which sets the dtype"):
        Sequential(*net.layers[:2]).astype("float64")


def test_an_attribute_cannot_hide_a_method():
    with pytest.raises(ArgumentError, match="Tanh: children is a method of all layers; choose another name"):
        Tanh().children = [Dense(2, 2)]


def test_a_layer_that_is_added_to_a_list_too_late_is_refused():
    net = build(LAYERS["branches"])
    net.layers[1].right.append(Dense(4, 4))
    with pytest.raises(StateError, match=r"layers\.1\.right\.1: not there when the network was built; build a new"):
        next(train(net, SGD(net), samples(), 1))


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: Sequential(), ArgumentError, "a Sequential needs at least one layer"),
    (lambda: Sequential([Dense(2, 2), Tanh()]), ArgumentError, r"is not a layer; write Sequential\(\*layers\)"),
    (lambda: Network([Sequential(Dense(2, 2), Sequential(Tanh(), Softmax()))], CrossEntropy()), ArgumentError,
     r"Softmax\(\) at the end of a Sequential cannot be fused with CrossEntropy\(\), .* put it after the Sequential"),
    (lambda: Residual(Dense(2, 2), Tanh), ArgumentError, r"layer 1: .*Tanh.* is not a layer \(pass an instance"),
    (lambda: Sequential(Dense(2, 3), ReLU(), Dense(4, 2)), ShapeError,
     r"layer 2: Dense\(4, 2\) is fed 3 values by layer 0: Dense\(2, 3\), but takes 4 values"),
    (lambda: Residual(Dense(2, 3)), ShapeError, "turns 2 values into 3 values, but adds them to its input"),
    (lambda: Network([Dense(3, 4), Residual(Flatten(), Dense(5, 5))], QuadraticLoss()), ShapeError,
     r"Residual\(Flatten\(\), Dense\(5, 5\)\): layer 1: Dense\(5, 5\) is fed 4 values by its input, but takes 5"),
])  # fmt: skip
def test_layers_that_do_not_fit_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_layer_that_forgets_to_call_init_is_told():
    class Forgetful(Layer):
        def __init__(self, rate):
            self.rate = rate

    class Empty(Layer):
        def __init__(self):
            pass

    with pytest.raises(StateError, match=r"super\(\)\.__init__\(\) was not called; begin Forgetful\.__init__ with it"):
        Forgetful(0.1)
    with pytest.raises(StateError, match=r"begin Empty\.__init__ with it"):
        Network([Empty(), Dense(2, 2)], QuadraticLoss())


def test_a_weight_that_is_nan_is_named_with_its_place():
    net = build(LAYERS["branches"])
    net.layers[1].right[0].layers[2].W[0, 0] = np.nan
    with pytest.raises(ArithmeticError, match=r"layer 1\.right\.0\.2: Dense\(3, 4\): W holds NaN"):
        net.predict(samples().x)
    with pytest.raises(ArithmeticError):
        next(train(net, SGD(net), samples(), 1))
