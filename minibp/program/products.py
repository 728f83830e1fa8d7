"""Matrix products by the BLAS that NumPy has loaded: its function `cblas_sgemm` or `cblas_dgemm`, called by address."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types

from ..backend import blas_libraries
from ..errors import ArgumentError
from .views import intrinsic, jit

ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE = 101, 111, 112  # of the interface CBLAS


class Blas(NamedTuple):
    """The function that multiplies matrices of a dtype: its address, and whether its sizes are integers of 64 bits."""

    gemm: int
    wide: bool


@cache
def blas(dtype: str) -> Blas:
    """The function of the BLAS for this dtype; an ArgumentError if none is found that gives the right product."""
    name = {"float32": "cblas_sgemm", "float64": "cblas_dgemm"}[dtype]
    symbols = [(f"scipy_{name}64_", True), (f"{name}64_", True), (f"{name}_64", True)]  # NumPy's wheels, others, MKL
    symbols += [(f"scipy_{name}", False), (name, False)]
    for library in blas_libraries():
        loaded = ctypes.CDLL(library.filepath)
        for symbol, wide in symbols:
            if hasattr(loaded, symbol) and _multiplies(getattr(loaded, symbol), wide, dtype):
                return Blas(ctypes.cast(getattr(loaded, symbol), ctypes.c_void_p).value or 0, wide)
    raise ArgumentError("threadpoolctl finds no BLAS in this NumPy that has cblas_sgemm (OpenBLAS, MKL, BLIS)")


def _multiplies(function: Any, wide: bool, dtype: str) -> bool:
    """Whether this function multiplies two matrices as expected."""
    size, number = (ctypes.c_int64, ctypes.c_int32)[not wide], np.ctypeslib.as_ctypes_type(dtype)
    a, b, c = np.arange(6, dtype=dtype).reshape(2, 3), np.arange(12, dtype=dtype).reshape(3, 4), np.zeros((2, 4), dtype)
    function.restype, place = None, ctypes.c_void_p
    function.argtypes = [ctypes.c_int] * 3 + [size] * 3 + [number, place, size, place, size, number, place, size]
    pointers = [each.ctypes.data for each in (a, b, c)]
    function(ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, 2, 4, 3, 1.0, pointers[0], 3, pointers[1], 4, 0.0, pointers[2], 4)
    return bool((c == a @ b).all())


def _gemm(bits: int) -> Any:
    """The function at an address, with sizes of so many bits."""

    @intrinsic
    def gemm(
        typing: Any, like: Any, address: Any, m: Any, n: Any, k: Any,
        a: Any, a_transposed: Any, a_columns: Any, b: Any, b_transposed: Any, b_columns: Any, c: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _, address, m, n, k, a, a_transposed, a_columns, b, b_transposed, b_columns, c = args
            number, size, flag = context.get_data_type(like), ir.IntType(bits), ir.IntType(32)

            def as_size(value: Any) -> Any:
                return builder.trunc(value, size) if bits < 64 else value

            def transposed(value: Any) -> Any:
                return builder.select(builder.trunc(value, ir.IntType(1)), flag(TRANSPOSE), flag(NO_TRANSPOSE))

            def pointer(value: Any) -> Any:
                return builder.inttoptr(value, number.as_pointer())

            passed = [
                flag(ROW_MAJOR), transposed(a_transposed), transposed(b_transposed), as_size(m), as_size(n), as_size(k),
                number(1.0), pointer(a), as_size(a_columns), pointer(b), as_size(b_columns),
                number(0.0), pointer(c), as_size(n),
            ]  # fmt: skip
            kind = ir.FunctionType(ir.VoidType(), [each.type for each in passed])
            builder.call(builder.inttoptr(address, kind.as_pointer()), passed)
            return context.get_dummy_value()

        integer, flag = types.int64, types.boolean
        given = like, *[integer] * 5, flag, integer, integer, flag, integer, integer
        return types.void(*given), codegen

    return gemm


wide_gemm, narrow_gemm = _gemm(64), _gemm(32)


@jit
def product(
    row: Any, run: Any, a: Any, a_transposed: Any, b: Any, b_transposed: Any, c: Any, m: Any, n: Any, k: Any
) -> None:
    """C = A B, where C has m x n numbers and A m x k; A or B may be stored transposed."""
    a_columns = m if a_transposed else k
    b_columns = k if b_transposed else n
    if run.wide:
        wide_gemm(row.one, run.gemm, m, n, k, a, a_transposed, a_columns, b, b_transposed, b_columns, c)
    else:
        narrow_gemm(row.one, run.gemm, m, n, k, a, a_transposed, a_columns, b, b_transposed, b_columns, c)
