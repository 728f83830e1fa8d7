"""check_gradients(): are the gradients that backward computes those of the formulas? Where not, what is wrong?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .backend import to_host
from .diagnosis import UNSET, Evidence, diagnose, wrong_shape
from .errors import ArgumentError
from .layer import Layer
from .loss import Loss
from .network import Network

STEP = 1e-6  # of the central difference: small, against curvature and kinks; rounding then costs 1e-10 of the loss
SMALLER = (1e-9, 1e-12)  # tried where that disagrees: the logarithm of a small probability is curved within 1e-6
TOLERANCE = 1e-6  # relative error that a right gradient stays under; wrong ones are off by 1e-2 and more


class GradientError(NamedTuple):
    """One line of a report: the relative error of one gradient, and what is likely wrong ("" where nothing is)."""

    name: str
    error: float
    diagnosis: str = ""

    @property
    def ok(self) -> bool:
        return self.error <= TOLERANCE and not self.diagnosis


class GradientReport(list[GradientError]):
    """What `check_gradients` returns: a list of `GradientError`; ``print(report)`` is a table."""

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return all(line.ok for line in self)

    def __str__(self) -> str:
        width = max((len(line.name) for line in self), default=0)
        lines = []
        for line in self:
            lines.append(f"{line.name:<{width}}  {line.error:8.1e}  {'ok' if line.ok else 'WRONG'}")
            if line.diagnosis:
                lines.append(f"    {line.diagnosis}")
        return "\n".join(lines)


class Gradient(NamedTuple):
    """A gradient as backward computed it, as central differences do, and what is likely wrong with it."""

    got: np.ndarray
    true: np.ndarray
    error: float
    diagnosis: str

    @property
    def ok(self) -> bool:
        return GradientError("", self.error, self.diagnosis).ok


def _error(got: np.ndarray, true: np.ndarray, least: float) -> float:
    """Relative error |a - b| / max(|a|, |b|), by norms, the divisor being at least `least`."""
    if got.shape != true.shape:
        return float("inf")
    norm = np.linalg.norm
    with np.errstate(invalid="ignore", over="ignore"):
        error = float(norm(got - true) / max(norm(got), norm(true), least, 1e-100))
    return error if np.isfinite(error) else float("inf")


def numerical_gradient(f: Callable[[], float], array: np.ndarray, step: float = STEP) -> np.ndarray:
    """∂f/∂array by central differences, one element at a time; the array is changed in place and put back."""
    gradient = np.empty_like(array)
    for i in np.ndindex(array.shape):
        kept = array[i]
        array[i] = kept + step
        above = f()
        array[i] = kept - step
        gradient[i] = (above - f()) / (2 * step)
        array[i] = kept
    return gradient


def check_gradients(net: Network | Layer | Loss, x: Any, t: Any = None) -> GradientReport:
    """Compare the gradients of `backward` with central differences, in float64, and say what is wrong with wrong ones.

    A network, or a layer alone, is left as it was: a copy of it in float64 is what is checked. Every element is tried,
    a few forwards for each, so keep the network and the batch small. Of a network, the gradients of the parameters are
    those of the whole; besides, each layer from the first that has parameters, and the loss, is checked alone, on what
    it is fed there. So a diagnosis names the layer whose own `backward` is wrong, and not those that it reaches.

    Parameters
    ----------
    net : Network, Layer or Loss
        What to check. A layer is checked under a random sum of its outputs.
    x : array (N, ...)
        Inputs, away from kinks (as ReLU's at 0). Mistakes are best told apart where N, K, 1 and 2 all differ.
    t : array (N,) or (N, K)
        Targets, for a network or a loss.

    Returns
    -------
    GradientReport
        A line for each parameter ("layer 0: Dense(4, 3).W") and for the input of each layer ("layer 0: Dense(4, 3): x")
        and of the loss: relative errors, and under wrong ones the likely mistake. ``report.ok`` says whether all errors
        lie under 1e-6 and nothing is changed in place that must not be.

    Raises
    ------
    ArgumentError
        If a loss is given no targets, or a layer some.
    InputError, ShapeError, TargetError
        If x or t do not fit.
    """
    x, t = (to_host(given) if isinstance(given, net.xp.ndarray) else given for given in (x, t))
    if isinstance(net, Network):
        return _check_network(net, x, t)
    if isinstance(net, Loss) != (t is not None):
        raise ArgumentError(f"{net} is checked with {'targets t' if t is None else 'x alone, no targets'}")
    return _check_alone(net, x, t)


def _check_network(net: Network, x: Any, t: Any) -> GradientReport:
    twin = copy.deepcopy(net).to("numpy", "float64")
    x = twin.enter(copy.deepcopy(x))  # a layer may change it in place, and it is the user's
    t = twin.enter_targets(copy.deepcopy(t), len(x), twin.outputs(x.shape))
    alone, loss = _check_links(twin, x, t)
    whole = _check_whole(twin, x, t) if all(_runs(gradients) for gradients in alone) else {}

    report = GradientReport()
    for i, (layer, gradients) in enumerate(zip(twin.trained, alone, strict=True)):
        for name, gradient in gradients.items():
            error, diagnosis = whole.get((i, name), gradient.error), gradient.diagnosis
            if error > TOLERANCE and gradient.ok:
                later = [f"layer {j}: {twin.trained[j]}" for j in range(i + 1, len(alone)) if _spreads(alone[j])]
                later += [f"loss: {twin.closing}"] if not loss.ok else []
                diagnosis = (
                    f"right in itself, the error comes from {' and '.join(later)}"
                    if later
                    else "each layer is right alone, but not together: does one change or keep an array of another's?"
                )
            report.append(GradientError(f"layer {i}: {layer}{': ' if name == 'x' else '.'}{name}", error, diagnosis))
    report.append(GradientError(f"loss: {twin.closing}: x", loss.error, loss.diagnosis))
    return report


def _runs(gradients: dict[str, Gradient]) -> bool:
    return all(gradient.got.shape == gradient.true.shape for gradient in gradients.values())


def _spreads(gradients: dict[str, Gradient]) -> bool:
    return "x" in gradients and not gradients["x"].ok


def _check_whole(twin: Network, x: np.ndarray, t: np.ndarray) -> dict[tuple[int, str], float]:
    """Errors of the gradients of the parameters, by layer and name, as the network computes them."""

    def loss() -> float:
        with twin.aside(training=True):  # afterwards dropout is where it was: the same mask each time
            return float(twin.losses(x.copy(), t.copy()).mean())

    twin.grads[...] = UNSET
    with twin.aside(training=True):
        twin.losses(x.copy(), t.copy())
        twin.backward()
    pairs = {
        (i, name): (gradient.copy(), numerical_gradient(loss, layer.params[name]))
        for i, layer in enumerate(twin.trained)
        for name, gradient in layer.grads.items()
    }
    # At least a hundredth of the largest of all: a gradient that is zero, but for rounding, agrees.
    least = max((0.01 * float(np.linalg.norm(true)) for _, true in pairs.values()), default=0.0)
    return {key: _error(got, true, least) for key, (got, true) in pairs.items()}


def _check_links(twin: Network, x: np.ndarray, t: np.ndarray) -> tuple[list[dict[str, Gradient]], Gradient]:
    """Each layer alone, fed what it is fed in the network, with the true dy: the mistakes of others do not reach it."""
    first = twin.first if twin.first < len(twin.trained) else 0  # those before are never run backward
    fed = []
    with twin.aside(training=True):
        for layer in twin.trained:
            fed.append(x.copy())
            x = layer.forward(x).copy()
    with twin.aside(training=True):
        loss = _check_part(twin.closing, x, t=t)["x"]
        dy, alone = loss.true, []
        for i in range(len(twin.trained) - 1, -1, -1):
            twin.trained[i].needs_dx = True
            gradients = _check_part(twin.trained[i], fed[i], dy=dy) if i >= first else {}
            if i > first:
                dy = gradients["x"].true
            alone.append(gradients)
    return alone[::-1], loss


def _check_alone(part: Any, x: Any, t: Any) -> GradientReport:
    twin = copy.deepcopy(part)
    twin.initialize(np.random.default_rng(0))
    twin.attach(np, np.dtype("float64"), {name: to_host(value).astype(float) for name, value in twin._held.items()})
    x = np.array(x, float)
    if t is None:
        start = vars(twin).copy()
        shape = twin.forward(x.copy()).shape
        vars(twin).update(start)
        # The random sum; a seed that x was hardly drawn by.
        gradients = _check_part(twin, x, dy=np.random.default_rng(1847).normal(size=shape))
    else:
        t = copy.deepcopy(t)  # the loss may change it in place, and it is the user's
        twin.losses(x.copy(), copy.deepcopy(t))  # refuses what does not fit
        gradients = _check_part(twin, x, t=twin.check_targets(t, *x.shape))
    return GradientReport(
        GradientError(f"{part}{': ' if name == 'x' else '.'}{name}", gradient.error, gradient.diagnosis)
        for name, gradient in gradients.items()
    )


def _check_part(
    part: Any, x: np.ndarray, dy: np.ndarray | None = None, t: np.ndarray | None = None
) -> dict[str, Gradient]:
    """The gradients of one layer, for this dy, or of one loss, for these targets: by parameter, and last of x."""
    start = vars(part).copy()  # with dropout's step: the same mask each time

    def run(x: np.ndarray) -> np.ndarray:
        vars(part).update(start)
        x = x.copy()  # which it may change in place
        return np.array(part.forward(x) if t is None else part.each(x, t.copy()))

    def push(dy: np.ndarray | None) -> np.ndarray:
        return numerical_gradient(lambda: total(dy), x)

    def total(dy: np.ndarray | None) -> float:
        return float(run(x).mean() if dy is None else (run(x) * dy).sum())

    got, changed = _backward(part, x, dy, t)
    y, rows = run(x), None if t is None else np.array(part.t)
    arrays = {**part.params, "x": x}
    true = {name: numerical_gradient(lambda: total(dy), array) for name, array in arrays.items()}
    # A gradient that is zero, but for rounding, agrees: hence at least a hundredth of the largest, and of dy.
    norms = [float(np.linalg.norm(each)) for each in (*true.values(), *([] if dy is None else [dy]))]
    least = 0.01 * max(norms)
    gradients = {}
    for name, array in arrays.items():
        if isinstance(got, str) or name not in got:
            said = got if isinstance(got, str) else "it is missing: gradient(dy) must return dx"
            gradients[name] = Gradient(np.empty(0), true[name], float("inf"), said)
            continue
        error = _error(got[name], true[name], least)
        for step in SMALLER if TOLERANCE < error < float("inf") else ():
            finer = numerical_gradient(lambda: total(dy), array, step)
            if _error(got[name], finer, least) <= TOLERANCE:
                true[name], error = finer, _error(got[name], finer, least)
                break
        said = changed if name == "x" or error > TOLERANCE else ""
        if error > TOLERANCE and not said:
            said = diagnose(Evidence(name, got[name], true[name], x, y, dy, rows, part.params, run, push))
        gradients[name] = Gradient(got[name], true[name], error, said)
    vars(part).update(start)
    return gradients


def _backward(part: Any, x: np.ndarray, dy: Any, t: Any) -> tuple[dict[str, np.ndarray] | str, str]:
    """Copies of the gradients that a part computes, or why it fails to; and which array of others it changes."""
    start = vars(part).copy()
    given = {name: each.copy() for name, each in (("x", x), ("t", t), ("dy", dy)) if each is not None}
    for gradient in part.grads.values():
        gradient[...] = UNSET

    def touched(method: str) -> str:
        for name, kept in (("x", x), ("t", t), ("dy", dy)):
            if kept is not None and not np.array_equal(given[name], kept, equal_nan=True):
                return (
                    f"{method} changes {name} in place, an array that others use: compute with a copy, {name}.copy(), "
                    "or write into a workspace with out="
                )
        return ""

    if dy is None:
        part.each(given["x"], given["t"])
    else:
        part.forward(given["x"])
    changed = touched("formula")
    got: dict[str, np.ndarray] | str
    try:
        dx = part.backward() if dy is None else part.backward(given["dy"])
        got = {name: np.array(gradient) for name, gradient in part.grads.items()}
        if dx is not None:
            got["x"] = np.array(dx, float)
    except ValueError as error:  # of shapes that do not fit: the network's, and NumPy's own
        got = f"gradient fails: {error}; {_hint(part, str(error), len(x))}"
    changed = changed or touched("gradient")
    vars(part).update(start)
    return got, changed


def _hint(part: Any, message: str, n: int) -> str:
    """What likely led to an error about shapes."""
    for name, array in part.params.items():
        for shape in ((n, *array.shape), array.shape[::-1] if array.ndim > 1 else None):
            if shape and "".join(str(shape).split()) in "".join(message.split()).split("got")[-1]:
                return wrong_shape(name, shape, array.shape)
    return "a product that does not fit is often a transposed one"
