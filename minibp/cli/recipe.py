"""The network and the optimizer that the command `train` uses, unless options say otherwise."""

from __future__ import annotations

import argparse
import inspect
import math

import numpy as np

from ..data import Dataset
from ..dropout import Dropout
from ..layers import Dense, ReLU, Softmax
from ..losses import CrossEntropy, QuadraticLoss
from ..network import Network
from ..normalization import Standardize
from ..optimizer import Optimizer
from ..optimizers import AdamW, by_name
from .sources import Parts

HIDDEN = (100, 100)
DROPOUT = 0.1
LR = 0.002
EPOCHS = 200
PATIENCE = 20
BATCH = 32


def build(parts: Parts, options: argparse.Namespace) -> Network:
    """The network: standardized inputs, hidden layers of ReLU with dropout, and an output for each class or number."""
    x = parts.training.x
    width = math.prod(x.shape[1:])
    layers = [Standardize.of(x.reshape(len(x), -1))] if x.dtype != np.uint8 else []
    for units in HIDDEN if options.hidden is None else options.hidden:
        layers += [Dense(width, units), ReLU()]
        width = units
        if dropout := DROPOUT if options.dropout is None else options.dropout:
            layers.append(Dropout(dropout))
    if parts.class_names is not None:
        layers += [Dense(width, len(parts.class_names)), Softmax()]
        net = Network(layers, CrossEntropy(), backend=options.backend, seed=options.seed)
        net.class_names = parts.class_names
    else:
        layers += [Dense(width, 1), restore_scale(parts.training)]
        net = Network(layers, QuadraticLoss(), backend=options.backend, seed=options.seed)
    if parts.preprocessing is not None:
        net.preprocessing, net.column_names = parts.preprocessing, parts.preprocessing.inputs
    net.origin = parts.origin
    return net


def restore_scale(training: Dataset) -> Standardize:
    """The last layer for numbers, y = σ z + μ with the mean and the deviation of the targets: (z + μ/σ) / (1/σ).

    So the weights before it are of the usual size, whatever the unit of the targets.
    """
    mean, std = training.t.mean(dtype="float64"), training.t.std(dtype="float64") or 1.0
    return Standardize([-mean / std], [1 / std])


def optimizer(net: Network, options: argparse.Namespace) -> Optimizer:
    """AdamW, or what the options say."""
    cls = AdamW if options.optimizer is None else by_name(options.optimizer)
    lr = LR if options.optimizer is None else inspect.signature(cls).parameters["lr"].default
    more = {} if options.weight_decay is None else {"weight_decay": options.weight_decay}
    return cls(net, lr=lr if options.lr is None else options.lr, **more)
