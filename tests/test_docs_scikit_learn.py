"""docs/scikit-learn.md: its examples run, and print what the page shows."""

from pathlib import Path

import pages
import pytest

PAGE = Path(__file__).parent.parent / "docs" / "scikit-learn.md"


def test_every_example_of_the_page_has_its_output():
    blocks = pages.blocks(PAGE, "python")
    assert blocks
    assert [code for _, code, _ in pages.examples(PAGE)] == blocks


@pytest.mark.parametrize("code, output", [pytest.param(*each, id=heading) for heading, *each in pages.examples(PAGE)])
def test_examples_of_the_page_run_as_written_and_print_what_it_shows(code, output, tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn", minversion="1.6")
    pytest.importorskip("pandas")
    if "import optuna" in code:
        pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    pages.run(code, PAGE)
    assert capsys.readouterr().out == output
