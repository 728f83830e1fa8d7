"""A page in a browser: Debian's Chromium, driven by Playwright. It may load nothing, and write no error."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser():
    """A headless browser for the whole run; skipped if Playwright or Chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@contextmanager
def opened(browser, path, ready="body", **options):
    """A page from the disk, in a context of its own; `options` are those of Playwright's `new_context`.

    Yields when an element that fits the selector `ready` is there. Afterwards, the file must be the only thing that was
    asked for, and there must be no error on the console.
    """
    context = browser.new_context(**options)
    requests, errors = [], []
    page = context.new_page()
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(Path(path).resolve().as_uri())
        page.wait_for_selector(ready, state="attached")
        yield page
        assert errors == []
        assert [url for url in requests if not url.startswith("data:")] == [Path(path).resolve().as_uri()]
    finally:
        context.close()
