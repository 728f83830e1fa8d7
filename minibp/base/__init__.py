"""The base of layers, losses, networks and data: modules with parameters and workspaces, and checks of input."""

from .arguments import (
    COUNTS,
    Checked,
    at_least_one,
    at_least_zero,
    boolean,
    checked_names,
    epoch_value,
    float_dtype,
    fraction,
    generator,
    instance,
    integer,
    new_file,
    number,
    positive,
    positive_or_none,
)
from .best import BestSoFar
from .disk import write_atomically
from .hashing import hash_bytes, hash_values
from .layer import Layer
from .loss import Binary, Distribution, Loss
from .module import Array, Module, Shape, Workspace
from .shapes import infer_shapes, layer_list, refuse_unusable
from .summary import summary_html, summary_text
from .validation import INPUTS, NUMBERS, check_array, check_finite, first_not_finite
from .vectors import all_finite, flatten, vector_property

__all__ = [
    "COUNTS",
    "INPUTS",
    "NUMBERS",
    "Array",
    "BestSoFar",
    "Binary",
    "Checked",
    "Distribution",
    "Layer",
    "Loss",
    "Module",
    "Shape",
    "Workspace",
    "all_finite",
    "at_least_one",
    "at_least_zero",
    "boolean",
    "check_array",
    "check_finite",
    "checked_names",
    "epoch_value",
    "first_not_finite",
    "flatten",
    "float_dtype",
    "fraction",
    "generator",
    "hash_bytes",
    "hash_values",
    "infer_shapes",
    "instance",
    "integer",
    "layer_list",
    "new_file",
    "number",
    "positive",
    "positive_or_none",
    "refuse_unusable",
    "summary_html",
    "summary_text",
    "vector_property",
    "write_atomically",
]
