"""check_gradients(): are the gradients that backward computes those of the formulas? Where not, what is wrong?"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_host
from ..base import Layer, Loss, Module
from ..errors import ArgumentError, InputError
from ..network import Network
from .diagnosis import UNSET, failure
from .finite_differences import (
    TOLERANCE,
    Gradient,
    bounded,
    check_constant,
    check_part,
    draw,
    named,
    numerical_gradient,
    relative_error,
    undone,
)


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


def check_gradients(net: Network | Layer | Loss, x: Any, t: Any = None) -> GradientReport:
    """Compare the gradients of `backward` with central differences, in float64, and say what is wrong with wrong ones.

    A network, or a layer alone, is left as it was: a copy of it in float64 is what is checked. Every element is tried,
    a few forwards for each, so keep the network and the batch small. Of a network, the gradients of the parameters are
    those of the whole; besides, each layer from the first that has parameters, and the loss, is checked alone, on what
    it is fed there. So a diagnosis names the layer whose own `backward` is wrong, and not those that it reaches. Where
    one cannot be compared, as its gradient fails or its formula is random, all others are judged alone.

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
        If net is none of the three; if a loss is given no targets, or a layer some; or if a formula fails, or gives
        NaN or numbers of 1e50 and more: the message names the layer.
    InputError, ShapeError, TargetError
        If x or t do not fit, or a parameter of a layer alone is NaN or infinite.
    DivergenceError
        If a parameter of a network is NaN or infinite.
    """
    if not isinstance(net, (Network, Module)):
        raise ArgumentError(
            f"net must be a Network, a layer or a loss, received {type(net).__name__}; give it before x"
        )
    x, t = (to_host(given) if isinstance(given, net.xp.ndarray) else given for given in (x, t))
    if isinstance(net, Network):
        return _check_network(net, x, t)
    if isinstance(net, Loss) != (t is not None):
        raise ArgumentError(f"{net} is checked with {'targets t' if t is None else 'x alone, no targets'}")
    return _check_alone(net, x, t)


def _check_network(net: Network, x: Any, t: Any) -> GradientReport:
    net.check_weights()
    twin = copy.deepcopy(net).to("numpy", "float64")
    x = twin.prepare_inputs(copy.deepcopy(x))  # a layer may change it in place, and it is the user's
    t = twin.prepare_targets(copy.deepcopy(t), len(x), twin.output_size(x.shape))
    alone, loss = _check_links(twin, x, t)
    together = all(gradient.compared for gradients in [*alone, {"x": loss}] for gradient in gradients.values())
    whole = _check_whole(twin, x, t) if together else {}

    report = GradientReport()
    for i, gradients in enumerate(alone):
        for name, gradient in gradients.items():
            error, inside = whole.get((i, name), (gradient.error, ""))
            diagnosis = gradient.diagnosis or inside
            if error > TOLERANCE and not diagnosis:
                later = [_place(twin, j) for j in range(i + 1, len(alone)) if _spreads(alone[j])]
                later += [_place(twin)] if not loss.ok else []
                diagnosis = (
                    f"right in itself, the error comes from {' and '.join(later)}"
                    if later
                    else "each layer is right alone, but not together: does one change or keep an array of another's?"
                )
            report.append(GradientError(_line(_place(twin, i), name), error, diagnosis))
    report.append(GradientError(_line(_place(twin), "x"), loss.error, loss.diagnosis))
    return report


def _place(twin: Network, i: int | None = None) -> str:
    return f"loss: {twin.fused_loss}" if i is None else f"layer {i}: {twin.chain[i]}"


def _line(place: str, name: str) -> str:
    return f"{place}{': ' if name == 'x' else '.'}{name}"


def _spreads(gradients: dict[str, Gradient]) -> bool:
    return "x" in gradients and not gradients["x"].ok


def _check_whole(twin: Network, x: np.ndarray, t: np.ndarray) -> dict[tuple[int, str], tuple[float, str]]:
    """Errors of the gradients of the parameters, by layer and name, as the network computes them, and who fails."""

    def loss() -> float:
        kept = twin.params.copy()  # a layer may change them
        with twin.preserved(training=True):  # afterwards dropout is where it was: the same mask each time
            mean = float(twin.unchecked_losses(x.copy(), t.copy()).mean())
        twin.params[...] = kept
        return mean

    kept = twin.params.copy()
    twin.grads[...] = UNSET
    with twin.preserved(training=True):
        twin.unchecked_losses(x.copy(), t.copy())
        dy = twin.fused_loss.gradient()
        for i in range(len(twin.chain) - 1, twin.first_trainable - 1, -1):
            layer = twin.chain[i]
            try:
                dy = layer.backward(dy)
            except Exception as error:
                said = failure(error, layer.params, len(x))
                if not layer.needs_dx:
                    said += "; in this layer self.needs_dx is False, and super().gradient(dy) may return None"
                return {(i, name): (float("inf"), said) for name in (*layer.params, "x")}
    twin.params[...] = kept
    pairs = {
        (i, name): (gradient.copy(), numerical_gradient(loss, layer.params[name]))
        for i, layer in enumerate(twin.chain)
        for name, gradient in layer.grads.items()
    }
    # At least a hundredth of the largest of all: a gradient that is zero, but for rounding, agrees.
    least = max((0.01 * float(np.linalg.norm(true)) for _, true in pairs.values()), default=0.0)
    return {key: (relative_error(got, true, least), "") for key, (got, true) in pairs.items()}


def _check_links(twin: Network, x: np.ndarray, t: np.ndarray) -> tuple[list[dict[str, Gradient]], Gradient]:
    """Each layer alone, fed what it is fed in the network, with the true dy: the mistakes of others do not reach it."""
    first = twin.first_trainable if twin.first_trainable < len(twin.chain) else 0  # those before are never run backward
    fed = []
    with twin.preserved(training=True):
        for i, layer in enumerate(twin.chain):
            fed.append(x.copy())
            with undone(layer), named(_place(twin, i)):
                x = np.array(layer.forward(x), float)  # a float32 array would be too coarse for the next
            bounded(_place(twin, i), x)
    with twin.preserved(training=True):
        loss = check_part(twin.fused_loss, _place(twin), x, t=t)["x"]
        alone: list[dict[str, Gradient]] = []
        true = loss.true
        for i in range(len(twin.chain) - 1, -1, -1):
            layer = twin.chain[i]
            layer.needs_dx = True
            if i >= first:
                shape = (fed[i + 1] if i + 1 < len(fed) else x).shape
                gradients = check_part(layer, _place(twin, i), fed[i], dy=true if true.size else draw(shape))
                true = gradients["x"].true
            else:
                gradients = check_constant(layer, _place(twin, i), fed[i])
            alone.append(gradients)
    return alone[::-1], loss


def _check_alone(part: Any, x: Any, t: Any) -> GradientReport:
    twin = copy.deepcopy(part)
    twin.initialize(np.random.default_rng(0))
    twin.attach(np, np.dtype("float64"), {name: to_host(value).astype(float) for name, value in twin._arrays.items()})
    x, place = np.array(x, float), str(part)
    for name, values in {"x": x, **twin.params, **twin.buffers}.items():
        if not np.isfinite(values).all():
            raise InputError(f"{place}: {name} holds NaN or infinity, with which nothing can be compared")
    if t is None:
        with undone(twin), named(place):
            shape = np.shape(twin.forward(x.copy()))
        gradients = check_part(twin, place, x, dy=draw(shape))  # the random sum
    else:
        t = copy.deepcopy(t)  # the loss may change it in place, and it is the user's
        with undone(twin), named(place):
            twin.losses(x.copy(), copy.deepcopy(t))  # refuses what does not fit
        gradients = check_part(twin, place, x, t=twin.check_targets(t, *x.shape))
    return GradientReport(
        GradientError(_line(place, name), gradient.error, gradient.diagnosis) for name, gradient in gradients.items()
    )
