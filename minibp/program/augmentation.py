"""The operations of augmentation.py. They draw the same numbers as the formulas, and take one image after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..augmentation import BORDER, PER_IMAGE
from . import elementary
from .layers import bits, lowbias32
from .products import product
from .views import cast, jit, matrix, vector


def gaussian_noise(row: Any, run: Any) -> None:
    """y = x + std √(-2 log u) sin(π v), with 16 bits for each of u and v."""
    n, one = run.n * row.size, row.one
    half, unit, scale = cast(0.5, one), cast(2**-16, one), cast(-2 * row.number * row.number, one)
    middle, turn = cast(32767.5, one), cast(math.pi / 65536, one)
    x, y = vector(one, row.x, n), vector(one, row.y, n)
    row.step += 1
    first, second = lowbias32(row.key_1 + row.step), lowbias32(row.key_2 + row.step)
    for i in range(n):
        h = bits(i, first, second)
        u = (cast(h >> np.uint32(16), one) + half) * unit
        v = (cast(h & np.uint32(0xFFFF), one) - middle) * turn
        y[i] = math.sqrt(elementary.log(u) * scale) * (elementary.sin_series(v * v) * v) + x[i]


def random_affine(row: Any, run: Any) -> None:
    """Each pixel from its place in the image: the inverse of shift · rotation · shear · scaling."""
    row.step += 1
    for k in range(run.n):
        pad(row, k)
        sample(row, run, k, False)


def elastic_distortion(row: Any, run: Any) -> None:
    """The same, with each place moved by a smooth random field: two products smooth it, along columns and rows."""
    h, w = row.height, row.width
    row.step += 1
    for k in range(run.n):
        pad(row, k)
        draw_field(row, k)
        product(row, run, row.down, False, row.field, False, row.smooth, h, 2 * w, h)
        product(row, run, row.smooth, False, row.across, False, row.field, 2 * h, w, w)
        sample(row, run, k, True)


@jit
def pad(row: Any, k: Any) -> None:
    """Copy image k between borders of zeros, which are there from the start."""
    h, w = row.height, row.width
    x = matrix(row.one, row.x, (k + 1) * h, w)
    padded = matrix(row.one, row.kept, h + BORDER, w + BORDER)
    for i in range(h):
        for j in range(w):
            padded[i + 1, j + 1] = x[k * h + i, j]


@jit
def draw_field(row: Any, k: Any) -> None:
    """Uniform numbers for the pixels of image k: a row of Δx, a row of Δy, and so on."""
    h, w, middle = row.height, row.width, cast(32767.5, row.one)
    first, second = lowbias32(row.key_3 + row.step), lowbias32(row.key_4 + row.step)
    noise = matrix(row.one, row.field, h, 2 * w)
    for i in range(h):
        start = (k * h + i) * w
        for j in range(w):
            drawn = bits(start + j, first, second)
            noise[i, j] = cast(drawn >> np.uint32(16), row.one) - middle
            noise[i, w + j] = cast(drawn & np.uint32(0xFFFF), row.one) - middle


@jit
def uniform(row: Any, number: Any) -> Any:
    """A number of the affine maps, in [-1, 1)."""
    first, second = lowbias32(row.key_1 + row.step), lowbias32(row.key_2 + row.step)
    return cast(bits(number, first, second), row.one) * cast(2**-31, row.one) - row.one


@jit
def within(place: Any, first: Any, last: Any) -> Any:
    """The place, or the nearest one in the padded image; the first for NaN, so that nothing is read elsewhere."""
    place = place if place > first else first
    return place if place < last else last


@jit
def sample(row: Any, run: Any, k: Any, moved: Any) -> None:
    """y of image k, by bilinear interpolation. `moved` says whether there is a field."""
    h, w, one, zero = row.height, row.width, row.one, cast(0, row.one)
    start = k * PER_IMAGE
    angle = uniform(row, start) * cast(math.radians(row.rotation), one)
    lean = math.tan(uniform(row, start + 1) * cast(math.radians(row.shear), one))
    width = uniform(row, start + 2) * cast(row.scale, one) + one
    height = uniform(row, start + 3) * cast(row.scale, one) + one
    right = uniform(row, start + 4) * cast(row.translation * w, one)
    below = uniform(row, start + 5) * cast(row.translation * h, one)
    cos, sin = math.cos(angle), math.sin(angle)
    x_of_x, x_of_y = (cos + lean * sin) / width, (sin - lean * cos) / width
    y_of_x, y_of_y = -sin / height, cos / height
    middle_x, middle_y = cast((w - 1) / 2, one), cast((h - 1) / 2, one)
    last_x, last_y = cast(w + 1, one), cast(h + 1, one)

    padded, y = matrix(one, row.kept, h + BORDER, w + BORDER), matrix(one, row.y, (k + 1) * h, w)
    field = matrix(one, row.field, 2 * h, w)
    for i in range(h):
        down = cast(i, one) - middle_y - below
        for j in range(w):
            along = cast(j, one) - middle_x - right
            px = (x_of_x * along + (middle_x + one)) + x_of_y * down
            py = y_of_x * along + (y_of_y * down + (middle_y + one))
            if moved:
                px += field[2 * i, j]
                py += field[2 * i + 1, j]
            px, py = within(px, zero, last_x), within(py, zero, last_y)  # beyond the image all is 0
            left, top = np.int32(px), np.int32(py)
            px -= cast(left, one)
            py -= cast(top, one)
            a, b = padded[top, left], padded[top, left + 1]
            c, d = padded[top + 1, left], padded[top + 1, left + 1]
            upper, lower = a + (b - a) * px, c + (d - c) * px
            y[k * h + i, j] = upper + (lower - upper) * py
