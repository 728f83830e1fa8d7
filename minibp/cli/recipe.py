"""The network and the optimizer that the command `train` uses, unless options say otherwise."""

from __future__ import annotations

import argparse
import inspect
import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..backend import limited_blas
from ..base import Layer
from ..data import Dataset
from ..dropout import Dropout
from ..layers import Dense, ReLU, Softmax
from ..losses import CrossEntropy
from ..network import Network
from ..normalization import Standardize
from ..optimizer import Optimizer
from ..optimizers import AdamW, by_name
from ..regression import HuberLoss
from ..threads import largest_product
from .parts import Parts

# Chosen on parts of the training samples of six sets: iris, wine, breast_cancer, digits and diabetes of scikit-learn,
# and 20,000 x 30 of its make_classification; the test parts were not used. Mean accuracy (R² for diabetes, with
# QuadraticLoss) on a quarter of what is not test, over 6 seeds (2 for the large set), with AdamW and a patience of 20:
#                                                    iris  wine  breast  digits  diabetes  20,000 x 30
#   100-100, dropout 0.1, rate 0.002, decay 0.01     .944  .972   .968    .959     .429       .868
#   the same with one cycle of 60 epochs to 0.005    .950  .968   .969    .960     .416       .866
#   the same with a decay of 1                       .961  .977   .969    .969     .423       .848
#   256-128, dropout 0.3, rate 0.002, decay 0.3      .956  .977   .966    .971     .424       .916
#   200-200, dropout 0.3, rate 0.001, decay 0.3      .950  .981   .972    .968     .435       .931
# Only the large set tells them clearly apart: there width, dropout and decay together gain most. A constant rate does
# as well as one cycle, and needs no number of epochs in advance.
HIDDEN = (200, 200)
DROPOUT = 0.3
LR = 0.001
WEIGHT_DECAY = 0.3
EPOCHS = 200
PATIENCE = 20
BATCH = 32  # and MANY_BATCH for `MANY` samples or more, which is faster
MANY, MANY_BATCH = 5000, 128
ONE_THREAD = 8 << 20


def build(parts: Parts, options: argparse.Namespace) -> Network:
    """The network: standardized inputs, hidden layers of ReLU with dropout, and an output for each class or number."""
    x = parts.training.x
    width = math.prod(x.shape[1:])
    layers: list[Layer] = [Standardize.of(x.reshape(len(x), -1))] if x.dtype != np.uint8 else []
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
        mean, std = mean_and_deviation(parts.training)
        # The last layer gives σ z + μ, as (z + μ/σ) / (1/σ): so the weights before it are of the usual size, whatever
        # the unit of the targets. The loss is quadratic up to an error of σ, and bounds the gradient of outliers.
        layers += [Dense(width, 1), Standardize([-mean / std], [1 / std])]
        net = Network(layers, HuberLoss(std), backend=options.backend, seed=options.seed)
    if parts.preprocessing is not None:
        net.preprocessing, net.column_names = parts.preprocessing, parts.preprocessing.inputs
    net.origin = parts.origin
    return net


def batch_size(samples: int) -> int:
    """The size of a batch for a training set of so many samples."""
    return MANY_BATCH if samples >= MANY else BATCH


def few_threads(net: Network, batch: int, threads: int | None) -> AbstractContextManager[Any]:
    """A context in which a network of moderate size takes one thread, unless the user has said how many.

    `train` decides so for products of up to two million multiply-adds. Up to `ONE_THREAD` a second thread saves a tenth
    on an idle machine, and costs many times the time beside other programs, as they are usual on a desk.
    """
    alone = threads is None and largest_product(net, batch) <= ONE_THREAD
    return limited_blas(1) if alone else nullcontext()


def mean_and_deviation(training: Dataset) -> tuple[float, float]:
    """The mean and the standard deviation of the targets; a deviation of 1 if they are all the same."""
    return float(training.t.mean(dtype="float64")), float(training.t.std(dtype="float64")) or 1.0


def optimizer(net: Network, options: argparse.Namespace) -> Optimizer:
    """AdamW, or what the options say."""
    cls = AdamW if options.optimizer is None else by_name(options.optimizer)
    lr = LR if options.optimizer is None else inspect.signature(cls).parameters["lr"].default
    decay = WEIGHT_DECAY if options.optimizer is None and options.weight_decay is None else options.weight_decay
    more = {} if decay is None else {"weight_decay": decay}
    return cls(net, lr=lr if options.lr is None else options.lr, **more)
