"""The READMEs: their examples run. They and other pages have the same code and figures in both languages."""

import re
from pathlib import Path

import pytest
from pages import blocks, read, run, without_words

from minibp import Dense, Network, QuadraticLoss, Sigmoid
from minibp.errors import ShapeError

ROOT = Path(__file__).parent.parent
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = [ENGLISH, *(ROOT / "docs" / f"{name}.md" for name in ("scikit-learn", "export"))]  # each has a twin in Chinese

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def in_chinese(page):
    return page.with_suffix(".zh-CN.md")


@pytest.mark.parametrize("example", blocks(ENGLISH, "python"))
def test_examples_of_the_readme_run_as_written(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = run(example, ENGLISH)
    assert "WRONG" not in capsys.readouterr().out  # what check_gradients prints
    if "link_by_link" in namespace:
        assert abs(namespace["link_by_link"] - namespace["at_once"]).max() < 1e-15
    if "HuberLoss" in namespace:
        p, t, metrics = namespace["p"], namespace["test"].t, namespace["metrics"]
        assert ((p[:, 0] - t) ** 2).mean() == pytest.approx(metrics.mean_squared_error(p, t=t))


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
def test_links_lead_to_files(page):
    for each in (page, in_chinese(page)):
        links = re.findall(r"\]\((?!http)([^)#]+)", read(each))
        assert [link for link in links if not (each.parent / link).exists()] == []


def test_the_layer_in_the_readme_is_the_layer_in_the_source():
    shown = blocks(ENGLISH, "text")[0]
    source = (ROOT / "minibp" / "layers.py").read_text(encoding="utf-8")
    start = source.index("class Sigmoid(Layer)")
    whole = re.sub(r": Array(?=[,)])| -> Array", "", source[start : source.index("class Tanh(Layer)")])
    whole = re.sub(r"    gives = .*\n\n", "", whole)
    assert shown.strip() == whole.strip()


def test_the_error_in_the_readme_is_the_error_that_is_raised():
    with pytest.raises(ShapeError) as error:
        Network([Dense(5, 4), Sigmoid(), Dense(5, 3)], QuadraticLoss())
    for readme in (ENGLISH, CHINESE):
        assert str(error.value) in readme.read_text(encoding="utf-8")
