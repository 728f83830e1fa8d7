"""A report in a browser: it loads nothing, reports no error, and fits on a phone."""

import numpy as np
import pytest
from browsing import browser, opened  # browser is a fixture

from minibp import CrossEntropy, Dense, Epoch, HuberLoss, Network, Softmax, data
from minibp.export import LANGUAGES, write_report

__all__ = ["browser"]

pytestmark = pytest.mark.browser
pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

HISTORY = [Epoch(1, 2.0, 1.5, 0.5, 1.0), Epoch(2, 1.0, 1.2, 0.75, 1.0)]
LONG = [f"class_{i}_<script>alert({i})</script>_$\\alpha_{i}$_with_a_name_that_does_not_end" for i in range(10)]


def digits(path, **options):
    net = Network([Dense(64, 10), Softmax()], CrossEntropy())
    net.class_names = LONG
    write_report(net, path, data.digits().test, HISTORY, title=LONG[0], facts={"file": 200 * "x"}, **options)


def table(path, **options):
    rng = np.random.default_rng(0)
    net = Network([Dense(40, 10), Softmax()], CrossEntropy())
    net.class_names, net.column_names = LONG, [f"column {i} <b>" for i in range(40)]
    write_report(net, path, data.Dataset(rng.normal(size=(60, 40)), rng.integers(10, size=60)), **options)


def numbers(path, **options):
    rng = np.random.default_rng(0)
    net = Network([Dense(4, 3)], HuberLoss())
    net.class_names = LONG[:3]
    write_report(net, path, data.Dataset(rng.normal(size=(60, 4)), rng.normal(size=(60, 3))), HISTORY, **options)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old releases of matplotlib
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("write", [digits, table, numbers])
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")])
def test_a_report_loads_nothing_reports_nothing_and_fits(browser, tmp_path, write, language, width, scheme):
    path = tmp_path / "report.html"
    write(path, language=language)
    with opened(browser, path, viewport={"width": width, "height": 844}, color_scheme=scheme) as page:
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (min(map(int, background[4:-1].split(","))) > 200) == (scheme == "light")
        tick = page.evaluate("(t => t ? getComputedStyle(t).fill : '')(document.querySelector('svg text'))")
        assert tick == "" or (max(map(int, tick[4:-1].split(","))) < 150) == (scheme == "light")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_report_is_printed_dark_on_white(browser, tmp_path):
    digits(tmp_path / "report.html")
    with opened(browser, tmp_path / "report.html", color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.pdf(format="A4").startswith(b"%PDF")
