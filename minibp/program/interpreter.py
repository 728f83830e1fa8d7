"""The interpreter: one compiled function that runs the operations of a table, batch after batch.

Each operation is compiled once for each dtype, and kept in numba's cache. Its address stands in the rows of the table.
So one interpreter serves all networks, and loads only the operations that a network has.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
from llvmlite import ir
from numba import types

from . import augmentation, batches, layers, losses, normalization, optimizers
from .table import RUN, row_dtype
from .views import intrinsic

MODULES = batches, layers, normalization, augmentation, losses, optimizers


@cache
def address_of(name: str, dtype: str) -> int:
    """The address of the operation of this name, compiled for this dtype. It is called as operation(row, run)."""
    function = next(vars(module)[name] for module in MODULES if name in vars(module))
    signature = types.void(numba.from_dtype(row_dtype(dtype)), numba.from_dtype(RUN))
    made: Any = numba.cfunc(signature, cache=True, error_model="numpy")(function)
    return int(made.address)


@intrinsic
def call(typing: Any, row: Any, run: Any) -> Any:
    """Call the operation of a row."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.bitcast(args[0], ir.IntType(64).as_pointer())  # `operation`, its first field
        kind = ir.FunctionType(ir.VoidType(), [each.type for each in args])
        builder.call(builder.inttoptr(builder.load(place), kind.as_pointer()), args)
        return context.get_dummy_value()

    return types.void(row, run), codegen


@numba.njit(nogil=True, cache=True, error_model="numpy")
def run_table(
    table: Any, runs: Any, inputs: int, targets: int, weights: int, samples: int, order: Any, batch_size: int,
    rates: Any, losses: Any, outputs: Any,
) -> None:  # fmt: skip
    """Run all operations for one batch of the samples in this order after the other, with one rate for each step.

    `inputs`, `targets` and `weights` are the addresses of those of all samples.
    """
    run, made = runs[0], 0
    run.inputs, run.targets, run.weights, run.samples, run.first = inputs, targets, weights, samples, 0
    run.order, run.losses, run.outputs = order.ctypes.data, losses.ctypes.data, outputs.ctypes.data
    for _ in range(rates.size):
        run.n = min(batch_size, order.size - run.first)
        run.rate, run.scale, run.total, run.skip = rates[made], 1.0, run.n, 0
        for i in range(table.size):
            call(table[i], run)
            if run.skip:
                break
        else:
            made += 1
            run.step += 1
        run.first += run.n
