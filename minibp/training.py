"""train(): one epoch after another, as a generator."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from .averaging import WeightAverage, swap
from .backend import to_host, to_library
from .base import Array, all_finite, at_least_one, instance
from .data import Batches, Dataset
from .errors import ArgumentError, CheckpointError, DivergenceError, StateError, TrainingWarning
from .evaluation import check_dataset, evaluated, mean_loss
from .files import Checkpoint
from .hints import diagnosis, hints
from .network import Network
from .optimizer import Optimizer
from .parallel import Ranks, facts_of_start, ranks_of
from .program import choose, why_not
from .progress import Epoch, Progress
from .schedules import Constant
from .threads import Threads

STILL = 1e-12  # nothing is learned at such a rate. Step(0.1, every=10), which counts batches, has it after 110

TRAINED_ELSEWHERE = "the network is being trained by another thread; train a copy of it, or wait"


def train(
    net: Network,
    optimizer: Optimizer,
    dataset: Dataset,
    epochs: int,
    batch_size: int = 32,
    validation: Dataset | None = None,
    checkpoint: Checkpoint | None = None,
    compiled: bool | None = None,
    average: WeightAverage | None = None,
    comm: Any = None,
) -> Iterator[Epoch]:
    """Train a network. This is a generator: it yields after each epoch, and your loop decides what happens then.

    ``for epoch in train(...): print(epoch)`` trains; leave the loop to stop early. Each epoch goes through the samples
    in a new random order, drawn by the network's generator, which continues from call to call.

    A data set larger than memory can be a memory map: ``Dataset(np.load("images.npy", mmap_mode="r"), labels)``. If
    it is larger than 64 MiB, it is shuffled in blocks. Blocks of 1 MiB (or of one batch, if that is more) come in a
    random order; up to 64 MiB of them (or two) are read at a time, and their samples are mixed.

    If all matrix products of a step are small, they take one thread: others would gain little, and cost much where they
    wait for a processor. Larger ones take those of the BLAS: by default one for each processor, else what
    OPENBLAS_NUM_THREADS (or MKL_NUM_THREADS, ...) says when Python starts, or
    ``with threadpoolctl.threadpool_limits(1, "blas"):`` around the loop. Between two epochs all is as you have set it.

    Parameters
    ----------
    net : Network
        The network. Its weights are changed in place.
    optimizer : Optimizer
        An optimizer of this network.
    dataset : Dataset
        The training set. uint8 inputs are scaled by 1/255. Labels are checked and copied by the call. What your loop
        writes into inputs or target rows later may be trained on, unchecked.
    epochs : int
        Passes over the data.
    batch_size : int, default 32
        Samples a step; the last batch of an epoch may be shorter. 32 is a good start for small networks (Masters &
        Luschi, 2018).
    validation : Dataset, optional
        Evaluated after each epoch.
    checkpoint : Checkpoint, optional
        Keeps the training in a file, and continues from it if it exists.
    compiled : bool, optional
        Whether steps run as compiled operations, for which the extra `fast` is needed: up to 20 times as fast for small
        networks. The results differ from those of the formulas in rounding; each is reproducible. By default they do
        where it can be done and the work asked for (epochs, samples, parameters) saves the time to load them, 0.4 s;
        a resumed training goes on as it began. ``net.compiled`` tells. Then only `params`, `buffers`, `grads` and the
        optimizer are kept up to date: with ``compiled=False``, layers also hold the x, y and dx of the last batch. On a
        GPU, the steps take kernels of minibp's own, which need no extra.
    average : WeightAverage, optional
        Averages the weights over the steps. The network holds the average while your loop runs, and afterwards.
    comm : mpi4py.MPI.Intracomm, optional
        Trains on all processes of this communicator, as ``comm=MPI.COMM_WORLD`` (extra `mpi`, docs/parallel.md). All
        call `train` in the same way, and each computes its part of every batch by the formulas. From this call on,
        those on one host share its processors, unless OPENBLAS_NUM_THREADS (or MKL_NUM_THREADS, ...) is set.

    Yields
    ------
    Epoch
        Its number, losses, accuracy and time.

    Warns
    -----
    TrainingWarning
        If it will train badly, slowly or not at all, as far as some parts of the data show:

        - All layers are frozen, or those before a LayerNorm(1), or a BatchNorm in batches of one sample, cannot learn.
        - x reaches a Dense layer as uint8 of at most 16, which becomes 0.063 and less, or as floats with a feature
          whose root mean square is 40 or more.
        - The validation set is on another scale, or x and the rows of t are uint8, of which only x is scaled.
        - A schedule gave the rate 0, or almost 0, in all steps of an epoch.
        - Other programs take the processors, so that the threads of the matrix products wait for each other.

    Raises
    ------
    ArgumentError
        If optimizer, average or the checkpoint's `stopping` is of another network, an argument is outside its range,
        something has an attribute that a checkpoint cannot keep, a schedule returns anything but a number of at least
        0, or with compiled=True, if this training cannot be compiled; the message says why.
    InputError, ShapeError, TargetError
        If the data do not fit the network, or a method of your own class returns an array of the wrong shape.
    CheckpointError, FileFormatError, OSError
        If the checkpoint belongs to another training, which may write to it meanwhile, is damaged beyond use, or cannot
        be read or written. All errors so far are raised by the call itself, unless the cause comes later.
    DivergenceError
        At the end of an epoch, if the loss, a weight, a moment of the optimizer or the validation loss has become NaN
        or infinite; by the call itself, if a weight or a moment already is.
    StateError
        If another thread trains the network.
    RankError
        With `comm`, if a process fails, leaves the loop alone, or was started in another way; the message says which.
    MissingExtraError, BackendError
        With `comm`, if mpi4py, or the MPI library, is missing.
    """
    ranks = ranks_of(comm)
    prepare = partial(_prepare, net, optimizer, dataset, epochs, batch_size, validation, checkpoint, compiled, average)
    epochs, batches, held_out, program = prepare(ranks) if ranks is None else ranks.together(partial(prepare, ranks))
    if ranks is not None:
        given = (net, optimizer, batches, held_out, epochs, checkpoint, average)
        ranks.compare(ranks.together(lambda: facts_of_start(*given)))
    progress = Progress()
    if checkpoint is not None:
        swap(average, False)  # the file holds the weights of the training
        is_compiled = program is not None
        begin = partial(checkpoint.begin, net, optimizer, batches, held_out, epochs, is_compiled, average, ranks)
        progress = begin() if ranks is None else ranks.together(begin)
    trained = _epochs(net, optimizer, batches, epochs, held_out, progress, checkpoint, program, average, ranks)
    trained = _averaged(average, trained)
    return trained if ranks is None else ranks.run(net, trained, checkpoint)


def _prepare(
    net: Network,
    optimizer: Optimizer,
    dataset: Dataset,
    epochs: int,
    batch_size: int,
    validation: Dataset | None,
    checkpoint: Checkpoint | None,
    compiled: bool | None,
    average: WeightAverage | None,
    ranks: Ranks | None,
) -> tuple[int, Batches, Batches | None, Any]:
    """Check what `train` was given; returns the epochs, the batches, those of the validation, and any program."""
    check_fit(net, optimizer, dataset)
    if validation is not None:
        check_dataset("validation", validation)
    epochs = at_least_one("epochs", epochs)
    batches = Batches(net, dataset, at_least_one("batch_size", batch_size))
    # Made now, so that data that do not fit are refused before the first epoch, and go to the device once.
    held_out = Batches(net, validation, net.piece_size(validation.x.shape)) if validation is not None else None
    if ranks is None or not ranks.rank:
        for hint in hints(net, dataset, batches.batch_size, validation):
            warnings.warn(hint, TrainingWarning, 3 if ranks is None else 4)
    if average is not None:
        create = "create one for this network: WeightAverage(net)"
        if instance("average", average, WeightAverage, create).net is not net:
            raise ArgumentError(f"the average belongs to another network; {create}")
    if checkpoint is not None:
        instance("checkpoint", checkpoint, Checkpoint, "create one: Checkpoint('run.ckpt')")
        if net.training_lock.locked():  # the checkpoint would set it back on the way
            raise StateError(TRAINED_ELSEWHERE)
    if ranks is not None:
        ranks.check(len(dataset), batches.batch_size, compiled)
        compiled = False
    elif checkpoint is not None and compiled is None:
        compiled = checkpoint.compiled()
        if compiled and (reason := why_not(net, optimizer)):
            raise CheckpointError(f"{checkpoint.path}: its steps are compiled, which cannot be done here: {reason}")
    program = choose(net, optimizer, epochs * math.ceil(len(dataset) / batches.batch_size), compiled)
    return epochs, batches, held_out, program


def check_fit(net: Network, optimizer: Optimizer, dataset: Any) -> None:
    """Refuse arguments of the wrong class, another network's optimizer, and weights that are not finite."""
    instance("net", net, Network, "build one: Network(layers, loss)")
    instance("optimizer", optimizer, Optimizer, "create one for this network, e.g. SGD(net, lr=0.1)")
    if optimizer.net is not net:
        raise ArgumentError("the optimizer belongs to another network; create one for this, e.g. SGD(net, lr=0.1)")
    check_dataset("dataset", dataset)
    net.check_layers()
    net.check_weights()
    optimizer.check_moments()


def _averaged(average: WeightAverage | None, epochs: Iterator[Epoch]) -> Iterator[Epoch]:
    """These epochs; however they end, the network holds the average."""
    try:
        yield from epochs
    finally:
        swap(average, True)


def _epochs(
    net: Network,
    optimizer: Optimizer,
    batches: Batches,
    epochs: int,
    validation: Batches | None,
    progress: Progress,
    checkpoint: Checkpoint | None,
    program: Any,
    average: WeightAverage | None,
    ranks: Ranks | None,
) -> Iterator[Epoch]:
    if checkpoint is not None:
        checkpoint.settle()
    threads = Threads(net, math.ceil(batches.batch_size / (ranks.size if ranks is not None else 1)))
    warned = ranks is not None and ranks.rank > 0  # the first one does
    threads.told |= warned
    for number in range(len(progress.history) + 1, epochs + 1):
        if not net.training_lock.acquire(blocking=False):
            raise StateError(TRAINED_ELSEWHERE)
        try:
            swap(average, False)
            batches, validation = batches.sync(), validation.sync() if validation is not None else None
            with threads, net.device:
                net.program = program if program and program.runs(net) else None  # it may have moved
                start = time.perf_counter() - progress.seconds
                losses = _one_epoch(net, optimizer, batches, progress, checkpoint, average, ranks)
                loss = mean_loss(losses, batches)
                seconds = time.perf_counter() - start
                if not (np.isfinite(loss) and all_finite(net.xp, net.params, net.buffers, *optimizer.moments)):
                    raise DivergenceError(diagnosis(net, optimizer, batches, to_host(losses), number))
                if ranks is not None:
                    seconds = ranks.check_equal(net, optimizer, number, seconds)
                swap(average, True)
                val_loss, val_accuracy = evaluated(net, validation, ranks) if validation is not None else (None, None)
        finally:
            net.training_lock.release()
        epoch = Epoch(number, loss, val_loss, val_accuracy, seconds)
        if not warned and _stands_still(optimizer, progress.steps):
            what = f"{optimizer.schedule} gave a rate of (almost) 0 in all steps of an epoch: nothing was learned"
            counts = "A schedule counts batches, not epochs, and all steps of the optimizer, also those before it came"
            warnings.warn(f"{what}. {counts}: give it more steps, or create a new optimizer", TrainingWarning, 3)
            warned = True
        if hint := threads.hint():
            warnings.warn(hint, TrainingWarning, 3)
        yield epoch
        if checkpoint is None:
            progress = Progress()  # no history, which nobody would read
        else:
            swap(average, False)
            checkpoint.epoch_done(epoch, number == epochs, (ranks or checkpoint).asked)  # of ranks, all or none


def _one_epoch(
    net: Network,
    optimizer: Optimizer,
    batches: Batches,
    progress: Progress,
    checkpoint: Checkpoint | None,
    average: WeightAverage | None,
    ranks: Ranks | None,
) -> Array:
    """Make one pass over the samples, or the rest of one; returns the loss of each when it was trained on."""
    seen, start = net.xp.empty(len(batches), net.dtype), time.perf_counter() - progress.seconds
    if progress.losses is not None:
        seen[: progress.samples] = to_library(progress.losses, net.xp, net.dtype)
    progress.losses = seen
    with np.errstate(all="ignore"):  # the losses are checked
        every = checkpoint.every if checkpoint is not None and checkpoint.counts_steps else 0
        train_on = ranks.train if ranks is not None else net.program.train if net.program is not None else _steps
        for _ in train_on(net, optimizer, batches, progress, every, average):
            if checkpoint is not None:
                progress.seconds = time.perf_counter() - start
                checkpoint.step_done((ranks or checkpoint).asked)
            elif ranks is not None and ranks.asked:
                raise KeyboardInterrupt
    return seen


def _steps(
    net: Network, optimizer: Optimizer, batches: Batches, progress: Progress, every: int, average: WeightAverage | None
) -> Iterator[None]:
    """Make the steps of an epoch, or the rest of them, by the formulas, and yield after each."""
    for x, t, *weights in batches.shuffled(net.rng, progress.steps):
        done = slice(progress.samples, progress.samples + len(x))
        if weights and not weights[0].total:  # no sample of it counts
            progress.losses[done] = 0
        else:
            progress.losses[done] = net.unchecked_losses(x, t, *weights)
            net.backward()
            optimizer.step()
            if average is not None:
                average.update()
            if weights:
                progress.losses[done] *= weights[0].values
        progress.samples, progress.steps = done.stop, progress.steps + 1
        yield


def _stands_still(optimizer: Optimizer, steps: int) -> bool:
    """Whether a schedule gave almost no rate in the last `steps` steps. A number that is 0 was meant."""
    schedule = optimizer.schedule
    if optimizer.rate > STILL or isinstance(schedule, Constant):  # of the last step, and mostly the answer
        return False
    return all(schedule(step) <= STILL for step in range(max(optimizer.steps - steps, 0), optimizer.steps))
