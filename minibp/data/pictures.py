"""Pictures: image files as inputs of a network, all of one size, in grey or in colour. It needs the extra `data`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..base import at_least_one, boolean, number, printable
from ..errors import ArgumentError, FileFormatError, MissingExtraError

FORMATS = ("PNG", "JPEG", "BMP")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")
GREY = 2  # levels of 256 by which the channels of a grey picture may differ
Path = str | os.PathLike[str]


class Pictures:
    """How image files become inputs: `encode` gives uint8, (N, height, width), or (N, height, width, 3) in colour.

    Pictures are turned as their camera says (EXIF), what is transparent becomes white, and other sizes are scaled,
    which changes the proportions if they differ. Assign it to `net.preprocessing`, and `save` keeps it.

    Parameters
    ----------
    height, width : int
        The size in pixels.
    colour : bool, default False
        Whether there are three channels.
    border : float, default 0
        The mean brightness (0..1) of the outermost pixels in the training pictures: about 0 for white on black.
    """

    def __init__(self, height: int, width: int, colour: bool = False, border: float = 0.0):
        self.height, self.width = at_least_one("height", height), at_least_one("width", width)
        self.colour, self.border = boolean("colour", colour), number("border", border)

    @classmethod
    def like(cls, x: np.ndarray) -> Pictures | None:
        """That of inputs (N, height, width) or (N, height, width, 3) in uint8; None if they are none."""
        if x.dtype != np.uint8 or not (x.ndim == 3 or (x.ndim == 4 and x.shape[3] == 3)):
            return None
        return cls(x.shape[1], x.shape[2], x.ndim == 4, brightness_of_border(x))

    def config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        return {name: getattr(self, name) for name in ("height", "width", "colour", "border")}

    def __repr__(self) -> str:
        return f"Pictures({self.height}, {self.width}{', colour=True' if self.colour else ''})"

    @property
    def sample_size(self) -> int:
        """The number of inputs."""
        return self.height * self.width * (3 if self.colour else 1)

    @property
    def inputs(self) -> None:
        """The names of the inputs: pixels have none."""
        return None

    def encode(self, paths: Sequence[Path]) -> np.ndarray:
        """The inputs of image files. A FileFormatError names the file that cannot be read."""
        size = (self.height, self.width)
        return np.stack([_channels(read_picture(path, size), self.colour) for path in paths])


def read_pictures(
    paths: Sequence[Path], size: tuple[int, int] | None = None, skip_broken: bool = False
) -> tuple[np.ndarray, list[int], list[str]]:
    """Read image files, in colour if one of them is.

    Parameters
    ----------
    paths : sequence of path
        The files: PNG, JPEG or BMP.
    size : (int, int), optional
        Height and width to scale them to. By default they must all have the same.
    skip_broken : bool, default False
        Leave out files that cannot be read. Else the first one is an error.

    Returns
    -------
    x : array (N, height, width) or (N, height, width, 3) of uint8
        The pictures that could be read.
    places : list of int
        Which of the paths these are.
    broken : list of str
        What is wrong with each of the others.

    Raises
    ------
    FileFormatError
        If a file cannot be read as a picture.
    ArgumentError
        If the pictures have different sizes, and none is given.
    MissingExtraError
        If Pillow is not installed.
    """
    found: list[np.ndarray] = []
    places: list[int] = []
    broken: list[str] = []
    for i, path in enumerate(paths):
        try:
            picture = read_picture(path, size)
        except FileFormatError as error:
            if not skip_broken:
                raise FileFormatError(f"{error}; remove it, or leave out such files by --skip-broken") from None
            broken.append(str(error))
            continue
        if found and picture.shape[:2] != found[0].shape[:2]:
            (h, w), (first_h, first_w) = picture.shape[:2], found[0].shape[:2]
            this, first = os.fsdecode(path), os.fsdecode(paths[places[0]])
            what = f"{this} has {w} x {h} pixels, but {first} {first_w} x {first_h}"
            raise ArgumentError(f"{what}; scale all to one size, e.g. --size 32 or --size 40x30 (width x height)")
        found.append(picture)
        places.append(i)
    if not found:
        raise FileFormatError(f"none of {len(paths)} pictures can be read: {broken[0] if broken else 'there is none'}")
    colour = any(picture.ndim == 3 for picture in found)
    return np.stack([_channels(picture, colour) for picture in found]), places, broken


def read_picture(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """An image file as uint8: (height, width) if it is grey, else (height, width, 3)."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise MissingExtraError("pillow", "data", "reading pictures") from None
    name = os.fsdecode(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as opened:
                opened.load()
                image = ImageOps.exif_transpose(opened)
    except Image.UnidentifiedImageError:
        raise FileFormatError(f"{name} is not a picture in one of the formats {', '.join(FORMATS)}") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # of the decoders: OSError, SyntaxError, ValueError, DecompressionBombError, ...
        raise FileFormatError(f"{name} is a broken picture: {printable(error) or type(error).__name__:.150}") from None
    if image.mode.startswith(("I", "F")):  # 16 bits: Pillow would clip them
        image = Image.fromarray((np.clip(np.asarray(image, "float64"), 0, 65535) / 257).round().astype("uint8"))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    if size is not None and image.size != size[::-1]:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)  # which averages what it shrinks
    pixels = np.asarray(image)
    if pixels.ndim == 3 and int(np.ptp(pixels, axis=2).max()) <= GREY:
        return pixels[:, :, 1]
    return pixels


def brightness_of_border(x: np.ndarray) -> float:
    """The mean brightness (0..1) of the outermost pixels of pictures (N, height, width, ...) in uint8."""
    sides = (x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1])
    return float(np.mean([side.mean(dtype="float64") for side in sides]) / 255)


def _channels(picture: np.ndarray, colour: bool) -> np.ndarray:
    """A picture in grey (by the weights of ITU-R 601, as in Pillow) or in colour."""
    if colour:
        return picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
    if picture.ndim == 3:
        return (picture @ np.array([0.299, 0.587, 0.114])).round().astype("uint8")
    return picture


def list_pictures(folder: Path) -> tuple[list[str], int]:
    """The image files in a folder and below it, sorted, and how many others there are. Hidden files do not count."""
    found, others = [], 0
    for above, folders, files in os.walk(os.fsdecode(folder)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                found.append(os.path.join(above, name))
            else:
                others += not name.startswith(".")
    return found, others


def list_classes(folder: Path) -> list[str]:
    """The sub-folders of a folder, sorted. Hidden ones do not count."""
    with suppress(NotADirectoryError), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    return []
