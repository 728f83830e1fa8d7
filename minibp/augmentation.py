"""Augmentation: layers that change the inputs at random in training, and do nothing at inference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .backend import gather
from .base import Array, Checked, Fixed, Shape, Workspace, at_least_one, describe_sample, number
from .dropout import RandomLayer
from .errors import ArgumentError, ShapeError, StateError

BORDER = 3  # of zeros around an image: one before it, two after it, so that no place is read beyond
FOLDS = 4.0  # alpha / sigma² up to which a field folds the image at most in rare places: its slope has a deviation of ½
RMS = 1 / (2 * math.sqrt(3 * math.pi))  # of a displacement, where alpha and sigma are 1 and no border is near
PER_IMAGE = 6  # random numbers of a RandomAffine: a rotation, a shear, two scales and two shifts


def up_to(most: float, beyond: str) -> Any:
    """A check for numbers in [0, most]; `beyond` tells what larger ones would do."""

    def check(name: str, value: Any) -> float:
        result = number(name, value)
        if result > most:
            raise ArgumentError(f"{name} must lie in [0, {most:g}], received {value!r}, which {beyond}")
        return result

    return check


def sizes(name: str, value: Any) -> Shape | None:
    """The height and the width of images, or None."""
    if value is None:
        return None
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ArgumentError(f"{name} must be (height, width), as (28, 28), received {value!r}")
    return at_least_one(name, value[0]), at_least_one(name, value[1])


class Augmentation(RandomLayer):
    """Base of layers that act in training only. `check_gradients` turns them off."""


class GaussianNoise(Augmentation):
    """Adds a normal random number of mean 0 to each value, in training; at inference y = x.

    Small noise on the inputs has the effect of a penalty on the slope of the network (Bishop, 1995, "Training with
    noise is equivalent to Tikhonov regularization"). It may stand anywhere in a network.

    Parameters
    ----------
    std : float, default 0.1
        The standard deviation of the noise. Pixels lie in 0..1 when the layer gets them.
    seed : int, optional
        Draws the noise. Without it, a network draws a seed from its own.
    """

    std: Any = Checked(number)

    def __init__(self, std: float = 0.1, seed: int | None = None):
        super().__init__(seed)
        self.std = std

    def config(self) -> dict[str, Any]:
        return {"std": self.std}

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        bits = {name: Workspace(shape, "uint32") for name in ("hash", "shifted")}
        return {"y": shape, "angle": shape, "counter": Workspace(shape, "uint32", fill="range")} | bits

    def formula(self, x: Array) -> Array:
        """y = x + std √(-2 log u) sin(π v), with u in (0, 1) and v in (-½, ½) from 16 bits each (Box, Muller, 1958)."""
        if not self.training:
            return x
        self.next_step()
        xp, y, angle = self.xp, self.y, self.angle
        drawn = self.bits(self.counter, self.hash, self.shifted)
        y[...] = xp.right_shift(drawn, np.uint32(16), out=self.shifted)
        y += 0.5
        y *= 2**-16
        xp.log(y, out=y)
        y *= -2 * self.std**2
        xp.sqrt(y, out=y)
        drawn &= np.uint32(0xFFFF)
        angle[...] = drawn
        angle -= 32767.5
        angle *= math.pi / 65536
        y *= xp.sin(angle, out=angle)
        y += x
        return y

    def gradient(self, dy: Array) -> Array:
        """dx = dy."""
        return dy


class RandomAffine(Augmentation):
    """Rotates, scales, shears and shifts each image at random, in training; at inference y = x.

    Each pixel of y is read from a place in x, between the pixels by bilinear interpolation; outside the image is 0.
    The numbers are uniform within their ranges. They are a function of (seed, index of the layer, step, number of the
    image in the batch), so they are the same on every array library and in the compiled program.

    It stands before the first layer that trains, because it passes no gradient back. The defaults are those of Ciresan
    et al., 2010 ("Deep big simple neural nets excel on handwritten digit recognition").

    Shapes: x and y (N, H, W), or rows (N, H W) with `image_shape`.

    Parameters
    ----------
    rotation : float, default 15
        Largest angle in degrees, to either side, up to 90.
    scale : float, default 0.15
        Height and width are each multiplied by a number of 1 - scale to 1 + scale. Up to 0.5.
    shear : float, default 0
        Largest angle in degrees by which upright lines lean to either side, up to 45.
    translation : float, default 0
        Largest shift to all sides, as a fraction of height and width, up to 0.5.
    image_shape : (int, int), optional
        Height and width of the images, if each is a row of pixels.
    seed : int, optional
        Draws the numbers. Without it, a network draws a seed from its own.

    Raises
    ------
    ArgumentError
        If a range would turn images over or leave less than half of them; or, when a network is built, if a layer
        before this one trains.
    ShapeError
        If a sample is not an image, or a row without an `image_shape`.
    """

    rotation: Any = Checked(up_to(90, "would turn images by more than a quarter"))
    scale: Any = Checked(up_to(0.5, "would leave too little of images that shrink"))
    shear: Any = Checked(up_to(45, "would move most of an image out of sight"))
    translation: Any = Checked(up_to(0.5, "would move most of an image out of sight"))
    image_shape: Any = Fixed(sizes)

    def __init__(
        self,
        rotation: float = 15,
        scale: float = 0.15,
        shear: float = 0,
        translation: float = 0,
        image_shape: Shape | None = None,
        seed: int | None = None,
    ):
        super().__init__(seed)
        self.rotation, self.scale, self.shear, self.translation = rotation, scale, shear, translation
        self.image_shape = image_shape
        if self.image_shape is not None:
            self.in_shape = (math.prod(self.image_shape),)

    def config(self) -> dict[str, Any]:
        ranges = {name: getattr(self, name) for name in ("rotation", "scale", "shear", "translation")}
        return ranges | ({"image_shape": list(self.image_shape)} if self.image_shape else {})

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.config().items() if value)
        return f"{type(self).__name__}({given})"

    def output_shape(self, shape: Shape) -> Shape:
        self.image_size(shape)
        return shape

    def image_size(self, shape: Shape) -> Shape:
        """Height and width, for samples of this shape."""
        size = self.image_shape or shape
        if len(size) != 2:
            cure = f"for others say their shape: {type(self).__name__}(..., image_shape=(28, 28))"
            raise ShapeError(f"{self} is fed {describe_sample(shape)}, but takes images (H, W); {cure}")
        return size

    def set_needs_dx(self, needed: bool) -> None:
        if needed and self.training:
            raise ArgumentError(f"{self} passes no gradient back: put it before the first layer that trains")
        super().set_needs_dx(needed)

    def gradient(self, dy: Array) -> Array:
        """At inference dx = dy. In training there is none: nothing before this layer learns."""
        if self.training:
            raise StateError(f"{self} passes no gradient back: put it before the first layer that trains")
        return dy

    # ---- the formula

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        n, (h, w) = shape[0], self.image_size(shape[1:])
        bits = {name: Workspace((n, PER_IMAGE), "uint32") for name in ("hash", "shifted")}
        count = {"counter": Workspace((n, PER_IMAGE), "uint32", fill="range")}
        count |= {"number": Workspace((n, 1, 1), "int64", fill="range")}
        images = {"padded": (n, h + BORDER, w + BORDER), "corners": (4, n, h, w), "py": (n, h, w), "px": (n, h, w)}
        return images | bits | count | {"where": Workspace((n, h, w), "int64")}

    def formula(self, x: Array) -> Array:
        if not self.training:
            return x
        self.next_step()
        self.padded[...] = 0
        self.padded[:, 1:-2, 1:-2] = x.reshape(self.py.shape)
        self.find_places()
        return self.sample().reshape(x.shape)

    def find_places(self) -> None:
        """Where in the padded images the pixels of y are read: the inverse of shift · rotation · shear · scaling."""
        xp, (_, h, w) = self.xp, self.py.shape
        u = xp.empty(self.hash.shape, self.dtype)
        u[...] = self.bits(self.counter, self.hash, self.shifted)
        u *= 2**-31
        u -= 1  # uniform in [-1, 1)
        angle, lean = u[:, 0] * math.radians(self.rotation), xp.tan(u[:, 1] * math.radians(self.shear))
        width, height = u[:, 2] * self.scale + 1, u[:, 3] * self.scale + 1
        cos, sin = xp.cos(angle), xp.sin(angle)
        middle_x, middle_y = (w - 1) / 2, (h - 1) / 2
        x = xp.arange(w, dtype=self.dtype) - middle_x - u[:, 4:5] * (self.translation * w)
        y = xp.arange(h, dtype=self.dtype) - middle_y - u[:, 5:6] * (self.translation * h)
        # Of the two sums of a place one depends on the column alone, the other on the row.
        x_of_x, x_of_y = (cos + lean * sin) / width, (sin - lean * cos) / width
        y_of_x, y_of_y = -sin / height, cos / height
        columns, rows = x_of_x[:, None] * x + (middle_x + 1), x_of_y[:, None] * y
        xp.add(columns[:, None, :], rows[:, :, None], out=self.px)
        columns, rows = y_of_x[:, None] * x, y_of_y[:, None] * y + (middle_y + 1)
        xp.add(columns[:, None, :], rows[:, :, None], out=self.py)

    def sample(self) -> Array:
        """The images at the places (py, px): the mean of the four pixels around, weighted by nearness."""
        xp, px, py, where, (a, b, c, d) = self.xp, self.px, self.py, self.where, self.corners
        height, width = self.padded.shape[1:]
        flat = self.padded.reshape(-1)
        xp.clip(px, 0, width - 2, out=px)  # beyond the image all is 0
        xp.clip(py, 0, height - 2, out=py)
        px -= xp.floor(px, out=a)  # the weights of the pixel to the right, and of the one below
        py -= xp.floor(py, out=b)
        b *= width
        b += a
        where[...] = b
        where += self.number * (height * width)
        for corner, step in ((a, 0), (b, 1), (c, width - 1), (d, 1)):
            where += step
            gather(flat, where, corner)
        b -= a
        b *= px
        a += b  # between the upper two
        d -= c
        d *= px
        c += d  # between the lower two
        c -= a
        c *= py
        a += c
        return a


class ElasticDistortion(RandomAffine):
    """Bends each image at random as handwriting varies, in training; at inference y = x.

    Simard et al., 2003 ("Best practices for convolutional neural networks applied to visual document analysis"). Each
    pixel of y is read at a distance (Δx, Δy) in x, by bilinear interpolation; outside the image is 0. Δx and Δy begin
    as uniform random numbers in (-1, 1) for each pixel. They are smoothed by a Gaussian of deviation `sigma`, and
    multiplied by `alpha`. With the ranges of `RandomAffine`, both happen in one interpolation: two layers, one after
    the other, would blur the image twice.

    The Gaussian has the sum 1, and beyond the image there is nothing to smooth. So away from the borders, Δx
    and Δy each have a root mean square of 0.163 alpha / sigma pixels: 1.4 with the defaults. Simard et al. normalize
    the field instead.

    Shapes: x and y (N, H, W), or rows (N, H W) with `image_shape`.

    Parameters
    ----------
    alpha : float, default 34
        How far pixels move, in the words above. At most 4 sigma², beyond which images fold over themselves. (Ciresan et
        al., 2010: 36 to 38, with a sigma of 5 to 6, a rotation of 15 and a scale of 0.15.)
    sigma : float, default 4
        The width of the Gaussian in pixels, at least 0.5. Larger is smoother.
    rotation, scale, shear, translation : float, default 0
        Those of `RandomAffine`.
    image_shape : (int, int), optional
        Height and width of the images, if each is a row of pixels.
    seed : int, optional
        Draws the numbers. Without it, a network draws a seed from its own.

    Raises
    ------
    ArgumentError
        If alpha is above 4 sigma², or as for a `RandomAffine`.
    ShapeError
        If a sample is not an image, or a row without an `image_shape`; or if pixels would move by a quarter of it.
    """

    alpha: Any = Checked(number)
    sigma: Any = Checked(lambda name, value: number(name, value, 0.5))

    def __init__(
        self,
        alpha: float = 34,
        sigma: float = 4,
        rotation: float = 0,
        scale: float = 0,
        shear: float = 0,
        translation: float = 0,
        image_shape: Shape | None = None,
        seed: int | None = None,
    ):
        super().__init__(rotation, scale, shear, translation, image_shape, seed)
        self.alpha, self.sigma = alpha, sigma
        self.check_field()

    def config(self) -> dict[str, Any]:
        return {"alpha": self.alpha, "sigma": self.sigma} | super().config()

    def check_field(self) -> None:
        """Raise an ArgumentError if the field would fold images over themselves."""
        if self.alpha > (most := FOLDS * self.sigma**2):
            what = f"{type(self).__name__}: alpha {self.alpha:g} with sigma {self.sigma:g} folds images over themselves"
            raise ArgumentError(f"{what}; use an alpha of at most {most:g}, or a larger sigma")

    def image_size(self, shape: Shape) -> Shape:
        h, w = super().image_size(shape)
        moves = RMS * self.alpha / self.sigma
        if moves > min(h, w) / 4:
            what = f"{self} moves pixels by about {moves:.1f} to each side, too far for images of {h} x {w}"
            raise ShapeError(f"{what}; use a smaller alpha")
        return h, w

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        n, (h, w) = shape[0], self.image_size(shape[1:])
        bits = {name: Workspace((n, h, w), "uint32") for name in ("field_hash", "field_shifted")}
        bits |= {"pixel": Workspace((n, h, w), "uint32", fill="range")}
        return super().workspaces(shape) | bits | {"noise": (n, 2, h, w), "smooth": (n, 2, h, w)}

    def find_places(self) -> None:
        """The places of a RandomAffine, moved by the field."""
        super().find_places()
        self.check_field()
        xp, noise, smooth, (_, h, w) = self.xp, self.noise, self.smooth, self.py.shape
        drawn = self.bits(self.pixel, self.field_hash, self.field_shifted, start=2)
        noise[:, 0] = xp.right_shift(drawn, np.uint32(16), out=self.field_shifted)
        drawn &= np.uint32(0xFFFF)
        noise[:, 1] = drawn
        noise -= 32767.5
        down = gaussian(h, self.sigma, xp, self.dtype)
        down *= self.alpha / 32768
        xp.matmul(down, noise, out=smooth)
        xp.matmul(smooth, gaussian(w, self.sigma, xp, self.dtype), out=noise)
        self.px += noise[:, 0]
        self.py += noise[:, 1]


def gaussian(n: int, sigma: float, xp: Any, dtype: Any) -> Array:
    """The matrix (n, n) by which a product smooths n values: a Gaussian in each row."""
    place = xp.arange(n, dtype=dtype)
    smooth = xp.square((place[:, None] - place) / sigma)
    smooth *= -0.5
    xp.exp(smooth, out=smooth)
    smooth *= 1 / (sigma * math.sqrt(2 * math.pi))
    return smooth
