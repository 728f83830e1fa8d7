"""How programs begin and end: command lines, the exit status, and one line on stderr."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
from failing import failing

from minibp.cli import epoch_bar, exit_status, nonempty, parse_options, save_picture, told
from minibp.errors import ArgumentError


@pytest.mark.parametrize(("error", "status", "line"), [
    (ArgumentError("lr is -1"), 2, "error: lr is -1"),
    (FileNotFoundError(2, "No such file", "x"), 2, "error: [Errno 2] No such file: 'x'"),
    (MemoryError("8 EiB"), 2, "error: this takes more memory than there is (8 EiB): train less"),
    (KeyboardInterrupt(), 130, "stopped"),
])  # fmt: skip
def test_an_error_is_one_line_and_a_status(capsys, error, status, line):
    assert exit_status(failing(error), partial(told, smaller="train less", interrupted="stopped")) == status
    assert capsys.readouterr() == ("", f"{line}\n")


def test_success_prints_nothing(capsys):
    assert exit_status(lambda: "any result") == 0
    assert capsys.readouterr() == ("", "")


def test_a_mistake_in_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda: 1 / 0)


# --- signals -------------------------------------------------------------------------------------------------------


@pytest.fixture
def set_handler():
    """The function `signal.signal`, whose changes end with the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield signal.signal
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_that_ends_a_program_is_like_ctrl_c_with_its_own_status(capsys, set_handler, number, status):
    set_handler(number, signal.SIG_DFL)
    assert exit_status(lambda: signal.raise_signal(number)) == status
    assert capsys.readouterr() == ("", "interrupted\n")
    assert signal.getsignal(number) == signal.SIG_DFL


def test_a_hangup_that_nohup_ignores_stays_ignored(set_handler):
    set_handler(signal.SIGHUP, signal.SIG_IGN)
    assert exit_status(lambda: signal.raise_signal(signal.SIGHUP)) == 0


# --- output that goes away -----------------------------------------------------------------------------------------

PROGRAM = """
import sys, warnings
from minibp.cli import epoch_bar, exit_status

def run():
    with epoch_bar(False, 1) as (show, done):
        for _ in range(100):
            show("x" * 10_000)  # more than a pipe holds
        warnings.warn("y" * 1_000_000)
    with open(sys.argv[1], "w") as file:
        print(file.fileno(), file=file)

sys.exit(exit_status(run))
"""


@pytest.fixture
def redirected(tmp_path):
    """A function that runs the program with its output led elsewhere by a shell; returns the process when it has ended.

    In any case the program must write its file, which must not have the number of a standard stream.
    """

    def run(where):
        line = f"set -o pipefail; {shlex.quote(sys.executable)} -c '{PROGRAM}' {tmp_path / 'file'} {where}"
        process = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
        assert int((tmp_path / "file").read_text()) > 2
        return process

    return run


@pytest.mark.parametrize("where", [">&-", "2>&-", ">&- 2>&-", "| true", "2>&1 | true", "2>&1 >&- | true"])
def test_a_program_goes_on_when_its_output_is_closed_or_has_no_reader(redirected, where):
    process = redirected(where)
    assert process.returncode == 0 and "Error" not in process.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_program_whose_output_is_on_a_full_disk_goes_on_and_ends_with_an_error(redirected):
    process = redirected("> /dev/full")
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1] == "error: [Errno 28] No space left on device: '<stdout>'"


def test_an_error_is_not_printed_on_stdout_because_stderr_is_closed(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert exit_status(failing(ArgumentError("lr is -1"))) == 2
    assert capsys.readouterr().out == "" and sys.stderr is None


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_shown_on_a_terminal_only(capsys, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with epoch_bar(False, 2) as (show, done):
        show("a line")
        done()
    out, error = capsys.readouterr()
    assert out == "a line\n" and bool(error) == terminal


# --- files ---------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_picture_and_is_an_error_with_its_name(tmp_path, monkeypatch):
    path = tmp_path / "curves.PNG"
    path.write_text("old")
    figure = SimpleNamespace(savefig=lambda file, format, dpi: file.write(format.encode()))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match=r"No space left on device: '.*curves\.PNG'"):
            save_picture(figure, str(path))
    assert path.read_text() == "old"
    save_picture(figure, str(path))
    assert path.read_text() == "png"


# --- command lines -------------------------------------------------------------------------------------------------


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")  # on Windows
    assert nonempty("~/net") == "/home/me/net"


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float)
    return parser


def test_command_lines_are_read(parser, monkeypatch):
    assert parse_options(parser, ["--lr", "0.5"]).lr == 0.5
    monkeypatch.setattr("sys.argv", ["program", "--lr=2"])
    assert parse_options(parser, None).lr == 2


def test_the_end_of_the_options_is_not_a_value(parser, capsys):
    with pytest.raises(SystemExit) as end:
        parse_options(parser, ["--lr=--"])
    assert end.value.code == 2 and "--lr=-- has no value" in capsys.readouterr().err
