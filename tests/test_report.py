"""Reports: one page about a trained network, whose numbers are those of `evaluate`, `predict` and NumPy."""

import os
import re
import sys

import numpy as np
import pytest
from html_page import Page
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minibp.export
from datasets.script import main as script
from minibp import (
    Adam,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    Epoch,
    HuberLoss,
    Layer,
    Network,
    QuadraticLoss,
    ReLU,
    Sigmoid,
    SigmoidCrossEntropy,
    Softmax,
    data,
    evaluate,
    metrics,
    save,
    train,
)
from minibp.cli.command_line import main
from minibp.cli.log import Log
from minibp.data import Dataset
from minibp.errors import (
    ArgumentError,
    FileFormatError,
    MissingExtraError,
    NotWritableError,
    ShapeError,
    TargetError,
    UnknownNameError,
)
from minibp.export import LANGUAGES, read_history, write_report
from minibp.export.calibration import expected_calibration_error, reliability
from minibp.export.texts import TEXTS

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old releases of matplotlib

HOSTILE = ["<script>alert(1)</script>", "$\\frac{a}{b}$ & \"co\" 'x'", "]]>--> {{ 7 * 7 }} 类别"]
DIGITS = data.digits()
CLASSES = {"trained", "curves", "confusion", "mistakes", "calibration"}
NUMBERS = {"trained", "curves", "residuals", "worst"}


@pytest.fixture(scope="module")
def trained():
    """A network for the digits, and the history of its training."""
    net = Network([Dense(64, 16), ReLU(), Dense(16, 10), Softmax()], CrossEntropy())
    return net, list(train(net, Adam(net, lr=0.01), DIGITS.train, epochs=3, validation=DIGITS.test, compiled=False))


@pytest.fixture(scope="module")
def pages(trained, tmp_path_factory):
    """The report about this network in English and in Chinese."""
    path = tmp_path_factory.mktemp("reports") / "report.html"

    def page(language):
        write_report(trained[0], path, DIGITS.test, trained[1], language=language)
        return Page(path.read_text(encoding="utf-8"))

    return {language: page(language) for language in LANGUAGES}


@pytest.fixture
def page(pages):
    """The report about this network in English."""
    return pages["en"]


@pytest.fixture
def report(tmp_path):
    """A function that writes a report and reads it."""

    def write(net, test, *history, **options):
        write_report(net, tmp_path / "report.html", test, *history, **options)
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    return write


def rows(n=50, k=3, of_numbers=False):
    """Samples with 4 inputs each, and classes or numbers."""
    rng = np.random.default_rng(0)
    return Dataset(rng.normal(size=(n, 4)), rng.normal(size=(n, k)) if of_numbers else rng.integers(k, size=n))


def classifier(k=3, n_in=4):
    return Network([Dense(n_in, k), Softmax()], CrossEntropy())


def of_numbers(k=1):
    return Network([Dense(4, k)], HuberLoss())


# --- the page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_loads_nothing_and_runs_no_script(pages, language):
    page = pages[language]
    tags = [tag for tag, _ in page.elements]
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "a"} & set(tags)
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name, value in attributes.items():
            if name == "src":
                assert value.startswith("data:image/png;base64,")
            elif name == "href":
                assert re.fullmatch(r"#[\w-]+", value)
            else:
                assert "//" not in (value or "") and "http:" not in (value or "")
            assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", value or ""))


def test_ids_are_unique_and_those_that_figures_use_exist(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    used = {attributes["href"][1:] for _, attributes in page.elements if "href" in attributes}
    values = [value or "" for _, attributes in page.elements for value in attributes.values()]
    used |= {name for value in values for name in re.findall(r"url\(#([^)]*)\)", value)}
    assert len(ids) == len(set(ids)) and used and used <= set(ids)


def test_figures_take_their_colours_and_fonts_from_the_page(page):
    styles = " ".join(attributes.get("style", "") for _, attributes in page.elements)
    assert "var(--blue)" in styles and "var(--ink)" in styles and "#0" not in styles and "font" not in styles


def test_images_have_all_sections(page):
    assert set(page.texts) == {"", *CLASSES, "weights"}
    svgs = [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"]
    assert svgs == ["mean loss, epoch", "accuracy, epoch", TEXTS["calibration"][0]]
    assert sum(tag == "img" for tag, _ in page.elements) >= 16 + 1


def test_tables_have_all_sections_but_no_pictures(report):
    net = classifier()
    page = report(net, rows())
    assert set(page.texts) == {"", *CLASSES}
    assert "img" not in {tag for tag, _ in page.elements}
    assert page.tables["mistakes"][0][0][-4:] == ["x0", "x1", "x2", "x3"]


@pytest.mark.parametrize(("k", "figures"), [(1, 2), (3, 6), (6, 2)])
def test_numbers_have_residuals(report, k, figures):
    net = of_numbers(k)
    page = report(net, rows(of_numbers=True, k=k))
    assert set(page.texts) == {"", *NUMBERS}
    assert sum(tag == "svg" for tag, _ in page.elements) == figures


def test_pictures_with_numbers_as_targets_have_a_gallery(report):
    test = DIGITS.test
    page = report(Network([Dense(64, 1)], HuberLoss()), Dataset(test.x, test.t.astype(float)))
    assert set(page.texts) == {"", *NUMBERS, "weights"}
    assert sum(tag == "img" for tag, _ in page.elements) == 24 + 1


def test_colour_pictures_are_shown(report):
    rng = np.random.default_rng(0)
    test = Dataset(rng.integers(256, size=(9, 5, 4, 3)).astype("uint8"), rng.integers(3, size=9))
    page = report(classifier(n_in=60), test)
    assert "weights" in page.texts and sum(tag == "img" for tag, _ in page.elements) > 3


@pytest.mark.parametrize(("net", "t"), [
    (Network([Dense(4, 3)], SigmoidCrossEntropy()), np.eye(3)[[0, 1, 2, 0]] + [0, 0, 0]),
    (Network([Dense(4, 3)], SigmoidCrossEntropy()), np.array([[0, 1, 1], [1, 1, 1], [0, 0, 0], [1, 0, 0]])),
    (Network([Dense(4, 1), Sigmoid()], BinaryCrossEntropy()), np.array([0, 1, 1, 0])),
    (Network([Dense(4, 1), Sigmoid()], BinaryCrossEntropy()), np.array([0.0, 1, 1, 0])),
    (Network([Dense(4, 1), Sigmoid()], BinaryCrossEntropy()), np.array([[0.3], [1], [1], [0]])),
    (Network([Dense(4, 3)], QuadraticLoss()), np.array([0, 1, 2, 2])),
])  # fmt: skip
def test_the_sections_are_those_of_the_targets(report, net, t):
    test = Dataset(np.random.default_rng(1).normal(size=(4, 4)), t)
    accuracy = evaluate(net, test).accuracy
    page = report(net, test)
    assert set(page.texts) == {"", *(NUMBERS if np.isnan(accuracy) else CLASSES)}
    if not np.isnan(accuracy):
        assert f"{accuracy:.2%}".replace("%", "\u202f%") in page.texts[""]


@pytest.mark.parametrize("place", [0, 1])
def test_no_text_is_missing_or_left_unfilled(pages, report, place):
    net, language = of_numbers(), LANGUAGES[place]
    both = [pages[language], report(net, rows(of_numbers=True, k=1), language=language)]
    for text in (text for page in both for text in page.texts.values()):
        assert "{" not in text and "Undefined" not in text
    assert all(len(texts) == 2 and all(texts) for texts in TEXTS.values())
    chinese = [re.search("[\u4e00-\u9fff]", page.texts[""] + page.texts["curves"]) for page in both]
    assert all(bool(found) == bool(place) for found in chinese)


def test_names_are_shown_as_they_are(report):
    net = classifier()
    net.class_names, net.column_names = HOSTILE, ["<b>", "$x_1$", "&amp;", "列"]
    page = report(net, rows(), title="<h1> & $t$", facts={"<i>": "</dd>"})
    assert [row[0] for row in page.tables["confusion"][0][1:]] == page.tables["confusion"][0][0][1:] == HOSTILE
    assert page.tables["mistakes"][0][0][-4:] == net.column_names
    assert "<h1> & $t$" in page.texts[""] and "<i></dd>" in page.texts["trained"].replace("\n", "")


def test_text_in_figures_is_shown_as_it_is():
    from minibp.export.figures import drawn

    label = f"{HOSTILE[0]} {HOSTILE[1]} \\alpha $x$ --> ]]>"
    with drawn(3, 3, "name", label) as figure:
        figure.subplots().set(xlabel=label)
    page = Page(str(figure.svg))
    assert label in page.texts[""] and page.elements[0][1]["aria-label"] == label
    assert not {"script", "b"} & {tag for tag, _ in page.elements}


def test_the_settings_of_the_user_stay_and_change_nothing(report, tmp_path):
    import matplotlib

    net = classifier()

    def page():
        report(net, rows())
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "", (tmp_path / "report.html").read_text(encoding="utf-8"))

    first = page()
    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "red"}):
        assert page() == first
        assert matplotlib.rcParams["text.usetex"] and matplotlib.rcParams["axes.facecolor"] == "red"


# --- its numbers ---------------------------------------------------------------------------------------------------


def test_the_confusion_matrix_and_the_classes_are_those_of_numpy(trained, page):
    t, predicted = DIGITS.test.t, trained[0].predict(DIGITS.test.x).argmax(axis=1)
    matrix = np.array(page.numbers("confusion"))
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(predicted, t=t, k=10))
    right = predicted == t
    expected = [[(t == i).sum(), right[t == i].sum(), 100 * right[t == i].mean(), 100 * right[predicted == i].mean()]
                for i in range(10)]  # fmt: skip
    np.testing.assert_allclose(page.numbers("confusion", 2), expected, atol=0.05)
    pairs = page.tables["confusion"][1][1:]
    assert all(matrix[int(i), int(j)] == int(n) for i, j, n in pairs)
    counts = sorted(matrix[~np.eye(10, dtype=bool)].tolist())[::-1]
    assert [int(n) for *_, n in pairs] == [n for n in counts if n][:20]


def test_the_key_numbers_are_those_of_evaluate(trained, page):
    loss, accuracy = evaluate(trained[0], DIGITS.test)
    head = page.texts[""]
    assert f"{100 * accuracy:.2f}\u202f%" in head and f"{loss:.4g}" in head
    assert f"{round((1 - accuracy) * 360)} of 360 wrong" in head


def test_the_mistakes_are_the_wrong_answers_by_their_confidence(report):
    net = classifier()
    test = rows()
    p = net.predict(test.x)
    wrong = np.flatnonzero(p.argmax(axis=1) != test.t)
    order = wrong[np.argsort(-p[wrong].max(axis=1))][:20]
    table = report(net, test).tables["mistakes"][0]
    assert table[0][:5] == ["sample", "true", "probability", "answer", "probability"]
    for n, (sample, true, p_true, answer, p_answer, *inputs) in zip(order, table[1:], strict=True):
        assert [sample, true, answer] == [str(n), str(test.t[n]), str(p[n].argmax())]
        assert [p_true, p_answer] == [f"{100 * value:.1f}\u202f%" for value in (p[n, test.t[n]], p[n].max())]
        assert inputs == [f"{value:.4g}" for value in test.x[n]]


def test_a_network_that_is_always_right_has_no_mistakes(report):
    test = Dataset(np.eye(4), np.arange(4))
    net = Network([Dense(4, 4, W=9 * np.eye(4)), Softmax()], CrossEntropy())
    assert "All 4 samples are answered right." in report(net, test).texts["mistakes"]


def test_outputs_that_are_no_probabilities_have_no_calibration(report):
    net = Network([Dense(4, 3)], QuadraticLoss())
    page = report(net, rows())
    assert "not probabilities" in page.texts["calibration"] and page.tables["calibration"] == []
    assert page.tables["mistakes"][0][0][2] == "output"


def test_a_layer_of_your_own_has_probabilities_if_its_loss_takes_them(report):
    class Mine(Layer):
        def formula(self, x):
            e = np.exp(x)
            return e / e.sum(axis=1, keepdims=True)

    net = Network([Dense(4, 3), Mine()], CrossEntropy())
    assert report(net, rows()).tables["calibration"]


def test_the_bins_are_those_of_the_predictions(trained, page):
    p = trained[0].predict(DIGITS.test.x)
    found = reliability(p.max(axis=1), p.argmax(axis=1) == DIGITS.test.t)
    table = page.numbers("calibration")
    assert sum(row[0] for row in table) == 360
    expected = [[each.answers, 100 * each.confidence, 100 * each.accuracy] for each in found]
    np.testing.assert_allclose(table, expected, atol=0.05)


def test_the_best_epochs_are_marked(report):
    net = classifier()
    history = [Epoch(1, 3.0, 2.0, 0.5, 1.0), Epoch(2, 2.0, 1.0, 0.8, 1.0), Epoch(3, 1.0, 1.5, 0.9, 1.0)]
    page = report(net, rows(), history)
    assert "best: epoch 2" in page.texts["curves"] and "best: epoch 3" in page.texts["curves"]
    assert page.numbers("curves") == [[3, 2, 50, 1], [2, 1, 80, 1], [1, 1.5, 90, 1]]
    assert sum(attributes.get("class") == "best" for _, attributes in page.elements) == 2
    assert "No epoch has the validation loss" in page.texts["curves"]
    assert re.search(r"time of training\s*3\.0 s", page.texts["trained"])


def test_the_epoch_of_the_network_is_found_by_its_loss(page):
    assert "has the validation loss of epoch 3." in page.texts["curves"]


def test_a_history_without_validation_has_one_curve_and_no_best_epoch(report):
    page = report(of_numbers(), rows(of_numbers=True, k=1), [Epoch(1, 3.0, None, None, 1.0)])
    assert "best" not in page.texts["curves"] and page.numbers("curves") == [[3, 1]]
    labels = [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"]
    assert labels == ["mean loss, epoch", "prediction, target", "residual"]


def test_without_a_history_a_sentence_says_so(report):
    net = classifier()
    assert "The history of the training is not known" in report(net, rows()).texts["curves"]


@pytest.mark.parametrize("k", [1, 3])
def test_the_errors_are_those_of_the_metrics(report, k):
    net = of_numbers(k)
    test = rows(of_numbers=True, k=k)
    page, outputs = report(net, test), net.predict(test.x)
    each = (metrics.mean_squared_error, metrics.mean_absolute_error, metrics.r2_score)
    expected = [[metric(outputs[:, i], t=test.t[:, i]) for metric in each] for i in range(k)]
    np.testing.assert_allclose(page.numbers("residuals"), expected, rtol=1e-3)
    np.testing.assert_allclose(
        page.numbers("residuals", 1),
        np.quantile(outputs - test.t, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1], axis=0),
        rtol=1e-3,
    )
    worst = np.sqrt(np.square(outputs - test.t).mean(axis=1)).argmax()
    assert page.tables["worst"][0][1][0] == str(worst)
    assert f"{metrics.mean_absolute_error(outputs, t=test.t):.4g}" in page.texts[""]


def test_one_sample_is_enough(report):
    net = of_numbers()
    assert "–" in report(net, Dataset(np.ones((1, 4)), [2.0])).texts["residuals"]
    assert report(classifier(), Dataset(np.ones((1, 4)), [2])).numbers("confusion")[2][2] in (0, 1)


def test_a_test_set_with_weights_says_what_they_change(report):
    net = classifier()
    test = rows()
    weighted = Dataset(test.x, test.t, np.linspace(0, 1, len(test)))
    text = report(net, weighted).texts[""]
    assert "have weights" in text and f"{100 * evaluate(net, weighted).accuracy:.2f}\u202f%" in text
    assert "have weights" not in report(net, test).texts[""]


def test_many_classes_have_a_list_of_confusions_in_place_of_the_matrix(report):
    net = classifier(k=30)
    page = report(net, rows(k=30, n=200))
    assert "With 30 classes" in page.texts["confusion"]
    assert page.tables["confusion"][0][0] == ["true class", "answer", "times"]


def test_facts_are_translated_and_shown(report):
    net = classifier()
    text = report(net, rows(), facts={"seed": 7, "mine": "x"}, language="zh").texts["trained"]
    assert re.search(r"随机种子\s*7", text) and re.search(r"mine\s*x", text)


# --- calibration ---------------------------------------------------------------------------------------------------

answers = st.integers(1, 60).flatmap(
    lambda n: st.tuples(arrays(float, n, elements=st.floats(0, 1)), arrays(bool, n), st.integers(1, 20))
)


@given(answers)
def test_the_calibration_error_is_the_sum_of_the_definition(case):
    confidence, right, m = case
    expected = 0.0
    for i in range(1, m + 1):  # B_i = ((i - 1)/M, i/M], and 0 belongs to the first
        own = (np.ceil(confidence * m) == i) | ((confidence == 0) & (i == 1))
        if own.any():
            expected += own.sum() / len(right) * abs(right[own].mean() - confidence[own].mean())
    error = expected_calibration_error(confidence, right, m)
    assert error == pytest.approx(expected, abs=1e-12) and 0 <= error <= 1
    assert error <= abs(confidence - right).mean() + 1e-12


def test_a_network_that_is_as_sure_as_it_is_right_has_no_calibration_error():
    confidence, right = np.full(10, 0.7), np.arange(10) < 7
    assert expected_calibration_error(confidence, right) == pytest.approx(0)
    assert expected_calibration_error(np.ones(10), right) == pytest.approx(0.3)


# --- the command and the scripts -----------------------------------------------------------------------------------


@pytest.fixture
def saved(trained, tmp_path):
    save(trained[0], tmp_path / "net")
    return str(tmp_path / "net")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_command_writes_a_report_about_a_saved_network(trained, saved, tmp_path, printed_lines, language):
    out = str(tmp_path / "page.html")
    arguments = ["report", saved, "--dataset", "digits", "--seed", "0", "--out", out, "--language", language]
    assert printed_lines(main(arguments)) == [out]
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert set(page.texts) == {"", *CLASSES, "weights"}
    assert f"{100 * evaluate(trained[0], DIGITS.test).accuracy:.2f}" in page.texts[""]
    assert saved in page.texts["trained"]


def test_the_command_reads_the_log_of_a_script(tmp_path, printed_lines):
    net, log, first, second = (str(tmp_path / name) for name in ("net", "log.csv", "a.html", "b.html"))
    arguments = ["--model", "softmax", "--epochs", "2", "--quiet", "--save", net, "--log", log, "--report", first]
    assert script("digits", data.digits, arguments) == 0
    assert main(["report", net, "--dataset", "digits", "--seed", "0", "--history", log, "--out", second]) == 0
    ours, theirs = (Page((tmp_path / name).read_text(encoding="utf-8")) for name in ("a.html", "b.html"))
    assert ours.tables["curves"] == theirs.tables["curves"] and len(ours.tables["curves"][0]) == 3
    assert "has the validation loss of epoch 2." in ours.texts["curves"]
    assert re.search(r"optimizer\s*SGD\(lr=", ours.texts["trained"]) and re.search(r"seed\s*0", ours.texts["trained"])


def test_a_script_writes_its_report_in_chinese(tmp_path):
    options = ["--model", "softmax", "--epochs", "1", "--quiet", "--language", "zh"]
    assert script("digits", data.digits, [*options, "--report", str(tmp_path / "a.html")]) == 0
    assert 'lang="zh-CN"' in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_a_log_is_read_as_it_was_written(tmp_path):
    history = [Epoch(1, 0.5, 0.4, 0.9, 1.25), Epoch(2, 0.25, None, None, 1.0)]
    log = Log(str(tmp_path / "log.csv"))
    log.write(history)
    log.close()
    assert read_history(tmp_path / "log.csv") == history


@pytest.mark.parametrize(("content", "message"), [
    (b"", r"begins with the line '', expected that of a log, epoch,loss"),
    (b"a,b\n1,2\n", r"begins with the line 'a,b', expected that of a log"),
    (b"\xff\xfe\x00", "is not the log of a training"),
    (b"epoch,loss,test_loss,test_accuracy,seconds\n", "holds no epoch"),
    (b"epoch,loss,test_loss,test_accuracy,seconds\n1,2,3\n", "line 2 is '1,2,3', expected epoch 1"),
    (b"epoch,loss,test_loss,test_accuracy,seconds\n2,1,1,1,1\n", "line 2 is '2,1,1,1,1', expected epoch 1"),
    (b"epoch,loss,test_loss,test_accuracy,seconds\n1,x,1,1,1\n", "line 2 is '1,x,1,1,1', expected epoch 1"),
    (b"epoch,loss,test_loss,test_accuracy,seconds\n1,,1,1,1\n", "line 2 is '1,,1,1,1', expected epoch 1"),
])  # fmt: skip
def test_what_is_no_log_is_refused(tmp_path, content, message):
    (tmp_path / "log.csv").write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        read_history(tmp_path / "log.csv")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--dataset", "digits", "--seed", "0", "--history", "nowhere"], "No such file or directory: 'nowhere'"),
    (["--dataset", "digits", "--seed", "0", "--out", "."], "is a folder, a pipe or a device"),
    (["--dataset", "digits", "--seed", "0", "--out", "nowhere/a.html"], "the folder nowhere does not exist"),
    ([], "choose the data by DATA or --dataset NAME"),
])  # fmt: skip
def test_the_command_refuses_what_it_cannot_do(saved, tmp_path, monkeypatch, error_line, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in error_line(main(["report", saved, *arguments]))
    assert sorted(os.listdir()) == ["net"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["--report", "nowhere/a.html"], "the folder nowhere does not exist"),
    (["--report", "."], "is a folder, a pipe or a device"),
    (["--report", "a", "--save", "./a"], "name the same file"),
    (["--language", "zh"], "--language is that of the report; give --report FILE, too"),
    (["--report", "a", "--compare-losses"], "--report cannot be used with --compare-losses"),
    (["--report", "a", "--probe"], "--report cannot be used with --probe"),
    (["--report", "a", "--probe", "--model", "mlp"], "--report cannot be used with --probe"),
])  # fmt: skip
def test_a_script_refuses_before_the_training(tmp_path, monkeypatch, error_line, arguments, message):
    monkeypatch.setattr("datasets.script.train", lambda *_: pytest.fail("it was trained"))
    monkeypatch.chdir(tmp_path)
    assert message in error_line(script("digits", data.digits, ["--quiet", *arguments]))


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_named_before_the_training(monkeypatch, tmp_path, error_line, package):
    monkeypatch.setattr("datasets.script.train", lambda *_: pytest.fail("it was trained"))
    for name in ("figures", "sections"):
        monkeypatch.delitem(sys.modules, f"minibp.export.{name}", raising=False)
        monkeypatch.delattr(minibp.export, name, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    line = error_line(script("digits", data.digits, ["--quiet", "--report", str(tmp_path / "a.html")]))
    assert f"a report needs {package}, which is not installed: pip install {package} (minibp's extra 'report'" in line
    with pytest.raises(MissingExtraError):
        write_report(classifier(), tmp_path / "a.html", rows())


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"language": "fr"}, UnknownNameError, "unknown language 'fr': choose one of en, zh"),
    ({"net": "net"}, ArgumentError, "net must be a Network"),
    ({"test": np.ones((3, 4))}, ArgumentError, "test must be a Dataset"),
    ({"history": [0.5, 0.4]}, ArgumentError, r"history is \[0\.5, 0\.4\], expected a list of Epoch"),
    ({"history": (x for x in [])}, ArgumentError, "expected a list of Epoch"),
    ({"test": Dataset(np.ones((3, 5)), [0, 1, 2])}, ShapeError, "5 values"),
    ({"test": Dataset(np.ones((3, 4)), [0, 1, 3])}, TargetError, "3"),
    ({"path": "."}, NotWritableError, "is a folder, a pipe or a device"),
    ({"path": "nowhere/a.html"}, ArgumentError, "the folder nowhere does not exist"),
    ({"path": "a/"}, ArgumentError, "ends without a name"),
])  # fmt: skip
def test_bad_arguments_are_refused_and_nothing_is_written(tmp_path, monkeypatch, change, error, message):
    monkeypatch.chdir(tmp_path)
    net = classifier()
    arguments = {"net": net, "path": "a.html", "test": rows()} | change
    with pytest.raises(error, match=message):
        write_report(**arguments)
    assert os.listdir() == []


def test_a_full_disk_keeps_the_old_file(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "a.html").write_text("old")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(OSError, match=r"a\.html"):
            write_report(classifier(), tmp_path / "a.html", rows())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "a.html").read_text() == "old" and os.listdir(tmp_path) == ["a.html"]


def test_the_network_is_not_changed(trained, report):
    before = trained[0].params.copy()
    report(trained[0], DIGITS.test)
    np.testing.assert_array_equal(trained[0].params, before)
