"""A table as what a GPU is asked to do: products by cuBLAS, and launches of kernels that do several operations at once.

- A Dense and the activation or the loss after it: the product, then bias and function together.
- An activation's gradient and the Dense before it: dx and db together, then the products.
- A loss: targets, losses, gradient and weights together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..base import Array
from . import rows
from .table import Table, row_dtype

ACTIVATIONS = {"relu", "leaky_relu", "elu", "gelu", "sigmoid", "exp", "softplus", "tanh"}
LOSSES = {operation for operation, _ in rows.LOSSES.values()}
# Done by the kernel of the loss; and `flush`, which is for processors. Those of an update find infinite moments.
LEFT_OUT = {"weights", "one_hot", "target_rows", "weigh_losses", "weigh_gradient", "flush"}
LEFT_OUT |= {f"{loss}_gradient" for loss in LOSSES}

UPDATES = {row["operation"] for row in rows.OPTIMIZERS.values()} | {"sgd_momentum", "sgd_nesterov", "average"}
COLUMNS = {"bias_gradient", "batch_norm", "batch_norm_gradient", "layer_norm_parameters", "max_norm"}
COLUMNS |= {f"{name}_bias_gradient" for name in ACTIVATIONS}  # kernels with a block for 32 columns
ROWS = {"bias", "layer_norm", "layer_norm_gradient", "standardize", "standardize_gradient"} | LOSSES
ROWS |= {"gather_bytes", "gather_float32", "gather_float64", *(f"bias_{name}" for name in ACTIVATIONS)}

# Those with a warp for a row of pixels: how many images each sample has there.
IMAGES = {"random_affine": 1, "elastic_field": 1, "elastic_smooth": 2, "elastic_distortion": 1}

THREADS = 256  # of a block, where nothing else is said: the usual choice
MOST_BLOCKS = 4096  # which share the elements among them: enough to keep any GPU busy
CLIP_BLOCKS = 128  # at most, of the first kernel of clipping, whose results the second one adds


class Launch(NamedTuple):
    """A kernel, its blocks and threads, its row, an array of one record, and its counter; or a product."""

    kernel: Any
    grid: tuple[int, ...]
    block: tuple[int, ...]
    row: np.ndarray
    counter: int = 0
    product: tuple[Array, Array, Array] | None = None


def launches(table: Table, n: int, kernel: Callable[[str], Any]) -> tuple[list[Launch], list[Launch]]:
    """What a step of n samples launches, up to the gradients, and after them; `kernel` gives that of an operation."""
    asked = [*_forward(table), *_backward(table)]
    first = next((i for i, (name, _) in enumerate(asked) if name in UPDATES | {"clip"}), len(asked))
    made = [_launch(table, n, kernel, name, fields) for name, fields in asked]
    return made[:first], made[first:]


def _launch(table: Table, n: int, kernel: Callable[[str], Any], name: str, fields: dict[str, Any]) -> Launch:
    if name == "product":
        return Launch(None, (), (), np.empty(0), product=_product(table, n, **fields))
    row = np.zeros((), row_dtype(str(table.dtype)))
    for field, value in fields.items():
        if field not in ("operation", "blocks"):
            row[field] = value
    return Launch(kernel(name), *_shape(name, fields, n), row, fields.get("counter", 0))


def _shape(name: str, fields: dict[str, Any], n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The blocks of a kernel, and the threads of a block."""
    size = fields.get("size", 0)
    if name in ("clip", "clip_factor"):
        return (fields["blocks"],), (1024,)
    if name in COLUMNS:
        return (-(-size // 32),), (32, 32)
    if name in ROWS:
        threads = n * 32
    elif name in IMAGES:
        threads = n * IMAGES[name] * fields["height"] * 32
    elif name.startswith("softmax"):
        threads = n * fields["size_in"] * 32
    else:
        threads = size if name in UPDATES else n * size
    return (min(-(-threads // THREADS), MOST_BLOCKS),), (THREADS,)


def _product(table: Table, n: int, a: Any, b: Any, out: Any) -> tuple[Array, Array, Array]:
    """The arrays of a product, each given by its address, its rows (-1 for n) and columns, and "T" if transposed."""

    def matrix(place: int, height: int, columns: int, form: str = "") -> Array:
        height = n if height < 0 else height
        array = table.arrays[place].reshape(-1)[: height * columns].reshape(height, columns)
        return array.T if form else array

    return matrix(*a), matrix(*b), matrix(*out)


def _forward(table: Table) -> Iterator[tuple[str, dict[str, Any]]]:
    """The kernels and products of the formulas, in order, with the fields of their rows."""
    forward = [row for row in table.forward if row["operation"] not in LEFT_OUT]
    read = [place for row in forward for place in {row.get("x"), row.get("kept")}]
    bias: dict[str, Any] = {}  # of the Dense before, if the next row adds it
    for row, after in pairwise([*forward, {}]):
        name = row["operation"]
        if name in ACTIVATIONS and bias:
            yield f"bias_{name}", row | bias
        elif name == "dense":
            k, size = row["size_in"], row["size"]
            yield "product", {"a": (row["x"], -1, k), "b": (row["w"], k, size), "out": (row["y"], -1, size)}
            # Another that reads y, such as a Residual, needs the sum: then a kernel of its own writes it.
            only = after.get("x") == row["y"] and read.count(row["y"]) == 1
            if only and after["operation"] in ACTIVATIONS | LOSSES:
                bias = {"b": row["b"]}
                continue
            yield "bias", row
        elif name == "elastic_distortion":
            yield "elastic_field", row
            yield "elastic_smooth", row
            yield name, row
        elif name in LOSSES and not row["dx"]:  # nothing before it: its gradient goes nowhere
            yield name, row | {"dx": table.memory(table.batch_size, row["size"])}
        else:
            yield name, row | bias
        bias = {}


def _backward(table: Table) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of the gradients and the update."""
    backward = [row for row in table.backward[::-1] if row["operation"] not in LEFT_OUT]
    summed = False  # whether db is there already
    for row, after in pairwise([*backward, {}]):
        name = row["operation"]
        before_dense = after.get("operation") == "dense_gradient" and after["trains"] and after["dy"] == row.get("dx")
        if name.removesuffix("_gradient") in ACTIVATIONS and before_dense:
            yield name.replace("_gradient", "_bias_gradient"), row | {"db": after["db"]}
            summed = True
            continue
        if name == "dense_gradient":
            k, size, dy = row["size_in"], row["size"], (row["dy"], -1, row["size"])
            if row["trains"] and not summed:
                yield "bias_gradient", row
            if row["trains"]:
                yield "product", {"a": (row["x"], -1, k, "T"), "b": dy, "out": (row["dw"], k, size)}
            if row["needs_dx"]:
                yield "product", {"a": dy, "b": (row["w"], k, size, "T"), "out": (row["dx"], -1, k)}
        elif name == "layer_norm_gradient":
            if row["trains"]:
                yield "layer_norm_parameters", row
            if row["needs_dx"]:
                yield name, row
        elif name == "clip":
            blocks = min(-(-row["size"] // 1024), CLIP_BLOCKS)
            row = row | {"kept": table.memory(blocks, 2), "blocks": blocks}
            yield name, row
            yield "clip_factor", row | {"size": blocks, "blocks": 1}
        else:
            yield name, row
        summed = False
