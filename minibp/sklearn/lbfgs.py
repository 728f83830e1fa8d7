"""The solver "lbfgs": scipy's L-BFGS-B on the flat vector of the parameters."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from ..backend import to_host
from ..base import run_backward
from ..data import Batches, Dataset
from ..network import Network
from .descent import NOT_FINITE, constant, outputs_averaged, say, squares

BLOCK = 1 << 22  # numbers of X at a time, which bounds the memory


def loss_and_gradient(net: Network, batches: Batches, weights: np.ndarray | None) -> tuple[float, np.ndarray]:
    """The weighted mean loss of all samples and its gradient, in float64 on the host."""
    n, start, loss, gradient = len(batches), 0, 0.0, np.zeros(net.params.size)
    share = np.full(n, 1 / n) if weights is None else weights / weights.sum()  # of a sample in the mean
    for x, t in batches(np.arange(n)):
        part = net.xp.asarray(share[start : start + len(x)], net.dtype)
        losses = net.unchecked_losses(x, t)
        loss += float(losses @ part)
        dx = net.fused_loss.gradient()
        dx *= (part * len(x))[:, None]  # it has the share 1 / N of a batch of N samples
        run_backward(net.chain[net.first_trainable :], dx, net.fused_loss)
        gradient += to_host(net.grads)
        start += len(x)
    return loss, gradient


def minimize_loss(model: Any, data: Dataset, weights: np.ndarray | None) -> None:
    """Train the network of an estimator."""
    net, n = model.network_, len(data)
    if model.dropout:
        raise ValueError("dropout changes the loss from call to call, which lbfgs cannot minimize: use adam or sgd")
    batches = Batches(net, data, min(max(1, BLOCK // data.x.shape[1]), n))
    decay = model.alpha / (n if weights is None else weights.sum())
    steps, lifted = 0, constant(model, data)

    def value(params: np.ndarray) -> tuple[float, np.ndarray]:
        net.params[...] = net.xp.asarray(params, net.dtype)
        loss, gradient = loss_and_gradient(net, batches, weights)
        gradient[: net.weight_count] += decay * params[: net.weight_count]
        return loss + 0.5 * decay * squares(net) + lifted, gradient

    def tell(intermediate_result: Any) -> None:
        nonlocal steps
        steps += 1
        say(model, f"Iteration {steps}, loss = {intermediate_result.fun:.8f}")

    options = {"maxfun": model.max_fun, "maxiter": model.max_iter, "gtol": model.tol}
    start = np.array(to_host(net.params), "float64")
    with np.errstate(all="ignore"):  # what is found is checked
        found = minimize(value, start, method="L-BFGS-B", jac=True, options=options, callback=tell)
    if not np.isfinite(found.x).all() or not np.isfinite(found.fun):
        raise ValueError(f"{NOT_FINITE} preprocessed.")
    net.params[...] = net.xp.asarray(found.x, net.dtype)
    model.n_iter_, penalty = min(int(found.nit), model.max_iter), 0.5 * decay * squares(net)
    model.loss_ = (float(found.fun) - penalty) / outputs_averaged(model) + penalty
    if found.status != 0:
        what = f"lbfgs did not converge ({found.message}) after {found.nit} iterations"
        warnings.warn(f"{what}; increase max_iter, or scale the data", ConvergenceWarning, stacklevel=4)
