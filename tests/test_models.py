"""The published networks: their sizes, and that each one trains."""

import math
import re

import pytest

import models
from minibp import data, evaluate, train
from minibp.errors import ArgumentError, UnknownNameError

names = pytest.mark.parametrize("name", models.MODELS)


@pytest.mark.parametrize(("name", "count"), [
    ("softmax", 784 * 10 + 10),
    ("nielsen30", 784 * 30 + 30 + 30 * 10 + 10),
    ("nielsen100", 79_510),
    ("lecun300", 266_610),
    ("simard800", 636_010),
    ("keras512", 669_706),
])  # fmt: skip
def test_sizes_are_the_published_ones(name, count):
    assert models.build(name).network().params.size == count


@pytest.mark.usefixtures("library")
@names
def test_each_model_trains_on_images_of_another_size(name):
    digits = data.digits()
    model = models.build(name, n_in=64)
    net = model.network(seed=1)
    optimizer = model.make_optimizer(net, len(digits.train))
    before = evaluate(net, digits.test).loss
    (epoch,) = train(net, optimizer, digits.train, 1, model.batch_size, validation=digits.test)
    assert math.isfinite(epoch.loss) and epoch.val_loss < before


@pytest.mark.parametrize("name", [name for name in models.MODELS if name not in models.SIZED])
def test_each_published_model_cites_its_source(name):
    assert re.search(r"\b(19|20)\d\d\b", models.MODELS[name].__doc__)


@names
def test_each_call_builds_new_layers(name):
    models.build(name).network()
    models.build(name).network()


@pytest.mark.parametrize(("hidden", "sizes"), [([], [(784, 10)]), ([30, 20], [(784, 30), (30, 20), (20, 10)])])
def test_mlp_has_the_given_hidden_layers(hidden, sizes):
    net = models.build("mlp", hidden=hidden).network()
    assert [W.shape for W in net.weights] == sizes


@pytest.mark.parametrize("build", [models.mlp, models.mlp_distorted, models.mlp_distorted_long])
def test_a_model_without_inputs_and_classes_is_refused(build):
    message = rf"{build.__name__} needs the numbers of inputs and of classes, .* received \(784,\)"
    with pytest.raises(ArgumentError, match=message):
        build((784,))


def test_mlp_without_dropout_has_no_dropout_layers():
    assert "Dropout" in repr(models.mlp().network())
    assert "Dropout" not in repr(models.mlp(dropout=0).network())


def test_schedules_end_with_the_last_epoch():
    model = models.mlp((64, 32, 10))
    optimizer = model.make_optimizer(model.network(), samples=1000)
    optimizer.steps = model.epochs * math.ceil(1000 / model.batch_size)
    assert optimizer.lr == 0
    optimizer.steps -= 1
    assert optimizer.lr > 0


def test_an_error_about_an_unknown_model_lists_those_that_exist():
    with pytest.raises(UnknownNameError, match="unknown model 'resnet': choose one of softmax, nielsen30"):
        models.build("resnet")


@pytest.mark.parametrize("changed", [{"epochs": 0}, {"batch_size": 0}])
def test_recipes_without_epochs_or_samples_are_refused(changed):
    model = models.mlp()
    vars(model).update(changed)
    (name,) = changed
    with pytest.raises(ArgumentError, match=f"{name} must be an integer of at least 1, received 0"):
        model.make_optimizer(model.network(), samples=100)
