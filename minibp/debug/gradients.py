"""check_gradients(): compare the gradients of `backward` with central differences, and diagnose wrong ones."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..augmentation import Augmentation
from ..backend import to_host
from ..base import Layer, Loss, Module, short_name
from ..errors import ArgumentError, InputError
from ..network import Network
from .alone import UNUSED, CheckedLayer
from .diagnosis import UNSET, describe_failure
from .finite_differences import (
    EMPTY,
    SMALLER,
    STEP,
    TOLERANCE,
    Gradient,
    check_module,
    compare,
    formula_errors,
    numerical_gradient,
    restored,
    same_attributes,
)


class GradientError(NamedTuple):
    """One line of a report: the name of a gradient, its relative error, and the likely mistake ("" if it is right).

    `kinks` of its `size` elements are at a kink, and are not judged.
    """

    name: str
    error: float
    diagnosis: str = ""
    kinks: int = 0
    size: int = 0

    @property
    def ok(self) -> bool:
        return self.error <= TOLERANCE and not self.diagnosis

    @property
    def verdict(self) -> str:
        """What ``print(report)`` says: WRONG, ok, or that some or all of it is at a kink and not judged."""
        if not self.ok:
            return "WRONG"
        if self.kinks == self.size > 0:
            return "a kink: not judged"
        return f"ok, {self.kinks} of {self.size} at a kink not judged" if self.kinks else "ok"


class GradientReport(list[GradientError]):
    """The result of `check_gradients`: a list of `GradientError`. ``print(report)`` shows it as a table.

    Attributes
    ----------
    turned_off : list of str
        The layers of augmentation, which do nothing in the check. ``print(report)`` names them.
    """

    def __init__(self, lines: Iterable[GradientError] = (), turned_off: Iterable[str] = ()):
        super().__init__(lines)
        self.turned_off = list(turned_off)

    @property
    def ok(self) -> bool:
        """Whether no gradient is wrong. Those at a kink are not judged; ``print(report)`` and `kinks` tell of them."""
        return all(line.ok for line in self)

    @property
    def kinks(self) -> int:
        """The number of elements that are not judged, because they are at a kink."""
        return sum(line.kinks for line in self)

    def __str__(self) -> str:
        width = max((len(line.name) for line in self), default=0)
        lines = []
        for line in self:
            lines.append(f"{line.name:<{width}}  {line.error:8.1e}  {line.verdict}")
            if line.diagnosis:
                lines.append(f"    {line.diagnosis}")
        if self.turned_off:
            lines.append(f"augmentation is turned off here: {', '.join(self.turned_off)}")
        return "\n".join(lines)


@np.errstate(under="ignore")
def check_gradients(net: Network | Layer | Loss, x: Any, t: Any = None) -> GradientReport:
    """Compare the gradients of `backward` with central differences, in float64, and diagnose wrong ones.

    The check runs on a float64 copy and changes nothing. It calls `forward` several times for each element, so keep the
    network and the batch small. The gradients of the parameters of a network are checked in the whole network. Each
    layer from the first with parameters, each layer inside these, and the loss are also checked alone, on the input
    that they receive there. So the diagnosis names the layer whose own `gradient` is wrong, and not the layers that the
    error reaches. If one of them cannot be compared, because its `gradient` fails or its formula is random, all others
    are checked alone. Frozen layers are checked as if they were not frozen. Augmentation is turned off, and the report
    says so: its layers pass on what they receive.

    Parameters
    ----------
    net : Network, Layer or Loss
        The object to check. For a layer, the gradients are those of a random weighted sum of its outputs.
    x : array (N, ...)
        Inputs, best random: at a kink, such as that of ReLU at 0, nothing is judged. Inputs of zeros lead there, and so
        do Dropout or another ReLU before. Mistakes are told apart best if N, K, 1 and 2 all differ.
    t : array (N,) or (N, K)
        Targets, for a network or a loss.

    Returns
    -------
    GradientReport
        The relative error of each parameter ("layer 0: Dense(4, 3).W"), of the input of each layer ("layer 0:
        Dense(4, 3): x") and of the input of the loss, with the likely mistake below each wrong one. A layer inside
        another has a dotted name ("layer 1.left: Dense(4, 4).W"). ``report.ok`` is True if all errors are at most
        1e-6, no method changes an array of others in place, and no layer inside another is left unused. Elements whose
        slopes on both sides differ are at a kink: they are left out, the line counts them ("ok, 2 of 12 at a kink not
        judged", "a kink: not judged"), and so does ``report.kinks``. Gradients that are only rounding pass.

    Raises
    ------
    ArgumentError
        If net is none of the three, if targets are missing for a loss or given for a layer, or if a formula fails or
        returns NaN or numbers of 1e50 and more. The message names the layer.
    InputError, ShapeError, TargetError
        If x or t do not fit, or a parameter of a layer alone is NaN or infinite.
    DivergenceError
        If a parameter of a network is NaN or infinite.
    StateError
        If a layer is inside two others.
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
    turned_off = _turn_off_augmentation(twin.named_modules())
    for layer in twin.layers:
        layer.trainable = True
    x = twin.prepare_inputs(copy.deepcopy(x))  # a layer may change the user's x in place
    t = twin.prepare_targets(copy.deepcopy(t), len(x), twin.output_size(x.shape))
    checked, loss = _check_each_alone(twin, x, t)
    comparable = all(gradient.compared for each in checked for gradient in each.whole.values()) and loss.compared
    whole = _check_whole(twin, x, t) if comparable else {}

    report, later = GradientReport(turned_off=turned_off), [] if loss.ok else [_loss_place(twin)]
    for each in reversed(checked):
        report[:0] = _lines(each, whole, later)
        later = [*(each.sources() if each.passes_error() else []), *later]
    report.append(_error(f"{_loss_place(twin)}: x", loss))
    return report


def _turn_off_augmentation(modules: Mapping[str, Module]) -> list[str]:
    """Put the layers of augmentation among these, by dotted name, in inference mode; their places in the report."""
    found = {name: each for name, each in modules.items() if isinstance(each, Augmentation)}
    for each in found.values():
        each.training = False
    return [f"{name.replace('layers.', 'layer ', 1)}: {each}".removeprefix(": ") for name, each in found.items()]


def _loss_place(twin: Network) -> str:
    return f"loss: {twin.fused_loss}"


def _error(name: str, gradient: Gradient) -> GradientError:
    return GradientError(name, gradient.error, gradient.diagnosis, gradient.kinks, gradient.numerical.size)


def _lines(layer: CheckedLayer, whole: Mapping[str, Gradient], later: Sequence[str] = ()) -> GradientReport:
    """The lines of a layer and of those inside it.

    `whole` is what `_check_whole` returns, `later` what `CheckedLayer.explain` takes.
    """
    report = GradientReport()
    alone = layer.alone()
    for name, place in layer.places.items():
        for key in (f"{name}.{each}" for each in (*layer.layers[name].params, "x")):
            if key in alone:
                gradient = whole.get(key, alone[key]._replace(diagnosis=""))
                error = gradient.error
                if key in whole:  # a kink later in the network may hide what is wrong in this layer
                    error = max(error, alone[key].error, layer.whole.get(key, gradient).error)
                diagnosis = gradient.diagnosis or layer.explain(key, error, later)
                report.append(_error(_line(place, key), gradient._replace(error=error, diagnosis=diagnosis)))
        if name not in layer.inputs:
            report.append(GradientError(_line(place, "x"), float("inf"), UNUSED))
    return report


def _line(place: str, key: str) -> str:
    name = key.rpartition(".")[2]
    return f"{place}{': ' if name == 'x' else '.'}{name}"


def _check_whole(twin: Network, x: np.ndarray, t: np.ndarray) -> dict[str, Gradient]:
    """Check the parameters in the whole network, by dotted name. A diagnosis says why `gradient` fails."""

    def loss() -> float:
        before = twin.params.copy(), twin.buffers.copy()  # a layer may change them
        with same_attributes(*twin.modules()):  # resets dropout, so that it uses the same mask each time
            mean = float(twin.unchecked_losses(x.copy(), t.copy()).mean())
        twin.params[...], twin.buffers[...] = before
        return mean

    kept = twin.params.copy(), twin.buffers.copy()
    twin.grads[...] = UNSET
    with same_attributes(*twin.modules()):
        twin.unchecked_losses(x.copy(), t.copy())
        dy = twin.fused_loss.gradient()
        for i in range(len(twin.chain) - 1, twin.first_trainable - 1, -1):
            layer = twin.chain[i]
            try:
                dy = layer.backward(dy)
            except Exception as error:
                # It is right alone, so the culprit is the innermost layer that need not return dx, if there is one.
                inside = layer.named_modules(str(i))
                name = [str(i), *(key for key, each in inside.items() if not getattr(each, "needs_dx", True))][-1]
                text = describe_failure(error, inside[name].params, len(x))
                if not layer.needs_dx:
                    text += "; self.needs_dx is False in this layer, so super().gradient(dy) may return None"
                failed = Gradient(EMPTY, EMPTY, float("inf"), text)
                return {f"{name}.{key}": failed for key in (*inside[name].params, "x")}
    twin.params[...], twin.buffers[...] = kept
    cases = {
        f"{name}.{key}": (module.params[key], gradient.copy(), numerical_gradient(loss, module.params[key]))
        for i, layer in enumerate(twin.chain)
        for name, module in layer.named_modules(str(i)).items()
        for key, gradient in module.grads.items()
    }
    # Divide by at least a hundredth of the largest norm, so that a gradient that is zero but for rounding passes.
    least = max((0.01 * float(np.linalg.norm(numerical)) for _, _, numerical in cases.values()), default=0.0)
    # Differences of the size of the step are noise: curvature that begins at a kink leaves so much of a gradient of 0.
    return {key: compare(loss, *case, least, STEP, SMALLER) for key, case in cases.items()}


def _check_each_alone(twin: Network, x: np.ndarray, t: np.ndarray) -> tuple[list[CheckedLayer], Gradient]:
    """Check each layer alone, with its input in the network and the numerical dy, so that no mistake reaches others."""
    first = twin.first_trainable if twin.first_trainable < len(twin.chain) else 0  # the ones before never run backward
    layers = [CheckedLayer(layer, str(i), "layer ") for i, layer in enumerate(twin.chain)]
    with same_attributes(*twin.modules()):
        for layer in layers:
            x = layer.forward(x)
        loss = check_module(twin.fused_loss, _loss_place(twin), x, t=t)["x"]
        dy = loss.numerical
        for i in range(len(layers) - 1, -1, -1):
            if i < first:
                layers[i].check_fixed()
            else:
                layers[i].check(dy if dy.any() else None)  # zeros would hide mistakes
                dy = layers[i].whole[f"{i}.x"].numerical
    return layers, loss


def _check_alone(module: Any, x: Any, t: Any) -> GradientReport:
    twin = copy.deepcopy(module)
    turned_off = _turn_off_augmentation(twin.named_modules())
    twin.trainable = True
    twin.initialize(np.random.default_rng(0))
    for each in twin.modules():
        arrays = {name: to_host(values).astype(float) for name, values in each._arrays.items()}
        each.attach(np, np.dtype("float64"), arrays)
    x, place = np.array(x, float), str(module)
    held = {
        f"{name}.{key}" if name else key: values
        for name, each in twin.named_modules().items()
        for key, values in {**each.params, **each.buffers}.items()
    }
    for name, values in {"x": x, **held}.items():
        if not np.isfinite(values).all():
            raise InputError(f"{place}: {name} contains NaN or infinity, so nothing can be compared")
    if t is None:
        checked = CheckedLayer(twin, short_name(twin))
        checked.forward(x)
        checked.check()
        comparable = all(gradient.compared for gradient in checked.whole.values())
        whole = {key: gradient._replace(diagnosis="") for key, gradient in checked.whole.items()}
        return GradientReport(_lines(checked, whole if comparable else {}), turned_off)
    t = copy.deepcopy(t)  # the loss may change the user's t in place
    with restored(twin), formula_errors(place):
        twin.losses(x.copy(), copy.deepcopy(t))  # for its checks
    gradients = check_module(twin, place, x, t=twin.check_targets(t, *x.shape))
    return GradientReport(_error(_line(place, name), gradient) for name, gradient in gradients.items())
