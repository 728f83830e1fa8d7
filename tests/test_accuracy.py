"""Lower bounds of the accuracies in the README. These tests are slow: run them with -m slow."""

import numpy as np
import pytest

import models
from minibp import data, evaluate, train

pytestmark = pytest.mark.slow


def final_accuracy(model, splits, seed):
    """Test accuracy after the last epoch of the model's own recipe."""
    net = model.network(seed=seed)
    optimizer = model.make_optimizer(net, len(splits.train))
    for _ in train(net, optimizer, splits.train, model.epochs, model.batch_size):
        pass
    return evaluate(net, splits.test).accuracy


def test_digits_reach_97_percent_on_the_mean_of_20_random_splits():
    accuracies = [final_accuracy(models.small(), data.digits(seed), seed) for seed in range(20)]
    assert np.mean(accuracies) >= 0.97


@pytest.mark.parametrize(("name", "least"), [("mlp", 0.984), ("nielsen100", 0.978), ("softmax", 0.915)])
def test_mnist_reaches_the_accuracies_in_the_readme(name, least, mnist_directory):
    accuracy = final_accuracy(models.build(name), data.mnist(mnist_directory), seed=0)
    assert accuracy >= least
