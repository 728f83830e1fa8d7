"""Networks: the chain of layers, their memory, and what goes in and comes out."""

import copy
import pickle
import re
from itertools import pairwise

import numpy as np
import pytest
import standin
from arrays import assert_close, assert_equal, host, is_array, shares_memory
from hypothesis import given
from hypothesis import strategies as st
from networks import every_layer, samples

from minibp import (
    ELU,
    GELU,
    SGD,
    Adam,
    BatchNorm,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    Dropout,
    Exp,
    Flatten,
    Layer,
    LayerNorm,
    LeakyReLU,
    Network,
    PoissonLoss,
    QuadraticLoss,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    SigmoidCrossEntropy,
    Softmax,
    SoftmaxCrossEntropy,
    Softplus,
    Tanh,
    check_gradients,
    evaluate,
    train,
)
from minibp.base.module import Module
from minibp.data import Dataset
from minibp.errors import ArgumentError, InputError, ShapeError, StateError, TargetError

pytestmark = pytest.mark.usefixtures("library")

SIZES = st.integers(1, 7)
SEEDS = st.integers(0, 2**32 - 1)


def small(**options):
    """4 inputs, 3 classes."""
    return Network([Dense(4, 5), Tanh(), Dense(5, 3), Softmax()], CrossEntropy(), **options)


def batch(n=6, seed=0):
    return tuple(samples(n, seed))


def run_some_epochs(net, epochs=2):
    for _ in train(net, Adam(net), samples(10), epochs=epochs, batch_size=4):
        pass
    return net


def gradients(net, x, t):
    net.forward(x, t)
    net.backward()
    return net.grads.copy()


# --- the chain of layers -------------------------------------------------------------------------------------------


@given(sizes=st.lists(SIZES, min_size=2, max_size=5), n=SIZES)
def test_a_chain_of_any_sizes_maps_rows_of_the_first_to_rows_of_the_last(sizes, n):
    net = Network([Dense(i, o) for i, o in pairwise(sizes)], QuadraticLoss())
    assert net.shapes == [(size,) for size in sizes[1:]]
    assert net.predict(np.ones((n, sizes[0]))).shape == (n, sizes[-1])


def test_layers_that_do_not_fit_are_named():
    message = "layer 2: Dense(5, 3) is fed 4 values by layer 0: Dense(5, 4), but takes 5 values"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        Network([Dense(5, 4), Sigmoid(), Dense(5, 3)], QuadraticLoss())


def test_flatten_turns_images_into_rows(rng):
    x = rng.normal(size=(2, 3, 4))
    flattened = Network([Flatten(), Dense(12, 5)], QuadraticLoss())
    rows = Network([Dense(12, 5)], QuadraticLoss())
    assert_equal(flattened.predict(x), rows.predict(x.reshape(2, 12)))


def test_images_become_rows_if_the_first_layer_takes_rows():
    images = np.arange(12, dtype="float32").reshape(3, 2, 2) / 12
    rows = images.reshape(3, 4)
    assert_equal(small().predict(images), small().predict(rows))
    assert small().forward(images, [0, 1, 2]) == small().forward(rows, [0, 1, 2])


def test_flatten_is_advised_if_it_helps():
    with pytest.raises(ShapeError, match=r"samples of shape \(2, 2\) by the data.*; put Flatten\(\) before it$"):
        Network([Tanh(), Dense(4, 3)], QuadraticLoss()).forward(np.ones((3, 2, 2)), [0, 1, 2])


@pytest.mark.parametrize("call", [lambda net, x: net.forward(x, [0, 1]), lambda net, x: net.predict(x)])
def test_inputs_of_another_width_name_the_layer(call):
    with pytest.raises(ShapeError, match=r"^layer 0: Dense\(4, 5\) is fed 3 values by the data, but takes 4 values$"):
        call(small(), np.ones((2, 3)))


def test_loss_refuses_the_width_of_the_network_when_it_is_built():
    with pytest.raises(ShapeError, match=r"fed 1 value by layer 0: Dense\(4, 1\), but needs at least 2 outputs"):
        Network([Dense(4, 1), Softmax()], CrossEntropy())


def test_network_without_parameters_runs():
    net = Network([Tanh()], QuadraticLoss())
    assert_equal(net.predict([[0.0, 1.0]]), np.tanh(np.float32([[0, 1]])))
    assert gradients(net, [[0.0, 1.0]], [[0.0, 0.0]]).size == 0


# --- what is refused, and that it changes nothing ------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "loss", "error", "message"), [
    ([], QuadraticLoss(), ArgumentError, "needs at least one layer"),
    ([Dense(4, 3), Sigmoid], QuadraticLoss(), ArgumentError, "layer 1: .*Sigmoid.* is not a layer .*brackets"),
    ([Dense(4, 3), np.tanh], QuadraticLoss(), ArgumentError, "layer 1: .* is not a layer$"),
    ([Dense(4, 3), QuadraticLoss()], QuadraticLoss(), ArgumentError, r"layer 1: QuadraticLoss\(\) is not a layer"),
    ([Dense(4, 3)], QuadraticLoss, ArgumentError, "is not a loss .*brackets"),
    ([Dense(4, 3)], Softmax(), ArgumentError, r"Softmax\(\) is not a loss"),
])  # fmt: skip
def test_anything_but_layers_and_a_loss_is_refused(layers, loss, error, message):
    with pytest.raises(error, match=message):
        Network(layers, loss)


def test_a_layer_cannot_be_used_twice():
    twice = Sigmoid()
    with pytest.raises(StateError, match=r"layer 3: Sigmoid\(\) is layer 1 again"):
        Network([Dense(4, 4), twice, Dense(4, 4), twice], QuadraticLoss())


def test_layers_and_losses_of_another_network_are_refused():
    net = small()
    with pytest.raises(StateError, match=r"layer 0: Dense\(4, 5\) belongs to another network"):
        Network([net.layers[0]], QuadraticLoss())
    with pytest.raises(StateError, match=r"CrossEntropy\(\) belongs to another network"):
        Network([Dense(4, 3)], net.loss)


@pytest.mark.parametrize("options", [{"backend": "torch"}, {"dtype": "float16"}])
def test_layers_of_a_refused_network_can_be_used_in_another(options):
    layers, loss = [Dense(4, 3), Softmax()], CrossEntropy()
    with pytest.raises(ArgumentError):
        Network(layers, loss, **options)
    assert layers[0].forward(np.ones((2, 4))).dtype == np.float64
    assert layers[0].backward(np.ones((2, 3))).shape == (2, 4)
    Network(layers, loss)


def test_a_copy_of_a_layer_can_be_used_in_another_network():
    net = small()
    copied = copy.deepcopy(net.layers[0])
    other = Network([copied, Tanh()], QuadraticLoss())
    assert_equal(other.layers[0].W, net.layers[0].W)
    assert not shares_memory(copied.W, net.params)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_of_a_layer_works_without_its_network(duplicate, monkeypatch):
    layer, (x, _) = small(dtype="float64").layers[0], batch()
    monkeypatch.setattr(Module, "xp", np)  # as outside of these tests, where layers use NumPy
    alone = duplicate(layer)
    assert isinstance(alone.forward(x), np.ndarray)
    assert_close(alone.forward(x), x @ host(layer.W), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "int32", "real", 32])
def test_dtypes_other_than_float32_and_float64_are_refused(dtype):
    with pytest.raises(ArgumentError, match="'float32' or 'float64'"):
        small(dtype=dtype)


# --- memory --------------------------------------------------------------------------------------------------------


def trained_and_moved(net):
    return run_some_epochs(net).to("numpy")


@pytest.mark.parametrize(
    "change",
    [lambda net: net, run_some_epochs, trained_and_moved, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["built", "trained", "moved", "copied", "unpickled"],
)
def test_parameters_of_the_layers_are_views_of_the_vectors(change):
    net = change(every_layer())
    for vector, name in ((net.params, "params"), (net.grads, "grads"), (net.buffers, "buffers")):
        arrays = [array for layer in net.modules() for array in getattr(layer, name).values()]
        assert sum(array.size for array in arrays) == vector.size > 0
        assert all(shares_memory(array, vector) for array in arrays)


def test_vectors_and_results_are_arrays_of_the_library(library):
    net = run_some_epochs(every_layer())
    arrays = [net.params, net.grads, net.buffers, *net.weights, net.layers[0].forward(net.prepare_inputs(batch()[0]))]
    assert all(isinstance(array, library.ndarray) for array in arrays)
    assert isinstance(net.predict(batch()[0]), np.ndarray)


def test_changed_vectors_change_what_the_layers_compute():
    net = small()
    net.params[...] = 0
    assert_equal(net.predict(batch()[0]), np.full((6, 3), 1 / 3, "float32"))


def test_assigning_a_vector_copies_its_values():
    net, other = small(seed=1), small(seed=2)
    net.params = other.params
    assert shares_memory(net.params, net.layers[0].W) and not shares_memory(net.params, other.params)
    assert_equal(net.predict(batch()[0]), other.predict(batch()[0]))


def test_weights_lie_before_biases():
    net = every_layer()
    dense = [layer for layer in net.modules() if isinstance(layer, Dense)]
    assert net.weight_count == sum(layer.W.size for layer in dense)
    assert_equal(net.params[: net.weight_count], np.concatenate([layer.W.ravel() for layer in dense]))


def test_running_statistics_are_buffers_and_not_parameters():
    net = Network([Dense(4, 3), BatchNorm(3)], QuadraticLoss())
    assert net.params.size == 4 * 3 + 3 + 3 + 3
    assert_equal(net.buffers, np.concatenate([net.layers[1].running_mean, net.layers[1].running_var]))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_shares_nothing_with_the_original(copied):
    net = small()
    before = net.predict(batch()[0])
    run_some_epochs(copied(net))
    assert_equal(net.predict(batch()[0]), before)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_continues_as_the_original_would(copied):
    net = run_some_epochs(every_layer())
    twin = copied(net)
    assert_equal(run_some_epochs(net).params, run_some_epochs(twin).params)


def test_moving_to_another_dtype_keeps_the_weights():
    net = run_some_epochs(every_layer())
    params, state = net.params.copy(), net.buffers.copy()
    net.to("numpy", "float64")
    assert net.params.dtype == net.buffers.dtype == net.predict(batch()[0]).dtype == np.float64
    assert_equal(net.params, params)
    assert_equal(net.buffers, state)


def float_arrays(thing, seen):
    """All arrays of floats that can be reached from an object."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if is_array(thing) and thing.dtype.kind == "f":
        yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from float_arrays(value, seen)
    elif isinstance(thing, (list, tuple)):
        for value in thing:
            yield from float_arrays(value, seen)
    elif type(thing).__module__.startswith("minibp"):
        yield from float_arrays(vars(thing), seen)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_stays_in_the_dtype_of_the_network(dtype):
    net = every_layer(dtype=dtype)
    optimizer = Adam(net, weight_decay=0.1, clip_norm=1, max_norm=1)
    data = samples(10)
    for _ in train(net, optimizer, data, epochs=1, batch_size=4, validation=data):
        pass
    arrays = list(float_arrays([net, optimizer], set()))
    assert len(arrays) > 100
    assert {str(array.dtype) for array in arrays} == {dtype}


@pytest.mark.parametrize(("loss", "needed"), [
    (QuadraticLoss, "1 output$"), (SoftmaxCrossEntropy, "2 outputs: one for each class$"),
])  # fmt: skip
def test_an_error_says_how_many_values_a_loss_needs(loss, needed):
    with pytest.raises(ShapeError, match=f"is fed 0 values by the data, but needs at least {needed}"):
        Network([Tanh()], loss()).predict(np.zeros((4, 0)))


# --- initial weights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_invalid_seeds_are_refused(seed):
    with pytest.raises(ArgumentError, match=f"seed must be an integer of at least 0, received {seed}"):
        small(seed=seed)


def test_same_seed_draws_the_same_weights():
    assert_equal(small(seed=1).params, small(seed=1).params)
    assert (small(seed=1).weights[0] != small(seed=2).weights[0]).all()


def test_float32_starts_from_the_numbers_of_float64():
    assert_equal(small().params, small(dtype="float64").params.astype("float32"))


def test_weights_given_to_a_layer_are_kept():
    W = np.arange(12).reshape(4, 3)
    net = Network([Dense(4, 3, W=W, b=[1, 2, 3])], QuadraticLoss())
    assert_equal(net.layers[0].W, W)
    assert_equal(net.layers[0].b, [1, 2, 3])


def test_a_layer_with_its_own_seed_keeps_its_weights():
    alone = Dense(4, 3, seed=5).W.astype("float32")
    for seed in (0, 1):
        assert_equal(Network([Dense(4, 3, seed=5)], QuadraticLoss(), seed=seed).layers[0].W, alone)


def test_weights_that_a_layer_learned_alone_are_kept():
    layer = Dense(4, 3)
    layer.forward(np.ones((2, 4)))
    layer.backward(np.ones((2, 3)))
    layer.W -= 0.1 * layer.dW
    learned = layer.W.astype("float32")
    assert_equal(Network([layer], QuadraticLoss()).layers[0].W, learned)


def test_same_seed_repeats_the_training():
    assert_equal(run_some_epochs(every_layer()).params, run_some_epochs(every_layer()).params)


def test_the_generator_continues_from_call_to_call():
    once, twice = run_some_epochs(small(), epochs=2), small()
    optimizer = Adam(twice)
    for _ in range(2):
        list(train(twice, optimizer, samples(10), epochs=1, batch_size=4))
    assert_equal(once.params, twice.params)


# --- fused pairs ---------------------------------------------------------------------------------------------------


class OtherSoftmax(Softmax):
    """Softmax, but not the class that is fused."""


class OtherSigmoid(Sigmoid):
    """Sigmoid, but not the class that is fused."""


class WarmSoftmax(Softmax):
    """Softmax at temperature 2."""

    def formula(self, x):
        return super().formula(x / 2)


class HalfCrossEntropy(CrossEntropy):
    """Half of the cross-entropy."""

    def formula(self, x, t):
        return super().formula(x, t) / 2


PAIRS = [(Softmax, OtherSoftmax, CrossEntropy), (Sigmoid, OtherSigmoid, BinaryCrossEntropy)]


@pytest.mark.parametrize(("layer", "other", "loss"), PAIRS)
@given(n=SIZES, k=st.integers(2, 7), seed=SEEDS)
def test_fused_and_separate_layers_have_the_same_loss_and_gradients(layer, other, loss, n, k, seed):
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(n, 3)), rng.integers(k, size=n)
    fused = Network([Dense(3, k), layer()], loss(), dtype="float64", seed=seed)
    separate = Network([Dense(3, k), other()], loss(), dtype="float64", seed=seed)
    assert fused.fused_loss is not fused.loss and separate.fused_loss is separate.loss
    assert_close(fused.forward(x, t), separate.forward(x, t), rtol=1e-12)
    fused.backward()
    separate.backward()
    assert_close(fused.grads, separate.grads, rtol=1e-9, atol=1e-12)
    assert_equal(fused.predict(x), separate.predict(x))


@pytest.mark.parametrize("layers", [[Softmax], []])
def test_softmax_and_cross_entropy_are_exact_for_huge_logits(layers):
    last = Dense(1, 2, W=[[1e4, -1e4]])
    net = Network([last, *[cls() for cls in layers]], CrossEntropy() if layers else SoftmaxCrossEntropy())
    assert float(net.forward([[1.0], [-1.0]], [1, 1])) == 1e4  # the mean of 20,000 and 0
    net.backward()
    assert_equal(last.dW, [[0.5, -0.5]])
    assert_equal(net.predict([[1.0], [-1.0]]), [[1, 0], [0, 1]])


@pytest.mark.parametrize("layers", [[Sigmoid], []])
def test_sigmoid_and_binary_cross_entropy_are_exact_for_huge_logits(layers):
    last = Dense(1, 1, W=[[1e4]])
    net = Network([last, *[cls() for cls in layers]], BinaryCrossEntropy() if layers else SigmoidCrossEntropy())
    assert float(net.forward([[1.0], [-1.0]], [0, 0])) == 5e3  # the mean of 10,000 and 0
    net.backward()
    assert_equal(last.dW, [[0.5]])
    assert_close(net.predict([[1.0], [-1.0]]), [[1], [0]], rtol=0, atol=1e-37)


def test_a_subclass_of_softmax_keeps_its_own_formula():
    x, t = batch()
    net = Network([Dense(4, 3), WarmSoftmax()], CrossEntropy(), dtype="float64")
    assert float(net.forward(x, t)) == pytest.approx(-np.log(net.predict(x)[np.arange(6), t]).mean(), rel=1e-12)


def test_a_subclass_of_cross_entropy_keeps_its_own_formula():
    whole = Network([Dense(4, 3), Softmax()], CrossEntropy())
    half = Network([Dense(4, 3), Softmax()], HalfCrossEntropy())
    assert float(half.forward(*batch())) == pytest.approx(float(whole.forward(*batch())) / 2, rel=1e-6)


def test_label_smoothing_of_cross_entropy_is_that_of_the_fused_loss():
    fused = Network([Dense(4, 3), Softmax()], CrossEntropy(0.2), dtype="float64")
    apart = Network([Dense(4, 3), Softmax(), Flatten()], CrossEntropy(0.2), dtype="float64")
    plain = Network([Dense(4, 3), Softmax()], CrossEntropy(), dtype="float64")
    assert fused.fused_loss.label_smoothing == 0.2 and fused.fused_loss is not fused.loss
    losses = [float(net.forward(*batch())) for net in (fused, apart, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12) and losses[0] != pytest.approx(losses[2], rel=1e-3)
    fused.backward()
    apart.backward()
    assert_close(fused.grads, apart.grads, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("changed", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_label_smoothing_is_kept_by_copies_of_a_network(changed):
    net = Network([Dense(4, 3), Softmax()], CrossEntropy(0.2))
    assert float(changed(net).forward(*batch())) == float(net.forward(*batch()))
    assert changed(net).fused_loss.label_smoothing == 0.2


LOGITS = [Dense(2, 2), Tanh(), ReLU(), LeakyReLU(), ELU(), GELU(), Softplus(), BatchNorm(2), LayerNorm(2)]


@pytest.mark.parametrize(
    ("loss", "lasts", "message"),
    [
        (CrossEntropy, [*LOGITS, Sigmoid()], r"takes probabilities that sum to 1, but .*: end .* in Softmax\(\)"),
        (BinaryCrossEntropy, LOGITS, r"takes independent probabilities, but .* gives numbers of any size"),
        (SoftmaxCrossEntropy, [Softmax(), Sigmoid()], r"it contains Softmax\(\); end the network in the Dense\(\)"),
        (PoissonLoss, [Softmax(), Exp()], r"takes numbers of any size, but .*: it contains Exp\(\); end the network"),
        (SoftmaxCrossEntropy, [Exp()], r"takes numbers of any size, but Exp\(\) gives positive numbers|but Dropout"),
        (SigmoidCrossEntropy, [Softmax(), Sigmoid()], r"it contains Sigmoid\(\); end the network in the Dense\(\)"),
    ],
)
def test_last_layers_that_do_not_fit_the_loss_are_refused(loss, lasts, message):
    for last in lasts:
        with pytest.raises(ArgumentError, match=message):
            Network([Dense(2, 2), last], loss())
        with pytest.raises(ArgumentError, match=message):
            Network([Dense(2, 2), last, Dropout(0.1)], loss())


CHANGED = r"but Dropout\(0\.5\) gives probabilities with values changed: end the network in "


@pytest.mark.parametrize(("layers", "loss", "message"), [
    ([Softmax(), Dropout(0.5)], CrossEntropy(), CHANGED),
    ([Softmax(), Flatten(), Dropout(0.5), Flatten()], CrossEntropy(), CHANGED),
    ([Sigmoid(), Dropout(0.5)], BinaryCrossEntropy(), CHANGED),
    ([Sequential(Softmax(), Dropout(0.5))], CrossEntropy(), r"Sequential\(.*\) gives probabilities with values"),
    ([Sequential(Softmax()), Sequential(Dropout(0.5))], CrossEntropy(), "gives probabilities with values changed"),
    ([Softmax(), Dropout(0.5)], SoftmaxCrossEntropy(), CHANGED.replace("end", "it contains Softmax.*end")),
    ([Dropout(0.5)], CrossEntropy(), "gives numbers of any size: end the network in Softmax"),
    ([Softmax(), Softmax()], CrossEntropy(), r"^Softmax\(\) before CrossEntropy\(\) takes numbers of any size, but "
     r"Softmax\(\) gives probabilities that sum to 1: remove one of the two$"),
    ([Softmax(), Flatten(), Softmax(), Flatten()], CrossEntropy(), "remove one of the two"),
    ([Softmax(), Dropout(0.5), Softmax()], CrossEntropy(), "remove one of the two"),
    ([Sigmoid(), Sigmoid()], BinaryCrossEntropy(), r"Sigmoid\(\) before BinaryCrossEntropy\(\) takes numbers"),
])  # fmt: skip
def test_what_comes_between_the_logits_and_the_loss_must_fit_both(layers, loss, message):
    with pytest.raises(ArgumentError, match=message):
        Network([Dense(2, 2), *layers], loss)


@pytest.mark.parametrize(("layers", "loss"), [
    ([Dropout(0.5)], SoftmaxCrossEntropy()), ([Softmax(), Dropout(0.5)], QuadraticLoss()),
    ([Sigmoid(), Dropout(0.5), Dense(2, 2), Softmax()], CrossEntropy()), ([Dropout(0.5), Softmax()], CrossEntropy()),
    ([Softmax(), Dense(2, 2), Sequential(Dropout(0.5)), Softmax(), Flatten()], CrossEntropy()),
])  # fmt: skip
def test_dropout_and_softmax_that_fit_the_loss_are_no_mistake(layers, loss):
    net = Network([Dense(2, 2), *copy.deepcopy(layers)], copy.deepcopy(loss))  # once for each library
    assert np.isfinite(float(net.forward(np.ones((3, 2)), np.array([0, 1, 0]))))


class Times(Layer):
    """A user's layer that does not say what it gives."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def formula(self, x):
        return x * self.factor

    def gradient(self, dy):
        return dy * self.factor


@pytest.mark.parametrize(("loss", "last"), [(CrossEntropy, Softmax), (BinaryCrossEntropy, Sigmoid)])
@pytest.mark.parametrize("factor", [-1, 3])
def test_the_first_batch_of_an_undeclared_last_layer_is_checked(loss, last, factor):
    net = Network([Dense(4, 3), last(), Times(factor)], loss())
    before, advice = net.params.copy(), rf"values from .* expected probabilities; end the network in {last.__name__}"
    dataset = Dataset(batch()[0], np.eye(3)[batch()[1]])
    for _ in range(2):  # it stays refused
        with pytest.raises(InputError, match=advice):
            list(train(net, SGD(net), dataset, epochs=1))
    assert_equal(net.params, before)
    with pytest.raises(InputError, match=advice):
        evaluate(copy.deepcopy(net), dataset)


def test_a_loss_that_gives_no_advice_is_refused_without_any():
    class Unadvised(QuadraticLoss):
        takes = ("distribution",)

    with pytest.raises(ArgumentError, match=r"takes probabilities that sum to 1, but .* gives numbers of any size$"):
        Network([Dense(4, 3)], Unadvised())


def test_only_the_first_batch_of_an_undeclared_last_layer_is_checked():
    net = Network([Dense(4, 3), Softmax(), Times(1)], CrossEntropy())
    checked, check = [], net.loss.check_predictions
    net.loss.__dict__["check_predictions"] = lambda x: checked.append(len(x)) or check(x)
    x, t = batch()
    for n in (6, 6, 5, 6):
        net.forward(x[:n], t[:n])
    assert checked == [6]
    assert not Network([Dense(4, 3), Softmax()], CrossEntropy()).fused_loss.unseen


@pytest.mark.parametrize("loss", [CrossEntropy, QuadraticLoss])
def test_a_kind_of_outputs_that_does_not_exist_is_refused(loss):
    class Declared(Times):
        gives = "probability"

    message = r"unknown kind of outputs that Declared\(\) gives, 'probability': choose one of numbers, positive"
    with pytest.raises(ArgumentError, match=message):
        Network([Dense(4, 3), Declared(1)], loss())


def test_a_missing_output_shape_is_reported():
    class Twice(Layer):
        def formula(self, x):
            return self.xp.hstack([x, x])

    net = Network([Dense(2, 2), Twice()], QuadraticLoss())
    with pytest.raises(ShapeError, match=r"turns 2 values into 4 values, expected 2 values; define output_shape"):
        net.predict(np.ones((3, 2)))


# --- what is fixed -------------------------------------------------------------------------------------------------

BUILD = r"build a new one: Network\(copy\.deepcopy\(net\.layers\), loss\)"


@pytest.mark.parametrize(("name", "value", "cure"), [
    ("loss", QuadraticLoss(), BUILD), ("layers", [Dense(4, 3)], BUILD), ("layers", (), BUILD), ("chain", (), BUILD),
    ("fused_loss", QuadraticLoss(), BUILD), ("output_activation", None, BUILD), ("shapes", [], BUILD),
    ("dtype", "float64", r"net\.to\(backend, dtype\)"), ("backend", "cupy", r"net\.to\("), ("xp", None, r"net\.to\("),
    ("weights", [], r"assign to net\.params"), ("weight_count", 3, r"assign to net\.params"),
])  # fmt: skip
def test_what_a_network_depends_on_cannot_be_assigned(name, value, cure):
    net = small()
    before = getattr(net, name)
    with pytest.raises(StateError, match=rf"Network: {name} cannot be assigned, it would not be used; .*{cure}"):
        setattr(net, name, value)
    assert getattr(net, name) is before or name == "backend"
    net.loss = net.loss  # no change
    net.to(net.backend, "float64")
    assert net.dtype == copy.deepcopy(net).dtype == "float64"


@pytest.mark.parametrize(("name", "cure"), [
    ("trainable", r"freeze layers instead: for layer in net\.layers: layer\.trainable = False"),
    ("training", r"predict and evaluate are in inference mode anyway; in `train` set layer\.training = False"),
])  # fmt: skip
def test_what_only_layers_have_cannot_be_assigned_to_a_network(name, cure):
    with pytest.raises(StateError, match=rf"Network: {name} cannot be assigned, it would not be used; {cure}"):
        setattr(small(), name, False)


def test_a_subclass_of_network_has_attributes_of_its_own():
    class Named(Network):
        def __init__(self, name):
            self.layers, self.loss = [Dense(4, 3)], QuadraticLoss()
            super().__init__(self.layers, self.loss)
            self.name = name

    net = Named("a")
    net.name, net.note = "b", 1
    assert (net.name, net.note) == ("b", 1)
    with pytest.raises(StateError, match="Named: loss cannot be assigned"):
        net.loss = CrossEntropy()


@pytest.mark.parametrize(("make", "name", "value"), [
    (lambda: Dense(2, 3), "n_out", 7), (lambda: Dense(2, 3), "n_in", 1), (lambda: BatchNorm(3), "n", 4),
    (lambda: LayerNorm(3), "n", 4), (lambda: Sequential(Dense(2, 3)), "layers", [Dense(2, 3)]),
    (lambda: Residual(Dense(2, 2)), "layers", ()), (lambda: WarmSoftmax(), "dtype", "float32"),
    (lambda: CrossEntropy(), "dtype", np.float32), (lambda: Dense(2, 3), "xp", np),
])  # fmt: skip
def test_what_a_layer_depends_on_cannot_be_assigned(make, name, value):
    layer = make()
    before = getattr(layer, name)
    with pytest.raises(StateError, match=rf"{name} .*cannot be (changed; create a new|assigned; .*astype)"):
        setattr(layer, name, value)
    assert getattr(layer, name) is before
    if name[0] == "n":
        setattr(layer, name, before)
        with pytest.raises(ArgumentError, match=f"{type(layer).__name__}: {name} must be an integer"):
            setattr(layer, name, "7")


# --- forward and backward ------------------------------------------------------------------------------------------


def test_backward_without_a_forward_before_it_is_refused():
    net = small()
    net.predict(batch()[0])
    with pytest.raises(StateError, match=r"call net.forward\(x, t\) first"):
        net.backward()
    net.forward(*batch())
    net.backward()
    once = net.grads.copy()
    SGD(net).step()
    with pytest.raises(StateError, match=r"call net.forward\(x, t\) first"):  # a loop that forgets it
        net.backward()
    assert_equal(net.grads, once)


def test_backward_overwrites_the_gradients():
    one, two = small(), small()
    two.grads = np.ones(two.grads.size)
    for net in (one, two):
        net.forward(*batch())
        net.backward()
    assert_equal(one.grads, two.grads)


def test_forward_returns_the_mean_of_the_losses():
    net = small(dtype="float64")
    x, t = batch()
    assert float(net.forward(x, t)) == pytest.approx(-np.log(net.predict(x)[np.arange(6), t]).mean(), rel=1e-12)


def test_inputs_and_targets_are_left_as_they_are(library):
    for t in (batch()[1], np.eye(3, dtype="float32")[batch()[1]]):
        x = batch()[0].astype("float32")
        before = x.copy(), t.copy()
        x, t = library.asarray(x), library.asarray(t)  # in the network's dtype and library, so not copied
        net = every_layer()
        gradients(net, x, t)
        net.predict(x)
        assert_equal(x, before[0])
        assert_equal(t, before[1])


class NoGradient(Layer):
    """The identity; its gradient must not be computed."""

    def formula(self, x):
        return x

    def gradient(self, dy):
        raise AssertionError("this gradient is not needed")


def test_gradients_below_the_first_parameters_are_not_computed():
    net = Network([NoGradient(), Dense(4, 3), Softmax()], CrossEntropy())
    assert gradients(net, *batch()).any()
    assert not net.layers[1].needs_dx


def test_gradients_are_checked_on_arrays_of_the_library(library):
    x, t = map(library.asarray, batch())
    for report in (check_gradients(small(), x, t), check_gradients(Tanh(), x), check_gradients(QuadraticLoss(), x, x)):
        assert report.ok, report


# --- predict -------------------------------------------------------------------------------------------------------


def test_later_predictions_do_not_overwrite_earlier_ones():
    net = small()
    x, _ = batch()
    first = net.predict(x)
    kept = first.copy()
    net.predict(2 * x)
    run_some_epochs(net)
    assert_equal(first, kept)


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_predictions_do_not_depend_on_the_batch_size(batch_size):
    net = run_some_epochs(every_layer(dtype="float64"))
    x, _ = batch(10)
    assert_close(net.predict(x, batch_size=batch_size), net.predict(x), rtol=1e-9)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_invalid_batch_sizes_are_refused(batch_size):
    with pytest.raises(ArgumentError, match="batch_size must be an integer of at least 1"):
        small().predict(batch()[0], batch_size=batch_size)


@pytest.mark.parametrize("between", [
    lambda net: net.predict(batch(6, seed=1)[0]),
    lambda net: net.predict(batch(99, seed=1)[0], batch_size=10),
    lambda net: evaluate(net, samples(6, seed=1)),
    lambda net: evaluate(net, samples(99, seed=1), batch_size=10),
])  # fmt: skip
def test_predict_and_evaluate_do_not_disturb_a_later_backward(between):
    net, undisturbed = every_layer(), every_layer()
    for one in (net, undisturbed):
        one.forward(*batch())
    between(net)
    for one in (net, undisturbed):
        one.backward()
    assert_equal(net.grads, undisturbed.grads)
    assert_equal(gradients(net, *batch()), gradients(undisturbed, *batch()))  # and the same masks are drawn
    assert_equal(net.buffers, undisturbed.buffers)


def test_a_refused_prediction_does_not_disturb_a_later_backward():
    net, undisturbed = every_layer(), every_layer()
    for one in (net, undisturbed):
        one.forward(*batch())
    with pytest.raises(InputError):
        net.predict(np.full((6, 4), np.nan))
    for one in (net, undisturbed):
        one.backward()
    assert_equal(net.grads, undisturbed.grads)


@given(n=SIZES, seed=SEEDS)
def test_bytes_are_scaled_to_0_to_1(n, seed):
    x = np.random.default_rng(seed).integers(256, size=(n, 4), dtype="uint8")
    t = np.arange(n) % 3
    net = small(dtype="float64")
    assert_close(net.predict(x), net.predict(x / 255), rtol=1e-14)
    assert_close(gradients(net, x, t), gradients(net, x / 255, t), rtol=1e-12, atol=1e-16)


# --- inputs and targets that are refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("call", [lambda net, x: net.forward(x, [0, 1]), lambda net, x: net.predict(x)])
@pytest.mark.parametrize(("x", "error", "message"), [
    (np.ones((2, 4), "int64"), InputError, r"array of int64, expected uint8 .* or floats .*astype\('float32'\)"),
    (np.full((2, 4), 255), InputError, r"x: .*: for pixels x\.astype\('uint8'\) or x / 255"),
    ([[1.0] * 4, [1.0] * 3], InputError, "cannot be converted to an array"),
    ([[np.nan] * 4] * 2, InputError, "x: NaN, infinity"),
    ([[1e300] * 4] * 2, InputError, "number too large for float32"),
    (np.ones((0, 4)), InputError, r"x is empty \(shape \(0, 4\)\)"),
    (np.ones(4), ShapeError, r"x has shape \(4,\).*for one sample use x\[None\]"),
    (np.ones((2, 2)), ShapeError, r"is fed 2 values by the data, but takes 4 values; for one sample use x\[None\]"),
    (np.ones((3, 5)), ShapeError, "is fed 5 values by the data, but takes 4 values$"),
    (1.0, ShapeError, r"x has shape \(\)"),
])  # fmt: skip
def test_inputs_that_cannot_be_used_are_refused(call, x, error, message):
    with pytest.raises(error, match=message):
        call(small(), x)


@pytest.mark.parametrize(("t", "message"), [
    ([0, 3], r"label of sample 1 is 3, expected 0\.\.2, since there are 3 outputs"),
    ([0, 1, 2], "3 targets for 2 samples"),
    (np.ones((2, 3)), "sample 0 sums to 3, expected 1"),
])  # fmt: skip
def test_targets_that_do_not_fit_are_refused(t, message):
    with pytest.raises(TargetError, match=message):
        small().forward(np.ones((2, 4)), t)


@pytest.mark.host  # a network on NumPy receives arrays of a device
def test_arrays_of_another_library_are_refused():
    net, (x, t) = small(backend="numpy"), batch()
    with pytest.raises(
        InputError, match=r"x: cannot be converted to an array.*conversion to a NumPy array is not allowed"
    ):
        net.predict(standin.asarray(x))
    with pytest.raises(TargetError, match=r"targets: cannot be converted to an array.*Please use `\.get\(\)`"):
        net.forward(x, standin.asarray(t))


def test_targets_too_large_for_the_dtype_are_refused():
    with pytest.raises(TargetError, match="too large for float32"):
        Network([Dense(4, 3)], QuadraticLoss()).forward(np.ones((2, 4)), np.full((2, 3), 1e300))


# --- printing ------------------------------------------------------------------------------------------------------


def test_summary_is_a_table():
    net = Network([Flatten(), Dense(64, 100), Sigmoid(), Dense(100, 10), Softmax()], CrossEntropy())
    table = """\
   layer           output    parameters
0  Flatten()       (N, 64)            0
1  Dense(64, 100)  (N, 100)       6,500
2  Sigmoid()       (N, 100)           0
3  Dense(100, 10)  (N, 10)        1,010
4  Softmax()       (N, 10)            0
   CrossEntropy()  loss, fused with layer 4 as SoftmaxCrossEntropy()
7,510 parameters, 30.0 kB as float32, on """
    assert net.summary() == table + net.backend


def test_summary_shows_layers_inside_others_below_them_and_frozen_ones():
    block = Residual(Sequential(Dense(5, 6), Tanh()), Dense(6, 5))
    net = Network([Dense(4, 5), block, Dense(5, 3)], QuadraticLoss())
    net.layers[0].trainable = block.layers[0].trainable = False
    table = """\
   layer               output  parameters
0  Dense(4, 5)         (N, 5)          25  frozen
1  Residual            (N, 5)
     0: Sequential
       0: Dense(5, 6)                  36  frozen
       1: Tanh()                        0
     1: Dense(6, 5)                    35
2  Dense(5, 3)         (N, 3)          18
   QuadraticLoss()     loss
114 parameters (61 frozen), 0.5 kB as float32, on """
    assert net.summary() == table + net.backend


def test_repr_shows_how_the_network_is_made():
    assert repr(small()) == "Network([Dense(4, 5), Tanh(), Dense(5, 3), Softmax()], CrossEntropy())"


def test_in_notebooks_a_network_is_a_table(library):
    class Tagged(Tanh):
        def __repr__(self):
            return "<b>Tanh</b>"

    html = Network([Dense(4, 5), Tagged(), Dense(5, 3), Softmax()], CrossEntropy())._repr_html_()
    rows = [re.sub("<[^>]*>", "|", row) for row in re.findall("<tr>(.*?)</tr>", html)]
    cells = [[cell for cell in row.split("|") if cell] for row in rows]
    assert cells == [
        ["layer", "output", "parameters"],
        ["0", "Dense(4, 5)", "(N, 5)", "25"],
        ["1", "&lt;b&gt;Tanh&lt;/b&gt;", "(N, 5)", "0"],
        ["2", "Dense(5, 3)", "(N, 3)", "18"],
        ["3", "Softmax()", "(N, 3)", "0"],
        ["CrossEntropy()", "loss, fused with layer 3 as SoftmaxCrossEntropy()"],
    ]
    assert f"43 parameters, 0.2 kB as float32, on {'numpy' if library is np else 'cupy'}" in html


def test_in_notebooks_layers_inside_others_are_indented():
    net = Network([Residual(Dense(4, 4))], QuadraticLoss())
    net.layers[0].trainable = False
    html = net._repr_html_()
    rows = re.findall("<tr>(.*?)</tr>", html)
    assert [cell for cell in re.sub("<[^>]*>", "|", rows[2]).split("|") if cell] == [
        "&nbsp;&nbsp;0: Dense(4, 4)", "20", "frozen"
    ]  # fmt: skip
    assert [row.count("<td") + row.count("<th") for row in rows] == [5, 5, 5, 3] and 'colspan="3"' in rows[3]
    assert "20 parameters (20 frozen)" in html
