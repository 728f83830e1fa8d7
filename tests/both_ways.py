"""Trainings that run compiled and by the formulas, and have to agree: random networks of all layers and losses."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, note
from hypothesis import strategies as st

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
    ElasticDistortion,
    Exp,
    Flatten,
    GaussianNoise,
    HuberLoss,
    LayerNorm,
    LeakyReLU,
    Network,
    PoissonLoss,
    QuadraticLoss,
    RandomAffine,
    ReLU,
    Residual,
    RMSProp,
    Sequential,
    Sigmoid,
    SigmoidCrossEntropy,
    Softmax,
    SoftmaxCrossEntropy,
    Softplus,
    Standardize,
    Tanh,
    WeightAverage,
    train,
)
from minibp.backend import to_host
from minibp.data import Dataset
from minibp.dropout import RandomLayer

TOLERANCE = {"float32": 1e-3, "float64": 1e-9}  # of the largest weight, after 100 steps

HIDDEN = {
    "ReLU": lambda n: ReLU(),
    "LeakyReLU": lambda n: LeakyReLU(0.1),
    "ELU": lambda n: ELU(0.7),
    "GELU": lambda n: GELU(),
    "Sigmoid": lambda n: Sigmoid(),
    "Exp": lambda n: Sequential(Tanh(), Exp()),  # whose sizes stay within e, where rounding errors do not grow
    "Softplus": lambda n: Softplus(),
    "Tanh": lambda n: Tanh(),
    "Softmax": lambda n: Softmax(),
    "Dropout": lambda n: Dropout(0.3),
    "GaussianNoise": lambda n: GaussianNoise(0.3),
    "BatchNorm": BatchNorm,
    "LayerNorm": LayerNorm,
    "Standardize": lambda n: Standardize(np.linspace(-1, 1, n), np.linspace(0.5, 2, n)),
    "Flatten": lambda n: Flatten(),
    "Sequential": lambda n: Sequential(Dense(n, n), Tanh()),
    "Residual": lambda n: Residual(Dense(n, n), Sigmoid(), Residual(Dropout(0.1), Dense(n, n))),
}
LOSSES = {
    "QuadraticLoss": (QuadraticLoss, []),
    "HuberLoss": (lambda: HuberLoss(0.4), []),
    "PoissonLoss": (PoissonLoss, []),
    "SoftmaxCrossEntropy": (SoftmaxCrossEntropy, []),
    "SoftmaxCrossEntropy, smoothed": (lambda: SoftmaxCrossEntropy(0.1), []),
    "CrossEntropy": (CrossEntropy, [Softmax]),
    "CrossEntropy, smoothed": (lambda: CrossEntropy(0.1), [Softmax]),
    "CrossEntropy, not fused": (CrossEntropy, [Softmax, Flatten]),
    "CrossEntropy, smoothed and not fused": (lambda: CrossEntropy(0.1), [Softmax, Flatten]),
    "SigmoidCrossEntropy": (SigmoidCrossEntropy, []),
    "BinaryCrossEntropy": (BinaryCrossEntropy, [Sigmoid]),
    "BinaryCrossEntropy, not fused": (BinaryCrossEntropy, [Sigmoid, Flatten]),
}
OPTIMIZERS = {
    "SGD": lambda net, **more: SGD(net, 0.05, **more),
    "momentum": lambda net, **more: SGD(net, 0.02, momentum=0.8, **more),
    "Nesterov": lambda net, **more: SGD(net, 0.02, momentum=0.8, nesterov=True, **more),
    "AdaGrad": lambda net, **more: AdaGrad(net, eps=1e-3, **more),
    "RMSProp": lambda net, **more: RMSProp(net, eps=1e-3, **more),
    "Adam": lambda net, **more: Adam(net, eps=1e-3, **more),
    "AdamW": lambda net, **more: AdamW(net, eps=1e-3, **more),
}
OPTIONS = [{}, {"weight_decay": 0.01}, {"clip_norm": 0.5}, {"max_norm": 0.8}]
OPTIONS += [{"weight_decay": 0.1, "clip_norm": 0.1, "max_norm": 1.0}]


def compare(make, optimizer, dataset, epochs, batch_size, dtype, decay=None):
    """Train twice, compiled and by the formulas, and compare parameters, losses and predictions.

    With `decay` also the averages of the weights.
    """
    runs = []
    for compiled in (True, False):
        net = make(dtype)
        opt = optimizer(net)
        average = WeightAverage(net, decay) if decay else None
        options = {"compiled": compiled, "average": average}
        losses = [epoch[1:4] for epoch in train(net, opt, dataset, epochs, batch_size, dataset, **options)]
        assert net.compiled == compiled
        runs.append((net, opt, losses, average))
    (ours, our_opt, our_losses, our_average), (theirs, their_opt, their_losses, their_average) = runs
    tolerance = TOLERANCE[dtype]
    kept = trained_alike(theirs)
    params, expected = to_host(ours.params)[kept], to_host(theirs.params)[kept]
    np.testing.assert_allclose(params, expected, rtol=0, atol=tolerance * abs(expected).max(initial=0))
    if dtype == "float64":  # in float32 they are compared by what they lead to
        for one, other in zip(our_opt.moments, their_opt.moments, strict=True):
            expected = to_host(other)[kept]
            largest = abs(expected).max(initial=0)
            np.testing.assert_allclose(to_host(one)[kept], expected, rtol=0, atol=tolerance * largest)
    if decay:
        assert our_average.step == their_average.step == our_opt.steps
        params, expected = (to_host(average.weights[0])[kept] for average in (our_average, their_average))
        np.testing.assert_allclose(params, expected, rtol=0, atol=tolerance * abs(expected).max())
    np.testing.assert_allclose(to_host(ours.buffers), to_host(theirs.buffers), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(np.array(our_losses)[:, :2], np.array(their_losses)[:, :2], rtol=tolerance)
    np.testing.assert_allclose(ours.predict(dataset.x), theirs.predict(dataset.x), rtol=0, atol=10 * tolerance)
    assert our_opt.steps == their_opt.steps and our_opt.rate == pytest.approx(their_opt.rate, rel=1e-12)
    steps = [[layer.step for layer in net.layers if isinstance(layer, RandomLayer)] for net in (ours, theirs)]
    assert steps[0] == steps[1]
    return ours, theirs


def trained_alike(net):
    """Which parameters to compare: not the biases that feed a BatchNorm, whose true gradient is 0."""
    kept, inside = np.ones(net.params.size, bool), [m for m in net.modules() if isinstance(m, (Dense, BatchNorm))]
    for first, second in pairwise(inside):
        if isinstance(first, Dense) and isinstance(second, BatchNorm):
            (span,) = (span for span in net._spans if span.module is first and span.name == "b")
            kept[span.start : span.stop] = False
    return kept


class Training(NamedTuple):
    """The arguments of `compare`, without the dtype."""

    make: Any
    optimizer: Any
    dataset: Dataset
    epochs: int
    batch_size: int


@st.composite
def trainings(draw, steps=100):
    """A random network, optimizer and data set, to be trained for so many steps."""
    hidden = draw(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(sorted(HIDDEN))), max_size=4))
    n, batch_size, seed, frozen = 23, draw(st.integers(1, 12)), draw(st.integers(0, 1000)), draw(st.integers(0, 8))
    make_loss, ending = LOSSES[draw(st.sampled_from(sorted(LOSSES)))]
    optimizer, options = OPTIMIZERS[draw(st.sampled_from(sorted(OPTIMIZERS)))], draw(st.sampled_from(OPTIONS))
    # Of two values a normalization gives 1 and -1: a step as high as 2, which rounding may take in either direction. Of
    # three it is nearly as steep.
    assume(not any(name == "LayerNorm" and k in (2, 3) for k, name in hidden))
    assume(not any(name == "BatchNorm" for _, name in hidden) or 2 not in (batch_size, n % batch_size))
    # After one unit it gives the signs of its weights, whose gradient is only rounding.
    assume(not any(k == 1 and name == "BatchNorm" for (k, _), (_, name) in pairwise(hidden)))
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 5)).astype("uint8") if draw(st.booleans()) else rng.normal(size=(n, 5))
    as_rows = draw(st.booleans()) or make_loss().of_numbers
    t = rng.dirichlet(np.ones(3), n) if as_rows else rng.integers(0, 3, n)

    def make(dtype):
        layers, size = [], 5
        for k, name in hidden:
            layers, size = [*layers, Dense(size, k), HIDDEN[name](k)], k
        layers += [Dense(size, 3), *(each() for each in ending)]
        net = Network(layers, make_loss(), dtype=dtype, seed=seed)
        if frozen < len(layers):
            layers[frozen].trainable = False
        return net

    note(f"{make('float64')}, {optimizer(make('float64'), **options)}, batches of {batch_size}")
    epochs = -(-steps // -(-n // batch_size))
    return Training(make, lambda net: optimizer(net, **options), Dataset(x, t), epochs, batch_size)


@st.composite
def trainings_on_images(draw, epochs=10):
    """A network that begins with random images, moved by a random map."""
    h, w, as_rows = draw(st.integers(2, 9)), draw(st.integers(2, 9)), draw(st.booleans())
    seed = draw(st.integers(0, 2**64))
    ranges = draw(st.tuples(st.floats(0, 90), st.floats(0, 0.5), st.floats(0, 45), st.floats(0, 0.5)))
    field = draw(st.none() | st.tuples(st.floats(0, 3), st.floats(1, 4)))
    rng, image_shape = np.random.default_rng(0), (h, w) if as_rows else None
    dataset = Dataset(rng.integers(0, 256, (23, h, w), dtype="uint8"), rng.integers(0, 3, 23))

    def make(dtype):
        if field is None:
            moved = RandomAffine(*ranges, image_shape=image_shape, seed=seed)
        else:
            moved = ElasticDistortion(*field, *ranges, image_shape=image_shape, seed=seed)
        return Network([moved, Flatten(), Dense(h * w, 3)], SoftmaxCrossEntropy(), dtype=dtype)

    note(make("float64"))
    return Training(make, lambda net: SGD(net, 0.05), dataset, epochs, 8)
