"""probe(): show why a network learns slowly: deltas, saturated units, and the size of the updates."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from ..augmentation import GaussianNoise
from ..backend import to_host
from ..base import Array, Layer, Module, at_least_one, short_name
from ..containers import Residual, Sequential
from ..data import Dataset
from ..dropout import Dropout
from ..errors import DivergenceError
from ..layers import ELU, GELU, Flatten, LeakyReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from ..network import Network
from ..normalization import BatchNorm, LayerNorm
from ..optimizer import Optimizer
from ..training import check_fit
from .finite_differences import same_attributes
from .watching import replaced

FLAT = 0.1  # a slope below this share of the largest slope counts as saturated
WRONG = 0.5  # an output farther than this from its target counts as wrong

SLOPES: dict[type[Layer], Callable[[Any], float]] = {  # the largest f'(z) of each class; a subclass may have another
    Sigmoid: lambda layer: 0.25,
    Tanh: lambda layer: 1.0,
    ReLU: lambda layer: 1.0,
    LeakyReLU: lambda layer: 1.0,
    ELU: lambda layer: max(1.0, layer.alpha),
    GELU: lambda layer: 1.12899,  # of the tanh form, at z = 1.4185
    Softplus: lambda layer: 1.0,
}
OUTPUT_SLOPES = SLOPES | {Softmax: lambda layer: 0.25}  # of softmax: a (1 - a), the slope of aₖ along zₖ
# What may stand between the weights and the activation.
NOT_ACTIVATIONS = (Dropout, GaussianNoise, Flatten, BatchNorm, LayerNorm)

COLUMNS = ("delta", "saturated", "dead", "update")
UNKNOWN = (math.nan, math.nan, math.nan)  # delta, saturated, dead of a layer that never ran backward


class LayerProbe(NamedTuple):
    """Result of `probe` for a layer with weights and output z, and the layers up to the next one with weights.

    Attributes
    ----------
    name : str
        The layer with weights, such as "layer 1: Dense(784, 30)", or inside another "layer 1.0: Dense(30, 30)".
    delta : float
        Root mean square of ∂C/∂z over samples and units, where C is the loss of one sample (the ℓ of the losses).
        Everything that the layer learns is proportional to it.
    saturated : float
        A share, 0..1. In a hidden layer, the share of values (over units and samples) at which the slope of the
        activation is below a tenth of its largest, which for ReLU are the zeros. In the output layer, the share of
        wrong outputs, |a - t| > 1/2, whose error hardly reaches z: |∂C/∂z| < |a - t| f′/10, where f′ is the largest
        slope of the output activation (1 if there is none or the loss is fused with it, so that ∂C/∂z = a - t). Right
        outputs do not count: they lie where sigmoid is flat, and should. NaN if no output is wrong, or the slopes of
        the activation are not known. Inside a Residual or a layer of your own, that activation is known only if it
        follows in a Sequential or Residual.
    dead : float
        Share, 0..1, of the hidden units that are saturated for every sample. NaN for the output layer.
    update : float
        ‖ΔW‖ / ‖W‖ of one step, NaN if W = 0. About 1e-3 is healthy; much less is slow, much more is unstable
        (Karpathy, CS231n notes, "Babysitting the learning process", 2015). 0 for a frozen layer.
    """

    name: str
    delta: float
    saturated: float
    dead: float
    update: float

    def cells(self) -> list[str]:
        """The numbers as strings: shares in percent, "-" for NaN."""
        forms = (f"{self.delta:.1e}", f"{self.saturated:.1%}", f"{self.dead:.1%}", f"{self.update:.1e}")
        return ["-" if math.isnan(figure) else text for figure, text in zip(self[1:], forms, strict=True)]


class ProbeReport(list[LayerProbe]):
    """The result of `probe`: a list of `LayerProbe`, from input to output. ``print(report)`` shows it as a table."""

    def lines(self) -> list[str]:
        """The lines of the table: the names of the columns, then one line for each layer."""
        width = max((len(row.name) for row in self), default=0)
        rows = [("layer", COLUMNS), *((row.name, row.cells()) for row in self)]
        return [f"{name:<{width}}" + "".join(f"  {cell:>9}" for cell in cells) for name, cells in rows]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def probe(net: Network, optimizer: Optimizer, dataset: Dataset, batch_size: int = 32) -> ProbeReport:
    """Show why a network learns slowly: for each layer the size of delta, the saturated units, the size of a step.

    A copy of the network and the optimizer does the work, so the training continues afterwards with exactly the same
    numbers. The copy runs in training mode, with dropout and with the statistics of this batch.

    Parameters
    ----------
    net : Network
        The network, at any point of its training.
    optimizer : Optimizer
        Its optimizer.
    dataset : Dataset
        The samples to look at, all in one batch. About 1000 of the training set will do, ``dataset[:1000]``.
    batch_size : int, default 32
        Number of samples, the first ones, for the step that `update` measures.

    Returns
    -------
    ProbeReport
        A `LayerProbe` for each layer with a weight matrix (a parameter of two or more dimensions), also inside others.
        Empty if the network has none.

    Raises
    ------
    ArgumentError
        If the optimizer belongs to another network, dataset is not a Dataset, batch_size is not an integer of at
        least 1, or the schedule of the optimizer gives a rate that is negative or NaN.
    InputError, ShapeError, TargetError
        If the data do not fit the network.
    DivergenceError
        If the loss of these samples is NaN or infinite.
    StateError
        If a layer was put into another after the network was built.
    """
    check_fit(net, optimizer, dataset)
    batch_size = min(at_least_one("batch_size", batch_size), len(dataset))
    optimizer = copy.deepcopy(optimizer)
    twin = optimizer.net
    x = twin.prepare_inputs(dataset.x)
    t = twin.prepare_targets(dataset.t, len(x), twin.output_size(x.shape))
    probed = {
        name: module
        for i, layer in enumerate(twin.chain)
        for name, module in layer.named_modules(str(i)).items()
        if _weights(module)
    }
    with np.errstate(all="ignore"):  # the figures are checked
        with same_attributes(*twin.modules()):  # resets dropout, so that the step below uses the mask of the next step
            for layer in twin.layers:
                layer.trainable = True  # else no delta reaches the layers before the first that trains
            loss, backward_figures = _run_backward(twin, x, t)
        twin.refresh_trainable()  # frozen layers are frozen again
        updates = _update_sizes(optimizer, list(probed.values()), x[:batch_size], t[:batch_size])
        rows = [(*backward_figures.get(name, UNKNOWN), update) for name, update in zip(probed, updates, strict=True)]
        figures = [loss, *(figure for row in rows for figure in row)]
        table = to_host(twin.xp.stack([twin.xp.asarray(figure, "float64") for figure in figures]))
    if not np.isfinite(table[0]):
        raise DivergenceError(
            "the loss of these samples is NaN or infinite, so there is nothing to probe; train a new network with a "
            "smaller learning rate or inputs of about -1..1"
        )
    names = [f"layer {name}: {short_name(module)}" for name, module in probed.items()]
    cells = table[1:].reshape(len(names), len(COLUMNS)).tolist()
    return ProbeReport(LayerProbe(name, *row) for name, row in zip(names, cells, strict=True))


def _weights(layer: Module) -> list[Array]:
    return [value for value in layer.params.values() if value.ndim >= 2]


def _activation(layers: Sequence[Layer]) -> Layer | None:
    """The last of these layers that may be an activation, or None."""
    return next((layer for layer in reversed(layers) if type(layer) not in NOT_ACTIVATIONS), None)


def _in_a_row(layers: Mapping[str, Any]) -> dict[str, Any]:
    """Layers that run one after the other, by name. Those of a Sequential stand in its place."""
    found: dict[str, Any] = {}
    for name, layer in layers.items():
        inside = {f"{name}.{key}": child for key, child in layer.children().items()}
        found |= _in_a_row(inside) if type(layer) is Sequential else {name: layer}
    return found


def _has_weights(layer: Layer) -> bool:
    return any(_weights(module) for module in layer.modules())


def _run_backward(net: Network, x: Array, t: Array) -> tuple[Any, dict[str, tuple[Any, Any, Any]]]:
    """The mean loss, and (delta, saturated, dead) of each layer with weights, by name."""
    xp, n, figures = net.xp, len(x), dict[str, tuple[Any, Any, Any]]()
    loss = net.unchecked_losses(x, t).mean()
    chain = _in_a_row({str(i): layer for i, layer in enumerate(net.chain)})
    names, layers = list(chain), list(chain.values())
    starts = [i for i, layer in enumerate(layers) if _has_weights(layer)]
    if not starts:
        return loss, {}
    y, rows = net.fused_loss.x, net.fused_loss.t
    error = xp.abs((net.output_activation.forward(y) if net.output_activation else y) - rows)
    dy = net.fused_loss.gradient()  # of the mean loss: 1/n of that of one sample
    stop = len(layers)
    for start in reversed(starts):
        following = layers[start + 1 : stop]
        activation = _activation(following)
        saturated, dead = (math.nan, math.nan) if stop == len(layers) else _hidden_shares(xp, activation)
        reaching = dy  # ∂L/∂z at the input of the activation, or here if the loss is fused with it
        for layer in reversed(following):
            dy = layer.backward(dy)
            reaching = dy if layer is activation else reaching
        if stop == len(layers):
            saturated = _output_share(xp, reaching * n, error, _largest_slope(OUTPUT_SLOPES, activation))
        figures[names[start]] = (_delta(xp, dy, n), saturated, dead)
        if layers[start].children():
            inside, dy = _run_backward_inside(xp, layers[start], names[start], dy, n)
            figures |= inside
        elif start > starts[0]:
            dy = layers[start].backward(dy)
        stop = start
    return loss, figures


def _delta(xp: Any, dy: Array, n: int) -> Any:
    squares = xp.square(dy.astype("float64"))  # the squares of a small delta would underflow in float32
    return n * xp.sqrt(squares.mean())


def _run_backward_inside(
    xp: Any, layer: Layer, name: str, dy: Array, n: int
) -> tuple[dict[str, tuple[Any, Any, Any]], Array]:
    """The figures of the layers with weights inside this one, by name, and its dx."""
    inside = {key: each for key, each in layer.named_modules(name).items() if key != name and _weights(each)}
    shares = _shares_inside(xp, layer, name)  # first: they run the activations backward
    deltas: dict[str, Any] = {}

    def watch(name: str, module: Module) -> Callable[[Array], Array]:
        backward = module.backward

        def run(dy: Array) -> Array:
            deltas[name] = _delta(xp, dy, n)
            return backward(dy)

        return run

    with replaced("backward", [(module, watch(key, module)) for key, module in inside.items()]):
        dx = layer.backward(dy)
    return {key: (delta, *shares.get(key, UNKNOWN[1:])) for key, delta in deltas.items()}, dx


def _shares_inside(xp: Any, layer: Layer, name: str) -> dict[str, tuple[Any, Any]]:
    """(saturated, dead) of the layers with weights that an activation follows in a Sequential or Residual."""
    shares = {}
    for place, module in layer.named_modules(name).items():
        if type(module) not in (Sequential, Residual):
            continue
        row = list(_in_a_row({f"{place}.{key}": child for key, child in module.children().items()}).items())
        for i, (key, each) in enumerate(row):
            following = takewhile(lambda other: not _has_weights(other), (other for _, other in row[i + 1 :]))
            activation = _activation(list(following))
            if _weights(each) and activation is not None and activation.y is not None:
                shares[key] = _hidden_shares(xp, activation)
    return shares


def _largest_slope(known: dict[type[Layer], Callable[[Any], float]], activation: Layer | None) -> float:
    """The largest slope of an activation: 1 if there is none, NaN if it is not known."""
    return 1.0 if activation is None else known.get(type(activation), lambda _: math.nan)(activation)


def _hidden_shares(xp: Any, activation: Layer | None) -> tuple[Any, Any]:
    """The share of values at which the activation is flat, and the share of units that are flat for all samples."""
    largest = _largest_slope(SLOPES, activation)
    if activation is None:
        return 0.0, 0.0
    if math.isnan(largest):
        return math.nan, math.nan
    flat = xp.abs(activation.backward(xp.ones_like(activation.y))) < FLAT * largest
    return flat.mean(), flat.all(axis=0).mean()


def _output_share(xp: Any, dz: Array, error: Array, largest: float) -> Any:
    """The share of the wrong outputs whose error hardly reaches z. dz is ∂C/∂z."""
    if math.isnan(largest):
        return math.nan
    wrong = error > WRONG
    stuck = wrong & (xp.abs(dz).reshape(error.shape) < FLAT * largest * error)
    return stuck.sum() / wrong.sum()  # 0/0 is NaN


def _update_sizes(optimizer: Optimizer, layers: list[Module], x: Array, t: Array) -> list[Any]:
    """‖ΔW‖ / ‖W‖ of each of these layers, for one step."""
    net = optimizer.net
    before = [[W.copy() for W in _weights(layer)] for layer in layers]
    net.unchecked_losses(x, t)
    net.backward()
    optimizer.step()
    updates = []
    for layer, olds in zip(layers, before, strict=True):
        moved = [new - old for new, old in zip(_weights(layer), olds, strict=True)]
        size = _norm(net.xp, olds)
        updates.append(net.xp.where(size > 0, _norm(net.xp, moved) / size, math.nan))
    return updates


def _norm(xp: Any, arrays: list[Array]) -> Any:
    return xp.sqrt(sum(xp.square(array.astype("float64")).sum() for array in arrays))
