"""How programs begin and end: command lines, the exit status, and one line on stderr."""

import argparse
import os
from types import SimpleNamespace

import pytest
from failing import failing

from minibp.cli import exit_status, nonempty, parse_options, save_picture
from minibp.errors import ArgumentError


@pytest.mark.parametrize(("error", "status", "line"), [
    (ArgumentError("lr is -1"), 2, "error: lr is -1"),
    (FileNotFoundError(2, "No such file", "x"), 2, "error: [Errno 2] No such file: 'x'"),
    (MemoryError("8 EiB"), 2, "error: this takes more memory than there is (8 EiB): train less"),
    (KeyboardInterrupt(), 130, "stopped"),
])  # fmt: skip
def test_an_error_is_one_line_and_a_status(capsys, error, status, line):
    assert exit_status(failing(error), smaller="train less", interrupted=lambda: "stopped") == status
    assert capsys.readouterr() == ("", f"{line}\n")


def test_success_prints_nothing(capsys):
    assert exit_status(lambda: "any result") == 0
    assert capsys.readouterr() == ("", "")


def test_a_mistake_in_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda: 1 / 0)


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
