"""probe(): why is it slow to learn? What reaches each layer, what is saturated, how far a step moves the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_host
from ..base import Array, Layer, at_least_one
from ..data import Dataset
from ..dropout import Dropout
from ..errors import DivergenceError
from ..layers import ELU, GELU, Flatten, LeakyReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from ..network import Network
from ..normalization import BatchNorm, LayerNorm
from ..optimizer import Optimizer
from ..training import SHOWN_BY_THE_LOSS, check_fit

FLAT = 0.1  # of its largest: a smaller slope counts as saturated
OFF = 0.5  # an output farther than this from its target counts as wrong

SLOPES: dict[type[Layer], Callable[[Any], float]] = {  # the largest f'(z), by class: a subclass may have another
    Sigmoid: lambda layer: 0.25,
    Tanh: lambda layer: 1.0,
    ReLU: lambda layer: 1.0,
    LeakyReLU: lambda layer: 1.0,
    ELU: lambda layer: max(1.0, layer.alpha),
    GELU: lambda layer: 1.12899,  # of the tanh form, at z = 1.4185
    Softplus: lambda layer: 1.0,
}
ENDS = SLOPES | {Softmax: lambda layer: 0.25}  # of an output: a (1 - a), the slope of aₖ along zₖ
NO_ACTIVATION = (Dropout, Flatten, BatchNorm, LayerNorm)  # what may stand between the weights and the activation

HEAD = ("delta", "saturated", "dead", "update")


class LayerProbe(NamedTuple):
    """What `probe` found in one layer of units: a layer with weights, with all that follows up to the next such layer.

    Attributes
    ----------
    name : str
        The layer with the weights, as "layer 1: Dense(784, 30)".
    delta : float
        Root mean square, over samples and units, of ∂ℓ/∂z: ℓ is the loss of one sample, z what the layer gives. All
        that the layer learns is proportional to it.
    saturated : float
        A share, 0..1. Of a hidden layer: of the values of all units for all samples, those at which the activation's
        slope is under a tenth of its largest; for ReLU, those that are off. Of the output layer: of the outputs that
        are off by more than 1/2, those whose error hardly reaches z, |∂ℓ/∂z| < |a - t| f′/10 with the largest slope f′
        of the output's activation (1 where it has none, or the loss has it merged in: then ∂ℓ/∂z = a - t). Right
        outputs do not count, for they lie where sigmoid is flat and should stay there. NaN where no output is off by so
        much, and where the slope of an activation is not known.
    dead : float
        Share, 0..1, of the hidden units that are saturated for every sample; NaN for the output layer.
    update : float
        ‖ΔW‖ / ‖W‖ of one step; NaN where W = 0. About 1e-3 is healthy: much less is slow, much more is not stable
        (Karpathy, CS231n notes, "Babysitting the learning process", 2015).
    """

    name: str
    delta: float
    saturated: float
    dead: float
    update: float

    def cells(self) -> list[str]:
        """Its figures as text: shares in percent, "-" for NaN."""
        forms = (f"{self.delta:.1e}", f"{self.saturated:.1%}", f"{self.dead:.1%}", f"{self.update:.1e}")
        return ["-" if math.isnan(figure) else text for figure, text in zip(self[1:], forms, strict=True)]


class ProbeReport(list[LayerProbe]):
    """What `probe` returns: a list of `LayerProbe`, from the input to the output; ``print(report)`` is a table."""

    def lines(self) -> list[str]:
        """The table: a line that names the columns, and one for each layer."""
        width = max((len(row.name) for row in self), default=0)
        rows = [("layer", HEAD), *((row.name, row.cells()) for row in self)]
        return [f"{name:<{width}}" + "".join(f"  {cell:>9}" for cell in cells) for name, cells in rows]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def probe(net: Network, optimizer: Optimizer, dataset: Dataset, batch_size: int = 32) -> ProbeReport:
    """Look why a network learns slowly: for each layer the size of delta, the saturated units, the size of a step.

    A copy of the network and the optimizer does all of it and is thrown away, so the training that goes on afterwards
    is the same to the bit. It runs as in training: with dropout, and with the statistics of this batch.

    Parameters
    ----------
    net : Network
        The network, at any moment of its training.
    optimizer : Optimizer
        Made for this network.
    dataset : Dataset
        The samples to look at, all in one batch: about 1000 of the training set, ``dataset[:1000]``.
    batch_size : int, default 32
        `update` is that of a step on the first so many samples.

    Returns
    -------
    ProbeReport
        A `LayerProbe` for each layer with a weight matrix (a parameter of two and more dimensions); empty for a
        network without any.

    Raises
    ------
    ArgumentError
        If the optimizer is another network's, dataset is no Dataset, or batch_size no integer of at least 1; if the
        optimizer's schedule gives a rate that is negative or NaN.
    InputError, ShapeError, TargetError
        If the data do not fit the network.
    DivergenceError
        If the loss of these samples is NaN or infinite: then there is nothing to see any more.
    """
    check_fit(net, optimizer, dataset)
    batch_size = at_least_one("batch_size", batch_size)
    optimizer = copy.deepcopy(optimizer)
    twin = optimizer.net
    x = twin.prepare_inputs(dataset.x)
    t = twin.prepare_targets(dataset.t, len(x), twin.output_size(x.shape))
    starts = [i for i, layer in enumerate(twin.chain) if _matrices(layer)]
    with np.errstate(**SHOWN_BY_THE_LOSS):
        with twin.preserved(training=True):  # dropout goes back: the step below has the mask of the next step
            loss, figures = _look(twin, starts, x, t)
        updates = _step(optimizer, starts, x[:batch_size], t[:batch_size])
        found = [loss, *(each for row in zip(figures, updates, strict=True) for each in (*row[0], row[1]))]
        table = to_host(twin.xp.stack([twin.xp.asarray(each, "float64") for each in found]))
    if not np.isfinite(table[0]):
        raise DivergenceError(
            "the loss of these samples is NaN or infinite, so there is nothing to probe: start the network anew, "
            "with a smaller learning rate or inputs of about -1..1"
        )
    names = [f"layer {i}: {twin.chain[i]}" for i in starts]
    rows = table[1:].reshape(len(starts), len(HEAD)).tolist()
    return ProbeReport(LayerProbe(name, *row) for name, row in zip(names, rows, strict=True))


def _matrices(layer: Layer) -> list[Array]:
    return [value for value in layer.params.values() if value.ndim >= 2]


def _activation(layers: Sequence[Layer]) -> Layer | None:
    """The last of the layers that follow some weights that may be an activation."""
    return next((layer for layer in reversed(layers) if type(layer) not in NO_ACTIVATION), None)


def _look(net: Network, starts: list[int], x: Array, t: Array) -> tuple[Any, list[tuple[Any, Any, Any]]]:
    """The mean loss, and delta, saturated and dead of each layer of units; walks back as `Network.backward` does."""
    xp, n, figures = net.xp, len(x), []
    loss = net.unchecked_losses(x, t).mean()
    if not starts:
        return loss, []
    y, rows = net.fused_loss.x, net.fused_loss.t
    error = xp.abs((net.output_activation.forward(y) if net.output_activation else y) - rows)
    dy = net.fused_loss.gradient()  # of the mean loss: n times as much is that of one sample's
    stop = len(net.chain)
    for start in reversed(starts):
        following = net.chain[start + 1 : stop]
        activation = _activation(following)
        saturated, dead = (math.nan, math.nan) if stop == len(net.chain) else _flat(xp, activation)
        felt = dy  # where the activation is fed; here, if the loss has it merged in
        for layer in reversed(following):
            dy = layer.backward(dy)
            felt = dy if layer is activation else felt
        if stop == len(net.chain):
            saturated = _stuck(xp, felt * n, error, _largest(ENDS, activation))
        squares = xp.square(dy.astype("float64"))  # those of a small delta would underflow in float32
        figures.append((n * xp.sqrt(squares.mean()), saturated, dead))
        if start > starts[0]:
            dy = net.chain[start].backward(dy)
        stop = start
    return loss, figures[::-1]


def _largest(known: dict[type[Layer], Callable[[Any], float]], activation: Layer | None) -> float:
    """The largest slope of an activation, 1 where there is none, NaN where it is not known."""
    return 1.0 if activation is None else known.get(type(activation), lambda _: math.nan)(activation)


def _flat(xp: Any, activation: Layer | None) -> tuple[Any, Any]:
    """Of a hidden layer, the share of values at which the activation is flat, and of units that are so for all."""
    largest = _largest(SLOPES, activation)
    if activation is None:
        return 0.0, 0.0
    if math.isnan(largest):
        return math.nan, math.nan
    flat = xp.abs(activation.backward(xp.ones_like(activation.y))) < FLAT * largest
    return flat.mean(), flat.all(axis=0).mean()


def _stuck(xp: Any, felt: Array, error: Array, largest: float) -> Any:
    """Of the outputs that are wrong, the share whose error hardly reaches z; `felt` is ∂ℓ/∂z."""
    if math.isnan(largest):
        return math.nan
    wrong = error > OFF
    stuck = wrong & (xp.abs(felt).reshape(error.shape) < FLAT * largest * error)
    return stuck.sum() / wrong.sum()  # 0/0 is NaN


def _step(optimizer: Optimizer, starts: list[int], x: Array, t: Array) -> list[Any]:
    """‖ΔW‖ / ‖W‖ of each layer with weights, in one step."""
    net = optimizer.net
    before = [[W.copy() for W in _matrices(net.chain[i])] for i in starts]
    net.unchecked_losses(x, t)
    net.backward()
    optimizer.step()
    updates = []
    for i, olds in zip(starts, before, strict=True):
        moved = [new - old for new, old in zip(_matrices(net.chain[i]), olds, strict=True)]
        size = _norm(net.xp, olds)
        updates.append(net.xp.where(size > 0, _norm(net.xp, moved) / size, math.nan))
    return updates


def _norm(xp: Any, arrays: list[Array]) -> Any:
    return xp.sqrt(sum(xp.square(array.astype("float64")).sum() for array in arrays))
