"""probe(): its numbers agree with plain NumPy, it changes nothing, and it refuses data that do not fit."""

import copy
import math

import numpy as np
import pytest
from arrays import assert_close, assert_equal, host
from networks import every_layer, samples

from minibp import (
    ELU,
    GELU,
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    BatchNorm,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    LeakyReLU,
    Network,
    QuadraticLoss,
    ReLU,
    Residual,
    RMSProp,
    Sequential,
    Sigmoid,
    SigmoidCrossEntropy,
    Softmax,
    Softplus,
    Tanh,
    probe,
    train,
)
from minibp.data import Dataset
from minibp.debug.probing import OUTPUT_SLOPES, SLOPES
from minibp.errors import ArgumentError, DivergenceError, ShapeError, TargetError
from minibp.initializers import Normal, Zeros
from minibp.schedules import Cosine

pytestmark = pytest.mark.usefixtures("library")

WIDE = Normal(4)  # weights that saturate many units


def quadratic(hidden=None, last=None, loss=None, **options):
    """4 inputs, 5 hidden units, 3 outputs: the first network of the text."""
    layers = [Dense(4, 5, W=WIDE), hidden or Sigmoid(), Dense(5, 3, W=WIDE), last or Sigmoid()]
    return Network(layers, loss or QuadraticLoss(), **{"dtype": "float64", **options})


def look(net, dataset=None, batch_size=32):
    return probe(net, SGD(net, lr=0.5), samples() if dataset is None else dataset, batch_size)


def by_hand(net, dataset):
    """Activations a, targets t and deltas of the two layers, in NumPy."""
    W1, b1, W2, b2 = host([array for layer in net.layers for array in layer.params.values()])
    a1 = 1 / (1 + np.exp(-(dataset.x @ W1 + b1)))
    a2 = 1 / (1 + np.exp(-(a1 @ W2 + b2)))
    t = np.eye(3)[dataset.t]
    delta2 = (a2 - t) * a2 * (1 - a2)
    return a1, a2, t, (delta2 @ W2.T) * a1 * (1 - a1), delta2


class Swish(Layer):
    """An activation that probe does not know."""

    def formula(self, x):
        self.sigma = 1 / (1 + np.exp(-x))
        return x * self.sigma

    def gradient(self, dy):
        return dy * (self.sigma + self.y * (1 - self.sigma))


class OwnCrossEntropy(CrossEntropy):
    """A subclass, which no network fuses with its softmax."""


# --- what it reports -----------------------------------------------------------------------------------------------


def test_delta_is_the_root_mean_square_of_the_derivative_of_one_samples_loss():
    net = quadratic()
    _, _, _, *deltas = by_hand(net, samples())
    assert [row.delta for row in look(net)] == pytest.approx([np.sqrt((d**2).mean()) for d in deltas], rel=1e-12)


def test_delta_does_not_change_when_all_samples_are_repeated():
    once, net = samples(), quadratic()
    twice = Dataset(np.concatenate([once.x, once.x]), np.concatenate([once.t, once.t]))
    assert [row.delta for row in look(net, twice)] == pytest.approx([row.delta for row in look(net, once)])


def test_saturated_of_a_hidden_layer_is_the_share_of_flat_values():
    net = quadratic()
    a, *_ = by_hand(net, samples())
    expected = (a * (1 - a) < 0.025).mean()
    assert 0 < expected < 1 and look(net)[0].saturated == pytest.approx(expected)


def test_dead_is_the_share_of_hidden_units_that_are_flat_for_every_sample():
    net = quadratic()
    net.layers[0].b = [99.0, 0.0, -99.0, 0.0, 0.0]
    a, *_ = by_hand(net, samples())
    assert (a * (1 - a) < 0.025).all(axis=0).sum() == 2
    hidden, output = look(net)
    assert hidden.dead == pytest.approx(2 / 5) and math.isnan(output.dead)


def test_saturated_of_the_output_is_the_share_of_wrong_outputs_whose_error_does_not_reach_z():
    net = quadratic()
    _, a, t, _, delta = by_hand(net, samples())
    wrong = abs(a - t) > 0.5
    expected = (abs(delta) < 0.025 * abs(a - t))[wrong].mean()
    assert 0 < expected < 1 and look(net)[1].saturated == pytest.approx(expected)


@pytest.mark.parametrize(("last", "loss"), [(Softmax, CrossEntropy), (Sigmoid, BinaryCrossEntropy)])
def test_no_wrong_output_is_saturated_with_cross_entropy(last, loss):
    assert look(quadratic(last=last(), loss=loss()))[1].saturated == 0


def test_softmax_with_the_quadratic_loss_saturates_too():
    assert look(quadratic(last=Softmax()))[1].saturated > 0.1


def test_a_loss_that_is_not_fused_gives_the_same_probe():
    fused, separate = (look(quadratic(last=Softmax(), loss=loss)) for loss in (CrossEntropy(), OwnCrossEntropy()))
    for one, other in zip(fused, separate, strict=True):
        assert_close(one[1:], other[1:], rtol=1e-9)


def test_logits_of_a_fused_loss_are_probed_as_probabilities():
    probabilities = quadratic(loss=BinaryCrossEntropy())
    logits = Network([Dense(4, 5, W=WIDE), Sigmoid(), Dense(5, 3, W=WIDE)], SigmoidCrossEntropy(), dtype="float64")
    assert repr(look(logits)) == repr(look(probabilities))


@pytest.mark.parametrize("bias", [-99.0, 99.0])
def test_saturated_relus_are_those_that_are_off(bias):
    net = quadratic(hidden=ReLU())
    net.layers[0].b = np.full(5, bias)
    assert look(net)[0][2:4] == ((1, 1) if bias < 0 else (0, 0))


@pytest.mark.parametrize("make", [Sigmoid, Tanh, ReLU, LeakyReLU, ELU, lambda: ELU(2.5), GELU, Softplus])
def test_the_largest_slope_of_each_activation_is_known(make):
    x, activation = np.linspace(-6, 40, 400_001)[None], make()  # a step of 1.15e-4, with values next to 0
    activation.forward(x)
    slopes = activation.backward(np.ones_like(x))
    assert_close(SLOPES[type(activation)](activation), slopes.max(), rtol=2e-4)


def test_every_activation_that_may_be_hidden_may_be_an_output():
    assert OUTPUT_SLOPES.items() >= SLOPES.items()


def test_an_unknown_activation_has_no_saturation():
    hidden, output = look(quadratic(hidden=Swish(), last=Swish()))
    assert math.isnan(hidden.saturated) and math.isnan(hidden.dead) and math.isnan(output.saturated)
    assert hidden.delta > 0 and hidden.update > 0


def test_layers_without_an_activation_do_not_saturate():
    hidden, output = look(Network([Dense(4, 5), Dropout(0.5), Dense(5, 3)], QuadraticLoss()))
    assert (hidden.saturated, hidden.dead, output.saturated) == (0, 0, 0)


def test_saturation_is_measured_after_a_normalization():
    layers = [Dense(4, 5, W=Normal(100)), BatchNorm(5), Tanh(), Dropout(0.5), Dense(5, 3), Softmax()]
    net = Network(layers, CrossEntropy(), dtype="float64")
    z = samples().x @ host(layers[0].W)
    y = np.tanh((z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-5))
    assert look(net)[0].saturated == pytest.approx((1 - y**2 < 0.1).mean())


def test_without_wrong_outputs_their_share_is_not_a_number():
    net = quadratic()
    net.layers[2].W, net.layers[2].b = np.zeros((5, 3)), np.array([9.0, -9.0, -9.0])
    assert math.isnan(look(net, Dataset(samples().x, np.zeros(40, int)))[1].saturated)


@pytest.mark.parametrize("make", [
    SGD, AdaGrad, RMSProp, Adam, AdamW,
    lambda net: SGD(net, lr=Cosine(0.5, steps=9), momentum=0.9, weight_decay=0.1, clip_norm=0.5, max_norm=1.0),
])  # fmt: skip
def test_update_is_that_of_the_very_next_step(make):
    net, dataset = every_layer(dtype="float64"), samples()
    optimizer = make(net)
    list(train(net, optimizer, dataset, epochs=2))
    report = probe(net, optimizer, dataset, batch_size=8)
    before = host([W.copy() for W in net.weights])
    net.forward(dataset.x[:8], dataset.t[:8])
    net.backward()
    optimizer.step()
    norm = np.linalg.norm
    moved = [norm(new - old) / norm(old) for new, old in zip(host(net.weights), before, strict=True)]
    assert [row.update for row in report] == pytest.approx(moved, rel=1e-12)


def test_update_of_weights_that_are_zero_is_not_a_number():
    net = Network([Dense(4, 3, W=Zeros()), Softmax()], CrossEntropy())
    assert math.isnan(look(net)[0].update)


def test_a_small_delta_does_not_vanish_in_float32():
    net = Network([Dense(1, 1, W=np.ones((1, 1)))], QuadraticLoss(), dtype="float32")
    (row,) = look(net, Dataset([[1e-30]], [0.0]))
    assert row.delta == pytest.approx(1e-30, rel=1e-6)


# --- of which networks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_layer_with_weights_has_a_row(dtype):
    net = every_layer(dtype=dtype)
    report = look(net)
    dense = [(place, module) for place, module in net.named_modules().items() if isinstance(module, Dense)]
    assert [row.name for row in report] == [f"layer {place[len('layers.'):]}: {module}" for place, module in dense]
    assert all(row.delta > 0 and row.update > 0 for row in report)
    known = [row for row in report[:-1] if not np.isnan(row.dead)]  # unknown of the last one inside a Residual
    assert len(known) == len(report) - 2 and all(0 <= row.dead <= row.saturated <= 1 for row in known)


@pytest.mark.parametrize("targets", [np.arange(40) % 2, (np.arange(40) % 2).astype(float), np.arange(40)[:, None] % 2])
def test_one_output_is_probed_whatever_its_targets_look_like(targets):
    net = Network([Dense(4, 5), Tanh(), Dense(5, 1, W=WIDE), Sigmoid()], BinaryCrossEntropy())
    hidden, output = look(net, Dataset(samples().x, targets))
    assert hidden.delta > 0 and output.saturated == 0


def test_rows_of_targets_are_probed_as_the_labels_they_stand_for():
    net, labels = quadratic(), samples()
    assert str(look(net, Dataset(labels.x, np.eye(3)[labels.t]))) == str(look(net, labels))


def test_images_of_bytes_are_probed_like_rows_of_floats():
    images = np.random.default_rng(0).integers(256, size=(40, 2, 2)).astype("uint8")
    rows = Dataset(images.reshape(40, 4) / 255, samples().t)
    net = quadratic()
    assert str(look(net, Dataset(images, rows.t))) == str(look(net, rows))


def test_a_layer_with_parameters_before_the_first_weights_is_skipped():
    net = Network([BatchNorm(4), Dense(4, 3), Softmax()], CrossEntropy())
    (row,) = look(net)
    assert row.name == "layer 1: Dense(4, 3)" and row.delta > 0


def test_a_network_without_weights_has_an_empty_report():
    assert look(Network([LayerNorm(4), Softmax()], CrossEntropy()), samples(k=4)) == []


def test_report_is_a_table():
    net = quadratic(last=Softmax(), loss=CrossEntropy())
    report = look(net)
    head, hidden, output = str(report).splitlines()
    assert head.split() == ["layer", "delta", "saturated", "dead", "update"]
    assert hidden.startswith("layer 0: Dense(4, 5)  ") and len(hidden) == len(head)
    assert hidden.split()[-4:] == [f"{report[0].delta:.1e}", f"{report[0].saturated:.1%}", f"{report[0].dead:.1%}",
                                   f"{report[0].update:.1e}"]  # fmt: skip
    assert output.split()[-3:-1] == ["0.0%", "-"]


class Branches(Layer):
    """y = left(x) + right(x)."""

    def __init__(self):
        super().__init__()
        self.left, self.right = Sequential(Dense(5, 5, W=WIDE), Tanh()), Dense(5, 5)

    def formula(self, x):
        return self.left.forward(x) + self.right.forward(x)

    def gradient(self, dy):
        return self.left.backward(dy) + self.right.backward(dy)


def test_layers_in_a_sequential_are_probed_as_if_they_stood_in_the_network():
    flat = quadratic()
    nested = Network([Sequential(*copy.deepcopy(flat.layers[:3])), Sigmoid()], QuadraticLoss(), dtype="float64")
    rows = look(nested)
    assert [repr(row[1:]) for row in rows] == [repr(row[1:]) for row in look(flat)]
    assert [row.name for row in rows] == ["layer 0.0: Dense(4, 5)", "layer 0.2: Dense(5, 3)"]


def test_layers_in_a_residual_are_probed():
    layers = [Dense(4, 5), Tanh(), Residual(Dense(5, 6, W=WIDE), Sigmoid(), Dense(6, 5)), Dense(5, 3), Softmax()]
    net, dataset = Network(layers, CrossEntropy(), dtype="float64"), samples()
    before, first, last, output = look(net)
    assert [row.name for row in (first, last)] == ["layer 2.0: Dense(5, 6)", "layer 2.2: Dense(6, 5)"]
    x, delta3 = np.tanh(dataset.x @ host(layers[0].W)), host(net.predict(dataset.x)) - np.eye(3)[dataset.t]
    inner = layers[2].layers
    a = 1 / (1 + np.exp(-(x @ host(inner[0].W))))
    delta2 = delta3 @ host(layers[3].W).T  # at the sum, and so at the last layer inside
    delta1 = (delta2 @ host(inner[2].W).T) * a * (1 - a)
    delta0 = (delta2 + delta1 @ host(inner[0].W).T) * (1 - x**2)
    deltas = [np.sqrt((delta**2).mean()) for delta in (delta0, delta1, delta2, delta3)]
    assert [row.delta for row in (before, first, last, output)] == pytest.approx(deltas, rel=1e-9)
    flat = a * (1 - a) < 0.025
    assert (first.saturated, first.dead) == pytest.approx((flat.mean(), flat.all(axis=0).mean()))
    assert before.saturated < 1 and last.cells()[1:3] == ["-", "-"] and output.saturated == 0


def test_layers_inside_a_layer_of_ones_own_are_probed():
    net = Network([Dense(4, 5), Branches(), Dense(5, 3), Softmax()], CrossEntropy(), dtype="float64")
    _, left, right, _ = look(net)
    assert (left.name, right.name) == ("layer 1.left.0: Dense(5, 5)", "layer 1.right: Dense(5, 5)")
    assert 0 < left.delta < right.delta and 0 < left.saturated < 1
    assert right.cells()[1:3] == ["-", "-"] and left.update > 0 < right.update


def test_a_layer_with_weights_that_is_never_called_has_no_figures():
    class Unused(Branches):
        def formula(self, x):
            return self.right.forward(x)

        def gradient(self, dy):
            return self.right.backward(dy)

    _, left, right, _ = look(Network([Dense(4, 5), Unused(), Dense(5, 3)], QuadraticLoss()))
    assert left.cells() == ["-", "-", "-", "0.0e+00"] and right.delta > 0


@pytest.mark.parametrize("frozen", [[0], [0, 2], [0, 2, 3]])
def test_frozen_layers_have_the_same_figures_and_no_update(frozen):
    def make():
        layers = [Dense(4, 5), Tanh(), Residual(Dense(5, 6), ReLU(), Dense(6, 5)), Dense(5, 3), Softmax()]
        return Network(layers, CrossEntropy(), dtype="float64")

    net = make()
    for i in frozen:
        net.layers[i].trainable = False
    free, rows = look(make()), look(net)
    assert [repr(row[:4]) for row in rows] == [repr(row[:4]) for row in free]
    for row, other in zip(rows, free, strict=True):
        is_frozen = int(row.name[6]) in frozen
        assert row.update == (0 if is_frozen else other.update)
    assert [layer.trainable for layer in net.layers] == [i not in frozen for i in range(5)]


def test_a_part_of_a_layer_that_is_frozen_is_not_updated():
    net = Network([Residual(Dense(4, 4), ReLU(), Dense(4, 4)), Dense(4, 3)], QuadraticLoss())
    net.layers[0].layers[0].trainable = False
    first, last, output = look(net)
    assert first.update == 0 and first.delta > 0 and last.update > 0 and output.update > 0


# --- that it changes nothing ---------------------------------------------------------------------------------------


def everything(net, optimizer):
    """Everything that training depends on, as bytes and numbers."""
    arrays = [net.params, net.grads, net.buffers, *optimizer.moments]
    steps = [optimizer.steps, optimizer.lr, *(layer.step for layer in net.layers if isinstance(layer, Dropout))]
    return [array.tobytes() for array in arrays], steps, net.rng.bit_generator.state


@pytest.mark.parametrize("make", [SGD, AdaGrad, RMSProp, Adam, AdamW, lambda net: SGD(net, momentum=0.9)])
def test_probing_leaves_network_and_optimizer_as_they_were(make):
    net = every_layer()
    optimizer = make(net)
    list(train(net, optimizer, samples(), epochs=1))
    before = everything(net, optimizer)
    probe(net, optimizer, samples())
    assert everything(net, optimizer) == before


def test_a_probe_does_not_disturb_a_later_backward():
    net, dataset = every_layer(), samples()
    other = copy.deepcopy(net)
    for each in (net, other):
        each.forward(dataset.x[:8], dataset.t[:8])
    look(net)
    for each in (net, other):
        each.backward()
    assert_equal(net.grads, other.grads)


def test_a_probe_does_not_change_the_training():
    ends = []
    for looks in (False, True):
        net = every_layer()
        optimizer = Adam(net)
        for _ in train(net, optimizer, samples(), epochs=3, batch_size=8):
            if looks:
                probe(net, optimizer, samples())
        ends.append(net.params.copy())
    assert_equal(*ends)


def test_probing_twice_gives_the_same_report():
    net = every_layer()
    assert repr(look(net)) == repr(look(net))


# --- what is refused -----------------------------------------------------------------------------------------------


def test_the_optimizer_of_another_network_is_refused():
    with pytest.raises(ArgumentError, match="the optimizer belongs to another network"):
        probe(quadratic(), SGD(quadratic()), samples())


@pytest.mark.parametrize("dataset", [None, np.ones((3, 4))])
def test_anything_but_a_data_set_is_refused(dataset):
    net = quadratic()
    with pytest.raises(ArgumentError, match="dataset must be a Dataset, received"):
        probe(net, SGD(net), dataset)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, None])
def test_invalid_batch_sizes_are_refused(batch_size):
    with pytest.raises(ArgumentError, match="batch_size must be an integer of at least 1, received"):
        look(quadratic(), batch_size=batch_size)


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="is fed 7 values by the data, but takes 4 values"):
        look(quadratic(), Dataset(np.ones((3, 7)), [0, 1, 2]))
    with pytest.raises(TargetError, match="the label of sample 2 is 5"):
        look(quadratic(), Dataset(np.ones((3, 4)), [0, 1, 5]))


def test_a_network_that_has_diverged_is_refused():
    net = Network([Dense(4, 3)], QuadraticLoss())
    net.params[...] = 1e30
    with pytest.raises(DivergenceError, match="the loss of these samples is NaN or infinite"):
        look(net)
