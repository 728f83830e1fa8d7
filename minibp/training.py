"""train(): one epoch after another, as a generator; evaluate()."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .backend import to_host, to_library
from .base import Array, all_finite, at_least_one, instance
from .data import Batches, Dataset
from .errors import ArgumentError, DivergenceError
from .files import Checkpoint
from .metrics import accuracy, classes
from .network import PREDICT, Network
from .optimizer import Optimizer
from .progress import Epoch, Progress

SHOWN_BY_THE_LOSS: dict[str, Any] = dict.fromkeys(("over", "invalid", "divide"), "ignore")  # it is then NaN or infinite


class Evaluation(NamedTuple):
    """What `evaluate` returns: the mean loss, and the share of right answers (0..1)."""

    loss: float
    accuracy: float


def train(
    net: Network,
    optimizer: Optimizer,
    dataset: Dataset,
    epochs: int,
    batch_size: int = 32,
    validation: Dataset | None = None,
    checkpoint: Checkpoint | None = None,
) -> Iterator[Epoch]:
    """Train a network: a generator that yields after each epoch, so that the caller's loop decides what then happens.

    ``for epoch in train(...): print(epoch)``; to stop early, leave the loop. The samples come in a new random order
    each epoch, drawn by the network's own generator, which goes on from call to call.

    A data set larger than memory is trained from a file: ``Dataset(np.load("images.npy", mmap_mode="r"), labels)``.
    Where such a memory map is larger than 64 MiB it is shuffled in blocks: its blocks of 1 MiB, or of one batch where
    that is more, come in a random order; up to 64 MiB of them, or two, are read at a time, and their samples are mixed.

    Parameters
    ----------
    net : Network
        The network; its weights are changed in place.
    optimizer : Optimizer
        Made for this network.
    dataset : Dataset
        What to learn. uint8 inputs are scaled by 1/255.
    epochs : int
        Passes over the data.
    batch_size : int, default 32
        Samples a step; the last batch of an epoch may be shorter. 32 is a good start for small networks (Masters &
        Luschi, 2018).
    validation : Dataset, optional
        Evaluated after each epoch.
    checkpoint : Checkpoint, optional
        A file that the training is kept in, and goes on from where there is one already.

    Yields
    ------
    Epoch
        Its number, losses, accuracy and time.

    Raises
    ------
    ArgumentError
        If epochs or batch_size is no integer of at least 1, the optimizer or the checkpoint's `stopping` is another
        network's, or something has an attribute that a checkpoint cannot keep: also where it has become one later.
    InputError, ShapeError, TargetError
        If the data do not fit the network.
    CheckpointError, FileFormatError, OSError
        If the checkpoint is of another training, damaged beyond use, or cannot be read or written. All these are raised
        by the call itself, before the first epoch.
    DivergenceError
        At the end of an epoch in which the loss, a weight, or an average of the optimizer became NaN or infinite; if
        the loss of the validation set did; and by the call itself, if a weight is so from the start.
    ArgumentError
        Before a step for which a schedule gives a rate that is negative or NaN.
    """
    check_fit(net, optimizer, dataset)
    if validation is not None:
        check_dataset("validation", validation)
    epochs = at_least_one("epochs", epochs)
    batches = Batches(net, dataset, at_least_one("batch_size", batch_size))
    # Made now, so that what does not fit is refused now and not after the first epoch, and goes to the device once.
    held_out = Batches(net, validation, PREDICT) if validation is not None else None
    if checkpoint is None:
        return _epochs(net, optimizer, batches, epochs, held_out, Progress(), None)
    instance("checkpoint", checkpoint, Checkpoint, "make one: Checkpoint('run.ckpt')")
    progress = checkpoint.begin(net, optimizer, batches, held_out, epochs)
    return _epochs(net, optimizer, batches, epochs, held_out, progress, checkpoint)


def check_fit(net: Network, optimizer: Optimizer, dataset: Any) -> None:
    """Refuse an optimizer that is not this network's, what is no data set, and weights that are lost already.

    Raises
    ------
    ArgumentError, DivergenceError
    """
    instance("net", net, Network, "build one: Network(layers, loss)")
    instance("optimizer", optimizer, Optimizer, "make one for this network: e.g. SGD(net, lr=0.1)")
    if optimizer.net is not net:
        raise ArgumentError("the optimizer was made for another network; make one for this: e.g. SGD(net, lr=0.1)")
    check_dataset("dataset", dataset)
    net.check_weights()


def check_dataset(name: str, given: Any) -> None:
    """Refuse, by an ArgumentError, what is no data set."""
    instance(name, given, Dataset, "make one: Dataset(x, labels)")


def _epochs(
    net: Network,
    optimizer: Optimizer,
    batches: Batches,
    epochs: int,
    validation: Batches | None,
    progress: Progress,
    checkpoint: Checkpoint | None,
) -> Iterator[Epoch]:
    if checkpoint is not None:
        checkpoint.settle()
    for number in range(len(progress.history) + 1, epochs + 1):
        batches, validation = batches.sync(), validation.sync() if validation is not None else None
        start = time.perf_counter() - progress.seconds
        losses = _one_epoch(net, optimizer, batches, progress, checkpoint)
        loss = float(losses.mean(dtype="float64"))
        seconds = time.perf_counter() - start
        if not (np.isfinite(loss) and all_finite(net.xp, net.params, net.buffers, *optimizer.moments)):
            raise DivergenceError(_diagnosis(net, optimizer, to_host(losses), number, batches.batch_size))
        val_loss, val_accuracy = _evaluate(net, validation) if validation is not None else (None, None)
        epoch = Epoch(number, loss, val_loss, val_accuracy, seconds)
        yield epoch
        if checkpoint is None:
            progress = Progress()  # a history that nobody asks for would grow
        else:
            progress.next(epoch, dict(net.rng.bit_generator.state))
            checkpoint.epoch_done(last=number == epochs)


def _one_epoch(
    net: Network, optimizer: Optimizer, batches: Batches, progress: Progress, checkpoint: Checkpoint | None
) -> Array:
    """One pass over the samples in a new order, or the rest of one; the loss of each as it was learnt from."""
    seen, done = net.xp.empty(len(batches), net.dtype), 0
    if progress.losses is not None:
        done = len(progress.losses)
        seen[:done] = to_library(progress.losses, net.xp, net.dtype)
    progress.losses, start = seen, time.perf_counter() - progress.seconds
    with np.errstate(**SHOWN_BY_THE_LOSS):
        for x, t in batches.shuffled(net.rng, progress.steps):
            losses = net.unchecked_losses(x, t)
            net.backward()
            optimizer.step()
            seen[done : done + len(losses)] = losses
            done += len(losses)
            progress.steps += 1
            if checkpoint is not None:
                progress.seconds = time.perf_counter() - start
                checkpoint.step_done()
    return seen


def _diagnosis(net: Network, optimizer: Optimizer, losses: np.ndarray, epoch: int, batch_size: int) -> str:
    """Which step went wrong first, and the likely cause."""
    wrong = ~np.isfinite(losses)
    steps = -(-len(losses) // batch_size)
    first = int(np.argmax(wrong)) // batch_size if wrong.any() else steps - 1  # else the last update did it
    before = losses[: first * batch_size]
    if epoch == 1 and first == 0 and wrong.any():
        cause = "the inputs or the starting weights are too large: scale inputs to about -1..1, as uint8 is by itself"
    else:
        cause = f"the learning rate {optimizer.lr:g} is too high: try a tenth of it"
        cause += ", or clip_norm=1" if optimizer.clip_norm is None else ""
    rise = ""
    if before.size:
        start, end = (part.mean(dtype="float64") for part in (before[:batch_size], before[-batch_size:]))
        rise = f" (mean loss of the first batch {start:.4g}, of the last finite one {end:.4g})"
    what = "loss" if wrong.any() else "weights"
    if what == "weights" and all_finite(net.xp, net.params):
        what = "running statistics, or the averages of the optimizer,"
    return (
        f"the {what} became NaN or infinite in epoch {epoch}, at step {first + 1} of {steps}{rise}. "
        f"Likely cause: {cause}. The weights are lost; build the network anew to start again"
    )


def evaluate(net: Network, dataset: Dataset, batch_size: int = PREDICT) -> Evaluation:
    """Mean loss and accuracy of a network on a data set, as in use: nothing is trained and nothing disturbed.

    Parameters
    ----------
    net : Network
        The network.
    dataset : Dataset
        Inputs and targets.
    batch_size : int, default 512
        Samples at a time, which bounds the memory that is used.

    Returns
    -------
    Evaluation
        ``.loss`` and ``.accuracy`` (the share of samples whose largest output is the true class; with one output,
        of those on the right side of 0.5). Accuracy is NaN where the targets name no classes: numbers to be met, or
        several yes/no answers a sample.

    Raises
    ------
    ArgumentError, InputError, ShapeError, TargetError
        If the data do not fit the network.
    DivergenceError
        If a weight, or the loss of a sample, is NaN or infinite: no answer would mean anything.
    """
    instance("net", net, Network, "call evaluate(net, dataset)").check_weights()
    check_dataset("dataset", dataset)
    return _evaluate(net, Batches(net, dataset, at_least_one("batch_size", batch_size)))


def _evaluate(net: Network, batches: Batches) -> Evaluation:
    n = len(batches)
    losses, answers, done = net.xp.empty(n, net.dtype), net.xp.empty(n, "int64"), 0
    with net.inference_mode(), np.errstate(**SHOWN_BY_THE_LOSS):
        for x, t in batches(np.arange(n)):
            y = net.run_chain(x)
            losses[done : done + len(x)] = net.fused_loss.unchecked_losses(y, t)
            answers[done : done + len(x)] = classes(net.output_activation.forward(y) if net.output_activation else y)
            done += len(x)
    loss = float(losses.mean(dtype="float64"))
    if not np.isfinite(loss):  # then the largest output is not the answer
        bad = int(np.isfinite(to_host(losses)).argmin())
        raise DivergenceError(
            f"the loss of sample {bad} of those evaluated is NaN or infinite: it is too large for these weights and "
            f"{net.dtype}; scale inputs to about -1..1"
        )
    t = to_host(batches.t)
    right = accuracy(to_host(answers), t) if name_classes(t) else float("nan")
    return Evaluation(loss, right)


def name_classes(t: np.ndarray) -> bool:
    """Whether targets say which class is right: labels do, rows that sum to 1, and for one output 0 and 1."""
    if t.ndim == 1:
        return True
    if t.shape[1] == 1:
        return bool(((t == 0) | (t == 1)).all())
    return bool((t >= 0).all() and (abs(t.sum(axis=1) - 1) < 0.01).all())
