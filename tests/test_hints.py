"""Hints: `train` warns of what learns badly without an error, says what to do, and is silent otherwise."""

import warnings

import pytest
from networks import samples

from minibp import SGD, BatchNorm, CrossEntropy, Dense, LayerNorm, Network, Residual, Softmax, Tanh, train
from minibp.errors import MinibpWarning, TrainingWarning

pytestmark = pytest.mark.usefixtures("library")


def network(*hidden):
    return Network([Dense(4, 6), *hidden, Tanh(), Dense(6, 3), Softmax()], CrossEntropy())


def warned(net, dataset, batch_size=32):
    """The warnings of `train`, as strings. They must point to the line that calls it."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        train(net, SGD(net), dataset, epochs=1, batch_size=batch_size)
    assert {warning.filename for warning in found} <= {__file__}
    assert {warning.category for warning in found} <= {TrainingWarning}
    return [str(warning.message) for warning in found]


def test_hints_are_warnings_of_minibp():
    assert issubclass(TrainingWarning, MinibpWarning) and issubclass(MinibpWarning, UserWarning)


# --- batches of one sample -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "batch_size"), [(10, 1), (1, 32)])
def test_batch_norm_with_batches_of_one_sample_is_a_warning(n, batch_size):
    (hint,) = warned(network(BatchNorm(6), BatchNorm(6)), samples(n), batch_size)
    assert hint == (
        "layers.1: BatchNorm(6, 0.9, 1e-05) turns any batch of one sample into β, so no layer before it learns; "
        "train with batches of more samples, or use LayerNorm(6)"
    )


def test_batch_norm_inside_a_layer_is_found():
    (hint,) = warned(network(Residual(Dense(6, 6), BatchNorm(6))), samples(5), 1)
    assert hint.startswith("layers.1.1: BatchNorm(6, ")


def test_batch_norm_with_larger_batches_is_no_warning():
    assert warned(network(BatchNorm(6)), samples(10), 2) == []
    assert warned(network(BatchNorm(6)), samples(10), 3) == []  # the last batch has one sample


def test_batch_norm_that_uses_its_running_statistics_is_no_warning():
    net = network(BatchNorm(6))
    net.layers[1].training = False
    assert warned(net, samples(10), 1) == []


def test_networks_without_batch_norm_may_have_batches_of_one_sample():
    assert warned(network(LayerNorm(6)), samples(10), 1) == []
