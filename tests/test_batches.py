"""Batches of a memory map, which is shuffled in blocks. Batches of arrays are tested through training."""

import numpy as np
import pytest
from arrays import host

from minibp import SGD, CrossEntropy, Dense, Network, Softmax, train
from minibp.data import Dataset, batches
from minibp.data.batches import Batches

pytestmark = pytest.mark.usefixtures("library")

SAMPLES, WIDTH = 1003, 4


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """Samples that hold their own number, in a file; blocks of 20 samples, 8 of which are shuffled at a time."""
    monkeypatch.setattr(batches, "READ_BLOCK", 100 * WIDTH)
    monkeypatch.setattr(batches, "SHUFFLE_WINDOW", 8 * 100 * 4 * WIDTH // 4)
    monkeypatch.setattr(batches, "free_memory", lambda xp: float("inf") if xp is np else 1000)
    x = np.repeat(np.arange(SAMPLES, dtype="float32")[:, None], WIDTH, axis=1)
    np.save(tmp_path / "x.npy", x)
    return Dataset(np.load(tmp_path / "x.npy", mmap_mode="r"), np.arange(SAMPLES) % 3)


def network():
    return Network([Dense(WIDTH, 3), Softmax()], CrossEntropy())


def epoch(cut, seed):
    """The numbers of the samples in each batch, after a check of their labels."""
    seen = []
    for x, t in cut.shuffled(np.random.default_rng(seed)):
        numbers = host(x)[:, 0].astype(int)
        np.testing.assert_array_equal(host(t), numbers % 3)
        seen.append(numbers)
    return seen


def test_each_sample_of_a_map_comes_once_an_epoch_in_full_batches(mapped):
    cut = Batches(network(), mapped, 7)
    assert cut.mapped
    seen = epoch(cut, 0)
    assert [len(numbers) for numbers in seen] == [7] * (SAMPLES // 7) + [SAMPLES % 7]
    assert sorted(np.concatenate(seen)) == list(range(SAMPLES))


def test_a_map_is_shuffled_across_its_blocks_differently_each_epoch(mapped):
    cut = Batches(network(), mapped, 7)
    first, second = (np.concatenate(epoch(cut, seed)) for seed in (0, 1))
    assert (first != second).mean() > 0.9
    lot = first[: 7 * cut.read_block]
    assert len({number // cut.read_block for number in lot}) <= 8  # few blocks are read at a time
    assert abs(np.corrcoef(np.arange(len(lot)), lot)[0, 1]) < 0.4  # and shuffled
    assert len({number // cut.read_block for number in lot[:7]}) >= 3


def test_a_small_map_is_shuffled_as_a_whole(mapped):
    assert not Batches(network(), mapped[:100], 7).mapped


@pytest.mark.filterwarnings("ignore:x holds floats from")
def test_a_map_is_trained_and_validated(mapped):
    scaled = Dataset(mapped.x, (np.arange(SAMPLES) > 500).astype(int))
    net = network()
    losses = [each.loss for each in train(net, SGD(net, lr=1e-6), scaled, 2, 7, validation=scaled)]
    assert np.isfinite(losses).all()


def test_a_block_holds_at_least_a_batch(mapped):
    cut = Batches(network(), mapped, 60)
    assert cut.read_block == 60 and cut.mapped
    assert [len(numbers) for numbers in epoch(cut, 0)] == [60] * 16 + [SAMPLES - 960]
