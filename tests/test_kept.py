"""What a checkpoint keeps of layers, losses, optimizers and schedules, also of a user's own."""

import enum
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import STEPS, Run, assert_same, samples

from minibp import SGD, Checkpoint, CrossEntropy, Layer, Optimizer, schedules, train
from minibp.errors import ArgumentError, CheckpointError
from minibp.kept import decode, encode
from minibp.schedules import Schedule

on_every_library = pytest.mark.usefixtures("library")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


class Phase(enum.Enum):
    EARLY, LATE = 0.9, 0.8


class Noise(Layer):
    """A generator, a number that becomes a float, a member of an enum, and an array of the last batch."""

    def __init__(self):
        self.random, self.size, self.phase, self.f = np.random.default_rng(0), 1, Phase.EARLY, math.sqrt

    def formula(self, x):
        if not self.training:
            return x
        self.size, self.phase, self.seen = self.size * self.phase.value, Phase.LATE, x
        return x + self.xp.asarray(self.random.normal(size=x.shape) * self.size, x.dtype)

    def gradient(self, dy):
        return dy


class Counted(CrossEntropy):
    """A loss that gets weaker, step by step."""

    fuses = None
    seen = 0

    def gradient(self):
        self.seen += 1
        return super().gradient() * self.dtype.type(1 / self.seen)


class Chain(Schedule):
    """Schedules and losses in lists, a function, and numbers of NumPy."""

    def __init__(self):
        self.parts, self.losses = [schedules.Cosine(0.5, 40), schedules.ReduceOnPlateau(0.5, patience=0)], []
        self.root, self.of = math.sqrt, {"rate": np.float32(0.3), (1, 2): np.arange(3)}

    def __call__(self, step):
        rate = self.parts[0](step) * self.parts[1](step) * self.root(1 + len(self.losses)) * self.of["rate"]
        return float(rate) + 0.01 * self.of[1, 2][step % 3]


class Alternate(Optimizer):
    """Every other step is backwards."""

    def __init__(self, net, **options):
        self.sign, self.betas = -1.0, (0.9, 0.99)
        super().__init__(net, 0.1, **options)

    def update(self, w, g, delta, *moments):
        self.sign *= -self.betas[0]
        w -= self.xp.multiply(g, self.rate * self.sign, out=delta)


def note(run, epoch):
    chain = run.optimizer.schedule
    chain.losses.append(epoch.loss)
    chain.parts[1].update(1.0)
    chain.of["rate"] *= np.float32(0.9)


def anneal(run, epoch):
    run.net.layers[3].rate = 0.1 * epoch.number
    run.net.layers[1].momentum = np.float32(0.9) / epoch.number


def move(run, epoch):
    if epoch.number == 1:
        run.net.to(run.net.backend, "float64")


@on_every_library
@pytest.mark.parametrize("stop", [STEPS - 2, 2 * STEPS, 2 * STEPS + 3])
@pytest.mark.parametrize("options", [
    {"more": [Noise]},
    {"loss": Counted},
    {"optimizer": lambda net: SGD(net, Chain()), "on_the_way": note},
    {"optimizer": Alternate},
    {"on_the_way": anneal},
    {"on_the_way": move},
    {"on_the_way": lambda run, epoch: run.net.rng.random()},
], ids=["layer", "loss", "schedule", "optimizer", "annealed", "moved", "drawn"])  # fmt: skip
def test_what_classes_of_ones_own_and_the_loop_change_is_kept(path, options, stop):
    Run(**options).interrupted(path, stop, every="2steps")
    assert_same(Run(**options).go(path), Run(**options).go())


@on_every_library
def test_what_a_program_draws_before_the_first_epoch_is_part_of_it(path):
    def drawing(file=None, stop=None):
        run = Run()
        epochs = train(run.net, run.optimizer, samples(), 3, 8, checkpoint=Checkpoint(path) if file else None)
        run.net.rng.random()
        for epoch in epochs:
            if epoch.number == stop:
                break
        return run

    drawing(path, stop=2)
    assert_same(drawing(path), drawing())


def test_what_the_program_holds_is_changed_in_place(path):
    Run(lambda net: SGD(net, Chain()), on_the_way=note).go(path)
    chain = Chain()
    plateau = chain.parts[1]
    run = Run(lambda net: SGD(net, chain))
    train(run.net, run.optimizer, samples(), 4, 8, samples(1), Checkpoint(path))
    assert run.optimizer.schedule is chain and chain.parts[1] is plateau
    assert len(chain.losses) == 4 and plateau.lr < 0.5 and chain.root is math.sqrt


def test_attributes_that_differ_are_another_training(path):
    def other():
        chain = Chain()
        chain.losses = [1.0]
        return chain

    Run(lambda net: SGD(net, Chain())).interrupted(path, 3)
    with pytest.raises(CheckpointError, match=r"learning rate\n.*losses=\[1\.0\].*\n.*losses=\[\]"):
        Run(lambda net: SGD(net, other())).go(path)
    with pytest.raises(CheckpointError, match="network"):
        Run(lambda net: SGD(net, Chain()), more=[Noise]).go(path)


class Own(Schedule):
    def __call__(self, step):
        return 0.1


@pytest.mark.parametrize(("change", "message"), [
    (lambda run: setattr(run.optimizer, "lr", Own()), r"schedule, which has become Own: give it one at the start"),
    (lambda run: setattr(run.net.layers[4], "random", math.sqrt), r"parts: layer 4: random, which has become sqrt"),
    (lambda run: setattr(run.net.layers[4], "f", math.exp), r"parts: layer 4: f, which has become exp"),
    (lambda run: setattr(run.net.layers[4], "more", [Own()]), r"a value of parts: layer 4: more, which has become O"),
    (lambda run: setattr(run.net.layers[4], "more", np.random.default_rng()), r"parts: .* more, which has become gen"),
    (lambda run: setattr(run.net.layers[4], "more", [[[[[[0]]]]]]), r"Noise\(\): more.*: lists or objects lie in each"),
    (lambda run: setattr(run.net.layers[4], "more", {1, 2}), r"Noise\(\): more, a set: use numbers, texts"),
])  # fmt: skip
def test_what_could_not_be_given_back_is_refused_when_it_is_written(path, change, message):
    run = Run(more=[Noise], on_the_way=lambda run, epoch: change(run))
    with pytest.raises(ArgumentError, match=f"a checkpoint cannot keep {message}"):
        run.go(path)
    assert_same(Run(more=[Noise]).go(path), Run(more=[Noise]).go())  # the file before is whole


def test_a_layer_that_draws_from_the_networks_generator_is_refused(path):
    run = Run(more=[Noise])
    run.net.layers[4].random = run.net.rng
    with pytest.raises(ArgumentError, match=r"Noise\(\) draws from the network's generator"):
        run.go(path)


numbers = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(),
    st.floats(width=32).map(np.float32), st.integers(-128, 127).map(np.int8), st.booleans().map(np.bool_),
)  # fmt: skip
values = st.recursive(
    numbers, lambda one: st.lists(one) | st.lists(one).map(tuple) | st.dictionaries(st.text(), one), max_leaves=6
)


@given(value=values)
def test_values_come_back_as_they_were(value):
    try:
        plain = encode(value, "it")
    except ArgumentError as error:
        assert "over 5 deep" in str(error)
        return
    again = decode(plain, None, in_place=False)
    assert repr(again) == repr(value) and type(again) is type(value)


def test_a_generator_goes_on_where_it_was():
    for kind in (np.random.PCG64, np.random.MT19937):
        ours, theirs = np.random.Generator(kind(1)), np.random.Generator(kind(2))
        ours.random(3)
        again = decode(encode(ours, "it"), theirs, in_place=True)
        assert again is theirs and again.random() == ours.random()
