"""The solvers "sgd" and "adam": epochs, and what scikit-learn does after each of them."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import numpy as np
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning

from ..backend import to_host, to_library
from ..data import Dataset
from ..errors import DivergenceError
from ..network import Network
from ..program.choice import why_not
from ..threads import Threads
from ..training import train
from .building import Order, optimizer_of
from .updates import set_rate

SMALLEST_RATE = 1e-6  # at which learning_rate="adaptive" stops
STILL = 1e-12  # of the first rate: nothing is learned below. A velocity over a rate of 0 would not be finite
NOT_FINITE = "Solver produced non-finite parameter weights. The input data may contain large values and need to be"


def say(model: Any, text: str) -> None:
    """Write a line for a user who wants to see them."""
    if model.verbose:
        sys.stdout.write(f"{text}\n")


def batch_size_of(model: Any, n: int) -> int:
    """The samples of a batch, for n samples."""
    if model.batch_size == "auto":
        return min(200, n)
    if model.batch_size > n:
        what = f"batch_size={model.batch_size} is larger than the {n} samples, which make one batch"
        warnings.warn(what, stacklevel=5)
    return min(int(model.batch_size), n)


def rate_of(model: Any) -> float:
    """The learning rate after so many samples (invscaling) and so many reductions (adaptive)."""
    rate = float(model.learning_rate_init)
    if model.solver == "sgd" and model.learning_rate == "invscaling" and model.t_:
        return rate * max(math.exp(-model.power_t * math.log1p(model.t_)), STILL)
    if model.solver == "sgd" and model.learning_rate == "adaptive":
        return rate / 5.0**model._reductions
    return rate


def squares(net: Network) -> float:
    """Σ w², over the weights and not the biases."""
    weights = net.params[: net.weight_count]
    return float(weights @ weights)


def constant(model: Any, data: Dataset) -> float:
    """Σ (t log t - t), the mean over the samples: scikit-learn adds it to a Poisson loss. It depends on no weight."""
    if model.out_activation_ != "exp":
        return 0.0
    return float(np.average((xlogy(data.t, data.t) - data.t).sum(axis=1), weights=data.weights))


def outputs_averaged(model: Any) -> int:
    """By what the loss is divided where scikit-learn reports the mean over the outputs, and minibp their sum."""
    return model.n_outputs_ if model.out_activation_ == "identity" else 1


def descend(model: Any, data: Dataset, validation: Any, incremental: bool) -> None:
    """Train the network of an estimator; with `incremental` for one epoch.

    `validation` has the data set (or None) and a function that scores the network.
    """
    net, optimizer = model.network_, optimizer_of(model, data)
    model._optimizer = optimizer
    set_rate(optimizer, rate_of(model))
    n, epochs = len(data), 1 if incremental else model.max_iter
    batch_size, total = batch_size_of(model, n), n if data.weights is None else data.weights.sum()
    if model._compiled is None or (model._compiled and net.program is None):  # the first call, or after unpickling
        model._compiled = not why_not(net, optimizer)
    outputs = outputs_averaged(model)
    model.n_iter_, stopped = 0, False
    if validation.data is not None and model.validation_scores_ is None:
        model.validation_scores_ = []
    if model.early_stopping and model.best_validation_score_ is None:
        model.best_validation_score_ = -np.inf
    elif not model.early_stopping and model.best_loss_ is None:
        model.best_loss_ = np.inf
    constants = [constant(model, each) if each is not None else 0.0 for each in (data, validation.data)]
    rng, net.rng = net.rng, model._order
    try:
        with Threads(net, batch_size).limit:  # once, and not for each epoch: that would take a tenth of a small one
            start = squares(net)
            for epoch in train(net, optimizer, data, epochs, batch_size, validation.data, compiled=model._compiled):
                end, steps = squares(net), -(-n // batch_size)
                # The mean of ½ α Σ w² / N over the steps, of whose sums of squares the first and the one after the last
                # are known.
                penalty = 0.5 * model.alpha * (steps * start + (end - start) * (steps - 1) / 2) / total
                start = end
                model.n_iter_ += 1
                model.t_ += n
                model.loss_ = epoch.loss / outputs + penalty + constants[0]
                model.loss_curve_.append(model.loss_)
                say(model, f"Iteration {model.n_iter_}, loss = {model.loss_:.8f}")
                if validation.data is not None:
                    model.validation_loss_curve_.append((epoch.val_loss or 0.0) / outputs + constants[1])
                    model.validation_scores_.append(validation.score(epoch))
                    say(model, f"Validation score: {model.validation_scores_[-1]:f}")
                note(model)
                if model._no_improvement_count > model.n_iter_no_change and (stopped := stops(model)):
                    break
                set_rate(optimizer, rate_of(model))
        if not (stopped or incremental):
            what = f"Stochastic Optimizer: Maximum iterations ({model.max_iter}) reached and the optimization"
            warnings.warn(f"{what} hasn't converged yet.", ConvergenceWarning, stacklevel=4)
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=4)
    except DivergenceError as error:
        raise ValueError(f"{NOT_FINITE} preprocessed: {error}") from error
    finally:
        net.rng = rng
    if model.early_stopping and model._best is not None:
        net.params[...], net.buffers[...] = (to_library(best, net.xp, net.dtype) for best in model._best)


def note(model: Any) -> None:
    """Compare the last epoch with the best one so far."""
    net = model.network_
    if model.early_stopping:
        score = model.validation_scores_[-1]
        model._no_improvement_count += 1
        if not score < model.best_validation_score_ + model.tol:
            model._no_improvement_count = 0
        if score > model.best_validation_score_:
            model.best_validation_score_ = score
            model._best = [np.array(to_host(vector)) for vector in (net.params, net.buffers)]
    else:
        model._no_improvement_count += 1
        if not model.loss_ > model.best_loss_ - model.tol:
            model._no_improvement_count = 0
        model.best_loss_ = min(model.best_loss_, model.loss_)


def stops(model: Any) -> bool:
    """Whether to stop, now that there was no improvement for some epochs: else the rate is reduced."""
    what = "Validation score" if model.early_stopping else "Training loss"
    text = f"{what} did not improve more than tol={model.tol:f} for {model.n_iter_no_change} consecutive epochs."
    if model.solver == "sgd" and model.learning_rate == "adaptive" and rate_of(model) > SMALLEST_RATE:
        model._reductions += 1
        model._no_improvement_count = 0
        say(model, f"{text} Setting learning rate to {rate_of(model):f}")
        return False
    say(model, f"{text} Stopping.")
    return True


def begin(model: Any, random_state: np.random.RandomState) -> None:
    """Set what a training counts to its start."""
    model._order = Order(random_state, model.shuffle)
    model._optimizer = model._best = model._compiled = None
    model._no_improvement_count = model._reductions = 0
    model.loss_curve_, model.validation_loss_curve_, model.validation_scores_ = [], [], None
    model.best_loss_ = model.best_validation_score_ = None
