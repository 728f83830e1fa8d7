"""The training scripts: what they print, write and refuse."""

import csv
import importlib
import os
import re
import runpy
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import standin
from failing import failing

from datasets.script import main
from minibp import Epoch, data, load, metrics
from minibp.backend import blas_threads, limited_blas
from minibp.cli import epoch_bar
from minibp.cli.log import Log
from minibp.errors import MinibpWarning

ROOT = Path(__file__).parent.parent
LAST_LINE = re.compile(r"test accuracy (\d\.\d{4})  loss (\d+\.\d{4})  epochs (\d+)  seconds \d+\.\d")
EPOCH_LINE = r"epoch +\d+  loss \d+\.\d{4}  test loss \d+\.\d{4}  test accuracy \d\.\d{4}  \d+\.\d\d s"


@pytest.fixture
def digits(printed_lines):
    """A function that runs the script of the digits, and returns the lines that it prints."""
    start = ["--model", "softmax", "--epochs", "2"]
    return lambda *arguments: printed_lines(main("digits", data.digits, [*start, *map(str, arguments)]))


# --- what is printed -----------------------------------------------------------------------------------------------


def test_script_run_by_its_name_prints_one_line_when_quiet():
    command = [sys.executable, "-W", "error", "-m", "datasets.digits", "--quiet", "--epochs", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert LAST_LINE.fullmatch(done.stdout.removesuffix("\n"))


def test_the_bar_follows_the_width_of_the_terminal(monkeypatch):
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))  # not on Windows
    ours, terminal = pty.openpty()

    def resize(width):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, width, 0, 0))

    drawn = b""
    with os.fdopen(terminal, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        resize(90)
        with epoch_bar(quiet=False, epochs=10) as (show, _):
            resize(40)
            show("a line, below which the bar is drawn again")
            print("\rend", end="", file=stderr, flush=True)
            while not drawn.endswith(b"end"):
                drawn += os.read(ours, 1000)
    os.close(ours)
    assert 20 < len(drawn.decode().split("\r")[-2]) <= 40


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion_mnist", "kmnist"])
def test_every_data_set_has_a_script(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module(f"datasets.{name}", run_name="__main__")
    assert capsys.readouterr().out.startswith(f"usage: python -m datasets.{name} ")


def test_a_line_is_printed_for_each_epoch_and_the_result_last(digits):
    lines = digits()
    assert lines[0] == "digits: 1,437 training and 360 test images"
    assert len([line for line in lines if re.fullmatch(EPOCH_LINE, line)]) == 2
    assert LAST_LINE.fullmatch(lines[-1])[3] == "2"


@pytest.mark.parametrize("dataset", ["digits", "mnist"])  # the digits are split by the seed, too
def test_same_seed_prints_the_same_result(dataset, capsys):
    results = []
    for seed in ("1", "1", "2"):
        main(dataset, lambda *_, **options: data.digits(**options), ["--epochs", "1", "--quiet", "--seed", seed])
        results.append(capsys.readouterr().out.split("seconds")[0])
    first, again, other = results
    assert first == again != other


@pytest.mark.parametrize(("arguments", "shown"), [
    (["--model", "mlp", "--hidden", 7, 5], "Dense(7, 5)"),
    (["--model", "mlp", "--hidden"], "Dense(64, 10)"),
    (["--lr", 0.25], "SGD, learning rate 0.25, batches of 100, 2 epochs"),
    (["--batch-size", 50], "batches of 50, 2 epochs"),
    (["--weight-decay", 0.5], "weight decay 0.5"),
    (["--optimizer", "rmsprop"], "RMSProp, learning rate 0.001"),
])  # fmt: skip
def test_the_command_line_overrides_the_recipe(digits, arguments, shown):
    assert shown in "\n".join(digits(*arguments))


def test_threads_are_those_of_the_products_for_the_run(digits, monkeypatch):
    before, numbers = blas_threads(), []
    monkeypatch.setattr("datasets.script.run", lambda *_: numbers.append(blas_threads()))
    for options in (["--threads", 1], ["--threads", 2], []):
        digits(*options)
    with limited_blas(2):
        if blas_threads() != 2:
            pytest.skip("threadpoolctl cannot set this BLAS")
    assert numbers == [1, 2, before] and blas_threads() == before


@pytest.mark.parametrize("xp", ["standin", pytest.param("cupy", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("kind", [[], ["--compare-losses"], ["--probe"]], ids=["training", "comparison", "probe"])
def test_a_script_prints_the_same_with_either_backend(xp, kind, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", importlib.import_module(xp))
    standin.traffic.clear()
    printed = []
    for backend in ("numpy", "cupy"):
        arguments = [*kind, "--epochs", "1", "--batch-size", "200", "--hidden", "8", "--quiet", "--backend", backend]
        assert main("digits", data.digits, arguments) == 0
        printed.append(re.findall(r"\d+\.\d+", capsys.readouterr().out.split("seconds")[0]))
    ours, theirs = (list(map(float, numbers)) for numbers in printed)
    assert theirs == pytest.approx(ours, rel=0.01, abs=0.01)
    assert (standin.traffic.calls > 100) == (xp == "standin")


# --- what is written -----------------------------------------------------------------------------------------------


def test_the_saved_network_is_the_one_that_was_reported(digits, tmp_path):
    (line,) = digits("--quiet", "--seed", 3, "--save", tmp_path / "net.safetensors")
    test = data.digits(seed=3).test
    accuracy = metrics.accuracy(load(tmp_path / "net.safetensors").predict(test.x), t=test.t)
    assert LAST_LINE.fullmatch(line)[1] == f"{accuracy:.4f}"


def test_the_log_has_a_row_for_each_epoch(digits, tmp_path):
    (line,) = digits("--quiet", "--log", tmp_path / "log.csv")
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "test_loss", "test_accuracy", "seconds"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert LAST_LINE.fullmatch(line).groups() == (
        f"{float(rows[-1]['test_accuracy']):.4f}", f"{float(rows[-1]['test_loss']):.4f}", "2"
    )  # fmt: skip


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_log_that_cannot_be_written_is_one_warning_and_the_training_ends(tmp_path, capsys):
    arguments = ["--quiet", "--epochs", "3", "--log", "/dev/full", "--save", str(tmp_path / "net")]
    arguments += ["--threads", "1"]  # else a busy machine is a second warning
    assert main("digits", data.digits, arguments) == 0
    out, error = capsys.readouterr()
    assert LAST_LINE.fullmatch(out.removesuffix("\n")) and (tmp_path / "net").exists()
    what = "warning: the log /dev/full could not be written: No space left on device."
    assert error == f"{what} The training goes on, and tries again\n"


def test_a_log_is_complete_if_there_is_space_again(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(Log(str(tmp_path / "log.csv"))) as log, pytest.warns(MinibpWarning, match=r"log\.csv") as warned:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (60, before[1]))
            log.write(Epoch(i, 0.5, 0.5, 0.5, 1.0) for i in range(5))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        log.write([Epoch(5, 0.5, 0.5, 0.5, 1.0)])
    rows = (tmp_path / "log.csv").read_text().splitlines()[1:]
    assert rows == [f"{i},0.5,0.5,0.5,1.0" for i in range(6)] and len(warned) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old releases of matplotlib use what is deprecated
@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.PDF", b"%PDF"), ("a.svg", b"<?xml")])
def test_the_curves_are_drawn(digits, tmp_path, name, start):
    digits("--quiet", "--plot", tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize("script", [["datasets.digits", "--epochs", "1"], ["models.neuron"]])
def test_the_backend_of_a_notebook_is_not_used_for_a_plot(script, monkeypatch, tmp_path):
    monkeypatch.setenv("MPLBACKEND", "module://of_a_notebook")  # refused when matplotlib is imported
    command = [sys.executable, "-m", *script, "--plot", tmp_path / "a.png"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "a.png").exists()


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.fixture
def refusal(error_line):
    """A function that runs a script, and returns its error."""

    def run(*arguments, dataset="digits"):
        return error_line(main(dataset, getattr(data, dataset), ["--quiet", *map(str, arguments)]))

    return run


@pytest.mark.parametrize(("arguments", "message"), [
    (["--model", "lenet"], "unknown model 'lenet': choose one of softmax, nielsen30"),
    (["--optimizer", "sdg"], "unknown optimizer 'sdg': choose one of sgd, rmsprop"),
    (["--backend", "torch"], "unknown backend 'torch': choose one of numpy, cupy, auto"),
    (["--batch-size", 0], "batch_size must be an integer of at least 1, received 0"),
    (["--threads", 0], "--threads must be an integer of at least 1, received 0"),
    (["--epochs", 0], "epochs must be an integer of at least 1, received 0"),
    (["--hidden", 0], "must be an integer of at least 1, received 0"),
    (["--lr", "nan"], "lr must be a finite number"),
    (["--weight-decay", -1], "weight_decay must be a finite number"),
    (["--seed", -1], "--seed must be at least 0, received -1"),
    (
        ["--model", "softmax", "--hidden", 5],
        "--hidden needs --model mlp or mlp_distorted or mlp_distorted_long or small, received softmax",
    ),
    (["--data", "."], "the digits are part of minibp"),
    (["--save", "nowhere/net.safetensors"], "the folder nowhere does not exist; create it first"),
    (["--log", "nowhere/log.csv"], "the folder nowhere does not exist; create it first"),
    (["--plot", "nowhere/curves.png"], "the folder nowhere does not exist; create it first"),
    (["--plot", "curves.txt"], "curves.txt: plots are saved as .png, .svg, .pdf"),
    (["--hidden", 5, "--optimizer", "sgd", "--lr", 1e30], "the loss became NaN or infinite in epoch"),
])  # fmt: skip
def test_errors_are_printed_on_stderr(refusal, arguments, message):
    assert message in refusal(*arguments)


@pytest.mark.parametrize("option", ["--save", "--checkpoint"])
@pytest.mark.parametrize(("name", "message"), [
    (os.devnull, "is a folder, a pipe or a device; expected the name of a file"),
    ("pipe", "is a folder, a pipe or a device; expected the name of a file"),
    (243 * "n", "no file can be created there (File name too long)"),
    ("link", "no file can be created there (No such file or directory)"),
    ("folder/", "ends without a name; expected the name of a file"),
])  # fmt: skip
def test_a_file_that_cannot_be_written_is_refused_before_the_training(
    refusal, tmp_path, monkeypatch, option, name, message
):
    monkeypatch.setattr("datasets.script.train", lambda *_: pytest.fail("it was trained"))
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("nowhere/net", "link")
    assert message in refusal(option, name)
    assert sorted(os.listdir()) == ["link", "pipe"]


def test_a_folder_without_the_files_is_refused(refusal, tmp_path):
    assert str(tmp_path) in refusal("--data", tmp_path, dataset="mnist")


def test_missing_matplotlib_is_reported_before_the_training(refusal, monkeypatch, no_matplotlib):
    monkeypatch.setattr("datasets.script.train", lambda *_: pytest.fail("it was trained"))
    assert "pip install matplotlib" in refusal("--plot", "curves.png")


def test_interrupted_script_says_so(capsys):
    assert main("digits", failing(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == "interrupted\n"


# --- real data -----------------------------------------------------------------------------------------------------


def test_mnist_is_learned(mnist_directory, capsys):
    arguments = ["--data", str(mnist_directory), "--model", "softmax", "--epochs", "1", "--quiet"]
    assert main("mnist", data.mnist, arguments) == 0
    assert float(LAST_LINE.fullmatch(capsys.readouterr().out.strip())[1]) > 0.88
