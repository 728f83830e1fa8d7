"""Image files as inputs: all of one size, in grey or in colour."""

import sys
import zlib

import numpy as np
import pytest

from minibp import CrossEntropy, Dense, Network, Softmax, load, save
from minibp.data import Pictures, read_pictures
from minibp.data.pictures import list_classes, list_pictures
from minibp.errors import ArgumentError, FileFormatError, MissingExtraError

Image = pytest.importorskip("PIL.Image")
GREY = np.arange(12, dtype="uint8").reshape(3, 4) * 20
COLOUR = np.stack([GREY, 255 - GREY, GREY], axis=2)


@pytest.fixture
def write(tmp_path):
    """A function that writes pixels to an image file, and returns its path."""

    def save(pixels, name="a.png", mode=None, **options):
        image = Image.fromarray(pixels)
        (image.convert(mode) if mode else image).save(tmp_path / name, **options)
        return str(tmp_path / name)

    return save


def read(*paths, **options):
    return read_pictures(paths, **options)[0]


@pytest.mark.parametrize("mode", [None, "RGB", "RGBA", "LA", "P"])
def test_a_grey_picture_is_grey_however_it_is_stored(write, mode):
    np.testing.assert_array_equal(read(write(GREY, mode=mode)), GREY[None])


@pytest.mark.parametrize("name", ["a.png", "a.bmp"])
def test_colours_are_kept(write, name):
    np.testing.assert_array_equal(read(write(COLOUR, name)), COLOUR[None])


def test_jpeg_is_read(write):
    x = read(write(np.full((8, 8), 200, "uint8"), "a.JPG", format="JPEG"))
    assert x.shape == (1, 8, 8) and abs(x.astype(int) - 200).max() <= 2


def test_one_picture_in_colour_makes_all_so(write):
    x = read(write(GREY), write(COLOUR, "b.png"))
    assert x.shape == (2, 3, 4, 3)
    np.testing.assert_array_equal(x[0], np.stack([GREY] * 3, axis=2))


def test_what_is_transparent_is_white(write):
    pixels = np.dstack([COLOUR, np.zeros((3, 4), "uint8")])
    np.testing.assert_array_equal(read(write(pixels)), np.full((1, 3, 4), 255))


def test_sixteen_bits_become_eight(write):
    np.testing.assert_array_equal(read(write(GREY.astype("uint16") * 257)), GREY[None])


def test_a_picture_is_turned_as_its_camera_says(write, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    assert read(write(GREY, exif=exif)).shape == (1, 4, 3)


def test_a_size_is_height_and_width(write):
    assert read(write(GREY), size=(6, 2)).shape == (1, 6, 2)
    np.testing.assert_array_equal(read(write(np.full((3, 4), 7, "uint8")), size=(9, 9)), np.full((1, 9, 9), 7))


def test_pictures_of_different_sizes_are_refused_without_one(write):
    message = r"b.png has 3 x 4 pixels, but .*a.png 4 x 3; scale all to one size, e.g. --size"
    with pytest.raises(ArgumentError, match=message):
        read(write(GREY), write(GREY.T.copy(), "b.png"))


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is not a picture in one of the formats PNG, JPEG, BMP"),
    (b"GIF89a", "is not a picture"),
    (b"half", "is a broken picture"),
    (b"many", "is a broken picture"),
])  # fmt: skip
def test_a_broken_picture_is_named_or_skipped_if_asked_for(write, tmp_path, content, message, monkeypatch):
    good, bad = write(np.random.default_rng(0).integers(0, 255, (40, 40), "uint8"), "good.png"), tmp_path / "bad.png"
    whole = (tmp_path / "good.png").read_bytes()
    head = b"IHDR\0\0\xff\xff\0\0\xff\xff" + whole[24:29]
    huge = whole[:12] + head + zlib.crc32(head).to_bytes(4, "big") + whole[33:]
    bad.write_bytes({b"half": whole[: len(whole) // 2], b"many": huge}.get(content, content))
    with pytest.raises(FileFormatError, match=rf"bad.png {message}.*; remove it, or leave out such .* --skip-broken"):
        read(good, bad)
    x, places, broken = read_pictures([bad, good], skip_broken=True)
    assert len(x) == 1 and places == [1] and "bad.png" in broken[0]
    with pytest.raises(FileFormatError, match=r"none of 1 pictures can be read: .*bad.png"):
        read_pictures([bad], skip_broken=True)


def test_missing_pillow_is_named(write, monkeypatch):
    path = write(GREY)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match="reading pictures needs pillow, which is not installed"):
        read(path)


def test_a_network_keeps_how_pictures_become_inputs(write, tmp_path):
    net = Network([Dense(12, 2), Softmax()], CrossEntropy())
    net.preprocessing = Pictures.like(GREY[None])
    save(net, tmp_path / "net")
    again = load(tmp_path / "net")
    x = again.preprocessing.encode([write(COLOUR), write(GREY.repeat(2, axis=0), "b.png")])
    assert x.shape == (2, 3, 4) and again.predict(x).shape == (2, 2)
    assert again.preprocessing.border == pytest.approx(GREY.mean() / 255, abs=0.05)


@pytest.mark.parametrize(("arguments", "message"), [
    ((0, 3), "height must be an integer of at least 1"),
    ((3, 3, 1), "colour must be"),
    ((3, 3, True, np.inf), "border must be a finite number"),
])  # fmt: skip
def test_descriptions_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Pictures(*arguments)


@pytest.mark.parametrize("x", [np.zeros((2, 3), "uint8"), np.zeros((2, 3, 4)), np.zeros((2, 3, 4, 2), "uint8")])
def test_other_arrays_are_no_pictures(x):
    assert Pictures.like(x) is None


def test_hidden_files_and_folders_are_not_listed(write, tmp_path):
    for name in (".checkpoints", "cat", "dog"):
        (tmp_path / name).mkdir()
    for name in ("cat/b.PNG", "cat/a.png", "cat/._a.png", ".checkpoints/a.png"):
        write(GREY, name, format="PNG")
    (tmp_path / "cat" / "notes.txt").write_text("")
    assert list_classes(tmp_path) == ["cat", "dog"]
    paths, others = list_pictures(tmp_path)
    assert [path[len(str(tmp_path)) :] for path in paths] == ["/cat/a.png", "/cat/b.PNG"] and others == 1
