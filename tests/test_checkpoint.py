"""Checkpoints: an interrupted training resumes and ends with the same bits; a file that does not fit is refused."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings

import kills
import numpy as np
import pytest
import threadpoolctl
from arrays import assert_equal
from changes import array, put, rewrite, schedule, state
from failing import failing
from networks import TwoBranches
from runs import BATCH, EPOCHS, STEPS, Run, assert_same, assert_same_state, samples

from datasets import script
from datasets.script import main
from minibp import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    BatchNorm,
    Checkpoint,
    CrossEntropy,
    Dense,
    EarlyStopping,
    Residual,
    RMSProp,
    Sequential,
    data,
    save,
    schedules,
    threads,
    train,
)
from minibp.base import write_atomically
from minibp.cli import exit_status, saved_at_interrupt
from minibp.data import Dataset
from minibp.errors import ArgumentError, CheckpointError, CheckpointWarning, DivergenceError, FileFormatError
from minibp.files import tensorfile

on_every_library = pytest.mark.usefixtures("library")


OPTIMIZERS = {
    "sgd": lambda net: SGD(net, lr=0.1),
    "momentum": lambda net: SGD(net, lr=schedules.Warmup(schedules.Step(0.1, 9), 3), momentum=0.9, clip_norm=1),
    "nesterov": lambda net: SGD(net, lr=0.1, momentum=0.9, nesterov=True, max_norm=1),
    "adagrad": lambda net: AdaGrad(net, lr=schedules.Exponential(0.1, 10)),
    "rmsprop": lambda net: RMSProp(net, weight_decay=0.01),
    "adam": lambda net: Adam(net, lr=schedules.Cosine(0.01, 28)),
    "adamw": lambda net: AdamW(net, lr=schedules.ReduceOnPlateau(0.01, patience=0, factor=0.5)),
    "warm": lambda net: SGD(net, lr=schedules.Warmup(schedules.ReduceOnPlateau(0.1, patience=0), STEPS + 2)),
}


# --- resuming -----------------------------------------------------------------------------------------------------


@on_every_library
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("stops", [[3], [STEPS], [STEPS + 1, 2 * STEPS - 1, 2 * STEPS]])
def test_an_interrupted_training_ends_with_the_same_bits(path, optimizer, stops):
    undisturbed = Run(optimizer).go()
    for stop in stops:
        Run(optimizer).interrupted(path, stop)
    resumed = Run(optimizer).go(path)
    assert_same(resumed, undisturbed)
    assert [epoch[:4] for epoch in resumed.checkpoint.history] == [epoch[:4] for epoch in undisturbed.epochs]


@on_every_library
@pytest.mark.parametrize("stop", [STEPS + 3, 2 * STEPS])
def test_layers_inside_others_resume(path, stop):
    more = [lambda: Residual(Dense(5, 4), Sequential(Dense(4, 5), BatchNorm(5))), lambda: TwoBranches(5)]
    Run(more=more).interrupted(path, stop)
    assert_same(Run(more=more).go(path), Run(more=more).go())


@on_every_library
@pytest.mark.parametrize("every", [1, 3, "1steps", "5steps", "700steps"])
def test_a_checkpoint_costs_only_time(path, every):
    assert_same(Run().go(path, every), Run().go())


@pytest.mark.parametrize("every", [1, "5steps"])
def test_steps_lost_after_the_last_checkpoint_are_repeated(path, every):
    class KilledError(Exception):
        pass

    run = Run()
    step = run.optimizer.step

    def killed():
        step()
        if run.optimizer.steps == STEPS + 4:
            raise KilledError

    run.optimizer.step = killed
    with pytest.raises(KilledError):
        for _ in train(run.net, run.optimizer, samples(), EPOCHS, BATCH, samples(1), Checkpoint(path, every)):
            pass
    assert_same(Run().go(path, every), Run().go())


@on_every_library
@pytest.mark.parametrize("before_the_end", [3, STEPS])
def test_early_stopping_resumes_with_its_best_weights(path, before_the_end):
    def fast(net):
        return Adam(net, lr=0.1)

    undisturbed = Run(fast, patience=2).go(epochs=30)
    Run(fast, patience=2).interrupted(path, len(undisturbed.epochs) * STEPS - before_the_end, epochs=30)
    resumed = Run(fast, patience=2).go(path, epochs=30)
    assert len(undisturbed.epochs) < 30
    for run in (undisturbed, resumed):
        run.stopping.restore()
    assert_same(resumed, undisturbed)
    assert resumed.stopping.best == undisturbed.stopping.best


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """The samples in a memory map, which is read and shuffled in blocks."""
    monkeypatch.setattr("minibp.data.batches.READ_BLOCK", 400)
    monkeypatch.setattr("minibp.data.batches.SHUFFLE_WINDOW", 800)
    np.save(tmp_path / "x.npy", samples().x)
    return Dataset(np.load(tmp_path / "x.npy", mmap_mode="r"), samples().t)


@on_every_library
@pytest.mark.host
def test_a_training_on_a_memory_map_read_in_blocks_resumes(path, mapped):
    for stop in (2, 5, STEPS, STEPS + 6):
        Run().interrupted(path, stop, dataset=mapped)
    assert_same(Run().go(path, dataset=mapped), Run().go(dataset=mapped))


def test_a_finished_training_is_not_repeated(path):
    first = Run().go(path)
    again = Run().go(path)
    assert again.epochs == [] and again.checkpoint.history == first.epochs
    assert_same(again, first)


def test_more_epochs_are_allowed_unless_the_learning_rate_depends_on_them(path):
    Run().go(path, epochs=2)
    assert_same(Run().go(path), Run().go())


def test_two_trainings_in_a_row_resume_each_from_its_own_file(tmp_path):
    def both(folder=None, stop=None):
        first, second = (folder / name if folder else None for name in ("first", "second"))
        return Run().go(first).go(second, stop=stop)

    with pytest.raises(KeyboardInterrupt):
        both(tmp_path, EPOCHS * STEPS + 5)
    assert_same(both(tmp_path), both())


CHANGES = {  # by the loop, after an epoch
    "nothing": lambda run, epoch: None,
    "plateau": lambda run, epoch: run.optimizer.schedule.then.update(1.0),
    "number": lambda run, epoch: setattr(run.optimizer, "weight_decay", 0.1 * epoch.number),
    "schedule": lambda run, epoch: setattr(run.optimizer, "lr", schedules.Step(0.02 / epoch.number, 5)),
    "layers": lambda run, epoch: setattr(run.net.layers[3], "rate", 0.1 * epoch.number),
    "frozen": lambda run, epoch: setattr(run.net.layers[0], "trainable", epoch.number < 2),
    "mode": lambda run, epoch: setattr(run.net.layers[1], "training", epoch.number < 2),
    "dtype": lambda run, epoch: run.net.to(run.net.backend, "float64"),
    "drawn": lambda run, epoch: run.net.rng.random(),
}


def plateau(net):
    return Adam(net, lr=schedules.Warmup(schedules.ReduceOnPlateau(0.01, patience=0), 3))


@on_every_library
@pytest.mark.parametrize("stop", [2 * STEPS, 2 * STEPS + 3])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_the_loop_changes_stays_changed(path, change, stop):
    Run(plateau, on_the_way=change).interrupted(path, stop)
    assert_same(Run(plateau, on_the_way=change).go(path), Run(plateau, on_the_way=change).go())


@pytest.mark.parametrize("same_object", [True, False])
@pytest.mark.parametrize(("optimizer", "change"), [
    *((SGD if name == "schedule" else plateau, change) for name, change in CHANGES.items()),
], ids=CHANGES)  # fmt: skip
def test_after_a_break_the_same_call_goes_on(path, optimizer, change, same_object):
    def train_until(run, stop, checkpoint):
        for epoch in train(run.net, run.optimizer, samples(), EPOCHS, BATCH, samples(1), checkpoint):
            change(run, epoch)
            if epoch.number == stop:
                break

    run, undisturbed, checkpoint = Run(optimizer), Run(optimizer), Checkpoint(path)
    train_until(run, 1, checkpoint)
    for stop in (3, None):
        with pytest.warns(CheckpointWarning, match=r"is set back to what .*run\.ckpt holds, with all its settings"):
            train_until(run, stop, checkpoint if same_object else Checkpoint(path))
    train_until(undisturbed, None, None)
    assert_same(run, undisturbed)


def test_after_a_break_a_new_optimizer_goes_on_too(path):
    """A cell of a notebook that creates the optimizer in the call."""

    def train_until(net, stop):
        for epoch in train(net, Adam(net, lr=0.01), samples(), EPOCHS, BATCH, checkpoint=Checkpoint(path)):
            if epoch.number == stop:
                break

    net = Run().net
    train_until(net, 2)
    with pytest.warns(CheckpointWarning, match="set back"):
        train_until(net, None)
    undisturbed = Run()
    list(train(undisturbed.net, undisturbed.optimizer, samples(), EPOCHS, BATCH))
    assert_equal(net.params, undisturbed.net.params)


def test_after_a_refusal_the_right_call_goes_on(path):
    Run().interrupted(path, 3)
    run = Run(lambda net: Adam(net, lr=0.02))
    with pytest.raises(CheckpointError):
        run.go(path)
    run.optimizer.lr = 0.01
    assert_same(run.go(path), Run().go())


@on_every_library
def test_numbers_drawn_before_the_first_epoch_count(path):
    def drawing(checkpoint=None, stop=None):
        run = Run()
        epochs = train(run.net, run.optimizer, samples(), 3, BATCH, checkpoint=checkpoint)
        run.net.rng.random()
        for epoch in epochs:
            if epoch.number == stop:
                break
        return run

    drawing(Checkpoint(path), stop=2)
    assert_same(drawing(Checkpoint(path)), drawing())


def test_drawing_from_the_networks_generator_in_each_step_is_refused(path):
    class Noisy(SGD):
        def step(self):
            self.net.rng.random()
            super().step()

    with pytest.raises(ArgumentError, match=r"each step draws from the network's generator net\.rng"):
        Run(Noisy).go(path, every="3steps")


@pytest.mark.parametrize("kind", [lambda: np.random.Generator(np.random.MT19937(0)), lambda: np.random.RandomState(0)])
@pytest.mark.parametrize("change_at", [0, 1])
def test_a_generator_of_another_kind_is_refused(path, kind, change_at):
    def change(run, epoch=None):
        run.net.rng = kind()

    run = Run(on_the_way=change if change_at else lambda run, epoch: None)
    if not change_at:
        change(run)
    with pytest.raises(ArgumentError, match=r"a generator of PCG64, but net\.rng is .*MT19937.*; use net\.rng = numpy"):
        run.go(path, every="1steps")


def test_a_clock_that_was_set_back_does_no_harm(path):
    Run().interrupted(path, STEPS + 3)
    rewrite(path, "checkpoint", state("progress", "seconds", -1.0))
    assert_same(Run().go(path), Run().go())


def test_another_blas_is_a_warning(path):
    Run().interrupted(path, STEPS + 3)
    rewrite(path, "checkpoint", put("blas", "another"))
    with pytest.warns(CheckpointWarning, match="with the BLAS another, .* may differ in rounding"):
        assert_same(Run().go(path), Run().go())


@pytest.mark.parametrize(("small", "warned"), [(1 << 20, False), (1, True)])
def test_another_number_of_threads_is_a_warning_only_where_steps_take_more_than_one(path, monkeypatch, small, warned):
    pool = {"user_api": "blas", "internal_api": "openblas", "num_threads": 4}
    monkeypatch.setattr(threads, "SMALL", small)
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: [pool])
    Run().interrupted(path, STEPS + 3)
    pool["num_threads"] = 2
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        Run().go(path)
    assert len(found) == warned
    assert all("threads 4, this program has" in str(each.message) for each in found)


FULL = failing(OSError("the disk is full"))


# --- the file ------------------------------------------------------------------------------------------------------


def files(path):
    return sorted(file.name for file in path.parent.iterdir())


def test_the_last_two_files_are_kept_and_those_of_a_killed_process_removed(path):
    (path.parent / "run.ckpt.0123456789abcdef.part").touch()
    (path.parent / "run.ckpt.mine.part").touch()
    Run().go(os.fsencode(path))  # bytes are a path, too
    assert files(path) == ["run.ckpt", "run.ckpt.mine.part", "run.ckpt.previous"]
    contents, _ = tensorfile.read(f"{path}.previous", "checkpoint")
    assert contents["state"]["optimizer"]["steps"] == (EPOCHS - 1) * STEPS


@pytest.mark.parametrize("harm", ["cut", "changed", "emptied", "missing", "another"])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(path, harm):
    Run().interrupted(path, STEPS + 3, every="2steps")
    content = path.read_bytes()
    middle = len(content) // 2
    harmed = {
        "cut": content[:middle],
        "changed": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "emptied": b"",
        "another": b"<html></html>" * 20,
    }
    path.unlink() if harm == "missing" else path.write_bytes(harmed[harm])
    with pytest.warns(CheckpointWarning, match=r"Resuming from the one before, .*run\.ckpt\.previous"):
        run = Run().go(path)
    assert_same(run, Run().go())


def test_a_damaged_checkpoint_never_replaces_the_intact_previous_one(path):
    Run().interrupted(path, STEPS + 3, every="2steps")
    whole = (path.parent / "run.ckpt.previous").read_bytes()
    path.write_bytes(b"damaged")
    with pytest.warns(CheckpointWarning):
        Run().interrupted(path, STEPS + 3)
    assert (path.parent / "run.ckpt.previous").read_bytes() == whole
    tensorfile.read(path, "checkpoint")


def test_without_an_intact_checkpoint_a_training_is_not_silently_started_over(path):
    Run().go(path)
    for name in ("run.ckpt", "run.ckpt.previous"):
        (path.parent / name).write_bytes(b"damaged")
    with pytest.raises(FileFormatError, match=r"no checkpoint to resume from: .*To start over"):
        Run().go(path)
    assert path.read_bytes() == b"damaged"


def test_a_saved_network_is_not_used_as_a_checkpoint_and_not_changed(path):
    save(Run().net, path)
    before = path.read_bytes()
    with pytest.raises(FileFormatError, match="holds 'network', expected 'checkpoint'"):
        Run().go(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_full_disk_is_a_warning_and_the_last_good_checkpoint_stays(path, monkeypatch, fails):
    Run().interrupted(path, STEPS + 1)
    good = path.read_bytes()
    warned = pytest.warns(CheckpointWarning, match=r"could not be written after step 14: the disk is full")
    with monkeypatch.context() as patch, warned as warnings:
        patch.setattr(os, fails, FULL)
        run = Run().go(path)
    assert len(warnings) == 1
    assert_same(run, Run().go())
    assert path.read_bytes() == good
    assert not [name for name in files(path) if name.endswith(".part")]
    assert_same(Run().go(path), run)


def replaced(path, kind):
    """Put a folder, a pipe or a read-only file where the checkpoint is, or take the whole folder away."""
    if kind == "read-only":
        path.chmod(0o444)
    elif kind == "no folder":
        shutil.rmtree(path.parent)
    else:
        path.unlink()
        os.mkfifo(path) if kind == "pipe" else path.mkdir()


@pytest.mark.parametrize(("kind", "message"), [
    ("folder", r"is a folder, a pipe or a device; .*\. The last intact one, .*run\.ckpt\.previous, is still there"),
    ("pipe", r"is a folder, a pipe or a device; .*\. The last intact one, .*run\.ckpt\.previous, is still there"),
    ("read-only", r"is read-only; make it writable .*\. The last intact one, .*run\.ckpt, is still there"),
    ("no folder", "No such file or directory.* There is none on the disk; the training goes on"),
])  # fmt: skip
def test_a_place_that_cannot_be_written_any_more_is_a_warning(tmp_path, kind, message):
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "run.ckpt"
    with pytest.warns(CheckpointWarning, match=f"could not be written after step 14: .*{message}"):
        run = Run(on_the_way=lambda run, epoch: replaced(path, kind) if epoch.number == 2 else None).go(path)
    assert_same(run, Run().go())


def test_too_little_memory_for_a_later_checkpoint_is_a_warning(path, monkeypatch):
    def too_large(run, epoch):
        monkeypatch.setattr("minibp.files.checkpoint.to_bytes", failing(MemoryError()))

    with pytest.warns(CheckpointWarning, match=r"could not be written after step 7: MemoryError\. The last intact one"):
        assert_same(Run(on_the_way=too_large).go(path), Run().go())


def test_a_disk_with_room_for_two_files_keeps_the_newest_two(path, monkeypatch):
    fsync = os.fsync

    def synced(file):
        if sum(each.stat().st_size for each in path.parent.iterdir()) > 2.5 * os.fstat(file).st_size:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    monkeypatch.setattr(os, "fsync", synced)
    Run().go(path)
    kept = [tensorfile.read(path.parent / name, "checkpoint")[0] for name in files(path)]
    assert [contents["state"]["optimizer"]["steps"] for contents in kept] == [EPOCHS * STEPS, (EPOCHS - 1) * STEPS]


@pytest.mark.parametrize(("other", "message"), [
    (lambda path: Run().interrupted(path, STEPS + 3), rf"process {os.getpid()} has written it after step 10"),
    (lambda path: path.write_bytes(b"text"), "another program has changed it"),
], ids=["training", "text"])  # fmt: skip
def test_a_training_stops_if_another_writes_to_its_file(path, other, message):
    run = Run(on_the_way=lambda run, epoch: other(path) if epoch.number == 2 else None)
    ours = rf"is no longer the file that this training \(process {os.getpid()}, step 14\) wrote"
    with pytest.raises(CheckpointError, match=f"{ours}: {message}.*give each training a file of its own"):
        run.go(path)
    assert not [name for name in files(path) if name.endswith(".part")]


def test_of_two_trainings_that_start_on_one_file_the_second_writes_nothing(path, monkeypatch):
    def late(*arguments):
        monkeypatch.undo()
        Run().interrupted(path, 3)
        return write_atomically(*arguments)

    monkeypatch.setattr("minibp.files.checkpoint.write_atomically", late)
    with pytest.raises(CheckpointError, match=r"has written it after step 3\. It stops"):
        Run().go(path)
    assert tensorfile.read(path, "checkpoint")[0]["state"]["optimizer"]["steps"] == 3


def test_a_file_that_vanishes_while_it_is_looked_for_is_missing(path, monkeypatch):
    def vanished(name, kind):
        path.unlink(missing_ok=True)
        return tensorfile.read(name, kind)

    Run().interrupted(path, STEPS + 3, every="2steps")
    monkeypatch.setattr("minibp.files.checkpoint.read", vanished)
    with pytest.warns(CheckpointWarning, match=r"no such file: .*run\.ckpt\. Resuming from the one before"):
        run = Run().go(path)
    assert_same(run, Run().go())


def test_a_disk_that_is_full_from_the_start_is_an_error(path, monkeypatch):
    monkeypatch.setattr(os, "fsync", FULL)
    with pytest.raises(OSError, match="disk is full"):
        Run().go(path)
    assert files(path) == []


def test_weights_that_diverged_never_replace_good_ones(path):
    def wild(net):
        return SGD(net, lr=1e30)

    with np.errstate(all="ignore"), pytest.raises(DivergenceError):
        Run(wild).go(path, "1steps")
    _, arrays = tensorfile.read(path, "checkpoint")
    assert np.isfinite(arrays["network.layers.0.W"]).all()


# --- files that do not fit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("build", "options", "differs"), [
    ({"hidden": 7}, {}, "network"),
    ({"loss": lambda: CrossEntropy(label_smoothing=0.1)}, {}, "network"),
    ({"dtype": "float64"}, {}, "dtype"),
    ({"seed": 1}, {}, r"generator \(seed\)"),
    ({"seed": 1}, {}, r"weights at the start"),
    ({"optimizer": lambda net: Adam(net, lr=0.02)}, {}, "optimizer"),
    ({"optimizer": lambda net: Adam(net, lr=0.01, beta1=0.8)}, {}, "optimizer"),
    ({"patience": 3}, {}, "early stopping"),
    ({}, {"batch_size": 9}, "batch size"),
    ({}, {"dataset": samples(5)}, "training data"),
    ({}, {"validation": samples(5)}, "validation data"),
    ({}, {"epochs": 1}, "epochs"),
    ({}, {"epochs": 3}, "epochs"),  # the fourth has begun
])  # fmt: skip
def test_the_checkpoint_of_another_training_is_refused_and_left_alone(path, build, options, differs):
    Run().interrupted(path, 3 * STEPS + 2)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=rf"another training:(\n.*)*\n  {differs}\n    here .*\n    in the file "):
        Run(**build).go(path, **options)
    assert path.read_bytes() == before


@on_every_library
def test_a_training_with_label_smoothing_resumes_with_the_same_bits(path):
    def build():
        return Run(loss=lambda: CrossEntropy(label_smoothing=0.1))

    build().interrupted(path, STEPS + 3)
    resumed, whole = build().go(path), build().go()
    assert_same(resumed, whole)
    assert resumed.epochs[-1].loss == whole.epochs[-1].loss


def test_only_what_differs_is_listed(path):
    Run().interrupted(path, 3)
    with pytest.raises(CheckpointError) as caught:
        Run().go(path, batch_size=9)
    assert str(caught.value).splitlines()[1:4] == ["  batch size", "    here         9", "    in the file  8"]


@pytest.mark.parametrize("change", [
    put("training", "\x1b[2J", "\x1b[31m"),
    put("state", "\x1b[2J", {}),
])  # fmt: skip
def test_strings_from_a_file_cannot_control_a_terminal(path, change):
    Run().interrupted(path, 3)
    rewrite(path, "checkpoint", change)
    with pytest.raises((CheckpointError, FileFormatError), match=r"\\x1b\[2J") as caught:
        Run().go(path)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("change", [
    put("backend", "os"),
    put("dtype", "float16"),
    put("state", 5),
    put("training", "network", 5),
    lambda contents, arrays: contents.pop("training"),
    lambda contents, arrays: contents["state"].pop("optimizer"),
    state("network", "layers.3.step", "os.system"),
    state("optimizer", "step", 5),
    state("optimizer", "schedule.then.class", "Step"),
    schedule("Network"),
    schedule("Step", lr=1),
    schedule("Constant", lr=0.1, __call__=1),
    state("early stopping", "patience", 0),
    state("progress", "steps", -1),
    state("progress", "steps", 8),
    state("progress", "order", {"bit_generator": "MT19937"}),
    lambda contents, arrays: contents["state"]["progress"].pop("seconds"),
    array("progress.history", np.ones((1, 5))),
    array("progress.losses", np.ones((STEPS, 1))),
    array("optimizer.moments.1", None),
    array("network.layers.0.W", np.ones((5, 6), "float32")),
    array("early stopping.best_buffers", None),
    array("more", np.ones(3, "float32")),
    array("optimizer.schedule.more", np.ones(3, "float32")),
])  # fmt: skip
@pytest.mark.parametrize("also", [lambda contents, arrays: None, schedule("Step", lr=1, every=2, factor=0.5)])
def test_a_checkpoint_that_contradicts_itself_is_refused_and_changes_nothing(path, change, also):
    Run(plateau, patience=2).interrupted(path, STEPS + 3)
    rewrite(path, "checkpoint", lambda contents, arrays: (also(contents, arrays), change(contents, arrays)))
    run, untouched = Run(plateau, patience=2), Run(plateau, patience=2)
    lr = run.optimizer.schedule
    then, rng = lr.then, run.net.rng
    with pytest.raises((FileFormatError, CheckpointError), match=r"contradicts itself|does not say|another training"):
        run.go(path)
    assert_same(run, untouched)
    assert run.optimizer.schedule is lr and lr.then is then and run.net.rng is rng
    for ours, theirs in ((run.optimizer, untouched.optimizer), (run.stopping, untouched.stopping)):
        assert_same_state(ours.state_dict(), theirs.state_dict())
    assert_same_state(run.net.state_dict(), untouched.net.state_dict())


@on_every_library
@pytest.mark.host
def test_a_training_on_a_memory_map_does_not_resume_with_an_array(path, mapped):
    Run().interrupted(path, 3, dataset=mapped)
    with pytest.raises(CheckpointError, match="shuffled in blocks"):
        Run().go(path)


def test_early_stopping_of_another_network_is_refused(path):
    run = Run()
    run.stopping = EarlyStopping(Run().net)
    with pytest.raises(ArgumentError, match="belongs to another network"):
        run.go(path)
    assert files(path) == []


def test_ctrl_c_on_a_full_disk_says_that_nothing_was_saved(path, monkeypatch):
    Run().interrupted(path, STEPS + 1)
    run = Run()
    with pytest.warns(CheckpointWarning) as warned, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", FULL)
        run.interrupted(path, 3 * STEPS + 1)
    assert [str(each.message).endswith("still there") for each in warned] == [False, True]


@pytest.mark.parametrize("every", [0, -1, "0steps", "5 steps", "steps", "", 1.5, True, None])
def test_invalid_intervals_are_refused(path, every):
    with pytest.raises(ArgumentError, match="every must be epochs"):
        Checkpoint(path, every)


def test_anything_but_a_checkpoint_is_refused():
    run = Run()
    run.checkpoint = "run.ckpt"
    with pytest.raises(ArgumentError, match=r"create one: Checkpoint\('run\.ckpt'\)"):
        run.go()


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"the folder .* does not exist"):
        Checkpoint(tmp_path / "nowhere" / "run.ckpt")


# --- the scripts, and processes that are killed --------------------------------------------------------------------


@pytest.mark.parametrize("mode", kills.MODES)
def test_a_script_that_is_killed_again_and_again_ends_with_the_same_weights(tmp_path, mode):
    training = ("--epochs", "6", "--optimizer", "adam", "--checkpoint-every", "3steps")
    assert kills.survive(tmp_path, mode, 3, random.Random(0), training).kills == 3


STOPS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def stoppable():
    """A suite in the background, or under nohup, ignores some signals."""
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_saves_and_the_same_command_line_resumes(tmp_path, number):
    arguments = ["--epochs", "300", "--log", str(tmp_path / "log.csv"), "--checkpoint", str(tmp_path / "run.ckpt")]
    arguments += ["--checkpoint-every", "300"]
    command = [sys.executable, "-m", "datasets.digits", *arguments]
    process = subprocess.Popen(
        command, cwd=kills.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=stoppable,
    )  # fmt: skip
    for _ in range(600):
        if (tmp_path / "log.csv").exists() and len((tmp_path / "log.csv").read_text().splitlines()) > 3:
            break
        time.sleep(0.05)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == STOPS[number]
    assert error.splitlines()[-1] == f"interrupted; the same command line continues from {tmp_path / 'run.ckpt'}"
    assert tensorfile.read(tmp_path / "run.ckpt", "checkpoint")[0]["state"]["optimizer"]["steps"] > 3 * 45


def test_a_resumed_script_continues_its_log_and_reports_the_same(tmp_path, capsys):
    arguments = ["--epochs", "3", "--log", str(tmp_path / "log.csv"), "--checkpoint", str(tmp_path / "run.ckpt")]
    outs, logs = [], []
    for _ in range(2):
        assert main("digits", data.digits, arguments, "small") == 0
        outs.append(capsys.readouterr().out)
        logs.append((tmp_path / "log.csv").read_text())
    assert "continuing from" not in outs[0] and f"continuing from {tmp_path / 'run.ckpt'}, after step 135" in outs[1]
    assert outs[0].splitlines()[-1].split("seconds")[0] == outs[1].splitlines()[-1].split("seconds")[0]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(("arguments", "message"), [
    (["--checkpoint-every", "5"], "--checkpoint-every needs --checkpoint FILE"),
    (["--checkpoint", "{}/c", "--checkpoint-every", "5 epochs"], "every must be epochs"),
    (["--checkpoint", "nowhere/c"], "the folder nowhere does not exist"),
    (["--checkpoint", "{}/c", "--save", "{}/./c"], "name the same file"),
    (["--checkpoint", "{}/c", "--log", "{}/c.previous"], "name the same file"),
    (["--checkpoint", "{}/c", "--compare-losses"], "--checkpoint cannot be used with --compare-losses"),
    (["--checkpoint", "{}/c", "--probe"], "--checkpoint cannot be used with --probe without --model"),
    (["--checkpoint", "{}/c", "--probe", "--model", "small"], "cannot be used with --probe, which cannot continue"),
])  # fmt: skip
def test_a_script_refuses_options_that_contradict_each_other(tmp_path, capsys, arguments, message):
    assert main("digits", data.digits, [argument.format(tmp_path) for argument in arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("number", "survived"), [(signal.SIGINT, 1), (signal.SIGTERM, 2), (signal.SIGHUP, 2)])
def test_only_a_second_ctrl_c_stops_at_once(tmp_path, number, survived):
    """A closed terminal may send SIGHUP twice, and some schedulers send SIGTERM and SIGHUP."""
    checkpoint, made = Checkpoint(tmp_path / "run.ckpt"), []

    def training():
        with saved_at_interrupt(checkpoint):
            for i in range(2):
                signal.raise_signal(number)
                made.append(i)
            raise KeyboardInterrupt  # as `train` does after the step

    before = {each: signal.getsignal(each) for each in STOPS}
    try:
        stoppable()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        assert exit_status(training) == STOPS[number]
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert len(made) == survived


def test_an_ignored_interrupt_stays_ignored(tmp_path):
    """A shell starts background jobs in this way."""
    checkpoint = Checkpoint(tmp_path / "run.ckpt")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with saved_at_interrupt(checkpoint):
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_script_interrupted_before_its_first_checkpoint_mentions_none(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(script, "prepare", failing(KeyboardInterrupt()))
    assert main("digits", data.digits, ["--checkpoint", str(tmp_path / "run.ckpt")]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("option", ["--save", "--checkpoint", "--checkpoint-every", "--log", "--plot", "--data"])
def test_an_empty_file_name_is_refused(capsys, option):
    with pytest.raises(SystemExit) as end:
        main("digits", data.digits, [option, ""])
    assert end.value.code == 2 and f"argument {option}: it is empty" in capsys.readouterr().err
