"""evaluate(): the mean loss and the accuracy of a network on a data set."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .backend import to_host, to_library
from .base import Array, instance
from .data import Batches, Dataset
from .errors import DivergenceError
from .hints import largest
from .metrics import accuracy, classes, name_classes
from .network import Network
from .parallel import Ranks


class Evaluation(NamedTuple):
    """The result of `evaluate`: the mean loss and the accuracy (0..1)."""

    loss: float
    accuracy: float


def evaluate(net: Network, dataset: Dataset, batch_size: int | None = None) -> Evaluation:
    """Mean loss and accuracy of a network on a data set, in inference mode. The network is not changed.

    If the samples have weights, both are weighted means.

    Parameters
    ----------
    net : Network
        The network.
    dataset : Dataset
        Inputs and targets.
    batch_size : int, optional
        Samples at a time. It bounds the memory. The default is that of `Network.predict`.

    Returns
    -------
    Evaluation
        ``.loss`` and ``.accuracy``: the fraction of samples whose largest output is the true class or, with one output,
        is on the right side of 0.5. It is NaN if the targets are not classes: numbers to approximate (see
        `metrics.r2_score`), or several yes/no answers a sample.

    Raises
    ------
    ArgumentError, InputError, ShapeError, TargetError
        If the data do not fit the network.
    DivergenceError
        If a weight or the loss of a sample is NaN or infinite.
    """
    instance("net", net, Network, "call evaluate(net, dataset)").check_weights()
    check_dataset("dataset", dataset)
    with net.device:
        return evaluated(net, Batches(net, dataset, net.piece_size(dataset.x.shape, batch_size)))


def evaluated(net: Network, batches: Batches, ranks: Ranks | None = None) -> Evaluation:
    """`evaluate`, for batches that are checked; several processes share them."""
    if net.program is not None and net.program.predicts:
        outputs, losses = net.program.infer(net, batches.x, batches.t, batches.batch_size)
        answers = classes(outputs)
    else:
        losses, answers = _inferred(net, batches, ranks)
    weights = batches.weights
    if weights is not None:
        losses = losses * to_library(weights, net.xp, net.dtype)
    loss = mean_loss(losses, batches)
    if not np.isfinite(loss):  # then the largest output means nothing
        bad = int(np.isfinite(to_host(losses)).argmin())
        what, _ = largest(net, batches.dataset[bad])
        raise DivergenceError(
            f"the loss of sample {bad} of this data set is NaN or infinite: its {what} are too large for these weights "
            f"and {net.dtype}; scale {what} to about -1..1"
        )
    t = to_host(batches.t)
    has_accuracy = not net.loss.of_numbers and name_classes(t)
    right = accuracy(to_host(answers), t=t, weights=weights) if has_accuracy else float("nan")
    return Evaluation(loss, right)


def _inferred(net: Network, batches: Batches, ranks: Ranks | None) -> tuple[Array, Array]:
    """The loss and the answer for each sample, by the formulas. Several processes share the samples."""
    n = len(batches)
    part = slice(0, n) if ranks is None else ranks.part(n)
    losses, answers, done = net.xp.zeros(n, net.dtype), net.xp.zeros(n, "int64"), part.start
    with net.inference_mode() as twin:
        for x, t, *_ in batches(np.arange(part.start, part.stop)):
            y = twin.run_chain(x)
            losses[done : done + len(x)] = twin.fused_loss.unchecked_losses(y, t)
            answers[done : done + len(x)] = classes(twin.outputs(y))
            done += len(x)
    if ranks is not None:
        ranks.sum(losses)
        ranks.sum(answers)
    return losses, answers


def mean_loss(losses: Array, batches: Batches) -> float:
    """The mean of the losses of an epoch, which contain the weights, if there are any."""
    if batches.weights is None:
        return float(losses.mean(dtype="float64"))
    return float(losses.sum(dtype="float64")) / float(batches.weights.sum())


def check_dataset(name: str, given: Any) -> None:
    """Refuse, by an ArgumentError, anything but a Dataset."""
    instance(name, given, Dataset, "create one: Dataset(x, labels)")
