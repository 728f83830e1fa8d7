"""Make the pictures of the READMEs, docs/picture.png and picture.zh-CN.png.

    python -m docs.picture [FOLDER OF MNIST]

It trains the default network of MNIST (a few minutes), and photographs in Chromium its page to draw on and the curves
of its report. Needs the extras `report` and `browser`.
"""

from __future__ import annotations

import io
import shutil
import sys
from base64 import b64encode
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import models
from minibp import data, train
from minibp.export import to_page, write_report

NAMES = {"en": "picture.png", "zh": "picture.zh-CN.png"}
FOUR = [  # strokes, each a list of points (x, y) in a square of side 1
    [(0.40, 0.16), (0.30, 0.36), (0.28, 0.50), (0.34, 0.55), (0.50, 0.55), (0.66, 0.50)],
    [(0.54, 0.20), (0.66, 0.30), (0.64, 0.60), (0.60, 0.90)],
]
WIDTH, NARROW = 860, 420  # of the page to draw on, and of the report, whose curves are below each other then
BESIDE = '<body style="margin: 0; display: flex">' + '<img style="height: {}px" src="data:image/png;base64,{}">' * 2
COLOURS = 64  # enough for the edges of letters; the file is a third of what all colours take


def draw(page: Any, strokes: list[list[tuple[float, float]]]) -> None:
    """Draw on the page with the mouse."""
    box = page.locator("#drawing").bounding_box()
    for stroke in strokes:
        for i, (x, y) in enumerate(stroke):
            page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
            if i == 0:
                page.mouse.down()
        page.mouse.up()
    page.wait_for_timeout(300)  # the bars move


def photograph(browser: Any, drawing: Path, report: Path) -> bytes:
    """The page with a digit drawn, beside the curves of the report: a PNG."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 900}, device_scale_factor=2)
    page.goto(drawing.as_uri())
    page.wait_for_selector("#bars li")
    draw(page, FOUR)
    bars = page.locator("#bars").bounding_box()
    height = round(bars["y"] + bars["height"] + 28)
    left = page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": height})

    page.set_viewport_size({"width": NARROW, "height": 900})
    page.goto(report.as_uri())
    box = page.locator("#curves .pair").bounding_box()
    tall = box["height"] + 40
    clip = {"x": 0, "y": box["y"] - 20, "width": NARROW, "height": tall}
    right = page.screenshot(clip=clip, full_page=True)

    page.set_viewport_size({"width": WIDTH + round(NARROW * height / tall), "height": height})
    page.set_content(BESIDE.format(*(value for part in (left, right) for value in (height, b64encode(part).decode()))))
    picture: bytes = page.screenshot()
    page.close()
    return picture


def main() -> int:
    """Train, and make both pictures. Returns the exit status."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    mnist, model = data.mnist(*sys.argv[1:]), models.build("mlp")
    net = model.network()
    optimizer = model.make_optimizer(net, len(mnist.train))
    history = list(train(net, optimizer, mnist.train, model.epochs, model.batch_size, mnist.test))
    with TemporaryDirectory() as folder, sync_playwright() as driver:
        # No sandbox: root, as which containers run, gets none.
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for language, name in NAMES.items():
            drawing, report = Path(folder, "drawing.html"), Path(folder, "report.html")
            to_page(net, drawing, language=language)
            write_report(net, report, mnist.test, history, title="MNIST", language=language)
            image = Image.open(io.BytesIO(photograph(browser, drawing, report)))
            image.quantize(COLOURS).save(Path(__file__).parent / name, optimize=True)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
