"""check_gradients(): compare the gradients of `backward` with central differences, and diagnose wrong ones."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_host
from ..base import Layer, Loss, Module
from ..errors import ArgumentError, InputError
from ..network import Network
from .diagnosis import UNSET, describe_failure
from .finite_differences import (
    TOLERANCE,
    Gradient,
    check_fixed,
    check_module,
    check_size,
    formula_errors,
    numerical_gradient,
    random_dy,
    relative_error,
    restored,
)


class GradientError(NamedTuple):
    """One line of a report: the name of a gradient, its relative error, and the likely mistake ("" if it is right)."""

    name: str
    error: float
    diagnosis: str = ""

    @property
    def ok(self) -> bool:
        return self.error <= TOLERANCE and not self.diagnosis


class GradientReport(list[GradientError]):
    """The result of `check_gradients`: a list of `GradientError`. ``print(report)`` shows it as a table."""

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
    """Compare the gradients of `backward` with central differences, in float64, and diagnose wrong ones.

    The check runs on a float64 copy and changes nothing. It calls `forward` several times for each element, so keep the
    network and the batch small. The gradients of the parameters of a network are checked in the whole network. Each
    layer from the first with parameters, and the loss, is also checked alone, on the input that it receives there. So
    the diagnosis names the layer whose own `gradient` is wrong, and not the layers that the error reaches. If one of
    them cannot be compared, because its `gradient` fails or its formula is random, all others are checked alone.

    Parameters
    ----------
    net : Network, Layer or Loss
        The object to check. For a layer, the gradients are those of a random weighted sum of its outputs.
    x : array (N, ...)
        Inputs, away from kinks such as that of ReLU at 0. Mistakes are told apart best if N, K, 1 and 2 all differ.
    t : array (N,) or (N, K)
        Targets, for a network or a loss.

    Returns
    -------
    GradientReport
        The relative error of each parameter ("layer 0: Dense(4, 3).W"), of the input of each layer ("layer 0:
        Dense(4, 3): x") and of the input of the loss, with the likely mistake below each wrong one. ``report.ok`` is
        True if all errors are at most 1e-6 and no method changes an array of others in place.

    Raises
    ------
    ArgumentError
        If net is none of the three, if targets are missing for a loss or given for a layer, or if a formula fails or
        returns NaN or numbers of 1e50 and more. The message names the layer.
    InputError, ShapeError, TargetError
        If x or t do not fit, or a parameter of a layer alone is NaN or infinite.
    DivergenceError
        If a parameter of a network is NaN or infinite.
    """
    if not isinstance(net, (Network, Module)):
        raise ArgumentError(
            f"net must be a Network, a layer or a loss, received {type(net).__name__}; call check_gradients(net, x, t)"
        )
    x, t = (to_host(given) if isinstance(given, net.xp.ndarray) else given for given in (x, t))
    if isinstance(net, Network):
        return _check_network(net, x, t)
    if isinstance(net, Loss) != (t is not None):
        expected = "a loss needs targets; call check_gradients(loss, x, t)"
        raise ArgumentError(f"{net}: {expected if t is None else 'a layer needs no targets; leave t out'}")
    return _check_alone(net, x, t)


def _check_network(net: Network, x: Any, t: Any) -> GradientReport:
    net.check_weights()
    twin = copy.deepcopy(net).to("numpy", "float64")
    x = twin.prepare_inputs(copy.deepcopy(x))  # a layer may change the user's x in place
    t = twin.prepare_targets(copy.deepcopy(t), len(x), twin.output_size(x.shape))
    alone, loss = _check_each_alone(twin, x, t)
    comparable = all(gradient.compared for gradients in [*alone, {"x": loss}] for gradient in gradients.values())
    whole = _check_whole(twin, x, t) if comparable else {}

    report = GradientReport()
    for i, gradients in enumerate(alone):
        for name, gradient in gradients.items():
            error, failed = whole.get((i, name), (gradient.error, ""))
            diagnosis = gradient.diagnosis or failed
            if error > TOLERANCE and not diagnosis:
                sources = [_place(twin, j) for j in range(i + 1, len(alone)) if _passes_error(alone[j])]
                sources += [_place(twin)] if not loss.ok else []
                diagnosis = (
                    f"right for its dy; the error comes from {' and '.join(sources)}"
                    if sources
                    else "each layer is right alone, but not in the network: does one change or keep another's array?"
                )
            report.append(GradientError(_line(_place(twin, i), name), error, diagnosis))
    report.append(GradientError(_line(_place(twin), "x"), loss.error, loss.diagnosis))
    return report


def _place(twin: Network, i: int | None = None) -> str:
    return f"loss: {twin.fused_loss}" if i is None else f"layer {i}: {twin.chain[i]}"


def _line(place: str, name: str) -> str:
    return f"{place}{': ' if name == 'x' else '.'}{name}"


def _passes_error(gradients: dict[str, Gradient]) -> bool:
    """Whether a layer passes a wrong dx to the layers before it."""
    return "x" in gradients and not gradients["x"].ok


def _check_whole(twin: Network, x: np.ndarray, t: np.ndarray) -> dict[tuple[int, str], tuple[float, str]]:
    """Check the parameters in the whole network: by layer and name, the error and why `gradient` fails, or ""."""

    def loss() -> float:
        kept = twin.params.copy()  # a layer may change them
        with twin.preserved(training=True):  # resets dropout, so that it uses the same mask each time
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
                text = describe_failure(error, layer.params, len(x))
                if not layer.needs_dx:
                    text += "; self.needs_dx is False in this layer, so super().gradient(dy) may return None"
                return {(i, name): (float("inf"), text) for name in (*layer.params, "x")}
    twin.params[...] = kept
    pairs = {
        (i, name): (gradient.copy(), numerical_gradient(loss, layer.params[name]))
        for i, layer in enumerate(twin.chain)
        for name, gradient in layer.grads.items()
    }
    # Divide by at least a hundredth of the largest norm, so that a gradient that is zero but for rounding passes.
    least = max((0.01 * float(np.linalg.norm(numerical)) for _, numerical in pairs.values()), default=0.0)
    return {key: (relative_error(*pair, least), "") for key, pair in pairs.items()}


def _check_each_alone(twin: Network, x: np.ndarray, t: np.ndarray) -> tuple[list[dict[str, Gradient]], Gradient]:
    """Check each layer alone, with its input in the network and the numerical dy, so that no mistake reaches others."""
    first = twin.first_trainable if twin.first_trainable < len(twin.chain) else 0  # the ones before never run backward
    inputs = []
    with twin.preserved(training=True):
        for i, layer in enumerate(twin.chain):
            inputs.append(x.copy())
            with restored(layer), formula_errors(_place(twin, i)):
                x = np.array(layer.forward(x), float)  # a float32 array would be too coarse for the next layer
            check_size(_place(twin, i), x)
    with twin.preserved(training=True):
        loss = check_module(twin.fused_loss, _place(twin), x, t=t)["x"]
        alone: list[dict[str, Gradient]] = []
        dy = loss.numerical
        for i in range(len(twin.chain) - 1, -1, -1):
            layer = twin.chain[i]
            layer.needs_dx = True
            if i >= first:
                shape = (inputs[i + 1] if i + 1 < len(inputs) else x).shape
                gradients = check_module(layer, _place(twin, i), inputs[i], dy=dy if dy.size else random_dy(shape))
                dy = gradients["x"].numerical
            else:
                gradients = check_fixed(layer, _place(twin, i), inputs[i])
            alone.append(gradients)
    return alone[::-1], loss


def _check_alone(module: Any, x: Any, t: Any) -> GradientReport:
    twin = copy.deepcopy(module)
    twin.initialize(np.random.default_rng(0))
    twin.attach(np, np.dtype("float64"), {name: to_host(value).astype(float) for name, value in twin._arrays.items()})
    x, place = np.array(x, float), str(module)
    for name, values in {"x": x, **twin.params, **twin.buffers}.items():
        if not np.isfinite(values).all():
            raise InputError(f"{place}: {name} contains NaN or infinity, so nothing can be compared")
    if t is None:
        with restored(twin), formula_errors(place):
            shape = np.shape(twin.forward(x.copy()))
        gradients = check_module(twin, place, x, dy=random_dy(shape))
    else:
        t = copy.deepcopy(t)  # the loss may change the user's t in place
        with restored(twin), formula_errors(place):
            twin.losses(x.copy(), copy.deepcopy(t))  # for its checks
        gradients = check_module(twin, place, x, t=twin.check_targets(t, *x.shape))
    return GradientReport(
        GradientError(_line(place, name), gradient.error, gradient.diagnosis) for name, gradient in gradients.items()
    )
