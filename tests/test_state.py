"""base.state: every object gives its state and takes it back, and users' classes declare what belongs to theirs."""

import copy

import numpy as np
import pytest
from networks import every_layer
from pages import example
from runs import EPOCHS, STEPS, Run, assert_same, assert_same_state, samples
from test_readme import GUIDE

import minibp
from minibp import SGD, Adam, CrossEntropy, Dense, EarlyStopping, Layer, Network, train
from minibp import schedules as s
from minibp.base import Stateful
from minibp.data import Dataset
from minibp.errors import ArgumentError, CheckpointError

on_every_library = pytest.mark.usefixtures("library")

# --- state_dict and load_state_dict --------------------------------------------------------------------------------

BASES = {minibp.Layer, minibp.Loss, minibp.Optimizer}
PUBLIC = {cls for cls in map(minibp.__dict__.get, minibp.__all__) if isinstance(cls, type)} - BASES
KINDS = [*(cls for cls in PUBLIC if issubclass(cls, Stateful)), *s.Schedule.__subclasses__()]
KINDS = sorted({cls for cls in KINDS if cls.__module__.startswith("minibp.")}, key=str)


def objects(seed, epochs):
    """An object of each class by its class, after some epochs. Numbers depend on the seed."""
    net, rate = every_layer(seed=seed), 0.1 / (1 + seed)
    optimizers = [cls(net, rate) for cls in KINDS if issubclass(cls, minibp.Optimizer) and cls is not SGD]
    optimizers += [SGD(net, s.ReduceOnPlateau(rate, patience=0), momentum=0.5, clip_norm=1 + seed)]
    plateau, stopping = s.ReduceOnPlateau(rate, patience=0), EarlyStopping(net, patience=1 + seed)
    schedules = [s.Constant(rate), s.Step(rate, 2), s.Exponential(rate, 9), s.Cosine(rate, 9), s.Warmup(plateau, 2)]
    average = minibp.WeightAverage(net, 0.9 / (1 + seed))
    data = Dataset(np.random.default_rng(0).normal(size=(10, 2, 2)), np.arange(10) % 3)
    for optimizer in optimizers:
        for epoch in train(net, optimizer, data, 1, average=average) if epochs else ():
            stopping.should_stop(epoch.loss)
            plateau.update(1.0)
    losses = [cls() for cls in KINDS if issubclass(cls, minibp.Loss)]
    found = [net, *net.named_modules().values(), *losses, *optimizers, plateau, *schedules, stopping, average]
    return {type(each): each for each in found}


@on_every_library
@pytest.mark.parametrize("kind", KINDS, ids=lambda cls: cls.__name__)
def test_a_new_object_with_the_state_of_another_has_the_same_state(kind):
    theirs, ours = objects(0, epochs=1)[kind], objects(1, epochs=0)[kind]
    state = theirs.state_dict()
    ours.load_state_dict(copy.deepcopy(state))
    assert_same_state(ours.state_dict(), state)


def test_a_state_is_a_copy():
    for each in objects(0, epochs=1).values():
        state, before = each.state_dict(), copy.deepcopy(each.state_dict())
        for value in state.values():
            value.fill(0) if isinstance(value, np.ndarray) else value.clear() if isinstance(value, dict) else None
        assert_same_state(each.state_dict(), before)


@pytest.mark.parametrize(("kind", "change", "message"), [
    (Dense, {"W": ...}, "Dense: the state has no W$"),
    (Dense, {"V": 1, "b": ...}, "Dense: the state has no b and the unknown V$"),
    (Dense, {"W": np.ones((2, 8))}, r"Dense: W must hold finite numbers, shape \(8, 3\); received shape \(2, 8\)"),
    (Dense, {"b": np.full(3, np.inf)}, "Dense: b must hold finite numbers, .* with NaN or infinity in it"),
    (Dense, {"trainable": 1}, "Dense: trainable must be True or False, received 1"),
    (minibp.Residual, {"0.b": ...}, "Dense: the state has no b"),
    (Network, {"layers.3.gamma": ...}, "BatchNorm: the state has no gamma"),
    (Adam, {"steps": -1}, "Adam: steps must be an integer of at least 0, received -1"),
    (Adam, {"moments.1": np.ones(3)}, r"Adam: moments.1 must hold finite numbers, shape .*; received shape \(3,\)"),
    (SGD, {"nesterov": True, "momentum": 0.0}, "nesterov=True needs a momentum"),
    (s.Cosine, {"class": "Step"}, "Cosine: the state is one of Step"),
    (EarlyStopping, {"best_buffers": np.ones(3)}, r"EarlyStopping: best_buffers must hold finite numbers, shape"),
])  # fmt: skip
def test_a_state_that_does_not_fit_is_refused(kind, change, message):
    thing = objects(0, epochs=1)[kind]
    state = {name: value for name, value in {**thing.state_dict(), **change}.items() if value is not ...}
    with pytest.raises(ArgumentError, match=message):
        thing.load_state_dict(state)


# --- users' classes ------------------------------------------------------------------------------------------------


class Noise(Layer):
    """A layer with a count, a number that becomes an array, nothing that becomes one, a string and a generator."""

    state_attributes = ("count", "mean", "last", "phase", "random")

    def __init__(self):
        super().__init__()
        self.count, self.mean, self.last, self.phase, self.random = 0, 0.0, None, "a", np.random.default_rng(0)

    def formula(self, x):
        if not self.training:
            return x
        scale = self.count * len(self.phase) * 1e-3
        y = x + self.xp.asarray(self.random.normal(size=x.shape) * scale, x.dtype) + 0.1 * self.mean
        y = y if self.last is None else y + 0.1 * self.last
        self.count, self.phase = self.count + 1, self.phase + "a"
        self.mean, self.last = 0.9 * self.mean + 0.1 * x.mean(axis=0), x[0].copy()
        return y

    def gradient(self, dy):
        return dy


class Window(Noise):
    """A layer with a tuple, which overrides the pair."""

    means = (0.0, 0.0, 0.0)

    def state_dict(self):
        return super().state_dict() | {"means": [*self.means]}

    def load_state_dict(self, state):
        super().load_state_dict({name: value for name, value in state.items() if name != "means"})
        self.means = tuple(state["means"])

    def formula(self, x):
        self.means = (*self.means[self.training :], *[float(x.mean())] * self.training)
        return super().formula(x + x.dtype.type(self.means[0]))


class Counted(CrossEntropy):
    fuses, state_attributes, seen = None, ("seen",), 0

    def gradient(self):
        self.seen += 1
        return super().gradient() * self.dtype.type(1 / self.seen)


class Alternate(SGD):
    """Every other step goes backwards."""

    state_attributes = ("sign",)

    def __init__(self, net):
        self.sign = np.float32(-1)
        super().__init__(net)

    def begin(self, lr):
        self.sign *= np.float32(-0.9)
        super().begin(lr * float(self.sign))


class Cycle(s.Schedule):
    state_attributes = ("rates", "used")

    def __init__(self):
        self.rates, self.used = np.array([0.1, 0.2, 0.3], ">f4"), 0

    def __call__(self, step):
        return float(self.rates[step % 3])


def turn(run, epoch):
    cycle = run.optimizer.schedule.then
    cycle.rates, cycle.used = cycle.rates[::-1] * 0.9, cycle.used + 1


class Patient(EarlyStopping):
    state_attributes, n = ("n",), 0

    def should_stop(self, value):
        self.n += 1
        return self.n > 3 or super().should_stop(value)


class Counting(Network):
    state_attributes, calls = ("calls",), 0

    def unchecked_losses(self, x, t):
        self.calls += 1
        return super().unchecked_losses(x, t) / self.calls


@on_every_library
@pytest.mark.parametrize("stop", [STEPS - 2, 2 * STEPS, 2 * STEPS + 3])
@pytest.mark.parametrize("options", [
    {"more": [Noise]},
    {"more": [lambda: minibp.Residual(Noise()), Window]},
    {"loss": Counted},
    {"optimizer": Alternate},
    {"optimizer": lambda net: SGD(net, s.Warmup(Cycle(), 2)), "on_the_way": turn},
    {"patience": 2, "stopping": Patient},
    {"network": Counting},
], ids=["layer", "inside, and a pair", "loss", "optimizer", "schedule", "stopping", "network"])  # fmt: skip
def test_declared_state_resumes(path, monkeypatch, options, stop):
    monkeypatch.setattr("runs.Network", options.get("network", Network))
    options = {name: value for name, value in options.items() if name != "network"}
    Run(**options).interrupted(path, stop, every="2steps")
    ours, theirs = Run(**options).go(path), Run(**options).go()
    assert_same(ours, theirs)
    for thing in ("net", "optimizer", *(["stopping"] if ours.stopping else [])):
        assert_same_state(getattr(ours, thing).state_dict(), getattr(theirs, thing).state_dict())


def holding(value, change=None, base=Layer, **declared):
    """A user's class of layers, or of another base, with an attribute `held` that changes when it is used."""

    def start(self, *arguments):
        base.__init__(self, *arguments)
        self.held = value

    def use(self, *arguments):
        self.held = change(self.held) if change else self.held
        return arguments[0] if base is Layer else getattr(base, used)(self, *arguments)

    used = {Layer: "formula", SGD: "step", EarlyStopping: "should_stop", CrossEntropy: "gradient",
            s.ReduceOnPlateau: "update"}[base]  # fmt: skip
    more = {"gradient": lambda self, dy: dy} if base is Layer else {"fuses": None} if base is CrossEntropy else {}
    return type("Own", (base,), {"__init__": start, used: use, **more, **declared})


@pytest.mark.parametrize(("options", "place"), [
    ({"more": [holding(0, lambda n: n + 1)]}, "network.layers.4"),
    ({"more": [holding(0, lambda n: None)]}, "network.layers.4"),
    ({"more": [lambda: minibp.Sequential(holding("a", lambda text: text + "a")())]}, "network.layers.4.0"),
    ({"more": [holding(np.zeros(3), lambda x: x + 1)]}, "network.layers.4"),
    ({"more": [holding(np.random.default_rng(0), lambda rng: rng.random() and rng)]}, "network.layers.4"),
    ({"loss": holding(1.0, lambda n: n / 2, CrossEntropy)}, "network.loss"),
    ({"optimizer": holding(True, lambda flag: not flag, SGD)}, "optimizer"),
    ({"patience": 3, "stopping": holding(0, lambda n: n + 1, EarlyStopping)}, "early stopping"),
    ({"optimizer": lambda net: SGD(net, s.Warmup(holding(0, lambda n: n + 1, s.ReduceOnPlateau)(0.1), 2))},
     "optimizer.schedule.then"),
])  # fmt: skip
def test_an_undeclared_attribute_that_has_changed_is_refused_with_the_line_that_declares_it(path, options, place):
    what = f"^{place}: held has changed, and a checkpoint does not keep it"
    with pytest.raises(ArgumentError, match=what + r"; declare it in class Own, state_attributes = \('held',\), and"):
        Run(**options).go(path, every="3steps")


@pytest.mark.parametrize("before", ["nothing", "alone", "a forward", "a training"])
def test_what_only_a_formula_sets_is_nobodys_state(path, before):
    namespace = {}
    exec(example(GUIDE, "class Swish"), namespace)

    def swish():
        layer = namespace["Swish"]()
        if before == "alone":
            layer.forward(layer.xp.ones((2, 5)))
        return layer

    def run():
        run = Run(more=[swish])
        if before == "a forward":
            run.net.forward(samples().x, samples().t)
        if before == "a training":
            list(train(run.net, run.optimizer, samples(1), 1))
        return run

    run().interrupted(path, 2 * STEPS + 3)
    assert_same(run().go(path, epochs=EPOCHS), run().go(epochs=EPOCHS))


@pytest.mark.parametrize("value", [
    np.random.Generator(np.random.MT19937(0)), np.array([{}]), (1, [2]), {1}, np.float32,
])  # fmt: skip
def test_undeclared_attributes_of_any_kind_may_stay_as_they_are(path, value):
    Run(more=[holding(value)]).interrupted(path, 3)
    assert_same(Run(more=[holding(value)]).go(path), Run().go())


@pytest.mark.parametrize(("value", "message"), [
    ((1, 2), r"cannot keep layers.4.held of the network, \(1, 2\): state_dict\(\) must give numbers, strings"),
    ({1: 2}, r"cannot keep layers.4.held of the network, \{1: 2\}"),
    (np.random.Generator(np.random.PCG64DXSM(0)), "held is a generator of PCG64DXSM; use numpy.random.default_rng"),
])  # fmt: skip
def test_declared_values_that_a_file_would_change_are_refused(path, value, message):
    with pytest.raises(ArgumentError, match=message):
        Run(more=[holding(value, state_attributes=("held",))]).go(path)
    assert not path.exists()


@pytest.mark.parametrize("value", ["x", [1.0], {}])
def test_declared_values_of_another_kind_are_refused(value):
    layer = holding(1.5, state_attributes=("held",))()
    with pytest.raises(ArgumentError, match=f"Own: held is a float, the state has a {type(value).__name__}"):
        layer.load_state_dict(layer.state_dict() | {"held": value})


class Scratch(SGD):
    """Sets a number in each step that only this step needs."""

    def begin(self, lr):
        super().begin(lr)
        self.half = lr / (2 + self.steps)


def test_what_only_a_step_of_an_optimizer_sets_is_nobodys_state(path):
    run = Run(Scratch)
    list(train(run.net, run.optimizer, samples(1), 1))
    run.go(path)


class Undeclared(s.Schedule):
    calls = 0

    def __call__(self, step):
        self.calls += 1
        return 0.1


def test_an_undeclared_number_of_a_schedule_inside_another_is_refused(path):
    with pytest.raises(ArgumentError, match=r"optimizer\.schedule\.then: calls has changed"):
        Run(lambda net: SGD(net, s.Warmup(Undeclared(), 2))).go(path)


@pytest.mark.parametrize("make", [lambda: s.ReduceOnPlateau(0.1), lambda: s.Warmup(s.ReduceOnPlateau(0.1), 2)])
def test_a_plateau_that_the_loop_brings_in_is_refused(path, make):
    with pytest.raises(ArgumentError, match="the schedule is now another ReduceOnPlateau than at the start"):
        Run(SGD, on_the_way=lambda run, epoch: setattr(run.optimizer, "lr", make())).go(path)


@pytest.mark.parametrize("schedule", [Cycle(), s.Warmup(Cycle(), 2)])
def test_a_users_schedule_that_the_loop_brings_in_is_refused(path, schedule):
    with pytest.raises(ArgumentError, match="the schedule is now another Cycle than at the start, which no file can"):
        Run(on_the_way=lambda run, epoch: setattr(run.optimizer, "lr", schedule)).go(path)


@pytest.mark.parametrize("declared", [{}, {"state_attributes": ("held",)}])
@pytest.mark.parametrize("other", [2, 1.0, "1"])
def test_other_attributes_are_another_training(path, other, declared):
    for name, build in (("layer", lambda value: {"more": [holding(value, **declared)]}),
                        ("optimizer", lambda value: {"optimizer": holding(value, base=SGD, **declared)})):  # fmt: skip
        file = path.with_name(name)
        Run(**build(1)).interrupted(file, 3)
        with pytest.raises(CheckpointError, match="attributes at the start"):
            Run(**build(other)).go(file)


def test_a_subclass_keeps_what_its_base_declares(path):
    more = holding(1, lambda n: n + 1, state_attributes=("held",))
    sub = type("Sub", (more,), {"state_attributes": ("count",), "count": 0})
    assert {"held", "count"} < sub().state_dict().keys()


def test_a_number_of_the_class_that_becomes_one_of_the_object_is_undeclared(path):
    class Counter(Layer):
        count = 0

        def formula(self, x):
            self.count += 1
            return x

        def gradient(self, dy):
            return dy

    with pytest.raises(ArgumentError, match=r"count has changed, .* class Counter, state_attributes = \('count',\)"):
        Run(more=[Counter]).go(path)


def test_a_name_alone_declares_an_attribute():
    assert "held" in holding(1, state_attributes="held")().state_dict()


@pytest.mark.parametrize("state", [None, "file", [1]])
def test_anything_but_a_state_is_refused(state):
    with pytest.raises(ArgumentError, match=f"the state is a {type(state).__name__}, expected a dict that state_dict"):
        every_layer().load_state_dict(state)
