"""The page to draw on: what is in the file, and which networks are refused. test_page_browser.py opens it."""

import copy
import errno
import json
import os
import re
import zlib
from base64 import b64decode, b64encode
from collections import defaultdict
from functools import partial
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pytest
from failing import failing
from half import HalfWritten
from hypothesis import given
from hypothesis import strategies as st
from networks import every_layer_of_images

import minibp
import models
from minibp import (
    CrossEntropy,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Network,
    QuadraticLoss,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    SigmoidCrossEntropy,
    Softmax,
    SoftmaxCrossEntropy,
    save,
)
from minibp.backend import to_host
from minibp.base import disk
from minibp.cli.command_line import main
from minibp.errors import ArgumentError, NotWritableError, ShapeError, UnknownNameError
from minibp.export import page, to_page, to_torch

HOSTILE = ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!--", "{{weights}}", "&amp;\u2028"]


class Page(HTMLParser):
    """A page as a browser reads it: `elements` (tag, attributes), and `texts` by the id or the tag of an element."""

    def __init__(self, source):
        super().__init__()
        self.source, self.elements, self.texts, self.inside = source, [], defaultdict(str), ""
        self.feed(source)
        self.network = json.loads(self.texts["network"])
        self.weights = np.frombuffer(zlib.decompress(b64decode(self.texts["weights"])), "<f4")

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id", tag)

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, text):
        self.texts[self.inside] += text


@pytest.fixture
def exported(tmp_path):
    """A function that exports a network, and returns the page."""

    def export(net, **options):
        to_page(net, tmp_path / "page.html", **options)
        return Page((tmp_path / "page.html").read_text("utf-8"))

    return export


def small(names=None, side=8):
    net = Network([Dense(side**2, 6), ReLU(), Dense(6, 5), Softmax()], CrossEntropy())
    net.class_names = names
    return net


# --- what is in the page -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("library")
def test_the_weights_are_in_the_page(exported):
    net = small()
    found = exported(net)
    first, relu, last, softmax = found.network["layers"]
    assert (relu, softmax) == ({"class": "ReLU"}, {"class": "Softmax"})
    for layer, described in ((net.layers[0], first), (net.layers[2], last)):
        for name in ("W", "b"):
            values = found.weights[slice(*described[name]["floats"])]
            np.testing.assert_array_equal(values, to_host(getattr(layer, name)).ravel())
    assert len(found.weights) == net.params.size


def test_every_layer_has_a_function_in_the_page():
    public = [getattr(minibp, name) for name in minibp.__all__]
    layers = {each for each in public if isinstance(each, type) and issubclass(each, Layer) and each is not Layer}
    assert layers == set(page.FORMS)
    functions = set(re.findall(r"^  (\w+)[:(]", page.resource("layers.js"), re.MULTILINE))
    assert functions == {layer.__name__ for layer, names in page.FORMS.items() if names is not None}


def test_layers_inside_others_are_described_inside(exported):
    names = [each["class"] for each in exported(every_layer_of_images(8)).network["layers"]]
    assert "Dropout" not in names and "Flatten" not in names
    (residual,) = (each for each in exported(every_layer_of_images(8)).network["layers"] if each["class"] == "Residual")
    assert [each["class"] for each in residual["layers"]] == ["Dense", "GELU", "Sequential"]


def test_the_activation_that_a_loss_contains_is_in_the_page(exported):
    layers = exported(Network([Dense(64, 10)], SoftmaxCrossEntropy())).network["layers"]
    assert [each["class"] for each in layers] == ["Dense", "Softmax"]


@pytest.mark.parametrize(("layers", "first"), [
    ([Dense(64, 10)], 0),
    ([Flatten(), Dense(64, 9), ReLU(), Dense(9, 10)], 2),
    ([Sequential(Dense(64, 9), ReLU()), Dense(9, 10)], 1),
], ids=["none", "Dense", "Sequential"])  # fmt: skip
def test_the_first_hidden_layer_ends_before_the_second_matrix(exported, layers, first):
    assert exported(Network([*layers, Softmax()], CrossEntropy())).network["first"] == first


@pytest.mark.parametrize("side", [8, 28])
def test_the_page_knows_the_form_of_the_images(exported, side):
    assert exported(small(side=side)).network["side"] == side


def test_a_network_may_take_rows_alone(exported):
    net = Network([Dropout(0.2), Dense(64, 3), Softmax()], CrossEntropy())
    with pytest.raises(ShapeError):
        net.predict(np.zeros((1, 8, 8)))
    assert exported(net).network["side"] == 8


@pytest.mark.parametrize("classes", [["a", "b"], None])
def test_one_output_gives_two_classes(exported, classes):
    net = Network([Dense(64, 1)], SigmoidCrossEntropy())
    net.class_names = classes
    assert exported(net).network["classes"] == (classes or ["0", "1"])


@pytest.mark.parametrize(("model", "largest"), [("small", 150_000), ("mlp", 4_000_000)])
def test_the_pages_of_the_default_models_are_small(tmp_path, model, largest):
    to_page(models.build(model).network(), tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < largest


def test_equal_networks_give_equal_pages(tmp_path):
    for name in ("a", "b"):
        to_page(small(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# --- what the page may do ------------------------------------------------------------------------------------------


def test_the_page_names_nothing_to_load(exported):
    found = exported(small())
    links = [values[name] for _, values in found.elements for name in ("src", "href", "action") if name in values]
    assert links == ["data:,"]  # an empty icon, else browsers ask a server for one
    assert not re.search(r"https?:|//\w+\.|\bimport\b|@import|url\(|fetch\(|XMLHttpRequest", found.source)


def test_its_policy_allows_its_own_script_and_style_alone(exported):
    found = exported(small())
    (policy,) = (values["content"] for _, values in found.elements if "http-equiv" in values)
    hashes = {tag: b64encode(sha256(found.texts[tag].encode()).digest()).decode() for tag in ("style", "script")}
    assert policy.split("; ") == [
        "default-src 'none'", f"style-src 'sha256-{hashes['style']}'", f"script-src 'sha256-{hashes['script']}'",
        "img-src data:",
    ]  # fmt: skip
    assert not [name for _, values in found.elements for name in values if name.startswith("on") or name == "style"]


def test_hostile_names_are_data(exported):
    found = exported(small(HOSTILE))
    assert found.network["classes"] == HOSTILE
    assert [tag for tag, _ in found.elements] == [tag for tag, _ in exported(small()).elements]


PLACES = re.findall(r"\{\{(\w+)\}\}", page.resource("page.html"))


@given(names=st.lists(st.text()))
def test_any_names_are_data(names):
    filled = page.fill(dict.fromkeys(PLACES, ""), json.dumps(names), zlib.compress(b""))
    assert Page(filled).network == names


def test_texts_are_escaped():
    texts = dict.fromkeys(PLACES, "<b>&{{title}}")
    found = Page(page.fill(texts, "{}", zlib.compress(b"")))
    assert found.texts["title"] == "<b>&{{title}}" and "b" not in dict(found.elements)


@pytest.mark.parametrize("language", page.LANGUAGES)
def test_the_page_speaks_a_language(exported, language):
    found = exported(small(), language=language)
    assert ("html", {"lang": language}) in found.elements
    assert found.texts["title"] == {"en": "Draw a digit", "zh": "写一个数字"}[language]
    assert "{{" not in found.source.replace("{{weights}}", "")


def test_all_languages_have_the_same_texts():
    texts = json.loads(page.resource("texts.json"))
    assert set(texts) == set(page.LANGUAGES)
    assert len({tuple(each) for each in texts.values()}) == 1


def test_names_that_are_not_digits_give_another_title(exported):
    assert exported(small([*"abcde"])).texts["title"] == "Draw a picture"


# --- what is refused -----------------------------------------------------------------------------------------------


class Twice(Layer):
    def formula(self, x):
        return 2 * x


class MyDense(Dense):
    pass


@pytest.mark.parametrize(("layers", "error", "message"), [
    ([Dense(4, 3), Softmax()], ShapeError, "takes 4 values; a page needs one that takes images of 28 x 28 or 8 x 8"),
    ([Dense(784, 3), Twice(), Softmax()], ArgumentError, r"Twice\(\) \(module 1 of .*\) has no form in a page"),
    ([MyDense(64, 3), Softmax()], ArgumentError, r"MyDense\(.* has no form in a page"),
    ([Dense(64, 3), Twice()], ArgumentError, r"Twice\(\) .* has no form in a page"),
    ([Dense(64, 3), Residual(Twice()), Softmax()], ArgumentError, r"Twice\(\) .* has no form in a page"),
    ([Dense(64, 3)], ArgumentError, r"the outputs are numbers, a page shows probabilities: end in Softmax\(\)"),
    ([Softmax(), Flatten(), Dense(64, 3), Sigmoid()], ArgumentError, r"images of shape \(8, 8\), and rows in a page"),
], ids=["shape", "own", "subclass", "last", "inside", "numbers", "rows"])  # fmt: skip
def test_a_network_that_does_not_fit_is_refused(tmp_path, layers, error, message):
    with pytest.raises(error, match=message):
        to_page(Network(copy.deepcopy(layers), QuadraticLoss()), tmp_path / "page.html")
    assert os.listdir(tmp_path) == []


def test_what_is_no_network_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="net must be a Network, received str"):
        to_page("net.safetensors", tmp_path / "page.html")


def test_too_many_weights_are_refused_with_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_BYTES", 1_000_000)
    net = Network([Dense(784, 500), Softmax()], CrossEntropy())
    with pytest.raises(ArgumentError, match=r"the weights take 1\.6 MB as float32, .* up to 1 MB: use fewer"):
        to_page(net, tmp_path / "page.html")


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e39])
def test_numbers_that_float32_does_not_have_are_refused(tmp_path, number):
    net = Network([Dense(64, 3), Softmax()], CrossEntropy(), dtype="float64")
    net.params[-1] = number
    with pytest.raises(ArgumentError, match=r"Dense\(64, 3\): b holds NaN, infinity or a number too large for float32"):
        to_page(net, tmp_path / "page.html")


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"language": "fr"}, UnknownNameError, "unknown language 'fr': choose one of en, zh"),
    ({"scale": 0}, ArgumentError, "scale must be above 0"),
])  # fmt: skip
def test_options_outside_their_range_are_refused(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        to_page(small(), tmp_path / "page.html", **options)


def test_a_folder_is_not_replaced_by_a_page_or_created(tmp_path):
    with pytest.raises(NotWritableError, match="is a folder, a pipe or a device; expected the name of a file"):
        to_page(small(), tmp_path)
    with pytest.raises(ArgumentError, match=r"the folder .*none does not exist; create it first"):
        to_page(small(), tmp_path / "none" / "page.html")


def test_a_full_disk_keeps_the_page_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("before")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(disk, "open", partial(HalfWritten, failing(full)), raising=False)
    with pytest.raises(OSError, match=r"No space left on device: .*page\.html"):
        to_page(small(), path)
    assert os.listdir(tmp_path) == ["page.html"] and path.read_text() == "before"


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    save(small(), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def export(*arguments):
    return main(["export", *map(str, arguments)])


def test_the_command_writes_beside_the_network(printed_lines, file, tmp_path):
    (line,) = printed_lines(export(file, "--to", "page", "--language", "zh"))
    assert re.fullmatch(rf"{tmp_path}/net\.html  \d\d kB", line)
    assert 'lang="zh"' in (tmp_path / "net.html").read_text("utf-8")


def test_the_command_writes_what_and_where_it_is_told(printed_lines, file, tmp_path):
    printed_lines(export(file, "--to", "page", "--scale", "16", "--out", tmp_path / "a.html"))
    to_page(small(), tmp_path / "b.html", scale=16)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_the_command_does_not_overwrite_the_network(error_line, file):
    before = file.read_bytes()
    assert "is the network itself: choose another name" in error_line(export(file, "--to", "page", "--out", file))
    assert file.read_bytes() == before


def test_an_option_of_another_form_is_refused(error_line, file):
    expected = "--language goes with --to page, not with --to torch: leave it out"
    assert expected in error_line(export(file, "--to", "torch", "--language", "zh"))
    assert "--scale-uint8 goes with --to onnx" in error_line(export(file, "--to", "page", "--scale-uint8"))
    assert "--scale goes with --to page" in error_line(export(file, "--to", "onnx", "--scale", "16"))


def test_the_command_writes_an_onnx_file_that_takes_bytes(printed_lines, file):
    onnx = pytest.importorskip("onnx")
    printed_lines(export(file, "--to", "onnx", "--scale-uint8"))
    (x,) = onnx.load(file.with_name("net.onnx")).graph.input
    assert x.type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_the_command_prints_the_program_for_pytorch_which_begins_with_the_file_that_it_wrote(printed_lines, file):
    lines = printed_lines(export(file, "--to", "torch"))
    written = file.with_name("net.torch.safetensors")
    assert lines[0].startswith(f"# {written}  ") and lines[1:] == to_torch(small(), written).splitlines()
