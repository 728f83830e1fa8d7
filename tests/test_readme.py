"""The READMEs: their examples run, and both languages have the same code and figures."""

import re
from pathlib import Path

import pytest

from minibp import Dense, Network, QuadraticLoss, Sigmoid
from minibp.errors import ShapeError

ROOT = Path(__file__).parent.parent
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"


def blocks(readme, language):
    return re.findall(rf"```{language}\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)


def without_words(code):
    """Code without its comments and docstrings: what must be the same in every language."""
    return re.sub(r'\s*#.*|"""[^"]*"""', "", code)


@pytest.mark.parametrize("example", blocks(ENGLISH, "python"))
def test_examples_of_the_readme_run_as_written(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    exec(compile(example, "README.md", "exec"), namespace)
    assert "WRONG" not in capsys.readouterr().out  # what check_gradients prints
    if "link_by_link" in namespace:
        assert abs(namespace["link_by_link"] - namespace["at_once"]).max() < 1e-15
    if "HuberLoss" in namespace:
        p, t, metrics = namespace["p"], namespace["test"].t, namespace["metrics"]
        assert ((p[:, 0] - t) ** 2).mean() == pytest.approx(metrics.mean_squared_error(p, t=t))


@pytest.mark.parametrize("language", ["sh", "powershell", "python", "text"])
def test_both_readmes_show_the_same_code(language):
    english, chinese = blocks(ENGLISH, language), blocks(CHINESE, language)
    assert english
    assert [without_words(block) for block in english] == [without_words(block) for block in chinese]


def test_both_readmes_have_the_same_headings_and_figures():
    english, chinese = (readme.read_text(encoding="utf-8") for readme in (ENGLISH, CHINESE))
    for pattern in (r"(?m)^#+", r"\d+\.\d+"):
        assert re.findall(pattern, english) == re.findall(pattern, chinese)


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
