"""A page in a browser: Chromium, driven by Playwright. The page may load nothing, and write nothing to the console."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# No sandbox: root, as which tests run in containers, gets none.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    """A headless browser. Tests are skipped if Playwright or Chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@contextmanager
def opened(browser, path, ready="body", **options):
    """A file in the browser, in a context of its own; `options` are those of Playwright's `new_context`.

    Yields Playwright's page when it has an element that fits the selector `ready`. In the end, the file must be all
    that was asked for, and no warning, error or dialog must have come.
    """
    url = Path(path).resolve().as_uri()
    context = browser.new_context(**options)
    page, requests, complaints = context.new_page(), [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    try:
        page.goto(url)
        page.wait_for_selector(ready, state="attached")
        yield page
    finally:
        context.close()
    assert complaints == []
    assert [asked for asked in requests if not asked.startswith("data:")] == [url]
