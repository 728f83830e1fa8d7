"""base.twins: predictions in any thread, beside each other and beside a training."""

import sys
import threading

import numpy as np
import pytest
from arrays import assert_equal
from networks import every_layer, samples

from minibp import Adam, Dense, Layer, Network, QuadraticLoss, evaluate, train
from minibp.errors import StateError

SIZES = (1, 2, 3, 7, 40)  # samples of a prediction


@pytest.fixture
def impatient():
    """Let Python change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(count, run):
    """Run a function of the number of the thread in this many threads, and raise the first error."""
    errors = []

    def guarded(number):
        try:
            run(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def attributes(net):
    return {
        place: {name: value for name, value in vars(module).items() if name != "_memory"}
        for place, module in net.named_modules().items()
    }


def predict_in_threads(net, threads, each):
    x = samples(40).x
    batch_sizes = (1, 5, 512)
    expected = {(n, size): net.predict(x[:n], size) for n in SIZES for size in batch_sizes}

    def run(number):
        rng = np.random.default_rng(number)
        for _ in range(each):
            n, size = int(rng.choice(SIZES)), int(rng.choice(batch_sizes))
            assert_equal(net.predict(x[:n], size), expected[n, size])

    in_threads(threads, run)


def test_predictions_in_many_threads_have_the_bits_of_one_thread(impatient):
    predict_in_threads(every_layer(), threads=8, each=40)


@pytest.mark.soak
def test_100_000_predictions_in_16_threads_have_the_bits_of_one_thread(impatient):
    predict_in_threads(every_layer(), threads=16, each=6250)


def trained(net, epochs=8):
    for _ in train(net, Adam(net), samples(), epochs, 8, validation=samples(seed=1)):
        pass
    return net


def test_predictions_beside_a_training_are_finite_and_do_not_change_it(impatient):
    net, x, done = every_layer(), samples(40).x, threading.Event()

    def run(number):
        if number == 0:
            try:
                trained(net)
            finally:
                done.set()
        while not done.is_set():
            assert np.isfinite(net.predict(x)).all()
            assert np.isfinite(evaluate(net, samples()).loss)

    in_threads(4, run)
    undisturbed = trained(every_layer())
    assert_equal(net.params, undisturbed.params)
    assert_equal(net.buffers, undisturbed.buffers)


def test_predictions_leave_no_trace_in_the_layers():
    net = trained(every_layer())
    before = attributes(net)
    net.predict(samples().x)
    evaluate(net, samples())
    after = attributes(net)
    for place, kept in before.items():
        assert after[place].keys() == kept.keys()
        assert all(after[place][name] is value for name, value in kept.items())


def test_a_prediction_that_fails_does_not_spoil_the_next():
    class Shy(Layer):
        fails = False

        def formula(self, x):
            if self.fails:
                raise RuntimeError("no")
            return x

    net = Network([Dense(4, 2), Shy()], QuadraticLoss())
    x = samples().x
    before = net.predict(x)
    net.layers[1].fails = True
    with pytest.raises(RuntimeError, match="no"):
        net.predict(x[:3])
    net.layers[1].fails = False
    assert_equal(net.predict(x), before)


def test_a_change_of_a_layer_is_seen_by_the_next_prediction():
    net = every_layer()
    x = samples().x
    before = net.predict(x)
    net.layers[4].slope = 0.9  # LeakyReLU(0.2)
    assert (net.predict(x) != before).any()
    net.layers[4].slope = 0.2
    assert_equal(net.predict(x), before)


def test_two_trainings_of_one_network_at_once_are_refused():
    net, inside, go_on = every_layer(), threading.Event(), threading.Event()

    class Waiting(Adam):
        def step(self):
            inside.set()
            assert go_on.wait(60)
            super().step()

    def run(number):
        if number == 0:
            next(train(net, Waiting(net), samples(), 1))
            return
        assert inside.wait(60)
        try:
            with pytest.raises(StateError, match="the network is being trained by another thread; train a copy"):
                next(train(net, Adam(net), samples(), 1))
        finally:
            go_on.set()

    in_threads(2, run)
    next(train(net, Adam(net), samples(), 1))  # afterwards another training may begin
