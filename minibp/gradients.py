"""check_gradients(): are the gradients that backward computes those of the formulas?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .backend import to_host
from .errors import ArgumentError
from .layer import Layer
from .loss import Loss
from .network import Network

STEP = 1e-6  # of the central difference: small, against curvature and kinks; rounding then costs 1e-10 of the loss
TOLERANCE = 1e-6  # relative error that a right gradient stays under; wrong ones are off by 1e-2 and more


class GradientError(NamedTuple):
    """One line of a report: the relative error of one gradient."""

    name: str
    error: float

    @property
    def ok(self) -> bool:
        return self.error <= TOLERANCE


class GradientReport(list[GradientError]):
    """What `check_gradients` returns: a list of `GradientError`; ``print(report)`` is a table."""

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return all(line.ok for line in self)

    def __str__(self) -> str:
        width = max((len(line.name) for line in self), default=0)
        return "\n".join(f"{line.name:<{width}}  {line.error:8.1e}  {'ok' if line.ok else 'WRONG'}" for line in self)


def _report(pairs: list[tuple[str, np.ndarray, np.ndarray]]) -> GradientReport:
    """Relative errors |a - b| / max(|a|, |b|), by norms, of named gradients a and b.

    The divisor is at least a hundredth of the largest norm of all: a gradient that is zero, but for rounding, agrees.
    """
    norm = np.linalg.norm
    least = max((0.01 * norm(b) for _, _, b in pairs), default=0.0)
    report = GradientReport()
    for name, a, b in pairs:
        with np.errstate(invalid="ignore"):
            error = float(norm(a - b) / max(norm(a), norm(b), least, 1e-100))
        report.append(GradientError(name, error if np.isfinite(error) else float("inf")))
    return report


def numerical_gradient(f: Callable[[], float], array: np.ndarray) -> np.ndarray:
    """∂f/∂array by central differences, one element at a time; the array is changed in place and put back."""
    gradient = np.empty_like(array)
    for i in np.ndindex(array.shape):
        kept = array[i]
        array[i] = kept + STEP
        above = f()
        array[i] = kept - STEP
        gradient[i] = (above - f()) / (2 * STEP)
        array[i] = kept
    return gradient


def check_gradients(net: Network | Layer | Loss, x: Any, t: Any = None) -> GradientReport:
    """Compare the gradients of `backward` with central differences, in float64.

    A network, or a layer alone, is left as it was: a copy of it in float64 is what is checked. Every element is tried,
    two forwards for each, so keep the network and the batch small.

    Parameters
    ----------
    net : Network, Layer or Loss
        What to check. A layer is checked under a random sum of its outputs.
    x : array (N, ...)
        Inputs, away from kinks (as ReLU's at 0).
    t : array (N,) or (N, K)
        Targets, for a network or a loss.

    Returns
    -------
    GradientReport
        A line for each parameter ("layer 0: Dense(4, 3).W") and, for a layer, for its input ("x"): relative errors.
        ``report.ok`` says whether all lie under 1e-6.

    Raises
    ------
    ArgumentError
        If a loss is given no targets, or a layer some.
    InputError, ShapeError, TargetError
        If x or t do not fit.
    """
    if isinstance(net, Network):
        return _check_network(net, x, t)
    if isinstance(net, Loss) != (t is not None):
        raise ArgumentError(f"{net} is checked with {'targets t' if t is None else 'x alone, no targets'}")
    return _check_layer(net, x, t)


def _check_network(net: Network, x: Any, t: Any) -> GradientReport:
    twin = copy.deepcopy(net).to("numpy", "float64")

    def loss() -> float:
        with twin.aside(training=True):  # afterwards dropout is where it was: the same mask each time
            return float(twin.forward(x, t))

    with twin.aside(training=True):
        twin.forward(x, t)
        twin.backward()
    return _report(
        [
            (f"layer {i}: {layer}.{name}", gradient, numerical_gradient(loss, layer.params[name]))
            for i, layer in enumerate(twin.layers)
            for name, gradient in layer.grads.items()
        ]
    )


def _check_layer(layer: Any, x: Any, t: Any) -> GradientReport:
    twin = copy.deepcopy(layer)
    twin.initialize(np.random.default_rng(0))
    twin.attach(np, np.dtype("float64"), {name: to_host(value).astype(float) for name, value in twin._held.items()})
    x = np.array(x, float)
    start = vars(twin).copy()

    def run() -> Any:
        vars(twin).update(start)
        return twin.forward(x, t) if t is not None else twin.forward(x)

    y = np.array(run())
    weights = np.random.default_rng(1847).normal(size=y.shape)  # of the random sum; a seed that x was hardly drawn by
    dx = np.array(twin.backward() if t is not None else twin.backward(weights))
    grads = {name: np.array(gradient) for name, gradient in twin.grads.items()}

    def total() -> float:
        return float(run()) if t is not None else float((run() * weights).sum())

    pairs = [(f"{layer}.{name}", dw, numerical_gradient(total, twin.params[name])) for name, dw in grads.items()]
    return _report([*pairs, (f"{layer}: x", dx, numerical_gradient(total, x))])
