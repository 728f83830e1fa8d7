"""The notebooks docs/answer.*: both languages run the same code, and their links lead to files."""

import io
import re
import tokenize
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
ENGLISH, CHINESE = DOCS / "answer.md", DOCS / "answer.zh-CN.md"

both = pytest.mark.parametrize("source", [ENGLISH, CHINESE], ids=lambda path: path.name)


def read(source):
    return source.read_text(encoding="utf-8")


def cells(source):
    """The code cells without comments, which must be the same in both languages."""
    return [re.sub(r"\s*# [^{].*", "", code) for code in re.findall(r"```python\n(.*?)```", read(source), re.DOTALL)]


def words(source):
    return re.sub(r"```python\n.*?```", "", read(source), flags=re.DOTALL)


def tokens(source):
    """The code as tokens, without comments and line breaks."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", read(source), re.DOTALL))
    found = tokenize.generate_tokens(io.StringIO(code).readline)
    return [token.string for token in found if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE)]


def test_both_notebooks_run_the_same_code_except_for_the_words_in_pictures():
    for english, chinese in zip(tokens(ENGLISH), tokens(CHINESE), strict=True):
        if re.search("[一-鿿]", chinese):  # words differ; formulas and the fields of f-strings do not
            english, chinese = (re.findall(r"\$.*?\$|\{.*?\}", each) for each in (english, chinese))
        assert english == chinese


@pytest.mark.parametrize("pattern", [
    r"(?m)^#+ \d[.\d]*",  # the numbers of the headings
    r"\$\$.*?\$\$",  # displayed formulas
    r"(?m)^\|[^\n]*\|$",  # rows of tables
    r"\d+\.\d+",
], ids=["headings", "formulas", "tables", "figures"])  # fmt: skip
def test_both_notebooks_have_the_same_headings_formulas_tables_and_figures(pattern):
    english, chinese = (re.findall(pattern, words(source), re.DOTALL) for source in (ENGLISH, CHINESE))
    assert english
    if english[0].startswith("|"):
        english, chinese = ([re.findall(r"`[^`]*`|\$[^$]*\$", row) for row in rows] for rows in (english, chinese))
    assert english == chinese


@both
def test_every_cell_of_the_notebook_is_python(source):
    for cell in cells(source):
        compile(cell, source.name, "exec")


@both
def test_lines_of_the_notebook_are_short(source):
    code = "".join(re.findall(r"```python\n(.*?)```", read(source), re.DOTALL))
    assert [line for line in code.splitlines() if len(line) > 120] == []


@both
def test_links_of_the_notebook_lead_to_files(source):
    links = re.findall(r"\]\((?!http)([^)#]+)", words(source))
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []


@both
def test_the_notebook_checks_its_answer(source):
    code = "\n".join(cells(source))
    assert "assert abs(dC_dz - (a - y)).max() < 1e-15" in code
    assert "assert abs(N * by_links - dC_dz).max() < 1e-15" in code
