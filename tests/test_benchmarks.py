"""The benchmarks: what is compared, what is dropped and refused, and that every script runs. No time is asserted."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import minibp
from benchmarks import augmentation, endtoend, estimators, gpu, inference, launches, nets, startup, train_step
from benchmarks.machine import others
from benchmarks.peers import PEERS, ROOT, build, label, revision
from benchmarks.peers.arrays import Naive
from benchmarks.ratios import by_round, deviation, fastest, ratio, spread
from benchmarks.rounds import PeerError, Worker, environment, take_turns
from benchmarks.tables import markdown, measured
from minibp.backend import Backend

CORE = ["--smoke", "--peers", "minibp-core", "naive"]


def turn(number, seconds, kept=True):
    return {"round": number, "seconds": seconds, "kept": kept, "others": 0.0}


@pytest.fixture(autouse=True)
def as_in_a_process_of_its_own(monkeypatch):
    """A peer without extras hides numba, which comes back."""
    monkeypatch.setitem(sys.modules, "numba", sys.modules.get("numba"))
    if sys.modules["numba"] is None:
        del sys.modules["numba"]


@pytest.fixture
def worker():
    worker = Worker(environment(False))
    yield worker
    worker.close()


# --- figures -------------------------------------------------------------------------------------------------------


def test_spread_is_the_median_and_the_quartiles():
    assert spread([5, 1, 2, 4, 3]) == (3, 2, 4, 5)
    assert spread([]) is None


def test_ratios_compare_the_turns_of_one_round():
    peer, base = [turn(i, 2.0 * (i + 1)) for i in range(4)], [turn(i, i + 1.0) for i in range(4)]
    assert ratio(peer, base) == (2, 2, 2, 4)


def test_ratios_leave_out_rounds_in_which_one_of_the_two_was_dropped():
    peer = [turn(0, 3.0), turn(1, 9.0, kept=False), turn(2, 3.0)]
    base = [turn(0, 1.0), turn(1, 1.0), turn(2, 9.0, kept=False)]
    assert ratio(peer, base) == (3, 3, 3, 1)
    assert ratio(peer[1:], base) is None


def test_a_turn_that_was_taken_again_counts_in_place_of_the_dropped_one():
    assert by_round([turn(0, 9.0, kept=False), turn(0, 1.0)]) == {0: 1.0}


def test_the_fastest_is_that_of_the_smallest_median():
    turns = {"a": [turn(0, 2.0)], "b": [turn(0, 1.0), turn(1, 1.0), turn(2, 9.0)], "c": [turn(0, 0.1, kept=False)]}
    assert fastest(turns, ["a", "b", "c", "d"]) == "b"


@pytest.mark.parametrize(("found", "expected"), [
    ([1.0, 2.2], 0.1), ([1.0, float("nan")], float("inf")), ([1.0], float("inf")), ([], float("inf")),
])  # fmt: skip
def test_deviation_is_the_largest_relative_difference_or_infinite(found, expected):
    assert deviation(found, [1.0, 2.0]) == pytest.approx(expected)


def test_the_load_of_others_is_a_share_of_all_processors(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert others(10.0, 13.0, own=1.0, wall=5.0) == pytest.approx(0.1)
    assert others(10.0, 10.0, own=1.0, wall=5.0) == 0.0  # ticks of /proc/stat are coarse
    assert others(None, None, own=1.0, wall=5.0) is None


def test_tables_are_aligned():
    assert markdown(["", "a"], [["long name", "1"], ["b", "10.5"]]).splitlines() == [
        "|           |    a |", "| --------- | ---: |", "| long name |    1 |", "| b         | 10.5 |",
    ]  # fmt: skip


def test_versions_follow_their_own_peer_and_are_told_apart():
    names = ["naive", "minibp-core@one/old", "minibp@two/old", "minibp-core", "minibp@one/old", "minibp"]
    assert [label(name) for name in measured({"a": {name: {} for name in names}})] == [
        "minibp, every extra", "minibp, every extra @two/old", "minibp, every extra @one/old",
        "minibp, the core alone", "minibp, the core alone @one/old", "NumPy that allocates",
    ]  # fmt: skip


# --- turns ---------------------------------------------------------------------------------------------------------


def test_peers_take_turns():
    taken = []
    takers = {name: lambda name=name: taken.append(name) or {"seconds": 1.0, "others": 0.0} for name in "ABC"}
    take_turns(takers, rounds=2, pause=0)
    assert "".join(taken) == "ABCABC"


def test_a_disturbed_turn_is_dropped_and_taken_again():
    disturbances = iter([0.0, 0.5, 0.01, 0.9, 0.9, 0.9])
    turns, _ = take_turns({"A": lambda: {"seconds": 1.0, "others": next(disturbances)}}, rounds=3, pause=0)
    assert [(each["round"], each["kept"]) for each in turns["A"]] == [
        (0, True), (1, False), (1, True), (2, False), (2, False), (2, False)
    ]  # fmt: skip


def test_turns_are_kept_if_the_load_of_others_is_unknown():
    turns, _ = take_turns({"A": lambda: {"seconds": 1.0, "others": None}}, rounds=1, pause=0)
    assert [each["kept"] for each in turns["A"]] == [True]


def test_a_peer_that_fails_takes_no_more_turns():
    def fail():
        raise PeerError("out of memory")

    turns, errors = take_turns({"A": fail, "B": lambda: {"seconds": 1.0, "others": 0.0}}, rounds=2, pause=0)
    assert len(turns["B"]) == 2
    assert str(errors["A"]) == "out of memory"


# --- processes -----------------------------------------------------------------------------------------------------


def test_variables_that_force_kernels_are_removed_unless_asked_for(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "OPENBLAS_CORETYPE" not in environment(own_settings=False)
    assert environment(own_settings=True)["OPENBLAS_CORETYPE"] == "Haswell"


def test_an_error_in_a_peers_process_is_reported(worker):
    with pytest.raises(PeerError, match="KeyError: 'nobody'"):
        worker.ask("build", peer="nobody", net="a", rows=64, device="cpu")


def test_the_end_of_a_peers_process_is_reported(worker):
    worker.process.kill()
    with pytest.raises(PeerError, match="ended with status"):
        worker.ask("turn")


# --- the work ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", nets.NETS)
def test_every_step_is_a_whole_batch(name):
    assert nets.ROWS % nets.NETS[name].batch == 0


@pytest.mark.parametrize("name", ["c", "u", "v"])
def test_no_moment_is_subnormal_before_peers_restart(name):
    net = nets.NETS[name]
    peer = Naive(nets.task(net))
    peer.run(nets.FRESH * net.batch // nets.ROWS)
    values = np.concatenate([moment.ravel() for moment in (*peer.m, *peer.v)])
    assert ((values != 0) & (abs(values) < np.finfo("float32").tiny)).mean() < 0.001


@pytest.mark.parametrize("name", ["t", "u", "v"])
def test_features_are_floats_of_about_one_and_can_be_learned(name):
    task = nets.task(nets.NETS[name])
    assert task.x.dtype == "float32" and task.x.shape[1] == task.net.sizes[0]
    assert 0.9 < task.x.std() < 1.5
    assert set(np.unique(task.t)) == set(range(task.net.sizes[-1]))
    peer = Naive(task)
    before = (peer.predict(task.x).argmax(1) == task.t).mean()
    peer.run(3)
    assert (peer.predict(task.x).argmax(1) == task.t).mean() > before + 0.1


def test_the_tiny_nets_are_those_whose_cost_is_in_the_calls():
    assert [name for name, net in nets.NETS.items() if net.tiny] == ["a", "t", "u"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile
@pytest.mark.parametrize("net", ["b", "u"])
@pytest.mark.parametrize("peer", ["torch-eager", "torch-step", "jax-jit", "jax-scan"])
def test_every_form_of_a_peer_makes_the_steps_of_the_formulas(peer, net):
    for package in PEERS[peer].needs:
        pytest.importorskip(package)
    task = nets.task(nets.NETS[net], 128)
    rows = np.random.default_rng(0).permutation(128)
    expected = Naive(task, dtype="float64").losses(rows)
    np.testing.assert_allclose(build(peer, task).losses(rows), expected, rtol=1e-4)


def test_scikit_learns_one_output_for_two_classes_starts_as_the_two_of_softmax():
    pytest.importorskip("sklearn")
    task = nets.task(nets.NETS["u"], 64)
    found = build("sklearn", task).predict(task.x)
    np.testing.assert_allclose(found, Naive(task, dtype="float64").predict(task.x), rtol=1e-4)


@pytest.mark.parametrize("net", ["e", "u"])
@pytest.mark.parametrize("peer", ["naive", "minibp-core"])
def test_peers_restart_from_the_same_weights(peer, net):
    task = nets.task(nets.NETS[net], 256)
    built = build(peer, task)
    rows = np.arange(256)
    first = built.losses(rows)
    built.run(1)
    built.restart()
    np.testing.assert_allclose(built.losses(rows), first, rtol=1e-5)


# --- the scripts ---------------------------------------------------------------------------------------------------


def test_train_step_prints_both_tables_and_writes_every_turn(capsys, tmp_path):
    file = tmp_path / "results.json"
    peers = ["minibp-core", "floor", "naive"]
    assert train_step.main(["--smoke", "--nets", "a", "t", "--peers", *peers, "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    first_cells = [line.split("|")[1].strip() for line in printed.splitlines() if line.startswith("| ")]
    assert first_cells == [
        "median", "-" * 24, *(PEERS[name].label for name in peers),
        "minibp, the core alone = 1", "-" * 26, "NumPy that allocates", "over the floor",
    ]  # fmt: skip
    assert "BLAS of NumPy: " in printed
    results = json.loads(file.read_text())["results"]
    assert {net: list(peers) for net, peers in results.items()} == {"a": peers, "t": peers}
    assert results["a"]["naive"]["turns"][0]["seconds"] > 0


def test_a_peer_that_does_other_work_is_not_compared(capsys, monkeypatch):
    monkeypatch.setattr(train_step, "TOLERANCE", 0.0)  # float32 is never as exact as float64
    assert train_step.main([*CORE, "--nets", "a"]) == 1
    printed = capsys.readouterr().out
    assert printed.count(" disagrees |") == 3  # two times and a ratio
    assert "a: naive is left out: its losses differ by" in printed


def test_an_absent_peer_is_skipped_by_name(capsys, monkeypatch):
    monkeypatch.setattr(train_step, "missing", lambda name: ["torch"] if "torch" in name else [])
    assert train_step.main(["--smoke", "--nets", "a", "--peers", "torch-eager", "naive"]) == 0
    printed = capsys.readouterr().out
    assert "torch is not installed, torch-eager is skipped" in printed
    assert "| NumPy that allocates |" in printed


@pytest.fixture
def checkout(tmp_path):
    """Another checkout. Its minibp notes the programs that import it in the file `imported`."""
    for name in ("minibp", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / "other" / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    init = tmp_path / "other" / "minibp" / "__init__.py"
    note = "import sys\nwith open('imported', 'a') as file:\n    print(sys.argv[0], file=file)\n"
    init.write_text(f"{init.read_text(encoding='utf-8')}\n{note}", encoding="utf-8")
    return tmp_path / "other"


def importers(checkout):
    return (checkout / "imported").read_text().splitlines()


def commit(folder):
    """Make a repository of a folder, and return its revision."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    env = {"PATH": os.environ["PATH"]}  # without the settings of a git that runs these tests
    for command in (["init", "-q"], ["add", "minibp"], ["commit", "-q", "-m", "a"], ["rev-parse", "--short", "HEAD"]):
        done = subprocess.run([*git, *command], cwd=folder, env=env, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def test_two_versions_of_minibp_are_compared_in_one_run(checkout, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert train_step.main(["--smoke", "--nets", "a", "--peers", "minibp-core@other", "minibp-core"]) == 0
    assert str(checkout / "benchmarks" / "worker.py") in importers(checkout)
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("| minibp, the core alone")]
    assert [row.split("|")[1].strip() for row in rows] == [
        "minibp, the core alone", "minibp, the core alone @other", "minibp, the core alone = 1",
        "minibp, the core alone @other",
    ]  # fmt: skip
    assert f"minibp-core@other {minibp.__version__}" in printed


def test_startup_runs_the_code_of_the_other_version(checkout, capsys):
    pytest.importorskip("resource")
    assert startup.main(["--smoke", "--peers", f"minibp-core@{checkout}"]) == 0
    assert importers(checkout)[:2] == ["-c", str(checkout / "benchmarks" / "startup.py")]


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_the_revision_is_that_of_the_folder_and_not_of_a_repository_around_it(checkout, tmp_path):
    (tmp_path / "minibp").touch()
    commit(tmp_path)
    assert revision(f"minibp@{checkout}") == minibp.__version__
    own = commit(checkout)
    assert revision(f"minibp@{checkout}") == own
    (checkout / "minibp" / "__init__.py").write_text("")
    assert revision(f"minibp@{checkout}") == f"{own}-dirty"


@pytest.mark.parametrize(("name", "message"), [
    ("torch", "'torch' is not a peer: choose from minibp, minibp-core, floor, "),
    ("naive@.", "'naive@.' is not a peer: choose from"),
    ("minibp@", "'minibp@' is not a peer: choose from"),
    ("minibp@nowhere", "minibp@nowhere: expected a checkout of minibp, but "),
])  # fmt: skip
def test_a_peer_that_does_not_exist_is_refused(name, message, capsys):
    with pytest.raises(SystemExit):
        train_step.main(["--smoke", "--peers", name])
    assert message in capsys.readouterr().err


def test_a_folder_from_which_python_does_not_import_is_refused(checkout, capsys):
    (checkout / "minibp").rename(checkout / "elsewhere")
    (checkout / "minibp").symlink_to(ROOT / "minibp")
    with pytest.raises(SystemExit):
        train_step.main(["--smoke", "--peers", f"minibp@{checkout}"])
    assert f"Python imports minibp from {ROOT / 'minibp'}, not from " in capsys.readouterr().err


def test_inference_compares_many_images_and_one(capsys):
    assert inference.main(CORE) == 0
    printed = capsys.readouterr().out
    assert "| median                 | d: 500 | d: 1 |" in printed
    assert "| minibp, the core alone = 1 " in printed


def test_startup_compares_import_first_epoch_and_memory(capsys):
    pytest.importorskip("resource")
    assert startup.main(CORE) == 0
    printed = capsys.readouterr().out
    assert "| d: import, s | d: first epoch, s | d: peak, MiB |" in printed


def test_whole_trainings_are_compared_on_digits_and_a_table(capsys, tmp_path):
    pytest.importorskip("resource")
    file = tmp_path / "results.json"
    assert endtoend.main(["--smoke", "--peers", "minibp", "minibp-core", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "| median                 | digits | table |" in printed
    assert "Losses of the last epoch agree" in printed
    results = json.loads(file.read_text())["results"]
    peers = ["minibp", "minibp-core"] if find_spec("numba") else ["minibp-core"]  # the first is with every extra
    assert {net: list(found) for net, found in results.items()} == {"digits": peers, "table": peers}


def test_a_training_that_ends_elsewhere_is_not_compared(capsys, monkeypatch):
    pytest.importorskip("resource")
    monkeypatch.setattr(endtoend, "last_loss", lambda *_: 0.01)
    assert endtoend.main(["--smoke", "--nets", "digits", "--peers", "minibp-core"]) == 1
    assert "digits: minibp-core is left out: its losses of the last epoch differ by" in capsys.readouterr().out


def test_a_training_runs_the_code_of_the_other_version(checkout, capsys):
    pytest.importorskip("resource")
    assert endtoend.main(["--smoke", "--nets", "digits", "--peers", f"minibp-core@{checkout}"]) == 0
    assert str(ROOT / "benchmarks" / "scripts" / "minibp_fit.py") in importers(checkout)


@pytest.mark.parametrize("peer", endtoend.SCRIPTS)
def test_every_peer_has_a_script_that_trains(peer, tmp_path):
    pytest.importorskip("resource")
    for package in PEERS[peer].needs:
        pytest.importorskip(package)
    net = endtoend.NETS["table"]
    x, t = nets.features(30, 2, 500)
    np.savez(tmp_path / "table.npz", x=x, t=t)
    losses = [endtoend.turn(peer, net, tmp_path / "table.npz", n, environment(False))["loss"] for n in (1, 6)]
    assert losses[1] < losses[0] < 1


def test_the_gpu_benchmark_says_why_there_is_nothing_to_measure(capsys, monkeypatch):
    found = {"cupy": Backend("cupy", False, "CuPy is not installed", "install it")}
    monkeypatch.setattr(gpu, "available", lambda: found)
    assert gpu.main([]) == 1
    assert capsys.readouterr().err == "nothing to measure: CuPy does not work: CuPy is not installed; install it\n"


def test_the_gpu_benchmark_runs_on_the_cpu_but_for_the_device(capsys):
    assert gpu.main(["--smoke", "--device", "cpu", "--nets", "a", "--peers", "minibp-core"]) == 0
    printed = capsys.readouterr().out
    assert "Device: the CPU: no GPU was measured" in printed
    assert "launches a step of minibp, at least" in printed


def test_launches_grow_with_the_layers(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # put back afterwards
    assert 10 < launches.count("a") < launches.count("g")


def test_a_score_may_be_below_that_of_scikit_learn_by_one_standard_error():
    theirs = [0.8, 0.9, 1.0]  # 0.9 ± 0.058
    assert not estimators.below({"scikit-learn": theirs, "formulas": [0.85, 0.85, 0.85]})
    assert estimators.below({"scikit-learn": theirs, "formulas": [0.9, 0.9, 0.9], "compiled": [0.84, 0.84, 0.84]})


def test_augmentation_is_measured_beside_an_epoch_of_net_d(capsys):
    augmentation.main(["--images", "256", "--rounds", "1"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.endswith(")") and " s  (" in line]
    ways = 2 if find_spec("numba") else 1
    assert len(rows) == ways * (2 + len(augmentation.LAYERS))
    assert "ElasticDistortion()" in rows[2] and "net d" in rows[len(augmentation.LAYERS) + 1]
