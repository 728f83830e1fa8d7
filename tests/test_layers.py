"""Layers: formulas and gradients in any shape, users' own layers, and what is refused."""

import copy
import math
import pickle

import numpy as np
import pytest
from arrays import assert_close, assert_equal, host, is_array, shares_memory
from hypothesis import given
from memory import traced
from strategies import batches, counts, normals, seeds, signals

from minibp import (
    ELU,
    GELU,
    BatchNorm,
    CrossEntropy,
    Dense,
    Dropout,
    Exp,
    Flatten,
    Layer,
    LayerNorm,
    LeakyReLU,
    Network,
    ReLU,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
    check_gradients,
)
from minibp.base import Workspace
from minibp.errors import ArgumentError, InputError, ShapeError, StateError
from minibp.initializers import Ones

pytestmark = pytest.mark.usefixtures("library")

FORMULAS = {
    "Sigmoid": (Sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "Tanh": (Tanh, lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)),
    "ReLU": (ReLU, lambda x: np.where(x > 0, x, 0)),
    "LeakyReLU": (LeakyReLU, lambda x: np.where(x > 0, x, 0.01 * x)),
    "LeakyReLU(0.3)": (lambda: LeakyReLU(0.3), lambda x: np.where(x > 0, x, 0.3 * x)),
    "ELU": (ELU, lambda x: np.where(x > 0, x, np.exp(x) - 1)),
    "ELU(0.4)": (lambda: ELU(0.4), lambda x: np.where(x > 0, x, 0.4 * (np.exp(x) - 1))),
    "GELU": (GELU, lambda x: x / (1 + np.exp(-np.sqrt(8 / np.pi) * (x + 0.044715 * x**3)))),
    "Exp": (Exp, np.exp),
    "Softplus": (Softplus, lambda x: np.log(1 + np.exp(x))),
    "Softmax": (Softmax, lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)),
}
LAYERS = {
    "Dense": lambda k: Dense(k, 3, seed=0),
    "Flatten": lambda k: Flatten(),
    "Sigmoid": lambda k: Sigmoid(),
    "Tanh": lambda k: Tanh(),
    "ReLU": lambda k: ReLU(),
    "LeakyReLU": lambda k: LeakyReLU(0.3),
    "ELU": lambda k: ELU(0.4),
    "GELU": lambda k: GELU(),
    "Exp": lambda k: Exp(),
    "Softplus": lambda k: Softplus(),
    "Softmax": lambda k: Softmax(),
    "BatchNorm": BatchNorm,
    "LayerNorm": LayerNorm,
    "Dropout": lambda k: Dropout(0.4, seed=0),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


# --- formulas and gradients ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "formula"), FORMULAS.values(), ids=FORMULAS)
@given(x=batches())
def test_activations_follow_their_formulas(make, formula, x):
    assert_close(make().forward(x), formula(x), rtol=1e-12, atol=1e-14)


@given(x=batches(), n_out=counts, seed=seeds)
def test_dense_is_a_weighted_sum_and_a_bias(x, n_out, seed):
    layer = Dense(x.shape[1], n_out, b=normals(n_out, seed), seed=seed)
    W, b = host(layer.W), host(layer.b)
    expected = [[row @ W[:, j] + b[j] for j in range(n_out)] for row in x]
    assert_close(layer.forward(x), expected, rtol=1e-12, atol=1e-12)


def test_flatten_makes_each_sample_a_row():
    x = np.arange(24.0).reshape(2, 3, 4)
    layer = Flatten()
    assert_equal(layer.forward(x), [range(12), range(12, 24)])
    assert_equal(layer.backward(x.reshape(2, 12)), x)


@every_layer
@given(x=signals)
def test_gradient_is_that_of_the_formula(make, x):
    report = check_gradients(make(x.shape[1]), x)
    assert report.ok, report


def test_gelu_stays_near_the_form_with_erf():
    x = np.linspace(-6, 6, 1000)[:, None]
    exact = [[v / 2 * (1 + math.erf(v / math.sqrt(2)))] for v in x[:, 0]]
    assert_close(GELU().forward(x), exact, rtol=0, atol=5e-4)


@given(x=batches(size=1e4))
def test_softmax_rows_sum_to_one(x):
    assert_close(Softmax().forward(x).sum(axis=1), 1, rtol=1e-14)


@given(x=batches(), shift=batches(size=1e3, min_side=6))
def test_softmax_does_not_change_when_a_row_is_shifted(x, shift):
    assert_close(Softmax().forward(x + shift[: len(x), :1]), Softmax().forward(x), rtol=1e-11)


def test_softmax_of_the_textbook_example():
    assert_close(Softmax().forward([[3, 1, -3]]), [[0.88, 0.12, 0.00]], atol=0.005)


@given(x=signals, seed=seeds)
def test_softmax_gradient_is_a_product_with_the_jacobian(x, seed):
    layer, dy = Softmax(), normals(x.shape, seed)
    y = host(layer.forward(x))
    jacobians = [np.diag(row) - np.outer(row, row) for row in y]
    expected = [jacobian @ dy_row for jacobian, dy_row in zip(jacobians, dy, strict=True)]
    assert_close(layer.backward(dy), expected, rtol=1e-10, atol=1e-14)


LIMITS = {  # y and dy/dx at -big, 0 and big
    Sigmoid: (lambda big: [0, 0.5, 1], [0, 0.25, 0]),
    Tanh: (lambda big: [-1, 0, 1], [0, 1, 0]),
    ReLU: (lambda big: [0, 0, big], [0, 0, 1]),
    LeakyReLU: (lambda big: [-0.01 * big, 0, big], [0.01, 0.01, 1]),
    ELU: (lambda big: [-1, 0, big], [0, 1, 1]),
    GELU: (lambda big: [0, 0, big], [0, 0.5, 1]),
    Softplus: (lambda big: [0, math.log(2), big], [0, 0.5, 1]),
}


@pytest.mark.parametrize(("dtype", "big"), [("float32", 1e4), ("float64", 1e4), ("float64", 1e300)])
@pytest.mark.parametrize("kind", LIMITS)
def test_extreme_inputs_give_the_limit(kind, dtype, big):
    layer, (y, slope) = kind().astype(dtype), LIMITS[kind]
    if kind is GELU:
        big = min(big, 1e100)  # the cube of x must be finite
    assert_close(layer.forward([[-big, 0, big]]), [y(big)], rtol=1e-6, atol=1e-37)
    assert_close(layer.backward([[1, 1, 1]]), [slope], rtol=1e-6, atol=1e-37)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize(("dtype", "least", "most"), [("float32", 88, 89), ("float64", 709, 710)])
def test_exp_is_infinite_only_beyond_the_dtype(dtype, least, most):
    assert_close(Exp().astype(dtype).forward([[-1e30, least, most]]), [[0, np.exp(least), np.inf]], rtol=1e-5)


def test_small_values_of_sigmoid_are_exact_to_rounding():
    x = np.linspace(-80, 20, 101)
    y = Sigmoid().astype("float32").forward(x[None])[0]
    assert_close(y, 1 / (1 + np.exp(-x)), rtol=1e-6)


@pytest.mark.parametrize("big", [1e4, 1e300])
def test_softmax_of_extreme_inputs_is_the_limit(big):
    layer = Softmax()
    assert_equal(layer.forward([[big, 0, -big], [big, big, -big]]), [[1, 0, 0], [0.5, 0.5, 0]])
    assert_equal(layer.backward([[1, 2, 3], [3, 1, 2]]), [[0, 0, 0], [0.5, -0.5, 0]])


# --- running ------------------------------------------------------------------------------------------------------


@every_layer
@given(x=batches(), seed=seeds)
def test_backward_changes_neither_dy_nor_x(library, make, x, seed):
    layer, x_before = make(x.shape[1]), x.copy()
    x = library.asarray(x)
    dy_before = normals(layer.forward(x).shape, seed)
    dy = library.asarray(dy_before.copy())
    layer.backward(dy)
    assert_equal(dy, dy_before)
    assert_equal(x, x_before)


@every_layer
@given(x=signals, seed=seeds)
def test_backward_twice_gives_the_same(make, x, seed):
    layer = make(x.shape[1])
    dy = normals(layer.forward(x).shape, seed)
    first = [layer.backward(dy).copy()] + [gradient.copy() for gradient in layer.grads.values()]
    second = [layer.backward(dy), *layer.grads.values()]
    for a, b in zip(first, second, strict=True):
        assert_equal(a, b)


@every_layer
@given(x=batches())
def test_output_shape_is_the_shape_of_the_output(make, x):
    layer = make(x.shape[1])
    assert layer.forward(x).shape == (len(x), *layer.output_shape(x.shape[1:]))


@every_layer
@pytest.mark.parametrize("dtype", [list, "bool", "uint8", "int64", "float16", "float32"])
def test_numbers_of_any_type_are_converted_to_float64(make, dtype):
    x = np.array([[0, 1, 0], [1, 1, 0]], float)
    layer, expected = make(3), make(3).forward(x)
    y = layer.forward(x.tolist() if dtype is list else x.astype(dtype))
    assert_equal(y, expected)
    assert y.dtype == layer.backward(np.ones(y.shape, "float32")).dtype == np.float64


@every_layer
@pytest.mark.parametrize("k", [3, 40])
def test_batches_of_other_sizes_in_between_do_not_change_the_results(make, k):
    layer = make(k)
    for seed, n in enumerate([50, 20, 50, 60, 1, 50, 2, 20]):
        fresh, x = copy.deepcopy(layer), normals((n, k), seed)
        y, expected = layer.forward(x), fresh.forward(x)
        assert_equal(y, expected)
        dy = normals(y.shape, seed + 1)
        assert_equal(layer.backward(dy), fresh.backward(dy))


@every_layer
def test_host_arrays_become_arrays_of_the_library(library, make):
    layer, x = make(3), np.ones((4, 3))
    for _ in range(2):  # the second x has the shape and the dtype of the workspaces
        y = layer.forward(x)
        dx = layer.backward(np.ones(y.shape))
        assert isinstance(y, library.ndarray) and isinstance(dx, library.ndarray)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "Flatten"])  # whose y is a view of x
def test_results_reuse_the_memory_of_the_previous_batch(name):
    layer = LAYERS[name](3)
    y, dx = layer.forward(np.ones((4, 3))), layer.backward(layer.y)
    for n in (2, 4):
        assert shares_memory(layer.forward(np.ones((n, 3))), y)
        assert shares_memory(layer.backward(layer.y), dx)


@pytest.mark.host  # only the memory of the host is traced
@every_layer
def test_memory_stays_bounded_over_many_batch_sizes(make, rng):
    layer, x = make(50), np.ones((100, 50))
    with traced() as memory:
        for n in rng.permutation(100) + 1:
            layer.backward(layer.forward(x[:n]))
    assert memory.left < 10 * x.nbytes  # without a bound there would be 50 times x, and more


@every_layer
def test_layer_in_float32_holds_no_wider_array(make):
    layer = make(3).astype("float32")
    y = layer.forward(np.ones((5, 3)))
    dx = layer.backward(np.ones(y.shape))
    arrays = [y, dx, *filter(is_array, vars(layer).values()), *layer.grads.values()]
    assert {array.dtype for array in arrays if array.dtype.kind == "f"} == {np.dtype("float32")}


def test_layer_of_a_network_keeps_the_dtype_of_the_network():
    net = Network([Dense(2, 3), Softmax()], CrossEntropy())
    with pytest.raises(StateError, match=r"Dense\(2, 3\) belongs to a network, .*dtype='float64'"):
        net.layers[0].astype("float64")


# --- parameters ---------------------------------------------------------------------------------------------------


def test_same_seed_draws_the_same_weights():
    assert_equal(Dense(4, 3, seed=7).W, Dense(4, 3, seed=7).W)
    assert not np.array_equal(Dense(4, 3, seed=7).W, Dense(4, 3, seed=8).W)


def test_layer_without_a_seed_draws_its_weights_once_at_first_use():
    layer = Dense(4, 3)
    first = layer.forward(np.ones((1, 4))).copy()
    assert_equal(layer.forward(np.ones((1, 4))), first)
    assert not np.array_equal(layer.W, Dense(4, 3).W)


def test_given_arrays_are_copied():
    W, b = np.ones((2, 3)), np.ones(3)
    layer = Dense(2, 3, W=W, b=b)
    W[:] = b[:] = 5
    assert_equal(layer.forward([[1, 1]]), [[3, 3, 3]])


def test_parameters_and_gradients_are_found_by_name():
    layer = Dense(4, 3, seed=0)
    assert list(layer.params) == list(layer.grads) == ["W", "b"]
    assert layer.params["W"] is layer.W and layer.grads["b"] is layer.db


@pytest.mark.parametrize("group", ["params", "grads", "buffers"])
def test_mappings_of_arrays_are_read_only(group):
    layer = BatchNorm(3)
    with pytest.raises(TypeError, match="does not support item assignment"):
        getattr(layer, group)["gamma"] = np.ones(3)


@pytest.mark.parametrize("drawn", [True, False])
def test_assignment_copies_into_the_existing_array(drawn):
    layer, value = Dense(2, 3), np.ones((2, 3))
    array = layer.W if drawn else None
    layer.W = value
    value[:] = 2
    assert_equal(layer.params["W"], np.ones((2, 3)))
    assert not drawn or layer.W is array


@pytest.mark.parametrize("value", [np.ones((3, 2)), np.ones(3), [1, 2, 3], 0.0])
def test_assignment_of_another_shape_is_refused(value):
    layer = Dense(2, 3, seed=0)
    with pytest.raises(ShapeError, match=r"Dense\(2, 3\): W has shape \(2, 3\), received an array of shape"):
        layer.W = value


@every_layer
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copy_computes_the_same_and_is_independent(make, duplicate):
    x, layer = normals((4, 3)), make(3).astype("float32")
    layer.forward(x)
    twin, untouched = duplicate(layer), duplicate(layer)
    y = twin.forward(x).copy()
    assert y.dtype == np.float32
    assert_equal(layer.forward(x), y)
    for array in [*layer.params.values(), *layer.buffers.values()]:
        array += 1
    layer.forward(x)
    assert_equal(untouched.forward(x), y)


@every_layer
def test_pickle_holds_no_workspaces(make):
    layer = make(3)
    layer.backward(layer.forward(np.ones((1000, 3))))
    assert len(pickle.dumps(layer)) < 2000
    assert len(pickle.dumps(layer.astype("float32"))) < 2000


@every_layer
def test_config_makes_the_same_kind_of_layer(make):
    layer = make(3)
    assert repr(type(layer)(**layer.config())) == repr(layer)


# --- users' own layers, which do not call super().__init__() -------------------------------------------------------


class Cube(Layer):
    """y = x³, in formulas that allocate."""

    def formula(self, x):
        return x**3

    def gradient(self, dy):
        return 3 * self.x**2 * dy


class Reversed(Layer):
    """y is x with its values in reverse order; overrides forward and backward."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def forward(self, x):
        return self.xp.asarray(x)[:, ::-1]

    def backward(self, dy):
        return dy[:, ::-1]


class Scale(Layer):
    """y = a x, with a parameter."""

    def __init__(self, n):
        super().__init__()
        self.add_parameter("a", (n,), Ones())

    def formula(self, x):
        return self.a * x

    def gradient(self, dy):
        self.da = (dy * self.x).sum(axis=0)
        return self.a * dy


OWN = {"formula and gradient": Cube, "forward and backward": lambda: Reversed("r"), "a parameter": lambda: Scale(3)}
own_layers = pytest.mark.parametrize("make", OWN.values(), ids=OWN)


@own_layers
def test_own_layer_works_alone(make):
    report = check_gradients(make(), normals((4, 3)))
    assert report.ok, report


@own_layers
def test_own_layer_works_in_a_network(make):
    net = Network([Dense(2, 3), make(), Dense(3, 3), Softmax()], CrossEntropy())
    report = check_gradients(net, normals((4, 2)), [0, 1, 2, 0])
    assert report.ok, report


def test_parameter_of_an_own_layer_lies_in_the_vectors_of_the_network():
    layer = Scale(3)
    net = Network([Dense(2, 3), layer, Softmax()], CrossEntropy())
    net.forward(normals((4, 2)), [0, 1, 2, 0])
    net.backward()
    assert shares_memory(layer.a, net.params) and shares_memory(layer.da, net.grads)
    assert layer.da.any()


def test_a_missing_method_of_a_layer_is_named():
    class Empty(Layer):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty needs a method formula\(self, x\)"):
        Empty().forward([[1]])
    Empty.formula = lambda self, x: x
    layer = Empty()
    layer.forward([[1]])
    with pytest.raises(NotImplementedError, match=r"Empty needs a method gradient\(self, dy\)"):
        layer.backward([[1]])


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, -1, True, 3.0, "3", None])
def test_invalid_sizes_are_refused(size):
    with pytest.raises(ArgumentError, match=r"Dense: n_in must be an integer of at least 1, received"):
        Dense(size, 3)
    with pytest.raises(ArgumentError, match=r"Dense: n_out must be an integer of at least 1, received"):
        Dense(3, size)


@pytest.mark.parametrize(
    ("W", "message"),
    [
        (np.ones((3, 2)), r"W must hold finite numbers, shape \(2, 3\); received shape \(3, 2\)$"),
        (np.full((2, 3), np.nan), r"W must hold finite numbers.*, with NaN or infinity in it"),
        (np.full((2, 3), np.inf), r"W must hold finite numbers.*, with NaN or infinity in it"),
        ("glorot", "W must be an initializer or an array: could not convert string"),
        ([[1, 2, 3], [1]], "W must be an initializer or an array: .*inhomogeneous"),
    ],
)
def test_weights_that_do_not_fit_are_refused(W, message):
    with pytest.raises(ArgumentError, match="Dense: " + message):
        Dense(2, 3, W=W)


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        ReLU(0.1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'shape'"):
        Flatten(shape=(28, 28))
    with pytest.raises(TypeError, match="slopes"):
        LeakyReLU(slopes=0.1)


@pytest.mark.parametrize("slope", [-0.1, 1.1, math.nan])
def test_slopes_outside_0_to_1_are_refused(slope):
    with pytest.raises(ArgumentError, match=r"LeakyReLU: slope must lie in \[0, 1\), received"):
        LeakyReLU(slope)


@pytest.mark.parametrize("alpha", [-0.1, math.inf, math.nan])
def test_invalid_alphas_are_refused(alpha):
    with pytest.raises(ArgumentError, match="ELU: alpha must be a finite number of at least 0, received"):
        ELU(alpha)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([1.0, 2.0], ShapeError, r"x of shape \(2,\), expected \(N, \.\.\.\); for one sample use x\[None\]"),
        (3.0, ShapeError, r"received x of shape \(\)"),
        (np.ones((2, 5)), ShapeError, r"Dense\(2, 3\) is fed 5 values, but takes 2 values"),
        (np.ones((2, 1)), ShapeError, "is fed 1 value, but"),
        (np.ones((2, 4, 4)), ShapeError, r"is fed samples of shape \(4, 4\), but takes 2 values"),
        (np.ones((0, 2)), InputError, r"received an empty batch, x of shape \(0, 2\)"),
        (np.ones((2, 0)), InputError, r"received an empty batch, x of shape \(2, 0\)"),
        ([["1", "2"]], InputError, "x: received an array of <U1, expected numbers, one sample a row"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x, error, message):
    with pytest.raises(error, match=message):
        Dense(2, 3, seed=0).forward(x)


def test_backward_before_forward_is_refused():
    with pytest.raises(StateError, match=r"Dense\(2, 3\): backward was called before forward; call forward\(x\) first"):
        Dense(2, 3).backward(np.ones((1, 3)))


@every_layer
def test_dy_of_another_shape_than_y_is_refused(make):
    layer = make(3)
    k = layer.forward(np.ones((4, 3))).shape[1]
    with pytest.raises(ShapeError, match=rf"received dy of shape \(1, {k}\), expected \(4, {k}\), like y"):
        layer.backward(np.ones((1, k)))


# --- workspaces ---------------------------------------------------------------------------------------------------


class Filled(Layer):
    """A layer with workspaces that hold constants."""

    def workspaces(self, shape):
        filled = {"zeros": Workspace(shape, fill=0), "ones": Workspace(shape[:1], "int64", fill=1)}
        other = {"numbers": Workspace(shape, fill="range"), "flags": Workspace(shape, bool)}
        return super().workspaces(shape) | filled | other

    def formula(self, x):
        return self.xp.add(x, self.numbers, out=self.y)


def test_workspaces_hold_what_they_declare_for_each_batch_shape():
    layer = Filled()
    for n in (2, 5, 2):
        x = np.zeros((n, 3))
        assert_equal(layer.forward(x), np.arange(3.0 * n).reshape(n, 3))
        assert_equal(layer.zeros, np.zeros((n, 3)))
        assert_equal(layer.ones, [1] * n)
        assert layer.ones.dtype == "int64" and layer.flags.dtype == bool
        assert layer.zeros.dtype == layer.numbers.dtype == layer.dtype
        assert layer.flags.shape == (n, 3)
