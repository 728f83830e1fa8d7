"""What operations are written with: arrays at an address, constants of the dtype of a value, and sums of rows."""

from __future__ import annotations

from typing import Any

from numba import config, extending, njit, types
from numba.np import arrayobj

intrinsic: Any = extending.intrinsic  # mypy would count the first argument, which numba passes

if getattr(config, "DISABLE_JIT", 0):  # set when numba is imported, which mypy does not see
    raise ImportError("numba does not compile while NUMBA_DISABLE_JIT is set")

# For functions that operations call. Python does not call these, so the wrappers, which take a quarter of the time of
# compilation, are left out. error_model "numpy" omits the check for division by zero, which prevents vectorization.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
jit = njit(**OPTIONS)
# For sums alone: LLVM may add in another order, which it needs to do for vector instructions.
sums = njit(**OPTIONS, fastmath={"reassoc", "contract"})


def _view(kind: Any, *shape: Any) -> Any:
    """The signature and the code of an array of numbers of this type at an address."""
    array_type = types.Array(kind, len(shape), "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, address, *extents = args
        strides = [context.get_constant(types.intp, kind.bitwidth // 8)]
        for extent in extents[:0:-1]:
            strides.insert(0, builder.mul(strides[0], extent))
        array = arrayobj.make_array(array_type)(context, builder)
        data = builder.inttoptr(address, context.get_data_type(kind).as_pointer())
        arrayobj.populate_array(array, data, extents, strides, strides[-1], None)
        return array._getvalue()

    return array_type(kind, types.int64, *[types.int64] * len(shape)), codegen


@intrinsic
def vector(typing: Any, like: Any, address: Any, n: Any) -> Any:
    """The n numbers at this address, of the dtype of `like`."""
    return _view(like, n)


@intrinsic
def matrix(typing: Any, like: Any, address: Any, n: Any, k: Any) -> Any:
    """The n x k numbers at this address, of the dtype of `like`."""
    return _view(like, n, k)


@intrinsic
def cast(typing: Any, number: Any, like: Any) -> Any:
    """A number in the dtype of `like`. In numba a literal would widen float32 to float64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.cast(builder, args[0], number, like)

    return like(number, like), codegen


@sums
def sum_of_row(x: Any, i: int) -> Any:
    """Σⱼ xᵢⱼ."""
    total = x[i, 0]
    for j in range(1, x.shape[1]):
        total += x[i, j]
    return total


@sums
def product_of_rows(x: Any, y: Any, i: int) -> Any:
    """Σⱼ xᵢⱼ yᵢⱼ."""
    total = x[i, 0] * y[i, 0]
    for j in range(1, x.shape[1]):
        total += x[i, j] * y[i, j]
    return total
