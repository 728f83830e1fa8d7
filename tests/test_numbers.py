"""Numbers that go wrong: each gives a right result or a clear error, wherever it comes in.

NaN, infinity, overflow, labels outside the classes, too few samples, constant features. The tests of the modules have
the cases that concern one module only:

- test_validation: NaN and infinity in an array, in any dtype; arrays of other types
- test_data: NaN, infinity and emptiness in a data set; names as targets
- test_network: NaN and 1e300 in a batch; targets that do not fit
- test_layers: NaN and infinity in initial weights; activations and softmax of very large inputs
- test_losses: labels and rows of any type, and those that are refused; logits of 1e4; log(0)
- test_metrics: NaN and infinity in outputs and targets
- test_training: rates and inputs that are too large, with step and cause; NaN in early stopping; all batch sizes
- test_optimizers: a gradient that is NaN, infinite or 1e30 under clip_norm; moments that vanish; rates that are NaN
- test_schedules: NaN on a plateau. test_probing: a loss that is infinite
- test_normalization: small constant inputs and a batch of one
- test_hints: batches of one before a BatchNorm; inputs of a scale that trains badly
- test_parity: NaN in arrays on the device
"""

import math

import numpy as np
import pytest
from arrays import assert_close, assert_equal, host

from minibp import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    BatchNorm,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    EarlyStopping,
    LayerNorm,
    Network,
    QuadraticLoss,
    ReLU,
    RMSProp,
    Sigmoid,
    Softmax,
    SoftmaxCrossEntropy,
    Tanh,
    check_gradients,
    evaluate,
    probe,
    train,
)
from minibp.data import Dataset, split
from minibp.errors import ArgumentError, DivergenceError, InputError, ShapeError, TargetError
from minibp.initializers import Normal
from minibp.metrics import accuracy, confusion_matrix, top_k_accuracy
from minibp.schedules import ReduceOnPlateau

pytestmark = pytest.mark.usefixtures("library")

not_finite = pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
adaptive = pytest.mark.parametrize("make", [AdaGrad, RMSProp, Adam, AdamW])


def small(**options):
    """4 inputs, 3 classes, with running statistics."""
    return Network([Dense(4, 5), BatchNorm(5), Tanh(), Dense(5, 3), Softmax()], CrossEntropy(), **options)


def linear(n_in=4, n_out=3, **options):
    return Network([Dense(n_in, n_out)], QuadraticLoss(), **options)


def samples(n=12, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return Dataset(rng.normal(size=(n, 4)), np.arange(n) % classes)


def learn(net, dataset, make=SGD, epochs=1, **options):
    return list(train(net, make(net), dataset, epochs, **options))


ENTRANCES = {  # the functions that take a network and a data set
    "forward": lambda net, dataset: net.forward(*dataset),
    "train": lambda net, dataset: train(net, SGD(net), dataset, epochs=1),
    "validation": lambda net, dataset: train(net, SGD(net), samples(classes=2), epochs=1, validation=dataset),
    "evaluate": evaluate,
    "probe": lambda net, dataset: probe(net, SGD(net), dataset),
    "check_gradients": lambda net, dataset: check_gradients(net, *dataset),
}


def entrances(*without):
    return pytest.mark.parametrize("use", [use for name, use in ENTRANCES.items() if name not in without],
                                   ids=[name for name in ENTRANCES if name not in without])  # fmt: skip


# --- NaN and infinity in weights -----------------------------------------------------------------------------------


USES = {name: ENTRANCES[name] for name in ("train", "evaluate", "probe", "check_gradients")}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize(("place", "name", "bad"), [
    (0, "W", math.nan), (0, "b", math.inf), (1, "gamma", -math.inf),
    (1, "running_mean", math.nan), (3, "W", math.inf), (3, "b", -math.inf),
])  # fmt: skip
def test_a_network_whose_weights_are_not_finite_is_refused(use, place, name, bad):
    net = small()
    getattr(net.layers[place], name)[..., -1] = bad  # a sigmoid would turn it into 0 or 1
    with pytest.raises(DivergenceError, match=rf"layer {place}: .*: {name} holds NaN or infinity; build the network"):
        use(net, samples())


@pytest.mark.parametrize(("place", "name", "bad"), [
    (0, "W", math.nan), (1, "running_var", math.nan), (3, "b", math.inf),
])  # fmt: skip
def test_predictions_that_are_not_finite_name_the_weights(place, name, bad):
    net = small()
    getattr(net.layers[place], name)[..., -1] = bad
    with pytest.raises(DivergenceError, match=rf"layer {place}: .*: {name} holds NaN or infinity; build the network"):
        net.predict(samples().x)


def test_forward_with_nan_weights_returns_nan():
    net = small()
    net.params[...] = math.nan
    assert math.isnan(net.forward(*samples()))
    net.backward()
    assert np.isnan(host(net.grads)).all()


@not_finite
def test_weights_that_are_assigned_must_be_finite(bad):
    net, layer = small(), Dense(4, 5)
    before = net.params.copy()
    for owner in (net.layers[0], layer):
        with pytest.raises(ArgumentError, match=r"Dense\(4, 5\): W must hold finite numbers, received NaN or infinity"):
            owner.W = np.full((4, 5), bad)
    with pytest.raises(ArgumentError, match="params must hold finite numbers, received NaN or infinity"):
        net.params = np.full(net.params.shape, bad)
    assert_equal(net.params, before)


@pytest.mark.parametrize(("bad", "what"), [
    (None, "received None"),
    ("heavy", "received a str"),
    (np.ma.masked_less(np.ones((4, 5)), 2), "received a masked array"),
])  # fmt: skip
def test_weights_that_are_assigned_must_be_numbers(bad, what):
    net = small()
    with pytest.raises(ArgumentError, match=rf"Dense\(4, 5\): W: {what}"):
        net.layers[0].W = bad
    with pytest.raises(ArgumentError, match=f"the network: params: {what}"):
        net.params = bad


def test_gradients_that_are_assigned_need_not_be_finite():
    net = small()
    net.layers[0].dW = np.full((4, 5), math.nan)
    net.grads = np.full(net.grads.shape, math.nan)
    assert np.isnan(host(net.layers[0].dW)).all()


@pytest.mark.parametrize("too_large", [
    lambda: Network([Dense(1, 1, W=[[1e300]])], QuadraticLoss()),
    lambda: Network([Dense(1, 1, W=Normal(1e300))], QuadraticLoss()),
    lambda: Network([Dense(1, 1, W=[[1e300]])], QuadraticLoss(), dtype="float64").to("numpy", "float32"),
    lambda: Dense(1, 1, W=[[1e300]]).astype("float32"),
])  # fmt: skip
def test_weights_too_large_for_the_dtype_are_refused_and_do_not_become_infinite(too_large):
    with pytest.raises(ArgumentError, match=r"Dense\(1, 1\): W holds numbers that are too large for float32"):
        too_large()


def test_weights_too_large_for_the_dtype_are_refused_in_an_assignment():
    with pytest.raises(ArgumentError, match=r"W must hold finite numbers, .* \(as float32\)"):
        linear(1, 1).layers[0].W = [[1e300]]


# --- NaN and infinity in outputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [
    lambda x, t: small().predict(x),
    lambda x, t: small().forward(x, np.zeros(2, int)),
    lambda x, t: small().forward(np.ones((2, 4)), t),
    lambda x, t: accuracy(x, t=[0, 0]),
    lambda x, t: accuracy([0, 0], t=t),
])  # fmt: skip
def test_masked_arrays_are_refused(masked):
    x, t = np.ma.masked_array(np.ones((2, 4)), mask=True), np.ma.masked_array([0, 0], mask=True)
    with pytest.raises((InputError, TargetError), match=r"masked array.*fill it first"):
        masked(x, t)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")  # warnings of NumPy; CuPy has none
def test_outputs_that_overflow_name_the_sample():
    x = np.ones((3, 4))
    x[1] = 1e38
    net = linear()
    net.params[...] = 1e3
    with pytest.raises(DivergenceError, match=r"the outputs of sample 1 are NaN or infinite: .*scale inputs"):
        net.predict(x)


@pytest.mark.filterwarnings("ignore:the root mean square of x is")
@pytest.mark.parametrize("use", [evaluate, lambda net, dataset: learn(net, samples(), validation=dataset)])
def test_a_loss_that_overflows_when_evaluated_names_the_sample(use):
    x = samples().x.copy()
    x[7] = 1e30
    with pytest.raises(DivergenceError, match=r"the loss of sample 7 of this data set .*: .*scale"):
        use(linear(), Dataset(x, samples().t))


def test_large_outputs_are_returned_unchanged():
    net = Network([Dense(1, 1, W=[[1e30]])], QuadraticLoss())
    assert_close(net.predict([[1.0], [-1.0]]), [[1e30], [-1e30]], rtol=1e-6)  # although their squares overflow


@not_finite
def test_check_gradients_refuses_numbers_that_are_not_finite(bad):
    with pytest.raises(InputError, match=r"Tanh\(\): x contains NaN or infinity"):
        check_gradients(Tanh(), [[1.0, bad]])
    layer = Dense(2, 3, seed=0)
    layer.W[0, 0] = bad
    with pytest.raises(InputError, match=r"Dense\(2, 3\): W contains NaN or infinity"):
        check_gradients(layer, np.ones((2, 2)))


def test_infinity_is_never_the_best_loss():
    best, schedule = EarlyStopping(small(), patience=1), ReduceOnPlateau(1.0, factor=0.5, patience=0)
    assert [best.should_stop(value) for value in (-math.inf, 1.0, math.inf, 0.5)] == [False] * 4
    assert best.best == 0.5
    rates = []
    for loss in (-math.inf, 1.0, 0.5):
        schedule.update(loss)
        rates.append(schedule.lr)
    assert rates == [0.5, 0.5, 0.5]


# --- exploding -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [SGD, lambda net: SGD(net, momentum=0.9), AdaGrad, RMSProp, Adam, AdamW])
@not_finite
def test_a_gradient_that_is_not_finite_makes_its_weight_not_finite(make, bad):
    net = linear()
    net.grads[...] = 1
    net.grads[2] = bad
    with np.errstate(invalid="ignore"):
        make(net).step()
    wrong = ~np.isfinite(host(net.params))
    assert wrong.tolist() == [i == 2 for i in range(wrong.size)]


@adaptive
def test_a_training_whose_squared_gradients_overflow_has_diverged(make):
    net = Network([Dense(1, 1, W=[[1e18]])], QuadraticLoss())  # loss 5e37, gradient 1e20: its square is beyond float32
    with pytest.raises(DivergenceError, match="moments of the optimizer became NaN or infinite in epoch 1"):
        learn(net, Dataset([[10.0]], [0.0]), make)


@adaptive
def test_a_weight_whose_squared_gradient_overflowed_becomes_nan(make):
    net = linear()
    optimizer = make(net)
    with np.errstate(over="ignore"):
        for gradient in (1e25, *[1] * 100):
            net.grads[0] = gradient
            optimizer.step()
    assert np.isnan(host(net.params)).tolist() == [i == 0 for i in range(net.params.size)]


def test_max_norm_makes_weights_nan_if_their_norm_overflows():
    net = linear()
    net.layers[0].W[:, 1] = 1e25
    kept = net.layers[0].W[:, 0].copy()
    with np.errstate(over="ignore"):
        SGD(net, lr=0, max_norm=100).step()
    assert np.isnan(host(net.layers[0].W[:, 1])).all()
    assert_equal(net.layers[0].W[:, 0], kept)


@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
def test_normalization_returns_nan_if_the_variance_overflows(kind):
    x = 1e25 * np.random.default_rng(0).normal(size=(6, 4))
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isnan(host(kind(4).astype("float32").forward(x))).all()
    with pytest.raises(DivergenceError, match=r"the loss became NaN .* at step 1 of 1\. .*: the inputs reach"):
        learn(Network([kind(4), Dense(4, 2)], QuadraticLoss()), Dataset(x, np.zeros((6, 2))))


def test_a_loss_too_large_for_the_dtype_is_reported():
    x = np.full((2, 4), 1e15)
    with np.errstate(over="ignore"):
        assert math.isinf(linear().forward(1e15 * x, [0, 1]))
    assert 1e20 < linear().forward(x, [0, 1]) < math.inf


def large(layer=Dense, loss=QuadraticLoss, scale=1e6):
    return check_gradients(Network([layer(4, 5), ReLU(), Dense(5, 3)], loss()), scale * samples().x, samples().t)


@pytest.mark.parametrize("scale", [1e4, 1e6, 1e10])
@pytest.mark.parametrize("loss", [QuadraticLoss, SoftmaxCrossEntropy])
def test_gradients_at_large_inputs_are_not_called_wrong(loss, scale):
    report = large(loss=loss, scale=scale)
    assert report.ok, report


class Doubled(Dense):
    def gradient(self, dy):
        return super().gradient(2 * dy)


def test_wrong_gradients_at_large_inputs_are_found():
    assert [line.name for line in large(Doubled) if not line.ok] == [
        f"layer 0: Doubled(4, 5){name}" for name in (".W", ".b", ": x")
    ]


@pytest.mark.parametrize("scale", [1e60, 1e200])
def test_gradients_whose_squares_overflow_are_not_judged(scale):
    with pytest.raises(ArgumentError, match=r"layer 0: Dense\(4, 5\): formula returns NaN or numbers of 1e\+50 and"):
        large(scale=scale)
    with pytest.raises(ArgumentError, match=r"Tanh\(\): it is fed NaN or numbers of 1e\+50 and more"):
        check_gradients(Tanh(), scale * samples().x)


# --- vanishing -----------------------------------------------------------------------------------------------------


def deep(layers=70, **options):
    """So many sigmoid layers of three units that the first gradients are too small for float32."""
    hidden = [part for _ in range(layers) for part in (Dense(3, 3), Sigmoid())]
    return Network([*hidden, Dense(3, 3), Softmax()], CrossEntropy(), **options)


def three(n=6):
    return Dataset(np.random.default_rng(0).normal(size=(n, 3)), np.arange(n) % 3)


def test_vanishing_gradients_agree_with_those_of_float64():
    nets = [deep(dtype=dtype) for dtype in ("float32", "float64")]
    for net in nets:
        net.forward(*three())
        net.backward()
    tiny = np.finfo("float32").tiny
    sizes = abs(host(nets[1].layers[0].dW))
    assert 0 < sizes.max() < tiny and not host(nets[0].layers[0].dW).any()
    assert_close(nets[0].grads, nets[1].grads, rtol=1e-3, atol=100 * tiny)


def test_vanishing_gradients_are_not_called_wrong():
    report = check_gradients(deep(25), *three())
    assert report.ok, report


@pytest.mark.parametrize("make", [SGD, AdaGrad, RMSProp, Adam, AdamW])
def test_layers_that_no_gradient_reaches_do_not_change_and_the_others_learn(make):
    net = deep()
    before = net.predict(three().x)
    first, last = (net.layers[i].W.copy() for i in (0, -2))
    losses = [epoch.loss for epoch in learn(net, Dataset(three().x, np.zeros(6, int)), make, epochs=5)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    assert (net.predict(three().x)[:, 0] > before[:, 0]).all()
    decay = 1e-3 if make is AdamW else 0  # of AdamW's own
    assert_close(net.layers[0].W, first, rtol=decay)
    assert (host(net.layers[-2].W) != host(last)).any()


def test_a_delta_that_vanishes_is_measured():
    net = deep()
    rows = probe(net, SGD(net), three())
    assert rows[0].delta == rows[0].update == 0 < rows[40].delta < rows[-1].delta


# --- dtypes of data ------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:x holds floats from")
def test_float16_data_are_converted_before_computing():
    x = np.float16([[6e4, 6e4, 6e4, 6e4], [1e-7, 0, 0, 0]] * 6)  # sums beyond float16, and a subnormal number
    nets, losses = [small(), small()], []
    for net, dtype in zip(nets, ("float16", "float32"), strict=True):
        dataset = Dataset(x.astype(dtype), samples().t)
        losses.append([epoch.loss for epoch in learn(net, dataset, epochs=2)])
        losses[-1] += [*evaluate(net, dataset), float(net.forward(*dataset)), *net.predict(dataset.x).ravel()]
    assert losses[0] == losses[1] and np.isfinite(losses).all()
    assert_equal(nets[0].params, nets[1].params)
    assert abs(linear().predict(x)).max() > 65504


def test_float16_rows_of_targets_are_those_of_float32():
    rows = np.random.default_rng(0).dirichlet(np.ones(1000), 12).astype("float16")  # off by up to 5e-4 each
    net = Network([Dense(4, 1000)], SoftmaxCrossEntropy())
    losses = [evaluate(net, Dataset(samples().x, rows)).loss, float(net.forward(samples().x, rows))]
    expected = -(rows.astype(float) * np.log(net.predict(samples().x))).sum(axis=1).mean()
    assert_close(losses, [expected] * 2, rtol=1e-3)  # as far as rows sum to 1


@entrances("check_gradients")  # which computes in float64
def test_data_too_large_for_the_dtype_of_the_network_are_refused(use):
    x = samples().x.copy()
    x[5, 2] = 1e300
    with pytest.raises(InputError, match=r"x: NaN, infinity or a number too large for float32, first in sample 5; "):
        use(small(), Dataset(x, samples().t))


@pytest.mark.parametrize("batch_size", [1, 5, 512])
def test_errors_number_the_samples_over_all_batches(batch_size):
    x = samples().x.copy()
    x[7, 2] = math.nan
    with pytest.raises(InputError, match="first in sample 7; "):
        small().predict(x, batch_size)


def test_data_too_large_for_float32_are_accepted_by_float64():
    x = np.full((1, 4), 1e150)
    net = linear(dtype="float64")
    assert_close(net.predict(x), x @ host(net.layers[0].W), rtol=1e-12)
    assert math.isfinite(evaluate(net, Dataset(x, [0])).loss)


@pytest.mark.filterwarnings("ignore:x holds floats from")
def test_data_are_refused_after_a_move_to_a_smaller_dtype():
    net = linear(dtype="float64")
    epochs = train(net, SGD(net, lr=0), Dataset(np.full((1, 4), 1e150), [0]), epochs=2)
    next(epochs)
    net.to(net.backend, "float32")
    with pytest.raises(InputError, match=r"x: .* number too large for float32, first in sample 0"):
        next(epochs)


# --- labels --------------------------------------------------------------------------------------------------------


@entrances()
@pytest.mark.parametrize(("labels", "message"), [
    (np.array([0] * 11 + [3]), r"the label of sample 11 is 3, expected 0\.\.2"),
    (np.arange(12) / 4, r"labels must be integers 0\.\.2, received an array of float64 that holds 0\.25"),
])  # fmt: skip
def test_invalid_labels_are_refused_everywhere(use, labels, message):
    with pytest.raises(TargetError, match=message):
        use(small(), Dataset(samples().x, labels))


def test_boolean_labels_mean_1_and_0():
    labels = np.arange(12) % 2
    nets = [small(), small()]
    epochs = [learn(net, Dataset(samples().x, t)) for net, t in zip(nets, (labels, labels == 1), strict=True)]
    assert epochs[0][0].loss == epochs[1][0].loss
    assert_equal(nets[0].params, nets[1].params)


@entrances()
def test_one_output_accepts_only_two_labels(use):
    net = Network([Dense(4, 1), Sigmoid()], BinaryCrossEntropy())
    with pytest.raises(TargetError, match="the label of sample 11 is 2, expected 0 or 1"):
        use(net, Dataset(samples().x, np.array([0] * 11 + [2])))


# --- classes -------------------------------------------------------------------------------------------------------


def separable(t, k=3):
    """One feature for each class."""
    return Dataset(np.eye(k, 4)[t], np.array(t))


def test_a_class_missing_in_training_is_never_predicted_and_counts_as_wrong():
    net = Network([Dense(4, 3), Softmax()], CrossEntropy())
    held_out = separable([0, 1, 2, 2])
    *_, last = train(net, SGD(net, lr=1), separable([0, 1] * 6), epochs=50, validation=held_out)
    y = net.predict(held_out.x)
    assert last.val_accuracy == evaluate(net, held_out).accuracy == 0.5
    assert last.val_loss == pytest.approx(-np.log(y[range(4), held_out.t]).mean(), rel=1e-5) and last.val_loss > 1
    matrix = confusion_matrix(y, t=held_out.t)
    assert matrix.shape == (3, 3) and matrix[:, 2].tolist() == [0, 0, 0] and matrix[2].sum() == 2


def test_a_class_that_does_not_occur_has_an_empty_row():
    matrix = confusion_matrix([[0.1, 0.2, 0.7], [0.9, 0.1, 0.0]], t=[0, 0])
    assert matrix.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("label", [0, 2])
def test_one_class_is_learned(label):
    net, only = small(), Dataset(samples().x, np.full(12, label))
    *_, last = train(net, SGD(net, lr=1), only, epochs=30, validation=only)
    assert last.val_accuracy == 1 and last.loss < 0.1
    assert confusion_matrix(net.predict(only.x), t=only.t)[label, label] == 12


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_learned_by_one_output(label):
    net, only = Network([Dense(4, 1), Sigmoid()], BinaryCrossEntropy()), Dataset(samples().x, np.full(12, label))
    *_, last = train(net, SGD(net, lr=1), only, epochs=50, validation=only)
    assert last.val_accuracy == 1 and last.loss < 0.1


def test_softmax_of_one_class_is_refused():
    with pytest.raises(ShapeError, match="needs at least 2 outputs: one for each class"):
        Network([Dense(4, 1), Softmax()], CrossEntropy())


# --- few samples ---------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.* turns any batch of one sample")
@pytest.mark.parametrize("make", [small, lambda: Network([Dense(4, 5), LayerNorm(5), Dense(5, 3), Softmax()],
                                                         CrossEntropy())])  # fmt: skip
def test_one_sample_is_learned(make):
    net, one = make(), samples()[1]
    *_, last = train(net, SGD(net, lr=1), one, epochs=50, batch_size=32, validation=one)
    assert last.loss < 0.1 and last.val_accuracy == 1
    assert top_k_accuracy(net.predict(one.x), t=one.t, k=1) == 1
    assert len(probe(net, SGD(net), one)) == 2


def test_gradients_of_one_sample_are_right():
    report = check_gradients(small(), *samples()[1])
    assert report.ok, report


def test_one_sample_cannot_be_split():
    with pytest.raises(ArgumentError, match="a data set of 1 sample cannot be split"):
        split(samples()[0], 0.5)


@pytest.mark.parametrize("batch_size", [13, 2**40, 2**70])
def test_a_batch_size_above_the_number_of_samples_means_all_samples(batch_size):
    large, all_at_once = small(), small()
    for net, size in ((large, batch_size), (all_at_once, 12)):
        learn(net, samples(), epochs=2, batch_size=size, validation=samples(seed=1))
    assert_equal(large.params, all_at_once.params)
    dataset = samples()
    assert evaluate(large, dataset, batch_size=batch_size) == evaluate(large, dataset)
    assert_equal(large.predict(dataset.x, batch_size=batch_size), large.predict(dataset.x))
    assert repr(probe(large, SGD(large), dataset, batch_size)) == repr(probe(large, SGD(large), dataset, 12))


# --- constant features ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.1, 1000.1, -2024.7, 1e5 / 3, 1e15 / 3])
@pytest.mark.parametrize("n", [7, 600])
@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
def test_a_large_constant_is_normalized_to_zero_also_in_float32(kind, n, value):
    shape = (n, 3) if kind is BatchNorm else (3, n)
    layer = kind(shape[1]).astype("float32")
    assert_equal(layer.forward(np.full(shape, value)), np.zeros(shape))
    layer.backward(np.ones(shape))
    assert_equal(layer.dgamma, np.zeros(shape[1]))


@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
def test_small_differences_of_large_values_are_normalized_also_in_float32(kind):
    rng = np.random.default_rng(0)
    x = (1000 + rng.integers(-8, 9, size=(600, 600)) / 16).astype("float32")  # without rounding
    axis = 0 if kind is BatchNorm else 1
    wide = x.astype("float64")
    expected = (wide - wide.mean(axis=axis, keepdims=True)) / np.sqrt(wide.var(axis=axis, keepdims=True) + 1e-5)
    assert_close(kind(600).astype("float32").forward(x), expected, atol=1e-5)


@pytest.mark.parametrize("value", [0.1, 1000.1, 2024.7, 1e6 / 7])
def test_a_constant_is_normalized_to_zero_at_inference_after_a_long_training(value):
    layer, x = BatchNorm(2).astype("float32"), np.full((32, 2), value)
    for _ in range(400):
        layer.forward(x)
    layer.training = False
    assert_close(layer.forward(x), np.zeros((32, 2)), atol=1e-6)


@pytest.mark.parametrize("value", [1, 1e4 / 3])
def test_a_constant_feature_does_not_change_the_answers_of_a_normalized_network(value):
    x = samples(600).x
    answers = []
    for constant in (0, value):
        x[:, 2] = constant
        net = Network([BatchNorm(4), Dense(4, 8), Tanh(), Dense(8, 3), Softmax()], CrossEntropy())
        learn(net, Dataset(x, samples(600).t), epochs=2, batch_size=4)
        answers.append(net.predict(x))
    assert_close(answers[1], answers[0], atol=1e-6)


def test_with_constant_features_a_network_learns_how_often_each_class_occurs():
    net = Network([Dense(4, 3), Softmax()], CrossEntropy())
    dataset = Dataset(np.ones((12, 4)), np.array([0] * 6 + [1] * 4 + [2] * 2))
    *_, last = train(net, SGD(net, lr=0.5), dataset, epochs=200, batch_size=12, validation=dataset)
    assert_close(net.predict(dataset.x[:1]), [[6 / 12, 4 / 12, 2 / 12]], atol=1e-3)
    assert last.val_accuracy == 0.5 and last.val_loss == pytest.approx(1.0114, abs=1e-3)


# --- NumPy's own errors --------------------------------------------------------------------------------------------


def underflowing():
    """Samples whose softmax underflows, and one that does when it is cast to float32."""
    dataset = samples(12)
    x = 300 * dataset.x
    x[0] = 1e-60
    return Dataset(x, dataset.t)


@pytest.mark.filterwarnings("ignore:x holds floats from")
@pytest.mark.parametrize("use", [
    *[lambda net, dataset, make=make: learn(net, dataset, make, 5, validation=dataset) for make in (SGD, Adam)],
    evaluate,
    lambda net, dataset: net.predict(dataset.x),
    lambda net, dataset: probe(net, SGD(net), dataset),
    lambda net, dataset: check_gradients(net, *dataset),
    *[lambda net, dataset, kind=kind: (alone := kind()).backward(0 * alone.forward(dataset.x) + 1e-300)
      for kind in (Softmax, Sigmoid, Tanh)],
    lambda net, dataset: (loss := SoftmaxCrossEntropy()).forward(dataset.x[:, :3], dataset.t) and loss.backward(),
])  # fmt: skip
def test_underflow_is_no_error_even_if_numpy_is_told_to_raise(use):
    net = Network([Dense(4, 5), Tanh(), Dense(5, 3, W=Normal(100)), Softmax()], CrossEntropy())
    with np.errstate(all="raise"):
        use(net, underflowing())


def test_overflow_in_a_prediction_is_one_error_without_warnings():
    with pytest.raises(DivergenceError, match="the outputs of sample 0 are NaN or infinite"):
        Network([Dense(4, 3, W=Normal(10))], QuadraticLoss()).predict(samples().x * 1e38)
