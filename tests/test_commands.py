"""The commands evaluate and predict of minibp. test_doctor.py tests the third one."""

import gzip
import os
import re
import shlex
import struct
import subprocess
import sys

import numpy as np
import pytest
from arrays import idx_bytes
from failing import failing

import minibp
from minibp import CrossEntropy, Dense, HuberLoss, Network, SigmoidCrossEntropy, Softmax, data, evaluate, save
from minibp.cli.command_line import main

DIGITS = ("--dataset", "digits", "--seed", "0")


@pytest.fixture
def net():
    return Network([Dense(64, 10), Softmax()], CrossEntropy())


@pytest.fixture
def path(net, tmp_path):
    save(net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def command(printed_lines):
    """A function that runs a command and returns the lines that it prints."""
    return lambda *arguments: printed_lines(main([str(argument) for argument in arguments]))


@pytest.fixture
def refusal(error_line):
    """A function that runs a command and returns its error."""
    return lambda *arguments: error_line(main([str(argument) for argument in arguments]))


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"minibp {minibp.__version__}\n")


@pytest.mark.parametrize("seed", [0, 3])
def test_evaluate_prints_the_result_of_evaluate(command, path, net, seed):
    loss, accuracy = evaluate(net, data.digits(seed=seed).test)
    expected = f"test accuracy {accuracy:.4f}  loss {loss:.4f}  samples 360"
    assert command("evaluate", path, "--dataset", "digits", "--seed", seed) == [expected]


def test_evaluate_reads_the_files_of_a_data_set(command, mnist_directory, tmp_path):
    save(Network([Dense(784, 10), Softmax()], CrossEntropy()), tmp_path / "net")
    (line,) = command("evaluate", tmp_path / "net", "--dataset", "mnist", "--data", mnist_directory)
    assert line.startswith("test accuracy 0.") and line.endswith("samples 10000")


def test_a_network_for_numbers_has_no_accuracy_and_no_classes(command, tmp_path):
    save(Network([Dense(64, 1)], HuberLoss()), tmp_path / "net")
    (line,) = command("evaluate", tmp_path / "net", "--dataset", "digits", "--seed", 0)
    assert re.fullmatch(r"test R2 -?\d+\.\d{4}  loss \d+\.\d{4}  samples 360", line)
    header, *lines = command("predict", tmp_path / "net", *DIGITS)
    assert header == "sample,0" and re.fullmatch(r"0,-?[\d.e-]+", lines[0])


def test_predict_prints_class_and_output_of_each_image(command, path, net):
    rows = net.predict(data.digits().test.x)
    header, *lines = command("predict", path, *DIGITS)
    assert header == "sample,class,output"
    assert lines == [f"{i},{row.argmax()},{row.max():.6g}" for i, row in enumerate(rows)]


def test_predict_prints_all_outputs(command, path, net):
    header, *lines = command("predict", path, *DIGITS, "--outputs")
    assert header == "sample,0,1,2,3,4,5,6,7,8,9"
    read = np.array([line.split(",")[1:] for line in lines], float)
    np.testing.assert_allclose(read, net.predict(data.digits().test.x), rtol=1e-5)


@pytest.mark.parametrize("name", ["images.idx", "images.gz", "images.npy"])
def test_predict_reads_a_file_of_images(command, path, tmp_path, name):
    x = data.digits().test.x
    if name.endswith(".npy"):
        np.save(tmp_path / name, x)
    else:
        (tmp_path / name).write_bytes(gzip.compress(idx_bytes(x)) if name.endswith("gz") else idx_bytes(x))
    assert command("predict", path, "--images", tmp_path / name) == command("predict", path, *DIGITS)


def test_predict_answers_1_if_the_only_output_is_above_a_half(command, tmp_path):
    net = Network([Dense(64, 1)], SigmoidCrossEntropy())
    save(net, tmp_path / "net")
    rows = net.predict(data.digits().test.x)[:, 0]
    lines = command("predict", tmp_path / "net", *DIGITS)[1:]
    assert [line.split(",")[1] for line in lines] == [str(int(row > 0.5)) for row in rows]


def test_a_reader_that_closes_the_pipe_is_not_an_error(path, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((10_000, 64), "uint8"))  # 800 kB of lines: more than a pipe holds
    run = f"{shlex.quote(sys.executable)} -m minibp predict {path} --images {tmp_path / 'x.npy'} --outputs | head -n 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {run}"], capture_output=True, text=True, check=True)
    assert done.stdout == "sample,0,1,2,3,4,5,6,7,8,9\n" and done.stderr == ""


@pytest.mark.parametrize(("arguments", "message"), [
    (["evaluate", "{}"], "choose the data by DATA or --dataset NAME"),
    (["predict", "{}"], "choose the data by DATA, --dataset NAME or --images FILE"),
    (["predict", "{}", "--dataset", "digits", "--images", "x.npy"], "not by more than one"),
    (["predict", "{}", "--data", "x", "--images", "x.npy"], "--data goes with --dataset"),
    (["predict", "{}", "--seed", "0", "--images", "x.npy"], "--seed goes with --dataset"),
    (["predict", "{}", "--images", "."], "is a folder, a pipe or a device"),
    (["evaluate", "{}", "--dataset", "digits", "--data", "x"], "the digits are part of minibp"),
    (["evaluate", "{}", "--dataset", "digits"], "give the same one (--seed 0 was its default)"),
    (["evaluate", "{}", "--dataset", "mnist", "--seed", "0"], "mnist has its own test set"),
    (["evaluate", "{}", "--dataset", "digits", "--seed", "-1"], "seed must be an integer of at least 0"),
    (["evaluate", "{}", *DIGITS, "--backend", "torch"], "unknown backend 'torch'"),
    (["evaluate", "nowhere", *DIGITS], "no such file: nowhere"),
    (["evaluate", "{}", "--dataset", "mnist", "--data", "nowhere"], "nowhere is not a folder"),
    (["predict", "{}", "--images", "nowhere"], "No such file or directory: 'nowhere'"),
    (["predict", "{}", "--images", "{}"], "not a usable IDX file"),
])  # fmt: skip
def test_errors_are_printed_on_stderr(refusal, path, arguments, message):
    assert message in refusal(*(argument.format(path) for argument in arguments))


@pytest.mark.parametrize("option", ["--data", "--images"])
def test_an_empty_file_name_is_refused(capsys, path, option):
    with pytest.raises(SystemExit, match="2"):
        main(["predict", str(path), option, ""])
    assert f"argument {option}: it is empty" in capsys.readouterr().err


def test_images_that_do_not_fit_the_network_are_refused(refusal, path, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 5), "uint8"))
    assert "5 values" in refusal("predict", path, "--images", tmp_path / "x.npy")


@pytest.mark.parametrize("shape", [(), (3,), (0, 64)])
def test_files_without_images_are_refused(refusal, path, tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape, "uint8"))
    assert "expected images (N, ...)" in refusal("predict", path, "--images", tmp_path / "x.npy")


def test_a_file_of_python_objects_is_refused_and_never_unpickled(refusal, path, tmp_path):
    np.save(tmp_path / "x.npy", np.array([print], dtype=object), allow_pickle=True)
    assert "not a usable .npy file" in refusal("predict", path, "--images", tmp_path / "x.npy")


def test_a_header_that_claims_too_much_is_refused(refusal, path, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 64), "uint8"))
    content = (tmp_path / "x.npy").read_bytes()
    claimed = content.replace(b"(3, 64), }", b"(3" + 9 * b"0" + b", 64), }").replace(b" " * 9 + b"\n", b"\n")
    (tmp_path / "x.npy").write_bytes(claimed)
    assert "not a usable .npy file" in refusal("predict", path, "--images", tmp_path / "x.npy")


@pytest.mark.parametrize("header", [
    "{'descr': (), 'fortran_order': False, 'shape': (3, 64), }",
    "{'descr': '<u1', 'fortran_order': False, 'shape': ((,",
    "(" * 3000, "-" * 9000, "'", "{'descr': ',', 'fortran_order': False, 'shape': (3, 64), }", "\x1b[31m",
])  # fmt: skip
def test_a_malformed_header_is_refused(refusal, path, tmp_path, header):
    text = header.encode() + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + bytes(192))
    error = refusal("predict", path, "--images", tmp_path / "x.npy")
    assert "not a usable .npy file" in error and "\x1b" not in error


def test_a_pipe_is_not_waited_for(refusal, path, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe or a device" in refusal("predict", path, "--images", tmp_path / "pipe")


def test_too_little_memory_is_reported(refusal, path, monkeypatch):
    monkeypatch.setattr("minibp.cli.command_line.load", failing(MemoryError("Unable to allocate 8.00 EiB")))
    error = refusal("evaluate", path, *DIGITS)
    assert error == "error: this takes more memory than there is (Unable to allocate 8.00 EiB)\n"
