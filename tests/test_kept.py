"""files.kept and files.restored: the attributes that a checkpoint keeps, of minibp's classes and of users' own."""

import collections
import copy
import enum
import functools
import json
import logging
import math
import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import STEPS, Run, assert_same, resumed, samples

from minibp import (
    SGD,
    Adam,
    Checkpoint,
    CrossEntropy,
    Dense,
    Dropout,
    EarlyStopping,
    Layer,
    Network,
    Optimizer,
    QuadraticLoss,
    schedules,
    train,
)
from minibp.errors import ArgumentError, CheckpointError
from minibp.files.kept import Keeper
from minibp.files.restored import Reader
from minibp.progress import Epoch
from minibp.schedules import Schedule

on_every_library = pytest.mark.usefixtures("library")


class Phase(enum.Enum):
    EARLY, LATE = 0.9, 0.8


class Stat:
    """An object."""

    value = None

    @classmethod
    def of(cls, value):
        made = cls()
        made.value = value
        return made


class Noise(Layer):
    """A layer with a generator, an integer that becomes a float, an enum, arrays, an object, and one attribute less."""

    def __init__(self):
        self.average, self.stat, self.first = None, Stat(), True
        self.random, self.size, self.phase, self.f = np.random.default_rng(0), 1, Phase.EARLY, math.sqrt

    def formula(self, x):
        if not self.training:
            return x
        self.size, self.phase, self.seen = self.size * self.phase.value, Phase.LATE, x
        self.average = x.mean(axis=0) + (0 if self.average is None else 0.9 * self.average)
        self.stat.value = {"seen": [*(self.stat.value or {"seen": []})["seen"], float(self.average[0])]}
        if hasattr(self, "first"):
            del self.first
        else:
            x = x + 0.01 * self.average
        return x + self.xp.asarray(self.random.normal(size=x.shape) * self.size, x.dtype)

    def gradient(self, dy):
        return dy


class Counted(CrossEntropy):
    """A loss whose gradient gets smaller with each step."""

    fuses = None
    seen = 0

    def gradient(self):
        self.seen += 1
        return super().gradient() * self.dtype.type(1 / self.seen)


class Chain(Schedule):
    """A schedule with others in a list, losses, a function, and numbers of NumPy."""

    def __init__(self):
        self.parts, self.losses = [schedules.Cosine(0.5, 40), schedules.ReduceOnPlateau(0.5, patience=0)], []
        self.root, self.of = math.sqrt, {"rate": np.float32(0.3), (1, 2): np.arange(3)}

    def __call__(self, step):
        rate = self.parts[0](step) * self.parts[1](step) * self.root(1 + len(self.losses)) * self.of["rate"]
        return float(rate) + 0.01 * self.of[1, 2][step % 3]


class Alternate(Optimizer):
    """An optimizer whose every other step is backwards."""

    def __init__(self, net, **options):
        self.sign, self.betas = -1.0, (0.9, 0.99)
        super().__init__(net, 0.1, **options)

    def update(self, w, g, delta, *moments):
        self.sign *= -self.betas[0]
        w -= self.xp.multiply(g, self.rate * self.sign, out=delta)


class Alias(SGD):
    """An optimizer with a view of the network's parameters, and a logger."""

    def __init__(self, net):
        super().__init__(net)
        self.view, self.log = net.params[:3], logging.getLogger("alias")

    def step(self):
        super().step()
        self.view += 1e-3


class Patient(EarlyStopping):
    """Early stopping with a counter n, a name that minibp uses for something else."""

    n = 0

    def should_stop(self, value):
        self.n += 1
        return self.n > 3 or super().should_stop(value)


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
    {"optimizer": Alias},
    {"patience": 2, "stopping": Patient},
    {"on_the_way": anneal},
    {"on_the_way": move},
    {"on_the_way": lambda run, epoch: run.net.rng.random()},
], ids=["layer", "loss", "schedule", "optimizer", "alias", "stopping", "annealed", "moved", "drawn"])  # fmt: skip
def test_changes_by_users_classes_and_the_loop_are_kept(path, options, stop):
    Run(**options).interrupted(path, stop, every="2steps")
    assert_same(Run(**options).go(path), Run(**options).go())


@on_every_library
def test_numbers_drawn_before_the_first_epoch_are_kept(path):
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


def test_objects_that_the_program_holds_are_changed_in_place(path):
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


class Slotted(Schedule):
    __slots__ = ("seen",)

    def __init__(self):
        self.seen = 0

    def __call__(self, step):
        return 0.1


def test_a_schedule_with_slots_is_refused(path):
    with pytest.raises(ArgumentError, match="cannot keep schedule, a Slotted"):
        Run(lambda net: SGD(net, Slotted())).go(path)


def onto(name, value):
    """A change of the fifth layer: this attribute becomes the result of a function."""
    return lambda run: setattr(run.net.layers[4], name, value())


def ring():
    one = Stat()
    one.of = [one]
    return one


@pytest.mark.parametrize(("change", "message"), [
    (lambda run: setattr(run.optimizer, "lr", Own()), "cannot keep schedule, now another object"),
    (lambda run: setattr(run.optimizer, "lr", schedules.ReduceOnPlateau(0.1)), "cannot keep schedule, now another"),
    (onto("random", lambda: math.sqrt), r"cannot keep layer 4\.random, now sqrt"),
    (onto("f", lambda: math.exp), r"cannot keep layer 4\.f, now exp"),
    (onto("f", lambda: lambda x: x), r"cannot keep layer 4\.f, now .*<lambda>, which it was not"),
    (onto("more", lambda: [Own()]), r"cannot keep layer 4\.more\[0\], now another object"),
    (onto("more", np.random.default_rng), r"cannot keep layer 4\.more, now another generator"),
    (onto("random", lambda: np.random.Generator(np.random.MT19937())), r"layer 4\.random, now another generator"),
    (onto("stat", Stat), r"cannot keep layer 4\.stat, now another object"),
    (onto("more", lambda: [[[[[[[[[[[[0]]]]]]]]]]]]), "lies over 10 deep in lists and objects"),
    (onto("more", lambda: Path("a")), r"cannot keep layer 4\.more, now .*Path\('a'\), which it was not"),
    (onto("teacher", lambda: Network([Dense(1, 1)], QuadraticLoss(), seed=1)), "another network, has changed"),
], ids=str)  # fmt: skip
def test_attributes_that_cannot_be_restored_are_refused_when_written(path, change, message):
    run = Run(more=[Noise], on_the_way=lambda run, epoch: change(run))
    with pytest.raises(ArgumentError, match=message):
        run.go(path)
    assert_same(Run(more=[Noise]).go(path), Run(more=[Noise]).go())  # the file before is whole


@pytest.mark.parametrize(("value", "message"), [
    (lambda run: run.net.rng, "is the network's generator: give it its own"),
    (lambda run: [run.net.rng], "is the network's generator"),
    (lambda run: collections.Counter(), "a Counter: build it of numbers, strings, lists"),
    (lambda run: random.Random(0), "a Random: build it of"),
    (lambda run: type("Slots", (), {"__slots__": ("a",)})(), "a Slots: build it of"),
    (lambda run: functools.partial(print), "a partial: build it of"),
    (lambda run: Adam(run.net), "another optimizer than the one that trains"),
    (lambda run: sys.stdout, "build it of numbers"),
    (lambda run: np.random.default_rng(0).random, "a method of another object: keep the object"),
    (lambda run: {Stat()}, "a set of things that are not numbers or strings"),
    (lambda run: np.arange(3).view(type("Sub", (np.ndarray,), {})), "a Sub of int64: make it an array"),
    (lambda run: {Dense: 1.0}, "a dict with keys that are not numbers or strings"),
    (lambda run: np.ma.array([1, 2]), "a MaskedArray of int64"),
    (lambda run: np.array(["a"]), "a ndarray of <U1"),
    (lambda run: 10**5000, "an integer of 16610 bits"),
    (lambda run: [run.net.params[:2]], "in it lies a view of the network's vectors; copy it"),
])  # fmt: skip
def test_attributes_that_cannot_be_kept_are_refused_at_the_start(path, value, message):
    run = Run(more=[Noise])
    run.net.layers[4].more = value(run)
    with pytest.raises(ArgumentError, match=message):
        run.go(path)
    assert not path.exists()


@pytest.mark.parametrize("nest", [lambda inner: [inner], lambda inner: {"a": inner}, lambda inner: Stat.of(inner)])
def test_the_deepest_allowed_nesting_can_be_read(path, nest):
    def build(path=None, **options):
        run, value = Run(more=[Noise]), 1
        for _ in range(10):
            value = nest(value)
        run.net.layers[4].more = value
        return run.go(path, **options)

    resumed(build, path, 3)


def test_a_ring_of_objects_is_kept(path):
    def build(path=None, **options):
        run = Run(more=[Noise])
        run.net.layers[4].ring = ring()
        return run.go(path, **options)

    layer = resumed(build, path, 3).net.layers[4]
    assert layer.ring.of[0] is layer.ring


def test_drawing_from_the_networks_generator_in_each_step_is_refused(path):
    class Noisy(SGD):
        def step(self):
            self.net.rng.random()
            super().step()

    with pytest.raises(ArgumentError, match=r"each step draws from the network's generator net\.rng"):
        Run(Noisy).go(path, every="3steps")


numbers = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(),
    st.floats(width=32).map(np.float32), st.integers(-128, 127).map(np.int8), st.booleans().map(np.bool_),
)  # fmt: skip
values = st.recursive(
    numbers, lambda one: st.lists(one) | st.lists(one).map(tuple) | st.dictionaries(st.text(), one), max_leaves=6
)


NET = Network([Dense(1, 1)], QuadraticLoss())


def restored(value, current):
    """A value that was kept, and is restored where a program has a current one."""
    keeper, ours, theirs = Keeper(NET), Stat.of(value), Stat.of(current)
    plain = keeper.encoded({"it": ours})["it"]
    reader = Reader(keeper.arrays)
    reader.put(reader.read_object(json.loads(json.dumps(plain)), theirs), theirs, np)
    return theirs.value


@given(value=values)
def test_values_come_back_as_they_were(value):
    try:
        again = restored(value, None)
    except ArgumentError as error:
        assert "over 10 deep" in str(error)
        return
    assert repr(again) == repr(value) and type(again) is type(value)


@pytest.mark.parametrize("value", [
    {1, 2}, collections.deque([1, 2], 3), {(1, "a"): [None]}, np.arange(6, dtype=">i2").reshape(2, 3), Phase.LATE,
    np.ones((2, 0)), {np.float32(1): 2}, (1, [2, {"a": (3,)}]),
], ids=repr)  # fmt: skip
def test_collections_come_back_as_they_were(value):
    again = restored(value, type(value) is Phase and Phase.EARLY)
    assert repr(again) == repr(value) and type(again) is type(value)


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, {1}, collections.deque([1]), np.arange(3)], ids=repr)
def test_lists_that_the_program_holds_receive_the_restored_contents(value):
    current = copy.deepcopy(value)
    current.fill(0) if isinstance(current, np.ndarray) else current.clear()
    assert restored(value, current) is current and repr(current) == repr(value)


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_a_generator_resumes(kind):
    ours, theirs = np.random.Generator(kind(1)), np.random.Generator(kind(2))
    ours.random(3)
    assert restored(ours, theirs) is theirs and theirs.random() == ours.random()


@pytest.mark.parametrize(("kind", "name", "position"), [
    (np.random.MT19937, "pos", 2**30), (np.random.MT19937, "pos", -1), (np.random.Philox, "buffer_pos", 5),
])  # fmt: skip
def test_a_position_outside_the_buffer_of_a_generator_is_refused(kind, name, position):
    keeper, holder = Keeper(NET), Stat.of(np.random.Generator(kind(0)))
    plain = json.dumps(keeper.encoded({"it": holder})["it"])
    changed = re.sub(rf'\["{name}", \d+\]', f'["{name}", {position}]', plain)
    with pytest.raises(ArgumentError, match=rf"{name} of a generator must .* of 0\.\.\d+, received {position}"):
        Reader(keeper.arrays).read_object(json.loads(changed), holder)


class Mine(Dropout):
    """A subclass of a layer of minibp, with an attribute of its own."""

    def __init__(self):
        super().__init__(0.5, seed=1)
        self.note = 1


@pytest.mark.parametrize(("layer", "name", "value", "message"), [
    (Dropout(0.5, seed=1), "rate", 1.5, r"Dropout: rate must lie in \[0, 1\)"),
    (Mine(), "rate", "x", "Mine: rate must lie in"),
    (Mine(), "seed", -1, "Mine: seed must be an integer of at least 0"),
    (Mine(), "seed", ["gone"], "seed must be an integer of at least 0, received .*gone"),
    (Mine(), "formula", 1, "formula is no attribute of a Mine that a file could give"),
    (Mine(), "_arrays", {}, "_arrays is no attribute"),
    (Mine(), "xp", 3, "xp is None, in the file 3"),
    (Mine(), "training", "x", "training must be True or False, received 'x'"),
    (Dense(2, 2), "n_in", 3, "n_in is 2, in the file 3"),
    (SGD(NET, momentum=0.5), "momentum", 0.0, None),
    (SGD(NET, momentum=0.5), "momentum", 5.0, r"SGD: momentum must lie in \[0, 1\)"),
    (SGD(NET), "momentum", 0.5, "the momentum was 0 when this SGD was created"),
    (SGD(NET, momentum=0.5), "moments", 1, "moments is no attribute"),
    (SGD(NET, momentum=0.5), "net", 1, "net is no attribute"),
    (schedules.Step(0.1, 2), "every", 0, "Step: every must be an integer of at least 1"),
    (schedules.Warmup(0.1, 2), "then", "x", "lr must be a finite number"),
    (schedules.ReduceOnPlateau(0.1), "best", ["object", "minibp.Constant", 0, {"lr": 1.0}], "received .*Constant"),
], ids=lambda value: value if isinstance(value, str) else type(value).__name__)  # fmt: skip
def test_attributes_of_minibps_classes_are_checked_when_they_come_from_a_file(layer, name, value, message):
    keeper = Keeper(NET)
    plain = keeper.encoded({"it": layer})["it"]
    plain[3][name] = value
    if message is None:
        Reader({}).read_object(plain, layer)
        return
    before = dict(vars(layer))
    with pytest.raises(ArgumentError, match=message):
        Reader({}).read_object(plain, layer)
    assert vars(layer) == before


# --- shared objects ------------------------------------------------------------------------------------------------


class Window(Layer):
    """A layer with averages and a moving window, some of which are the same object at the start."""

    def __init__(self, start):
        self.mean = self.before = start
        self.window = [start] * 3
        self.last = collections.deque([start] * 2, 2)
        self.zero, self.kinds, self.named = np.array(0.5), {"b", "a"}, Epoch(1, 0.5, None, None, 1.0)
        self.columns, self.big = np.asfortranarray(np.ones((5, 5))), np.arange(5, dtype=">f4")

    def formula(self, x):
        if not self.training:
            return x
        mean = x.mean(axis=0)
        self.before, self.mean = self.mean, 0.9 * self.mean + 0.1 * mean
        self.window = [*self.window[1:], mean]
        self.last.append(self.window[0] + self.mean)
        self.columns = self.xp.asfortranarray(self.xp.outer(mean, mean))
        shift = self.columns.sum(axis=1) + sum(self.window) + sum(self.last) + self.before
        return x + 0.01 * shift.astype(x.dtype)

    def gradient(self, dy):
        return dy


@on_every_library
@pytest.mark.host
@pytest.mark.parametrize("stop", [1, STEPS - 2, 2 * STEPS])
def test_shared_objects_are_shared_again_and_others_are_not_changed(path, stop):
    dataset = samples()
    rows, zero = dataset.x[:5, 0], np.zeros(5, "float32")

    def build(file=None, **options):
        run = Run(more=[lambda: Window(rows), lambda: Window(zero)])
        return run.go(file, dataset=dataset, **options)

    kept = dataset.x.copy()
    again = resumed(build, path, stop)
    assert_same(again, build())
    assert (dataset.x == kept).all() and not zero.any()
    assert again.net.layers[4].big.dtype == ">f4"


def test_a_list_that_a_program_and_two_layers_share_stays_one(path):
    def build(file=None, **options):
        rates = {"tau": 1.0}
        run = Run(more=[Noise, Noise], on_the_way=lambda run, epoch: rates.update(tau=rates["tau"] * 0.5))
        for layer in run.net.layers[4:6]:
            layer.rates = rates
        run.rates = rates
        return run.go(file, **options)

    again = resumed(build, path, 2 * STEPS + 1)
    assert again.net.layers[4].rates is again.net.layers[5].rates is again.rates
    assert again.rates == {"tau": 0.5**4}


def test_long_lists_of_numbers_are_stored_as_arrays(path):
    def build(file=None, **options):
        run = Run(more=[Noise], on_the_way=lambda run, epoch: run.net.layers[4].log.extend([0.1 * epoch.number] * 999))
        run.net.layers[4].log = [0.5]
        return run.go(file, **options)

    assert resumed(build, path, 3 * STEPS + 1).net.layers[4].log == build().net.layers[4].log


def test_attributes_of_a_users_network_are_kept(path, monkeypatch):
    class Counting(Network):
        def unchecked_losses(self, x, t):
            self.calls = getattr(self, "calls", 0) + 1
            return super().unchecked_losses(x, t)

    monkeypatch.setattr("runs.Network", Counting)
    Run().interrupted(path, STEPS + 2)
    assert Run().go(path).net.calls == Run().go().net.calls


def test_a_layer_that_the_loop_freezes_stays_frozen(path):
    def freeze(run, epoch):
        run.net.layers[1].training = epoch.number < 2

    Run(on_the_way=freeze).interrupted(path, 3 * STEPS)
    assert_same(Run(on_the_way=freeze).go(path), Run(on_the_way=freeze).go())


class Half(Dropout):
    rate = 0.25

    def __init__(self):
        self.seed, self.step = None, 0


@pytest.mark.parametrize("options", [
    {"more": [Half]},
    {"optimizer": lambda net: SGD(net, type("Ends", (schedules.Cosine,), {"end": 0.001})(0.1, 40))},
], ids=["layer", "schedule"])  # fmt: skip
def test_a_users_class_may_replace_a_checked_number_of_its_base(path, options):
    Run(**options).interrupted(path, STEPS + 2)
    assert_same(Run(**options).go(path), Run(**options).go())
