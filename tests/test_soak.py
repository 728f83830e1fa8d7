"""Long runs leave no memory, files or threads behind, and two networks in two threads do what each does alone.

The long tests are marked `soak`. ``pytest -m soak tests/test_soak.py -rP`` prints their readings.
"""

import copy
import gc
import math
import multiprocessing
import os
import pickle
import sys
import threading
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

import minibp
from minibp import (
    SGD,
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
    Sigmoid,
    Softmax,
    Tanh,
    check_gradients,
    evaluate,
    load,
    probe,
    save,
    train,
)
from minibp.data import Dataset
from minibp.errors import DivergenceError
from minibp.program import choice

PROC = Path("/proc/self")
NEVER, ALWAYS = math.inf, -1.0  # seconds to save by which a training decides to run compiled
soak = pytest.mark.soak


@pytest.fixture(params=[NEVER, ALWAYS], ids=["formulas", "compiled"])
def worth(request, monkeypatch):
    """Which trainings run compiled: a test that uses this runs once with none, and once with all."""
    if request.param == ALWAYS:
        pytest.importorskip("numba")
    monkeypatch.setattr(choice, "PAYS", request.param)
    net = small()
    list(train(net, Adam(net), samples(70, 20), 1, 33))  # numba keeps what it compiles for until a collection
    return request.param


def samples(n, width, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    return Dataset(rng.integers(256, size=(n, width), dtype="uint8"), rng.integers(classes, size=n))


def small(seed=0):
    """20 inputs, 5 classes."""
    layers = [Dense(20, 16), BatchNorm(16), ReLU(), Dropout(0.2), Dense(16, 5), Softmax()]
    return Network(layers, CrossEntropy(), seed=seed)


# --- memory, files and threads -------------------------------------------------------------------------------------


class Readings:
    """Readings of the memory, files and threads of this process."""

    # One object left behind in each of 90,000 steps would be 1.4 MiB at least (16 bytes is the least that Python
    # allocates) and 90,000 blocks; one in each of 9,000 epochs, 9,000 blocks. A reading keeps a handful.
    MEMORY, BLOCKS = 1 << 20, 1000

    def __init__(self):
        if not (PROC / "statm").exists():
            pytest.skip("this system does not tell a process how much memory it has")
        self.rows = []

    def read(self, done):
        pages = int((PROC / "statm").read_text().split()[1])
        tasks, files = (len(os.listdir(PROC / name)) for name in ("task", "fd"))
        reading = pages * os.sysconf("SC_PAGE_SIZE"), sys.getallocatedblocks(), files, tasks, threading.active_count()
        self.rows.append(reading)
        memory, *others = reading
        print(f"{done:7,} done: resident {memory / 2**20:.2f} MiB; blocks, files, tasks, threads: {others}")

    def assert_flat(self):
        """The last reading is as the second. The first includes warm-up, and readings need memory themselves."""
        _, first, *_, last = self.rows
        memory, blocks, *others = (b - a for a, b in zip(first, last, strict=True))
        assert others == [0, 0, 0]
        assert blocks < self.BLOCKS
        assert memory < self.MEMORY


def repeat(readings, rounds, run):
    """Call `run(i)` this many times, and take ten readings."""
    for i in range(rounds + 1):
        if i % (rounds // 10) == 0:
            readings.read(i)
        run(i)


@soak
def test_a_hundred_thousand_steps_leave_nothing_behind(worth):
    readings, net = Readings(), small()
    adam = Adam(net)
    for epoch in train(net, adam, samples(320, 20), epochs=10_000, batch_size=33, validation=samples(100, 20, seed=1)):
        if epoch.number == 1 or epoch.number % 1000 == 0:
            gc.collect()
            readings.read(adam.steps)
    assert adam.steps == 100_000
    assert net.compiled == (worth == ALWAYS)
    readings.assert_flat()


@soak
def test_a_hundred_thousand_steps_kept_in_a_file_leave_nothing_behind(tmp_path):
    # One block left behind by each of the 2,000 files would be seen; the history is kept by design, 300 blocks in all.
    readings, net = Readings(), small()
    adam, checkpoint = Adam(net), Checkpoint(tmp_path / "run.ckpt", every="50steps")
    for epoch in train(net, adam, samples(66_000, 20), epochs=50, batch_size=33, checkpoint=checkpoint):
        if epoch.number == 1 or epoch.number % 5 == 0:
            gc.collect()
            readings.read(adam.steps)
    assert adam.steps == 100_000 and len(checkpoint.history) == 50
    assert sorted(os.listdir(tmp_path)) == ["run.ckpt", "run.ckpt.previous"]
    readings.assert_flat()


@soak
def test_using_copying_and_saving_leave_nothing_behind(tmp_path):
    readings, net, dataset, sizes = Readings(), small(), samples(100, 20), cycle(range(1, 100, 7))
    adam = Adam(net)  # moves with the network

    def run(i):
        n = next(sizes)
        net.predict(dataset.x[:n], batch_size=max(n // 3, 1))
        evaluate(net, dataset[:n], batch_size=max(n // 2, 1))
        save(net, tmp_path / "net.safetensors")
        for twin in (load(tmp_path / "net.safetensors"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            twin.to("numpy", "float64").predict(dataset.x[:n])
        best = EarlyStopping(net)
        best.should_stop(1.0)
        best.restore()
        net.to("numpy", "float64").to("numpy", "float32")
        probe(net, SGD(net), dataset[: n + 1], batch_size=n)
        if i % (2000 // 20) == 0:
            check_gradients(net, dataset.x[:3], dataset.t[:3])
            gc.collect()

    repeat(readings, 2000, run)
    readings.assert_flat()
    assert adam.net is net and os.listdir(tmp_path) == ["net.safetensors"]


@soak
def test_networks_thrown_away_leave_nothing_behind_even_without_a_collector(worth, without_collector):
    readings, dataset = Readings(), samples(70, 20)

    def run(i):
        net = small(seed=i)
        for _ in train(net, Adam(net), dataset, epochs=4, batch_size=33, validation=dataset):
            pass
        assert net.compiled == (worth == ALWAYS)

    repeat(readings, 5000, run)
    readings.assert_flat()


@pytest.fixture
def without_collector():
    """Turn the garbage collector off: memory is freed only when its last reference goes."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_network_is_freed_with_its_last_reference(worth, without_collector):
    net = small()
    adam = Adam(net)
    trained = train(net, adam, samples(70, 20), epochs=9, batch_size=33)
    for _ in range(4):
        next(trained)
    assert net.compiled == (worth == ALWAYS)
    parts = [weakref.ref(part) for part in (net, adam, *net.layers, net.loss)]
    del net, adam, trained
    assert [part() for part in parts if part() is not None] == []


# --- two networks in two threads -----------------------------------------------------------------------------------

SHARED = samples(200, 20, seed=3)  # a data set for several networks


def narrow(seed):
    return small(seed), SHARED, 33


def deep(seed):
    layers = [Dense(20, 40), LayerNorm(40), Sigmoid(), Dense(40, 12), Tanh(), Dropout(0.5), Dense(12, 5)]
    return Network([*layers, Softmax()], CrossEntropy(), dtype="float64", seed=seed), SHARED, 7


def wide(seed):
    """Large enough for several threads of the BLAS."""
    layers = [Dense(300, 200), ReLU(), Dense(200, 10), Softmax()]
    return Network(layers, CrossEntropy(), seed=seed), samples(300, 300, classes=10, seed=4), 256


def trained(make, seed, epochs):
    """The results of a training: losses, weights, statistics, moments, predictions."""
    net, dataset, batch_size = make(seed)
    adam, losses = Adam(net), []
    for epoch in train(net, adam, dataset, epochs, batch_size, validation=dataset[:50]):
        losses.append(epoch[1:4])
    return [np.array(losses), net.params, net.buffers, *adam.moments, net.predict(dataset.x)]


def predicted(make, seed, epochs):
    """The predictions of a network, several times over."""
    net, dataset, batch_size = make(seed)
    if choice.PAYS == ALWAYS:
        minibp.compile(net)
    return [net.predict(dataset.x, batch_size=batch_size) for _ in range(4 * epochs)]


def at_once(*calls):
    """The results of calls in one thread each, which start together and switch often."""
    start, interval = threading.Barrier(len(calls), timeout=60), sys.getswitchinterval()

    def run(call):
        function, *arguments = call
        start.wait()
        return function(*arguments)

    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(run, calls))
    finally:
        sys.setswitchinterval(interval)


def assert_as_alone(*calls):
    alone = [function(*arguments) for function, *arguments in calls]
    for got, expected in zip(at_once(*calls), alone, strict=True):
        for ours, theirs in zip(got, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_two_networks_in_two_threads_give_the_results_of_each_alone(worth):
    assert_as_alone((trained, narrow, 1, 20), (trained, deep, 2, 6))
    assert_as_alone((trained, narrow, 1, 20), (trained, narrow, 1, 20))
    assert_as_alone((trained, wide, 3, 10), (predicted, deep, 4, 10))


def diverged(make, seed):
    """The error of a training that diverges, and which of its parameters are finite."""
    net, dataset, batch_size = make(seed)
    with pytest.raises(DivergenceError) as caught:
        list(train(net, SGD(net, lr=1e30), dataset, 2, batch_size))
    return [str(caught.value), np.isfinite(net.params)]


def test_a_divergence_in_one_thread_does_not_affect_the_others(worth):
    for seed in range(5):
        assert_as_alone((diverged, narrow, seed), (trained, deep, seed, 1), (diverged, wide, seed))


@soak
@pytest.mark.parametrize("first", [narrow, deep, wide])
@pytest.mark.parametrize("second", [narrow, deep, wide])
def test_any_two_networks_in_two_threads_give_what_each_gives_alone(worth, first, second):
    for seed in range(5):
        assert_as_alone((trained, first, seed, 50), (trained, second, seed + 1, 50))
        assert_as_alone((trained, first, seed, 50), (predicted, second, seed + 1, 50))


def compiled_at_once():
    """The results of networks whose threads compile the operations at the same time."""
    choice.PAYS = ALWAYS

    def run(make):
        return trained(make, 0, 5)

    return at_once((run, narrow), (run, narrow), (run, deep))


@soak
@pytest.mark.parametrize("attempt", range(5))
def test_threads_can_compile_at_the_same_time(attempt, tmp_path, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))  # an empty cache
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = pool.submit(compiled_at_once).result()
    assert list(tmp_path.rglob("*.nbi"))
    monkeypatch.setattr(choice, "PAYS", ALWAYS)
    for make, got in zip((narrow, narrow, deep), results, strict=True):
        for ours, theirs in zip(got, trained(make, 0, 5), strict=True):
            np.testing.assert_array_equal(ours, theirs)
