"""Training on several processes: what each computes; and by mpiexec (-m mpi), that they train as one does."""

import copy
import json
import random
import re
import signal
import sys

import numpy as np
import pytest
import rank_kills
from hypothesis import given
from hypothesis import strategies as st
from mpiexec import HERE, SECONDS, run, start
from networks import samples

from minibp import SGD, Checkpoint, CrossEntropy, Dense, Dropout, Network, Softmax, train
from minibp.data import Batches, Dataset, part_of
from minibp.errors import BackendError, CheckpointError, MissingExtraError


def network():
    return Network([Dense(4, 3), Softmax()], CrossEntropy(), dtype="float64")


# --- parts of batches ----------------------------------------------------------------------------------------------


@given(st.integers(0, 100), st.integers(1, 9))
def test_the_parts_of_ranks_follow_each_other_and_differ_by_at_most_one(n, size):
    parts = [range(n)[part_of(n, rank, size)] for rank in range(size)]
    assert [i for part in parts for i in part] == list(range(n))
    lengths = [len(part) for part in parts]
    assert lengths == sorted(lengths, reverse=True) and lengths[0] - lengths[-1] <= 1


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 5), st.booleans(), st.integers(0, 3))
def test_shards_put_together_are_the_batches_of_one_process(n, batch_size, size, weighted, done):
    rng = np.random.default_rng(n)
    weights = rng.uniform(1, 2, n) if weighted else None
    batches = Batches(network(), Dataset(rng.normal(size=(n, 4)), rng.integers(3, size=n), weights), batch_size)

    def generator():
        return np.random.default_rng(1)

    found = []
    for rank in range(size):
        shards = [(count, x.copy(), t, w) for count, x, t, w in batches.shards(generator(), done, rank, size)]
        found.append(shards)
    for (x, t, *w), *shards in zip(batches.shuffled(generator(), done), *found, strict=True):
        values = w[0].values if w else np.ones(len(x))
        own = [range(len(x))[part_of(len(x), rank, size)] for rank in range(size)]
        for expected, place in ((x, 1), (t, 2)):
            parts = [shard[place][: len(rows)] for shard, rows in zip(shards, own, strict=True)]
            np.testing.assert_array_equal(np.concatenate(parts), expected)
        for (count, _, _, weights_here), rows in zip(shards, own, strict=True):
            assert count == len(x) and weights_here.total == pytest.approx(values.sum())
            np.testing.assert_array_equal(weights_here.values, values[rows] if rows else [0])


class Shard:
    """What layers see of the second of two parts of a batch."""

    def __init__(self, start):
        self.start = start


def test_masks_count_samples_from_the_start_of_the_batch():
    whole, part = Dropout(0.5, seed=1), Dropout(0.5, seed=1)
    x = np.ones((7, 3, 2))
    y = whole.forward(x)
    part.__dict__["shard"] = Shard(4)
    np.testing.assert_array_equal(part.forward(x[4:]), y[4:])


def test_copies_of_layers_know_no_shard():
    layer = Dropout(0.5, seed=1)
    layer.__dict__["shard"] = Shard(4)
    assert copy.deepcopy(layer).shard is None


class OneRank:
    """The first of several processes, as a checkpoint sees them."""

    rank = 0

    def first(self, function):
        return function()


def test_several_processes_go_on_by_the_formulas_from_a_file_of_compiled_steps(path):
    def begin(compiled, ranks):
        net = Network([Dense(4, 3), Softmax()], CrossEntropy(), seed=0)
        Checkpoint(path).begin(net, SGD(net, lr=0.1), Batches(net, samples(), 10), None, 5, compiled, None, ranks)

    begin(True, None)
    with pytest.raises(CheckpointError, match="compiled"):
        begin(False, None)
    begin(False, OneRank())


# --- refused without MPI -------------------------------------------------------------------------------------------


def test_a_missing_mpi4py_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    net = network()
    with pytest.raises(MissingExtraError, match=r"mpi4py>=4.*extra 'mpi'"):
        train(net, SGD(net, lr=0.1), samples(), 1, comm=object())


def test_a_missing_mpi_library_is_told_with_its_cure(monkeypatch):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "mpi4py":
                raise RuntimeError("cannot load MPI library\nlibmpi.so")

    monkeypatch.delitem(sys.modules, "mpi4py", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    net = network()
    with pytest.raises(BackendError, match=r"an MPI library, .* \(cannot load MPI library\): pip install mpich"):
        train(net, SGD(net, lr=0.1), samples(), 1, comm=object())


# --- by mpiexec ----------------------------------------------------------------------------------------------------


def too_far(apart):
    """The cases whose losses and weights are not those of one process, to rounding."""
    limits = {"float64": (1e-9, 1e-9, 1e-9), "float32": (1e-3, 1e-3, np.inf)}  # float32 may turn an answer
    return {
        case: found for case, found in apart.items() if not np.all(np.array(found) <= limits[case.rpartition(" ")[2]])
    }


@pytest.fixture(scope="module", params=[1, 2, 4])
def apart(request):
    status, out, error = run(request.param, "ranks.py", limit=300)
    assert status == 0, error
    return json.loads(out)


@pytest.mark.mpi
def test_losses_and_weights_are_those_of_one_process(apart):
    assert len(apart) == 27
    assert too_far(apart) == {}


@pytest.fixture(scope="module")
def undisturbed():
    """The weights at the end of the training of rank_faults.py, by the number of ranks."""
    hashes = {}

    def of(n):
        if n not in hashes:
            status, hashes[n], error = run(n, "rank_faults.py", "none")
            assert status == 0, error
        return hashes[n]

    return of


@pytest.mark.mpi
@pytest.mark.parametrize("fault, message", [
    ("error", r"OSError: the disk is gone\nrank 2 of 3 on "),
    ("error on all", "OSError: the disk is gone"),
    ("loop", r"ValueError: what is this\?\nrank 2 of 3 on "),
    ("loop, others wait", r"ValueError: what is this\?\nrank 2 of 3 on "),
    ("break", "RankError: rank 2 left the loop after epoch 3"),
    ("exit", "RankError: rank 2 left the loop after epoch 3"),
    ("SIGKILL", "(?i)killed"),
    ("NaN on all", "DivergenceError: the loss became NaN or infinite in epoch 1"),
    ("other data", r"(?s)training data\n +rank 0  41 samples.*\n +rank 2  41 samples"),
    ("other seed", r"(?s)weights at the start\n +rank 0 .*\n +rank 2 .*generator \(seed\)"),
    ("other rate", r"optimizer\n +rank 0  Adam\(net, lr=0.01.*\n +rank 2  Adam\(net, lr=0.02"),
    ("other version", r"minibp\n +rank 0  [\d.]+\n +rank 2  0.0.1"),
    ("counts samples", "RankError: after epoch 1, the attributes of rank 1 are not those of rank 0"),
    ("changed weights", "RankError: after epoch 4, the weights of rank 2 are not those of rank 0"),
])  # fmt: skip
def test_a_fault_on_one_rank_ends_all_and_says_what_and_where(fault, message):
    status, out, error = run(3, "rank_faults.py", fault)
    assert status != 0
    assert re.search(message, error + out), error


@pytest.mark.mpi
def test_an_error_on_all_ranks_is_printed_once():
    _, _, error = run(3, "rank_faults.py", "error on all")
    assert error.count("OSError: the disk is gone") == 1


@pytest.mark.mpi
def test_an_error_on_all_ranks_is_printed_also_if_rank_0_is_the_last_to_end():
    status, _, error = run(3, "-m mpi4py rank_faults.py", "error on all, others first")
    assert status != 0 and error.count("OSError: the disk is gone") == 1


@pytest.mark.mpi
def test_an_error_before_train_ends_all_if_started_by_mpi4py():
    status, _, error = run(3, "-m mpi4py rank_faults.py", "NaN in the data")
    assert status != 0 and "InputError: x: NaN or infinity, first in sample 3" in error


@pytest.mark.mpi
@pytest.mark.parametrize("fault", ["error", "SIGKILL", "SIGTERM", "SIGINT"])
def test_after_a_fault_the_same_command_ends_with_the_weights_of_an_undisturbed_run(fault, path, undisturbed):
    status, _, _ = run(3, "rank_faults.py", fault, path)
    assert status != 0 and path.exists()
    assert run(3, "rank_faults.py", "none", path)[1] == undisturbed(3)


@pytest.mark.mpi
def test_a_rank_that_begins_late_leaves_the_file_that_rank_0_writes(path, undisturbed):
    status, out, error = run(3, "rank_faults.py", "late", path)
    assert status == 0, error
    assert out == undisturbed(3)


@pytest.mark.mpi
@pytest.mark.parametrize("mode", rank_kills.MODES)
def test_a_job_whose_ranks_are_killed_again_and_again_ends_with_the_same_weights(tmp_path, mode):
    tally = rank_kills.survive(tmp_path, 2, mode, 3, random.Random(0), epochs=20)
    assert tally.victims.total() == 3 and tally.finished


@pytest.mark.mpi
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_launcher_leaves_a_checkpoint_that_resumes(sent, path, undisturbed):
    process = start(2, "rank_faults.py", "wait", path)
    process.stdout.readline()
    process.send_signal(sent)
    process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert run(2, "rank_faults.py", "none", path)[1] == undisturbed(2)


@pytest.mark.mpi
def test_another_number_of_ranks_resumes_with_the_same_weights_to_rounding(path, undisturbed):
    run(3, "rank_faults.py", "SIGTERM", path)
    weights = [json.loads(out) for out in (run(2, "rank_faults.py", "none", path)[1], undisturbed(3))]
    np.testing.assert_allclose(*weights, rtol=0, atol=1e-9)


@pytest.mark.mpi
def test_the_program_of_the_documentation_runs(tmp_path):
    page = (HERE.parent / "docs" / "parallel.md").read_text(encoding="utf-8")
    script = tmp_path / "train_digits.py"
    script.write_text(re.search(r"(?s)```python\n(.*?)```", page)[1].replace("digits.ckpt", str(tmp_path / "run.ckpt")))
    status, out, error = run(2, f"-m mpi4py {script}")
    assert status == 0, error
    assert [line.split()[0] for line in out.splitlines()] == ["epoch"] * 10 + ["accuracy"]
    assert float(out.split()[-1]) > 0.9


# --- on GPUs -------------------------------------------------------------------------------------------------------


def on_gpus(case):
    """Train on the stand-in for CuPy; returns, for each of two ranks, what rank_sums.py says of it."""
    status, out, error = run(2, "rank_sums.py", case, limit=60)
    assert status == 0, error
    apart, ranks = json.loads(out)
    assert too_far(apart) == {}
    return ranks


@pytest.mark.mpi
def test_gpus_of_their_own_sum_by_nccl():
    # In each of 2 trainings, 20 epochs of 5 steps, and 2 sums in each validation; in the other one, 3 epochs.
    assert on_gpus("NCCL") == [[2 * 20 * 7, 3 * 7, 0, []]] * 2


@pytest.mark.mpi
@pytest.mark.parametrize("case, why", [
    ("one GPU", r"ranks 0 and 1 share the GPU 0000:00:00.0 of .*; choose one for each, cupy.cuda.Device\("),
    ("no NCCL", "CuPy finds no NCCL on .*; pip install nvidia-nccl-cu12"),
    ("no NCCL on one", "CuPy finds no NCCL on .*; pip install nvidia-nccl-cu12"),
    ("failing", r"NCCL fails \(NCCL_ERROR_SYSTEM_ERROR: no network; NCCL_DEBUG=WARN tells more\)"),
])  # fmt: skip
def test_what_keeps_gpus_from_nccl_is_told_and_their_sums_go_through_one_buffer_of_the_host(case, why):
    (*first, told), second = on_gpus(case)
    assert first == [0, 0, 1] and second == [0, 0, 1, []]
    assert re.match(rf"ranks.py: the gradients go through the memory of the host: {why}", told[0])


@pytest.mark.mpi
def test_nccl_that_fails_on_one_rank_ends_all():
    status, _, error = run(2, "rank_sums.py", "failing on one")
    assert status != 0
    assert re.search(r"NcclError: NCCL_ERROR_SYSTEM_ERROR: no network\nrank 1 of 2 on ", error), error


# --- refused, or told ----------------------------------------------------------------------------------------------


@pytest.mark.mpi
@pytest.mark.parametrize("fault, message", [
    ("few samples", "ArgumentError: 3 ranks cannot share 2 samples: start at most 2"),
    ("compiled", "ArgumentError: compiled=True: a training on several processes .* runs the formulas"),
    ("no communicator", "ArgumentError: comm must be a communicator of mpi4py, as MPI.COMM_WORLD, received 7"),
])  # fmt: skip
def test_what_ranks_cannot_do_is_refused(fault, message):
    status, _, error = run(3, "rank_faults.py", fault)
    assert status != 0 and re.search(message, error), error


@pytest.mark.mpi
def test_processes_of_another_mpi_are_told_that_each_trains_alone():
    status, _, error = run(1, "rank_faults.py", "none", environment={"SLURM_STEP_NUM_TASKS": "4"})
    assert status == 0
    assert re.search(r"TrainingWarning: this process was started as one of 4 \(SLURM_STEP_NUM_TASKS\)", error), error


@pytest.mark.mpi
def test_ranks_without_work_are_told():
    status, _, error = run(3, "rank_faults.py", "small batches")
    assert status == 0
    assert error.count("TrainingWarning: batches of 2 samples leave 1 of 3 ranks without work") == 1


@pytest.mark.mpi
def test_rank_0_alone_warns():
    _, _, error = run(3, "rank_faults.py", "NaN on all")
    assert error.count("TrainingWarning: x holds floats") == 1


@pytest.mark.mpi
def test_rank_0_alone_warns_of_what_a_checkpoint_brings_back(path):
    status, _, error = run(3, "rank_faults.py", "again", path)
    assert status == 0, error
    assert error.count("has trained the network already") == error.count("was written with the BLAS") == 1
