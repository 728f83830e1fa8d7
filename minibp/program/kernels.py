"""The kernels of our own for a GPU: CUDA C++ in cuda/, compiled by CuPy where a network trains there.

They are the operations of the table, of which some do the work of two or three (see launches.py). One source serves
both dtypes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import short_message
from ..errors import MinibpWarning
from .table import ADDRESSES, UnknownError, row_dtype

FILES = "common", "batches", "layers", "normalization", "augmentation", "losses", "optimizers"
# Without contraction a kernel rounds as its formula does; it waits for memory, not for arithmetic.
OPTIONS = ("--std=c++17", "--fmad=false")

# The numbers of a step: the rate, Adam's a and e, and the sum of the weights of its samples.
STEP = np.dtype([(name, "float64") for name in ("rate", "a", "e", "total")])
# What the rows of a step share, as `RUN` for a processor. `steps` is a table of `STEP`, and `step` the line at work.
POINTERS = {
    "inputs": "const void", "targets": "const T", "labels": "const long long", "weights": "const T",
    "order": "const long long", "losses": "T", "steps": "const Step", "scale": "double",
}  # fmt: skip
RUN = np.dtype([(name, "int64") for name in (*POINTERS, "samples", "first", "n", "step")])

_loaded: dict[Any, Any] = {}  # by library, GPU and dtype: a function from names to kernels, or why there is none


def source(dtype: np.dtype) -> str:
    """The source of all kernels, for networks of this dtype."""
    real = {"float32": "float", "float64": "double"}[str(dtype)]
    kinds = {"int64": "long long", "float64": "double", "int8": "signed char"}
    row, fields = row_dtype(str(dtype)), {"one": "T"}
    fields |= {name: kinds[str(row[name])] for name in row.names or () if name != "one"}
    fields |= dict.fromkeys(ADDRESSES, "T *")
    run = {name: f"{POINTERS[name]} *" if name in POINTERS else "long long" for name in RUN.names or ()}
    parts = [f"typedef {real} T;", _struct("Row", {name: fields[name] for name in row.names or ()})]
    parts += [_struct("Step", dict.fromkeys(STEP.names or (), "double")), _struct("Run", run)]
    folder = Path(__file__).parent / "cuda"
    return "\n".join([*parts, *((folder / f"{name}.cu").read_text(encoding="utf-8") for name in FILES)])


def _struct(name: str, fields: dict[str, str]) -> str:
    return f"struct {name} {{ {' '.join(f'{kind} {field};' for field, kind in fields.items())} }};"


def load(xp: Any, dtype: np.dtype) -> Callable[[str], Any]:
    """A function that gives the kernel of an operation, on the current GPU.

    An UnknownError, if they do not compile there. That is tried once, and told once by a warning.
    """
    if not hasattr(xp, "RawModule"):
        raise UnknownError("this CuPy compiles no kernels")
    key = xp, xp.cuda.Device().id, str(dtype)
    if key not in _loaded:
        try:
            module = xp.RawModule(code=source(dtype), options=OPTIONS)
            module.get_function("minibp_relu")  # compiles all
            _loaded[key] = lambda name: module.get_function(f"minibp_{name}")
        except Exception as error:
            _loaded[key] = f"minibp's kernels do not compile on this GPU ({short_message(error)})"
            warnings.warn(f"{_loaded[key]}; steps take CuPy's kernels, which are more", MinibpWarning, stacklevel=2)
    if isinstance(_loaded[key], str):
        raise UnknownError(_loaded[key])
    return _loaded[key]
