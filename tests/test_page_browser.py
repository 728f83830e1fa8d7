"""The page to draw on, in a browser: pytest -m browser, with Playwright and Chromium."""

import numpy as np
import pytest
from browsing import browser, opened  # browser is a fixture
from networks import every_layer_of_images
from strokes import DIGITS
from test_page import HOSTILE, small

import models
from minibp import (
    Adam,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    Flatten,
    Network,
    Sigmoid,
    Softmax,
    Standardize,
    data,
    train,
)
from minibp.export import to_page

__all__ = ["browser"]

pytestmark = pytest.mark.browser
BARS = "#bars li"  # made by the script
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}


def trained(model, train_set, epochs):
    net = model.network()
    for _ in train(net, Adam(net, lr=model.lr), train_set, epochs=epochs, batch_size=model.batch_size):
        pass
    return net


@pytest.fixture(scope="module")
def digits_page(tmp_path_factory):
    """The page of the default model of the digits."""
    path = tmp_path_factory.mktemp("digits") / "page.html"
    to_page(trained(models.build("small"), data.digits().train, epochs=30), path)
    return path


@pytest.fixture(scope="module")
def mnist(mnist_directory):
    return data.mnist(mnist_directory)


@pytest.fixture(scope="module")
def mnist_net(mnist):
    """The default model of MNIST, after an epoch of a third of it."""
    return trained(models.build("mlp"), mnist.train[:20_000], epochs=1)


@pytest.fixture(scope="module")
def mnist_page(mnist_net, tmp_path_factory):
    path = tmp_path_factory.mktemp("mnist") / "page.html"
    to_page(mnist_net, path)
    return path


@pytest.fixture
def exported(tmp_path, browser):
    """A function that exports a network, and opens the page."""

    def export(net, options=None, **more):
        to_page(net, tmp_path / "page.html", **more)
        return opened(browser, tmp_path / "page.html", BARS, **(options or {}))

    return export


def places(page, stroke, size, left, top):
    """The points of a stroke in the window, for a drawing in a square of this size, at this place of the canvas."""
    page.locator("#drawing").scroll_into_view_if_needed()
    box = page.locator("#drawing").bounding_box()
    at = [(left + size * x, top + size * y) for x, y in stroke]
    return [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in at]


def draw(page, digit, size=0.8, left=0.1, top=0.1):
    """Draw a digit with the mouse, and return the answer and the image that the network gets."""
    for stroke in DIGITS[digit]:
        first, *rest = places(page, stroke, size, left, top)
        page.mouse.move(*first)
        page.mouse.down()
        for point in rest:
            page.mouse.move(*point)
        page.mouse.up()
    return seen(page)


def seen(page):
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.locator("#answer").inner_text(), np.array(page.evaluate("minibp.image()"))


def read(page, x):
    """The outputs of the page for images x."""
    return np.array(page.evaluate("(x) => x.map(minibp.probabilities)", np.asarray(x).tolist()))


# --- the forward pass ----------------------------------------------------------------------------------------------


def assert_predicts(page, net, x, scale=None):
    expected = net.predict(x if scale is None else x * (scale / 255))
    assert np.abs(read(page, x) - expected).max() < 1e-5


def test_the_digits_get_the_probabilities_of_predict(exported):
    net = trained(models.build("small"), data.digits().train, epochs=3)
    with exported(net) as page:
        assert_predicts(page, net, data.digits().test.x[:50])


def test_mnist_gets_the_probabilities_of_predict(mnist_net, mnist_page, mnist, browser):
    with opened(browser, mnist_page, BARS) as page:
        assert_predicts(page, mnist_net, mnist.test.x[:50])


@pytest.mark.parametrize("side", [8, 28])
def test_every_layer_gives_the_probabilities_of_predict(exported, side, rng):
    net = every_layer_of_images(side)
    with exported(net) as page:
        assert_predicts(page, net, rng.integers(256, size=(50, side, side), dtype="uint8"))


def test_one_output_gives_the_probability_of_predict(exported, rng):
    scaled = Standardize(np.full((8, 8), 0.3), np.linspace(0.5, 2, 64).reshape(8, 8))
    net = Network([scaled, Flatten(), Dense(64, 1), Sigmoid()], BinaryCrossEntropy())
    with exported(net) as page:
        assert_predicts(page, net, rng.integers(256, size=(50, 8, 8), dtype="uint8"))


def test_full_ink_has_the_value_of_the_training(exported, rng):
    net = small()
    with exported(net, scale=16) as page:
        assert_predicts(page, net, rng.integers(256, size=(50, 8, 8), dtype="uint8"), scale=16)


def test_an_image_of_another_size_is_refused(exported):
    with exported(small()) as page, pytest.raises(Exception, match="expected 64 values, received 3"):
        page.evaluate("minibp.probabilities([1, 2, 3])")


# --- drawing -------------------------------------------------------------------------------------------------------


def test_ten_drawn_digits_are_read(browser, digits_page):
    with opened(browser, digits_page, BARS) as page:
        answers = []
        for digit in range(10):
            page.click("#clear")
            answers.append(draw(page, digit)[0])
    assert sum(answer == str(digit) for digit, answer in enumerate(answers)) >= 8, answers


def test_ten_drawn_digits_are_read_by_a_network_of_mnist(browser, mnist_page):
    with opened(browser, mnist_page, BARS) as page:
        answers = []
        for digit in range(10):
            page.click("#clear")
            answers.append(draw(page, digit)[0])
    assert sum(answer == str(digit) for digit, answer in enumerate(answers)) >= 9, answers


def difference(a, b):
    """The mean difference of two images, if one may be moved by a pixel: the middle of mass is rounded to a pixel."""
    side = int(len(a) ** 0.5)
    shifts = [(0, 0)] if side == 8 else np.ndindex(3, 3)
    moved = [np.roll(a.reshape(side, side), np.subtract(shift, side > 8), (0, 1)).ravel() for shift in shifts]
    return min(np.abs(each - b).mean() for each in moved)


@pytest.mark.parametrize("fixture", ["digits_page", "mnist_page"])
def test_a_digit_in_a_corner_is_the_one_in_the_middle(browser, fixture, request):
    with opened(browser, request.getfixturevalue(fixture), BARS) as page:
        for digit in (0, 3, 5):
            images, answers = [], set()
            for left, top in ((0.3, 0.3), (0, 0), (0.45, 0), (0.33, 0.52)):
                page.click("#clear")
                answer, image = draw(page, digit, 0.5, left, top)
                answers.add(answer)
                images.append(image)
            assert len(answers) == 1
            assert max(difference(image, images[0]) for image in images) <= 6  # of 255


# Each pixel as 10 x 10 of a drawing, whose digit is then scaled and centred.
ENLARGED = """(x) => x.map((image) => {
  const tenfold = (values) => values.flatMap((value) => Array(10).fill(value));
  return minibp.prepare(tenfold(image.map(tenfold)).flat());
})"""


def test_images_of_mnist_come_through_the_centring_unchanged(browser, mnist_page, mnist):
    x = mnist.test.x[:200]
    with opened(browser, mnist_page, BARS) as page:
        prepared = np.array(page.evaluate(ENLARGED, x.tolist())).reshape(x.shape)
        assert (read(page, prepared).argmax(axis=1) == read(page, x).argmax(axis=1)).all()
    assert (prepared == x).mean() > 0.999


def test_the_images_of_drawn_digits_are_as_bright_as_those_of_the_set(browser, digits_page, mnist_page, mnist):
    for path, x in ((digits_page, data.digits().train.x), (mnist_page, mnist.test.x)):
        with opened(browser, path, BARS) as page:
            means = []
            for digit in range(10):
                page.click("#clear")
                means.append(draw(page, digit)[1].mean())
        assert 0.8 < np.mean(means) / x.mean() < 1.25


def test_the_image_is_in_the_middle_of_mass_and_twenty_high(browser, mnist_page):
    with opened(browser, mnist_page, BARS) as page:
        image = draw(page, 5, 0.4, 0.5, 0.1)[1].reshape(28, 28)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert np.ptp(rows) + 1 == 20 and np.ptp(columns) + 1 <= 20
    middle = [(image.sum(axis=axis) * np.arange(28)).sum() / image.sum() for axis in (0, 1)]
    assert np.abs(np.subtract(middle, 14)).max() <= 0.55


def test_the_answer_changes_while_the_pen_moves(browser, digits_page):
    with opened(browser, digits_page, BARS) as page:
        (stroke,) = DIGITS[0]
        first, *rest = places(page, stroke, 0.8, 0.1, 0.1)
        page.mouse.move(*first)
        page.mouse.down()
        page.mouse.move(*rest[0])
        before = seen(page)[1]
        for point in rest:
            page.mouse.move(*point)
        answer, image = seen(page)
        assert answer == "0" and (image != before).any()
        shown = page.locator("#bars .value").all_inner_texts()
        assert abs(sum(float(value.removesuffix(" %")) for value in shown) - 100) < 0.6
        assert page.locator("#bars .best .name").inner_text() == "0"


def test_clear_takes_everything_away(browser, digits_page):
    with opened(browser, digits_page, BARS) as page:
        draw(page, 3)
        assert not page.locator("#hint").is_visible()
        page.click("#clear")
        answer, image = seen(page)
        assert answer == "" and not image.any() and page.locator("#hint").is_visible()
        assert set(page.locator("#bars .value").all_inner_texts()) == {""}


def test_the_right_button_and_a_pointer_that_is_up_draw_nothing(browser, digits_page):
    with opened(browser, digits_page, BARS) as page:
        points = places(page, DIGITS[1][0], 1, 0, 0)
        page.mouse.move(*points[0])
        page.mouse.down(button="right")
        page.mouse.move(*points[1])
        page.mouse.up(button="right")
        page.mouse.move(*points[0])
        assert not seen(page)[1].any()


def test_a_finger_draws_and_does_not_scroll(browser, digits_page):
    with opened(browser, digits_page, BARS, **PHONE) as page:
        session = page.context.new_cdp_session(page)
        (stroke,) = DIGITS[0]
        points = [{"x": x, "y": y} for x, y in places(page, stroke, 0.8, 0.1, 0.1)]
        events = ["touchStart", *["touchMove"] * (len(points) - 1), "touchEnd"]
        for event, point in zip(events, [*([each] for each in points), []], strict=True):
            session.send("Input.dispatchTouchEvent", {"type": event, "touchPoints": point})
        assert seen(page)[0] == "0"
        assert page.evaluate("scrollY") == 0


def test_the_keyboard_draws(browser, digits_page):
    with opened(browser, digits_page, BARS, **DESKTOP) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "drawing"
        assert page.locator("#cursor").is_visible()
        for _ in range(8):
            page.keyboard.press("ArrowUp")
        assert not seen(page)[1].any()  # the pen is up
        page.keyboard.press("Space")
        for _ in range(14):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Space")
        page.keyboard.press("ArrowLeft")
        answer, image = seen(page)
        assert answer == "1" and image.any()
        assert page.locator("#status").inner_text().startswith("1 ")
        page.keyboard.press("Delete")
        assert not seen(page)[1].any()


def test_what_has_the_focus_is_outlined(browser, digits_page):
    with opened(browser, digits_page, BARS) as page:
        for selector in (".paper", "#clear", "#deep"):
            page.keyboard.press("Tab")
            assert page.locator(selector).evaluate("(each) => getComputedStyle(each).outlineStyle") == "solid"


# --- what is shown -------------------------------------------------------------------------------------------------


def test_hostile_names_are_shown_as_text(exported):
    with exported(small(HOSTILE)) as page:
        assert page.locator("#bars .name").evaluate_all("(all) => all.map((each) => each.textContent)") == HOSTILE
        draw(page, 2)
        assert page.locator("#answer").evaluate("(each) => each.textContent") in HOSTILE
        assert page.locator("#answer *, #bars img, #bars script").count() == 0


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_page_does_not_scroll_sideways(exported, size):
    names = ["x" * 200, *HOSTILE[1:]]
    with exported(small(names), size) as page:
        draw(page, 4)
        page.check("#deep")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_first_hidden_layer_is_shown_if_asked(browser, digits_page):
    with opened(browser, digits_page, BARS) as page:
        draw(page, 6)
        assert not page.locator("#hidden").is_visible()
        page.check("#deep")
        assert page.locator("#hidden").is_visible()
        assert page.locator("#hidden").evaluate("(canvas) => canvas.width * canvas.height") == 128
        assert "Dense(64, 128), ReLU()" in page.locator("#layer").inner_text()


def test_a_network_without_a_hidden_layer_shows_none(exported):
    with exported(Network([Dense(64, 10), Softmax()], CrossEntropy())) as page:
        assert not page.locator("#layer").is_visible()


def test_the_page_follows_the_colours_of_the_system(browser, digits_page):
    colours = set()
    for scheme in ("light", "dark"):
        with opened(browser, digits_page, BARS, color_scheme=scheme) as page:
            colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2


def test_the_page_works_in_chinese(exported):
    with exported(small(), language="zh") as page:
        assert page.locator("h1").inner_text() == "写一个数字"
        assert draw(page, 1)[1].any()


def test_a_forward_pass_fits_in_a_frame(browser, mnist_page):
    time = """() => {
      const x = Array(784).fill(1), start = performance.now();
      minibp.probabilities(x);
      return performance.now() - start;
    }"""
    with opened(browser, mnist_page, BARS) as page:
        assert min(page.evaluate(time) for _ in range(20)) < 16  # milliseconds
