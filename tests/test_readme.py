"""The READMEs, the guide and other pages: examples print what is shown, commands run, both languages say the same."""

import configparser
import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import standin
from pages import blocks, examples, read, run, same_output, slug, without_words

from minibp import data
from minibp.cli.command_line import main
from minibp.data import published

ROOT = Path(__file__).parent.parent
README, GUIDE = ROOT / "README.md", ROOT / "docs" / "guide.md"
PAGES = [README, *(ROOT / "docs" / f"{name}.md" for name in ("guide", "scikit-learn", "export"))]  # twins in Chinese

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
both = pytest.mark.parametrize("page", [README, GUIDE], ids=lambda page: page.name)
EXAMPLES = [pytest.param(page, *found, id=heading) for page in (README, GUIDE) for heading, *found in examples(page)]


def in_chinese(page):
    return page.with_suffix(".zh-CN.md")


def test_the_readme_is_short():
    assert len(read(README).splitlines()) <= 130
    assert len(read(in_chinese(README)).splitlines()) <= 130


# --- code and its output -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "code", "output"), EXAMPLES)
def test_examples_run_as_written_and_print_what_the_page_shows(page, code, output, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = run(code, page)
    assert same_output(capsys.readouterr().out, output)
    if "link_by_link" in namespace:
        assert abs(namespace["link_by_link"] - namespace["at_once"]).max() < 1e-15


@both
def test_every_other_example_runs_as_written(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = [code for _, code, _ in examples(page)]
    for code in blocks(page, "python"):
        if code not in shown:
            run(code, page)


def test_the_layer_in_the_readme_is_the_layer_in_the_source():
    (shown,) = blocks(README, "py")  # to read, not to run
    source = (ROOT / "minibp" / "layers.py").read_text(encoding="utf-8")
    start = source.index("class Sigmoid(Layer)")
    whole = re.sub(r": Array(?=[,)])| -> Array", "", source[start : source.index("class Tanh(Layer)")])
    whole = re.sub(r"    gives = .*\n\n", "", whole)
    assert shown.strip() == whole.strip()


# --- commands ------------------------------------------------------------------------------------------------------


def commands(page):
    """The blocks of commands, each a list of lines; also the lines of an output that begin with $."""
    shown = [re.findall(r"(?m)^\$ (.*)$", block) for block in blocks(page, "text")]
    return [block.splitlines() for block in blocks(page, "sh")] + [lines for lines in shown if lines]


def extras():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup["options.extras_require"]


@pytest.fixture
def small_data(monkeypatch):
    """Some enlarged digits in place of MNIST and the like, and the files that commands read."""
    digits = data.digits()
    x = np.pad(np.kron(digits.train.x[:300], np.ones((1, 3, 3), "u1")), [(0, 0), (2, 2), (2, 2)])  # (300, 28, 28)
    arrays = x, digits.train.t[:300], x[:100], digits.train.t[:100]
    monkeypatch.setattr(published, "read_published", lambda name, directory: arrays)
    monkeypatch.setitem(sys.modules, "cupy", standin)
    np.save("images.npy", x)
    rows = [f"{4 * i + j % 5},{7 * i - j % 3},{name}\n" for i, name in enumerate("abc") for j in range(20)]
    Path("data.csv").write_text("".join(["length,width,species\n", *rows]))


def run_command(line, monkeypatch):
    """Run a command in this process. A training takes one epoch."""
    program, *arguments = shlex.split(line, comments=True)
    module = arguments[1] if arguments[0] == "-m" else program.rpartition("/")[2]
    arguments = arguments[2:] if arguments[0] == "-m" else arguments
    if module.startswith("datasets.") and module != "datasets.moons" and "--probe" not in arguments:
        arguments += ["--epochs", "1"]
    if module == "minibp":
        assert main(arguments) == 0
        return
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module(module, run_name="__main__")


@pytest.mark.filterwarnings("ignore")  # of trainings that are far too short
@pytest.mark.parametrize("lines", [*commands(README), *commands(GUIDE)], ids=lambda lines: lines[-1])
def test_commands_run(lines, tmp_path, monkeypatch, request):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    request.getfixturevalue("small_data")
    if ".csv" in "".join(lines):
        pytest.importorskip("pandas")
    for line in lines:
        assert line.startswith(("python3 -m venv .venv", ".venv/bin/"))
        for extra in re.findall(r"\[(\w+)\]", line):
            assert extra in extras()
        if "pip install" not in line:  # .ci/run installs, and builds the notebooks
            run_command(line, monkeypatch)


# --- both languages ------------------------------------------------------------------------------------------------


@every_page
def test_both_languages_show_the_same_code(page):
    english, chinese = ([without_words(block) for block in blocks(each)] for each in (page, in_chinese(page)))
    assert english
    assert english == chinese


@every_page
def test_both_languages_have_the_same_headings_and_figures(page):
    english, chinese = read(page), read(in_chinese(page))
    for pattern in (r"(?m)^#+", r"\d+\.\d+"):
        assert re.findall(pattern, english) == re.findall(pattern, chinese)


@every_page
def test_links_lead_to_files_and_their_headings(page):
    for each in (page, in_chinese(page)):
        for target, _, anchor in re.findall(r"\]\((?!http)([^)#]*)(#([^)]*))?\)", read(each)):
            file = each.parent / target if target else each
            assert file.exists(), target
            if anchor and file.suffix == ".md":
                assert anchor in map(slug, re.findall(r"(?m)^#+ (.*)$", read(file))), f"{each.name}: {target}#{anchor}"
