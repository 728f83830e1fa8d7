"""The threads of the BLAS: which trainings take one, how the setting is given back, and the hint where they wait."""

import threading
import warnings
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from networks import samples

from minibp import SGD, CrossEntropy, Dense, Layer, Network, Residual, Sequential, Softmax, Tanh, threads, train
from minibp.backend import blas, blas_threads, one_blas_thread
from minibp.errors import TrainingWarning


class Library:
    """A BLAS as threadpoolctl controls it."""

    def __init__(self, num_threads=4, threading_layer="pthreads"):
        self.num_threads, self.threading_layer, self.calls = num_threads, threading_layer, 0

    def set_num_threads(self, number):
        self.num_threads, self.calls = number, self.calls + 1


@pytest.fixture
def openblas(monkeypatch):
    """The only BLAS of the program, which takes four threads."""
    only = Library()
    monkeypatch.setattr(blas, "blas_libraries", lambda: [only])
    monkeypatch.setattr(threads, "TINY", 0)
    return only


class Seen(Layer):
    """y = x; notes the threads of the BLAS, in training and in inference."""

    gives = "its input"

    def formula(self, x):
        self.seen = getattr(self, "seen", [])
        self.seen.append(blas_threads())
        return x

    def gradient(self, dy):
        return dy


def training(*hidden, layer=None, **options):
    layers = [Dense(4, 6), *hidden, layer or Seen(), Dense(6, 3), Softmax()]
    net = Network(layers, CrossEntropy())
    return net, train(net, SGD(net), samples(10), **{"epochs": 2, **options})


# --- which trainings take one thread ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("sizes", "batch_size", "one"), [
    ((8, 16, 3), 16, True), ((784, 30, 10), 10, True), ((64, 128, 128, 10), 32, True),
    ((784, 128, 10), 128, False), ((784, 512, 512, 10), 128, False), ((784, 30, 10), 10_000, False),
])  # fmt: skip
def test_small_products_take_one_thread(sizes, batch_size, one):
    dense = [Dense(*pair) for pair in pairwise(sizes)]
    assert threads.takes_one_thread(Network([*dense, Softmax()], CrossEntropy()), batch_size) is one


def test_layers_inside_others_count():
    large = Network([Sequential(Residual(Dense(784, 784))), Dense(784, 10), Softmax()], CrossEntropy())
    assert not threads.takes_one_thread(large, 128)


def test_a_layer_of_a_user_that_has_weights_keeps_all_threads():
    class Convolution(Layer):
        """Its products have many rows for each sample."""

        def __init__(self):
            super().__init__()
            self.add_parameter("W", (2, 2), np.ones((2, 2)))

    assert not threads.takes_one_thread(Network([Dense(4, 3), Convolution(), Softmax()], CrossEntropy()), 1)
    assert threads.takes_one_thread(Network([Dense(4, 3), Tanh(), Softmax()], CrossEntropy()), 1)


# --- the setting -----------------------------------------------------------------------------------------------------


def test_steps_and_validation_of_a_small_network_take_one_thread_and_your_loop_has_its_own_number(openblas):
    seen = Seen()
    _, epochs = training(layer=seen, validation=samples(5))
    for _ in epochs:
        assert openblas.num_threads == 4
    assert openblas.num_threads == 4 and set(seen.seen) == {1}


def test_the_setting_is_left_alone_where_no_blas_would_take_a_second_thread(openblas, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(blas, "blas_libraries", lambda: [openblas])
    list(training()[1])
    assert not openblas.calls


def test_a_large_network_keeps_all_threads(openblas, monkeypatch):
    monkeypatch.setattr(threads, "SMALL", 1)
    seen = Seen()
    list(training(layer=seen)[1])
    assert set(seen.seen) == {4} and not openblas.calls


def test_the_setting_is_given_back_after_a_break(openblas):
    for _ in training()[1]:
        break
    assert openblas.num_threads == 4


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_setting_is_given_back_after_an_error(openblas, error):
    class Failing(Seen):
        def gradient(self, dy):
            assert openblas.num_threads == 1
            raise error

    with pytest.raises(error):
        list(training(layer=Failing())[1])
    assert openblas.num_threads == 4


def test_a_training_inside_another_leaves_it_one_thread(openblas):
    with one_blas_thread:
        list(training()[1])
        assert openblas.num_threads == 1
    assert openblas.num_threads == 4


def test_one_thread_that_was_set_before_is_left_alone(openblas):
    openblas.num_threads = 1
    list(training()[1])
    assert openblas.num_threads == 1 and not openblas.calls


def test_a_blas_that_threadpoolctl_does_not_know_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(blas, "blas_libraries", list)
    assert len(list(training()[1])) == 2 and blas_threads() == 1


def one_after_the_other(*steps):
    """Run functions in threads of their own, as (thread, function), in this order; each thread goes on living."""
    events = [threading.Event() for _ in range(len(steps) + 1)]
    done = []

    def run(name):
        for i, (thread, step) in enumerate(steps):
            if thread == name:
                events[i].wait()
                done.append(step())
                events[i + 1].set()
        events[-1].wait()

    all_threads = [threading.Thread(target=run, args=(name,)) for name in dict(steps)]
    for each in all_threads:
        each.start()
    events[0].set()
    for each in all_threads:
        each.join()
    return done


def in_two_threads():
    """What is set after A enters, B enters, A leaves, B leaves."""
    def enter():
        one_blas_thread.__enter__()
        return blas_threads()

    def leave():
        one_blas_thread.__exit__()
        return blas_threads()

    return one_after_the_other(("A", enter), ("B", enter), ("A", leave), ("B", leave))


def test_of_two_trainings_in_two_threads_the_last_one_gives_the_setting_back():
    with blas.limited_blas(2):  # what threadpoolctl really does
        if blas_threads() != 2:
            pytest.skip("threadpoolctl cannot set this BLAS")
    before = blas_threads()
    blas._set([(each, 2) for each in blas.blas_libraries()])
    try:
        assert in_two_threads() == [1, 1, 1, 2]
    finally:
        blas._set([(each, before) for each in blas.blas_libraries()])


def test_with_openmp_each_thread_gives_back_its_own_setting(monkeypatch):
    local = threading.local()

    class OpenMP(Library):
        num_threads = property(lambda self: getattr(local, "threads", 4), lambda self, n: setattr(local, "threads", n))

        def __init__(self):
            self.threading_layer, self.calls = "openmp", 0

    only = OpenMP()
    monkeypatch.setattr(blas, "blas_libraries", lambda: [only])
    assert in_two_threads() == [1, 1, 4, 4]


# --- the hint --------------------------------------------------------------------------------------------------------


@pytest.fixture
def told(openblas, monkeypatch):
    """A function that trains, by a clock that goes so many seconds an epoch, and returns the warnings."""

    def run(wall, own, epochs=3):
        clock = {"perf_counter": wall, "thread_time": own}
        ticks = {name: iter(np.arange(100) * step) for name, step in clock.items()}
        fake = SimpleNamespace(**{name: lambda each=each: next(each) for name, each in ticks.items()})
        monkeypatch.setattr(threads, "time", fake)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            list(training(epochs=epochs)[1])
        assert {(each.category, each.filename) for each in found} <= {(TrainingWarning, __file__)}
        return [str(each.message) for each in found]

    monkeypatch.setattr(threads, "SMALL", 1)
    return run


def test_a_training_whose_threads_wait_is_told_once_what_to_set(told):
    (hint,) = told(wall=10.0, own=4.0)
    assert hint.startswith("an epoch of 10.0 s had a processor for only 4.0 s; ")
    assert "OPENBLAS_NUM_THREADS=1" in hint and "--threads 1" in hint


def test_no_hint_where_the_processors_are_free_or_the_epoch_is_short(told):
    assert told(wall=10.0, own=9.0) == told(wall=0.5, own=0.1) == []


def test_no_hint_with_one_thread(told, openblas, monkeypatch):
    openblas.num_threads = 1
    assert told(wall=10.0, own=4.0) == []
    openblas.num_threads = 4
    monkeypatch.setattr(threads, "SMALL", 1 << 40)
    assert told(wall=10.0, own=4.0) == []
