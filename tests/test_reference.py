"""The pages of the documentation, docs/reference.py: what is in the reference, and where links lead."""

import importlib

import pytest

import minibp
from docs import reference
from docs.reference import ROOT, BuildError, groups, markdown_pages, public_names, with_links

README = ROOT / "README.md"


def linked(text, path=README):
    return with_links(text, path, markdown_pages())


@pytest.mark.parametrize("module", ["minibp", *reference.SUBMODULES])
def test_every_public_name_has_a_place_in_the_reference(module):
    pytest.importorskip("sklearn")  # which minibp.sklearn imports
    module = importlib.import_module(module)
    names = set(public_names(module)) - set(reference.SUBMODULES)
    sources = "\n".join(reference.reference_page(*page) for page in groups().values())
    assert names
    assert [name for name in names if f":: {name}\n" not in sources and f":: {name}(" not in sources] == []


def test_public_modules_of_minibp_have_a_page_of_their_own():
    modules = [f"minibp.{name}" for name in minibp.__all__ if type(getattr(minibp, name)) is type(minibp)]
    assert set(modules) <= set(reference.SUBMODULES)


def test_links_lead_to_the_pages_of_the_files():
    assert linked("[a](docs/answer.md) [b](README.zh-CN.md#gpu)") == "[a](answer.md) [b](index.zh-CN.md#gpu)"
    assert linked("[a](../README.md)", ROOT / "docs" / "design.md") == "[a](index.md)"


def test_links_to_files_without_a_page_become_plain_text():
    assert linked("see [models/neuron.py](models/neuron.py)") == "see models/neuron.py"


def test_code_and_links_to_the_network_stay_as_they_are():
    text = "`[a](b)` [c](https://example.org)\n```python\n[d](e)\n```\n"
    assert linked(text) == text


def test_a_link_that_leads_nowhere_is_an_error():
    with pytest.raises(BuildError, match=r"README\.md: the link docs/nothing\.md leads nowhere"):
        linked("[a](docs/nothing.md)")


def test_a_page_reads_ids_links_and_what_it_loads(tmp_path):
    (tmp_path / "a.html").write_text('<p id="x"><a href="b.html#y">b</a><img src="c.png"></p>', encoding="utf-8")
    page = reference.Page(tmp_path / "a.html")
    assert (page.ids, page.links, page.loads) == ({"x"}, ["b.html#y"], ["c.png"])
