"""A training that a program starts again and again, for the tests of checkpoints."""

import numpy as np
import pytest
from arrays import assert_equal

from minibp import (
    Adam,
    BatchNorm,
    Checkpoint,
    CrossEntropy,
    Dense,
    Dropout,
    EarlyStopping,
    LayerNorm,
    Network,
    ReLU,
    Softmax,
    schedules,
    train,
)
from minibp.data import Dataset

SAMPLES, BATCH, EPOCHS = 50, 8, 4
STEPS = 7  # of an epoch; the last batch is shorter


def samples(seed=0, kind="float32"):
    rng = np.random.default_rng(seed)
    return Dataset(rng.normal(size=(SAMPLES, 6)).astype(kind), rng.integers(3, size=SAMPLES))


class Run:
    """A training of a small network, as a program would build it each time it is started."""

    def __init__(self, optimizer=lambda net: Adam(net, lr=0.01), seed=0, hidden=5, dtype="float32", patience=0, more=(),
                 loss=CrossEntropy, stopping=EarlyStopping, on_the_way=lambda run, epoch: None):  # fmt: skip
        layers = [Dense(6, hidden), BatchNorm(hidden), ReLU(), Dropout(0.3), *(layer() for layer in more)]
        layers += [LayerNorm(hidden), Dense(hidden, 3), Softmax()]
        self.net = Network(layers, loss(), dtype=dtype, seed=seed)
        self.optimizer = optimizer(self.net)
        self.stopping = stopping(self.net, patience) if patience else None
        self.epochs, self.checkpoint, self.on_the_way = [], None, on_the_way

    def go(self, path=None, every=1, stop=None, epochs=EPOCHS, batch_size=BATCH, dataset=None, validation=None):
        """Train; with `stop`, interrupt the training after that many steps."""
        if path is not None:
            self.checkpoint = Checkpoint(path, every, self.stopping)
        dataset = samples() if dataset is None else dataset
        step = self.optimizer.step

        def counted():
            step()
            if self.optimizer.steps == stop:
                self.checkpoint.interrupt()

        self.optimizer.step = counted
        validation = samples(1) if validation is None else validation
        for epoch in train(self.net, self.optimizer, dataset, epochs, batch_size, validation, self.checkpoint):
            self.epochs.append(epoch)
            self.on_the_way(self, epoch)
            schedule = getattr(self.optimizer.schedule, "then", self.optimizer.schedule)  # that in a Warmup
            if isinstance(schedule, schedules.ReduceOnPlateau):
                schedule.update(epoch.val_loss)
            if self.stopping and self.stopping.should_stop(epoch.val_loss):
                break
        return self

    def interrupted(self, path, stop, **options):
        with pytest.raises(KeyboardInterrupt):
            self.go(path, stop=stop, **options)
        return self


def assert_same(ours, theirs):
    """Two runs ended with the same bits."""
    pairs = [(ours.net.params, theirs.net.params), (ours.net.buffers, theirs.net.buffers)]
    pairs += zip(ours.optimizer.moments, theirs.optimizer.moments, strict=True)
    for our, their in pairs:
        assert_equal(our, their)
    assert ours.optimizer.steps == theirs.optimizer.steps and ours.optimizer.lr == theirs.optimizer.lr
    assert ours.net.rng.bit_generator.state == theirs.net.rng.bit_generator.state


def assert_same_state(ours, theirs):
    """Two results of `state_dict` are equal to the bit."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        if isinstance(value, dict):
            assert_same_state(value, theirs[name])
        elif isinstance(value, np.ndarray):
            assert_equal(value, theirs[name])
            assert value.dtype == theirs[name].dtype
        else:
            assert repr(value) == repr(theirs[name])
