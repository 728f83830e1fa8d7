"""A page to draw on: one HTML file with a network for images in it, which runs in a browser, without a server."""

from __future__ import annotations

import json
import math
import os
import re
import zlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..augmentation import ElasticDistortion, GaussianNoise, RandomAffine
from ..backend import to_host
from ..base import (
    Layer,
    Shape,
    describe_sample,
    infer_shapes,
    instance,
    kind_of_rows,
    new_file,
    positive,
    write_atomically,
)
from ..containers import Residual, Sequential
from ..dropout import Dropout
from ..errors import ArgumentError, ShapeError, UnknownNameError
from ..layers import ELU, GELU, Dense, Exp, Flatten, LeakyReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from ..network import Network
from ..normalization import BatchNorm, LayerNorm, Standardize
from .layers import PROBABLE, entry, layers_at_inference
from .resources import resource
from .texts import LANGUAGES

# The attributes of a layer that its function in web/layers.js needs. None: it has none, for it does nothing there.
FORMS: dict[type, tuple[str, ...] | None] = {
    Dense: ("W", "b"),
    Sigmoid: (),
    Tanh: (),
    ReLU: (),
    LeakyReLU: ("slope",),
    ELU: ("alpha",),
    GELU: (),
    Exp: (),
    Softplus: (),
    Softmax: (),
    BatchNorm: ("gamma", "beta", "running_mean", "running_var", "eps"),
    LayerNorm: ("gamma", "beta", "eps"),
    Standardize: ("mean", "std"),
    Sequential: ("layers",),
    Residual: ("layers",),
    Flatten: None,  # images are rows already
    Dropout: None,
    GaussianNoise: None,
    RandomAffine: None,
    ElasticDistortion: None,
}
MIXING = (Dense, Sequential, Residual)  # the second of these begins the second layer of the network
# Images of MNIST and of the digits, which web/images.js makes from a drawing, and the same as rows.
SHAPES: tuple[Shape, ...] = ((28, 28), (784,), (8, 8), (64,))
PEN = {28: 0.08, 8: 0.12}  # the width of the pen, where the drawing has the width 1: lines about as thick as those
MOST_BYTES = 50_000_000  # of the weights: a browser holds them as text, as bytes and as numbers


def to_page(net: Network, path: str | os.PathLike[str], language: str = "en", scale: float = 1.0) -> None:
    """Write a page to draw on, which shows what the network makes of the drawing.

    It is one HTML file that opens from the disk, loads nothing and sends nothing. The weights are in it as float32, and
    the forward pass in plain JavaScript. A drawing gets the form of MNIST or of the 8 x 8 digits before the network
    sees it. Browsers of the end of 2023 and later show it.

    Parameters
    ----------
    net : Network
        For images of 28 x 28 or 8 x 8, also as rows of 784 or 64 values; of minibp's own layers; its outputs are
        probabilities.
    path : path
        Where to write the page, usually ``*.html``.
    language : {"en", "zh"}, default "en"
        The language of the page.
    scale : float, default 1.0
        The value of full ink in the inputs that the network was trained on. 1 is that of uint8 images, which a network
        scales; scikit-learn's `load_digits` has 16.

    Raises
    ------
    ArgumentError
        If the network has a layer of your own, its outputs are not probabilities, its weights take more than 50 MB, or
        one of them is no number in float32; or no file can be created there.
    ShapeError
        If it takes other inputs than such images.
    NotWritableError, OSError
        If the file cannot be written. A file that was there before is still there.
    """
    instance("net", net, Network, "call to_page(net, path)")
    if language not in LANGUAGES:
        raise UnknownNameError("language", language, LANGUAGES)
    scale, shape, layers = positive("scale", scale), shape_of_images(net), layers_at_inference(net)
    refuse_rows_of_images(net, shape)
    if (size := 4 * (net.params.size + net.buffers.size)) > MOST_BYTES:
        limit = f"a page holds up to {MOST_BYTES / 1e6:g} MB: use fewer units"
        raise ArgumentError(f"the weights take {size / 1e6:,.1f} MB as float32, {limit}")

    numbers: list[np.ndarray] = []
    described = describe(layers, numbers)
    if (kind := kind_of_rows(layers)) not in PROBABLE:
        raise ArgumentError(f"the outputs are {kind}, a page shows probabilities: end in Softmax() or Sigmoid()")
    kept = [layer for layer in layers if FORMS[type(layer)] is not None]
    mixing = [i for i, layer in enumerate(kept) if isinstance(layer, MIXING)]
    first = mixing[1] if len(mixing) > 1 else 0
    classes = net.class_names or [str(label) for label in range(max(net.output_size((1, *shape)), 2))]
    side = math.isqrt(math.prod(shape))
    texts = json.loads(resource("texts.json"))[language]
    network = {"layers": described, "first": first, "side": side, "scale": scale, "pen": PEN[side]}
    network |= {"classes": classes, "blank": texts["blank"]}
    texts |= {"language": language, "title": texts["digit" if all(map(str.isdecimal, classes)) else "other"]}
    texts |= {"layers": ", ".join(map(str, kept)), "hidden": ", ".join(map(str, kept[:first]))}
    page = fill(texts, json.dumps(network), zlib.compress(b"".join(array.tobytes() for array in numbers), 9))
    write_atomically(new_file(path), page.encode())


def shape_of_images(net: Network) -> Shape:
    """The shape of the images that a network takes, also as rows; a ShapeError if a page has no such images."""
    for shape in SHAPES:
        try:
            net.output_size((1, *shape))
        except ShapeError:
            continue
        return shape
    takes = next(layer.in_shape for layer in net.layers if layer.in_shape is not None)
    expected = "images of 28 x 28 or 8 x 8, or rows of 784 or 64 values"
    raise ShapeError(f"the network takes {describe_sample(takes)}; a page needs one that takes {expected}")


def refuse_rows_of_images(net: Network, shape: Shape) -> None:
    """Refuse, by an ArgumentError, a Softmax over the rows of an image: in the page an image is one row."""
    sample = net.sample_shape((1, *shape))
    for layer, takes in zip(net.layers, [sample, *infer_shapes(net.layers, shape=sample)], strict=False):
        if takes is not None and len(takes) > 1 and any(isinstance(each, Softmax) for each in layer.modules()):
            raise ArgumentError(f"{layer} gets images of shape {takes}, and rows in a page: put Flatten() before it")


def describe(layers: Sequence[Layer], numbers: list[np.ndarray]) -> list[dict[str, Any]]:
    """The layers for web/layers.js. Their arrays are appended to `numbers`, and described by where they lie there."""
    described = []
    for layer in layers:
        names = entry(FORMS, layer, "a page")
        if names is not None:
            values = {name: value(layer, name, numbers) for name in names}
            described.append({"class": type(layer).__name__, **values})
    return described


def value(layer: Layer, name: str, numbers: list[np.ndarray]) -> Any:
    """An attribute of a layer: a number, the layers inside, or the place in `numbers` to which an array was added."""
    given = getattr(layer, name)
    if isinstance(given, (float, tuple)):
        return describe(given, numbers) if isinstance(given, tuple) else given
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(to_host(given), "<f4")
    if not np.isfinite(array).all():
        raise ArgumentError(f"{layer}: {name} holds NaN, infinity or a number too large for float32: train it again")
    start = sum(each.size for each in numbers)
    numbers.append(array)
    return {"floats": [start, start + array.size]}


def fill(texts: dict[str, str], network: str, weights: bytes) -> str:
    """The page: the template with these texts, the description of a network, and its weights."""
    from html import escape  # not above: few need these, and they are slow to import

    style, script = resource("page.css"), "\n".join(map(resource, ("layers.js", "images.js", "page.js")))
    inside = {name: escape(text) for name, text in texts.items()}
    inside |= {"style": style, "script": script, "weights": b64encode(weights).decode()}
    inside |= {"network": network.replace("<", r"\u003c")}  # no text in it can end the script element
    inside |= {"policy": f"default-src 'none'; style-src {source(style)}; script-src {source(script)}; img-src data:"}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: inside[found[1]], resource("page.html"))


def source(text: str) -> str:
    """What allows this style or script alone in a Content-Security-Policy."""
    from hashlib import sha256

    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
