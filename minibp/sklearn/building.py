"""What an estimator builds: the network, its optimizer, and the order of the samples."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from ..base import Layer, Loss
from ..data import Dataset
from ..dropout import Dropout
from ..layers import Dense, ReLU, Sigmoid, Tanh
from ..losses import QuadraticLoss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from ..network import Network
from ..regression import PoissonLoss
from .updates import PerSampleAdam, PerSampleSGD

ACTIVATIONS: dict[str, type[Layer] | None] = {"identity": None, "logistic": Sigmoid, "tanh": Tanh, "relu": ReLU}
LOSSES: dict[str, type[Loss]] = {  # by the name that scikit-learn gives to the activation of the outputs
    "softmax": SoftmaxCrossEntropy, "logistic": SigmoidCrossEntropy, "identity": QuadraticLoss, "exp": PoissonLoss
}  # fmt: skip
BELOW_ONE = math.nextafter(1, 0)  # scikit-learn's momentum may be 1, that of an SGD may not


class Order:
    """Takes the place of the generator of a network while it trains, and gives the orders of scikit-learn.

    Each is a shuffle of the one before. It goes on from call to call, so that several calls of `partial_fit` are one
    of `fit`.
    """

    def __init__(self, random_state: np.random.RandomState, shuffle: bool):
        self.random_state, self.shuffle = random_state, shuffle
        self.order = np.arange(0)

    def permutation(self, n: int) -> np.ndarray:
        """The order of n samples for the next epoch."""
        if len(self.order) != n:
            self.order = np.arange(n)
        if self.shuffle:
            places = np.arange(n)
            self.random_state.shuffle(places)
            self.order = self.order[places]
        return self.order


def dense(n_in: int, n_out: int, activation: str, random_state: np.random.RandomState) -> Dense:
    """A layer whose weights and biases are drawn as in scikit-learn (Glorot & Bengio, 2010)."""
    bound = math.sqrt((2 if activation == "logistic" else 6) / (n_in + n_out))
    W = random_state.uniform(-bound, bound, (n_in, n_out))
    return Dense(n_in, n_out, W=W, b=random_state.uniform(-bound, bound, n_out))


def build_network(model: Any, n_in: int, n_out: int, dtype: Any, random_state: np.random.RandomState) -> Network:
    """The network of an estimator, with weights drawn from its random state."""
    hidden = np.atleast_1d(model.hidden_layer_sizes).tolist()
    if any(size <= 0 for size in hidden):
        raise ValueError(f"hidden_layer_sizes must be > 0, received {model.hidden_layer_sizes!r}")
    seed = 0
    if model.layers is not None or model.dropout:  # else nothing is drawn from it, and the order is scikit-learn's
        seed = int(random_state.randint(2**31 - 1))
    if model.layers is not None:
        layers = list(model.layers(n_in, n_out))
    else:
        layers = list[Layer]()
        activation = ACTIVATIONS[model.activation]
        for a, b in pairwise([n_in, *hidden, n_out]):
            if layers:
                layers += [activation()] if activation is not None else []
                layers += [Dropout(model.dropout)] if model.dropout else []
            layers.append(dense(a, b, model.activation, random_state))
    return Network(layers, LOSSES[model.out_activation_](), model.backend, dtype, seed)


def name(model: Any) -> None:
    """Give the network of an estimator the names of classes and columns, if they can be told apart."""
    one_of_them = hasattr(model, "classes_") and len(model.classes_) == max(model.n_outputs_, 2) and not model._several
    found = {
        "class_names": model.classes_ if one_of_them else [],
        "column_names": getattr(model, "feature_names_in_", []),
    }
    for attribute, names in found.items():
        names = [str(each) for each in names]
        if names and all(names) and len(set(names)) == len(names):
            setattr(model.network_, attribute, names)


def optimizer_of(model: Any, data: Dataset) -> PerSampleSGD | PerSampleAdam:
    """The optimizer for the parameters of an estimator: with the moments of its last call, if those fit."""
    net, old = model.network_, vars(model).get("_optimizer")
    alpha = model.alpha if data.weights is None else model.alpha / data.weights.max()  # `train` takes relative weights
    new: PerSampleSGD | PerSampleAdam
    if model.solver == "adam":
        numbers = {"beta1": model.beta_1, "beta2": model.beta_2, "eps": model.epsilon, "weight_decay": alpha}
        new = PerSampleAdam(net, model.learning_rate_init, **numbers)
    else:
        momentum = min(model.momentum, BELOW_ONE)
        nesterov = bool(model.nesterovs_momentum and momentum)
        new = PerSampleSGD(net, model.learning_rate_init, momentum, nesterov, weight_decay=alpha)
    if type(old) is type(new) and old.net is net and len(old.moments) == len(new.moments):
        new.moments, new.steps, new.schedule = old.moments, old.steps, old.schedule
    return new
