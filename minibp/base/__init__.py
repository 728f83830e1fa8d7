"""The base of layers, losses, networks and data: modules with parameters and workspaces, and checks of input."""

from .arguments import (
    COUNTS,
    Checked,
    Declared,
    Fixed,
    at_least_one,
    at_least_zero,
    boolean,
    checked_names,
    describe_sample,
    epoch_value,
    float_dtype,
    fraction,
    generator,
    instance,
    integer,
    number,
    positive,
    positive_or_none,
)
from .best import BestSoFar
from .boundary import Boundary
from .disk import new_file, printable, writable_path, write_atomically
from .hashing import hash_bytes, hash_values
from .layer import Layer, kind_of_rows, mark_needs_dx, run_backward
from .loss import Binary, Distribution, Loss
from .module import Module
from .shapes import brackets, infer_shapes, layer_list, refuse_unusable
from .state import Stateful, by_part, generator_state, nested, refuse_other_names, undeclared_attributes
from .summary import short_name, summary_html, summary_text
from .twins import Twins
from .validation import (
    INPUTS,
    NUMBERS,
    SMALL_BYTE,
    check_array,
    check_finite,
    check_inputs,
    check_sample_weights,
    first_not_finite,
    relative_weights,
)
from .vectors import all_finite, check_vector, flatten, trained_ranges, vector_property
from .workspaces import Array, Shape, Workspace

__all__ = [
    "COUNTS",
    "INPUTS",
    "NUMBERS",
    "SMALL_BYTE",
    "Array",
    "BestSoFar",
    "Binary",
    "Boundary",
    "Checked",
    "Declared",
    "Distribution",
    "Fixed",
    "Layer",
    "Loss",
    "Module",
    "Shape",
    "Stateful",
    "Twins",
    "Workspace",
    "all_finite",
    "at_least_one",
    "at_least_zero",
    "boolean",
    "brackets",
    "by_part",
    "check_array",
    "check_finite",
    "check_inputs",
    "check_sample_weights",
    "check_vector",
    "checked_names",
    "describe_sample",
    "epoch_value",
    "first_not_finite",
    "flatten",
    "float_dtype",
    "fraction",
    "generator",
    "generator_state",
    "hash_bytes",
    "hash_values",
    "infer_shapes",
    "instance",
    "integer",
    "kind_of_rows",
    "layer_list",
    "mark_needs_dx",
    "nested",
    "new_file",
    "number",
    "positive",
    "positive_or_none",
    "printable",
    "refuse_other_names",
    "refuse_unusable",
    "relative_weights",
    "run_backward",
    "short_name",
    "summary_html",
    "summary_text",
    "trained_ranges",
    "undeclared_attributes",
    "vector_property",
    "writable_path",
    "write_atomically",
]
