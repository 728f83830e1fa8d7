"""How programs end: the exit status, and one line on stderr."""

import pytest

from minibp.errors import ArgumentError
from minibp.status import exit_status


@pytest.mark.parametrize(("error", "status", "line"), [
    (ArgumentError("lr is -1"), 2, "error: lr is -1"),
    (FileNotFoundError(2, "No such file", "x"), 2, "error: [Errno 2] No such file: 'x'"),
    (MemoryError("8 EiB"), 2, "error: this takes more memory than there is (8 EiB): train less"),
    (KeyboardInterrupt(), 130, "stopped"),
])  # fmt: skip
def test_what_goes_wrong_is_one_line_and_a_status(capsys, error, status, line):
    def run():
        raise error

    assert exit_status(run, smaller="train less", interrupted=lambda: "stopped") == status
    assert capsys.readouterr() == ("", f"{line}\n")


def test_where_all_goes_well_nothing_is_said(capsys):
    assert exit_status(lambda: "any result") == 0
    assert capsys.readouterr() == ("", "")


def test_a_mistake_in_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda: 1 / 0)
