"""A stand-in for CuPy on machines without a GPU: NumPy underneath, CuPy's refusals on top.

It offers the names and parameters of the real wheel (names.json, written by make_names.py). Like CuPy, it

- refuses host arrays in its functions, and does not convert a device array by itself (`np.asarray(device_array)`);
- returns 0-d device arrays where NumPy returns scalars, and takes over NumPy's functions of device arrays;
- wraps indices that are out of range, silently;
- refuses arrays of another device than the current one, also in products, where CuPy does not notice;
- counts the transfers between host and device: `traffic.reads` to the host, `traffic.uploads` from it,
  `traffic.page_locked`, the bytes of the largest one that goes through page-locked memory, and `traffic.calls`, the
  functions that are called, each of which launches at least one kernel.

It refuses more than CuPy: an assignment of several values to a repeated index, which CuPy leaves undefined; what costs
CuPy more than it need (`refuse_costly`); and what minibp has no use for (`fuse`, kernels, streams but the current one,
modules but `random` and `linalg`, methods of ufuncs, `.flat`). So none of these can pass unnoticed. nccl.py stands in
for `cupy.cuda.nccl`, which a test puts in its place.

Much of what it leaves open is shown by CuPy's own code on a CPU (tests/cupy_on_cpu): types, launches, copies, waits.

The tests in test_standin.py run on both, and show that it refuses and wraps as CuPy does, and no more. These tests on
a GPU (`-m gpu`) show what it cannot; they are in test_standin.py unless another file is named:

- rounding, and orders of summation: test_parity.py, whose tests run on the real CuPy too;
- the parameters of functions that take any ("any" in names.json): einsum's are written here, and tested by the mistake
  "out= of einsum"; minibp uses no other, test_minibp_uses_no_function_whose_parameters_are_not_known;
- whether a step waits for the GPU unseen, which nothing counts there: test_parity.py,
  test_a_training_step_does_not_wait_for_the_gpu;
- the numbers that CuPy's generators draw: test_a_generator_on_the_device_fills_an_array shows what they take; minibp
  draws all on the host;
- memory and the name of the device: test_the_device_tells_its_name_and_memory;
- speed: nothing yet. No test measures it, and no run on a GPU has.
"""

from __future__ import annotations

import functools
import json
import math
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

NAMES = json.loads((Path(__file__).parent / "names.json").read_text(encoding="utf-8"))
NAMES["cupy"]["einsum"] = "(subscripts, *operands, dtype=None, optimize=None)"  # "any" in the wheel; it refuses out=
UFUNC = "(*x, out=None, dtype=None, casting=None"
KINDS = {"ufunc": UFUNC + ")", "gufunc": UFUNC + ", axes=None, axis=None, keepdims=None, order=None, signature=None)"}
FROM_HOST = {"array", "asarray", "ascontiguousarray"}  # take host arrays: this is how data gets to the device
# What must know values to go on, by its docstring, and what the docstrings leave out.
SYNCHRONIZING = {*NAMES["synchronizing"]}.union(
    ["argwhere", "trim_zeros", "unique_all", "unique_counts", "unique_inverse", "unique_values"],
    ["intersect1d", "setdiff1d", "setxor1d", "union1d", "shares_memory", "array2string", "array_repr", "array_str"],
    ["tobytes", "tofile", "dump", "dumps", "save", "savez", "savez_compressed", "savetxt"],
)
ARRAYS_OF_ONE = {"allclose", "array_equal", "array_equiv", "count_nonzero"}  # where NumPy gives a bool or an int
REDUCTIONS = {"sum", "mean", "max", "min", "prod", "amax", "amin"}
NOT_OFFERED = {"cstruct", "flat"}  # NumPy's would hand out memory of the host
__version__ = NAMES["version"]


class Traffic:
    """What crossed the bus since the last `clear`."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Count from zero."""
        self.reads = self.uploads = self.calls = self.page_locked = 0


traffic = Traffic()


class ndarray:  # the name is CuPy's
    """An array on the device."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray, device: Any = None):
        self._arrays, self.device = host, device or _Device()

    # ---- to the host: on request only

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        traffic.reads += 1
        if out is None:
            return self._arrays.copy(order)
        if self.dtype != out.dtype or self.shape != out.shape:
            raise TypeError("get: writes to an array of the same dtype and shape")
        out[...] = self._arrays
        return out

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        if self.dtype != arr.dtype or self.shape != arr.shape or not self.flags.c_contiguous:
            raise TypeError("set: takes an array of the same dtype and shape, for one that is contiguous")
        traffic.uploads += 1
        self._arrays[...] = arr

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __bool__(self) -> bool:
        return bool(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get()[()], spec)

    def __repr__(self) -> str:
        return repr(self.get())

    def __reduce__(self) -> Any:
        return asarray, (self.get(),)

    def __copy__(self) -> ndarray:
        return self.copy()  # on the device, as CuPy's

    def __deepcopy__(self, memo: Any) -> ndarray:
        return self.copy()

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct one.")

    # ---- NumPy's functions dispatch here

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get("out"), tuple):
            (kwargs["out"],) = kwargs["out"]
        if method != "__call__":
            raise TypeError(f"cupy: {ufunc.__name__}.{method} is not supported here")
        return find(ufunc.__name__)(*args, **kwargs)

    def __array_function__(self, function: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        return find(function.__name__)(*args, **kwargs)

    # ---- what an array has

    def __getattr__(self, name: str) -> Any:
        if name not in NAMES["ndarray"] or name in NOT_OFFERED:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        value = getattr(self._arrays, name)
        if NAMES["ndarray"][name] is None:
            return ndarray(value, self.device) if isinstance(value, np.ndarray) else value
        return functools.partial(call, f"ndarray.{name}", value, NAMES["ndarray"][name], name)

    def __len__(self) -> int:
        return len(self._arrays)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> ndarray:
        if any(each.dtype == bool for each in flat(index) if isinstance(each, ndarray)):
            traffic.reads += 1  # it must know how many there are
        return ndarray(np.asarray(self._arrays[within(index, self.shape)]), self.device)

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim):
            raise TypeError("non-scalar numpy.ndarray cannot be used for fill")
        traffic.calls += 1
        where = within(index, self.shape)
        if isinstance(value, ndarray) and value.shape and stands_twice(where, self.shape):
            raise IndexError("an index stands twice in the assignment: which value wins is undefined on the device")
        self._arrays[where] = value._arrays if isinstance(value, ndarray) else value

    @property
    def shape(self) -> tuple[int, ...]:
        return self._arrays.shape

    @property
    def data(self) -> Any:
        """Where the numbers begin, as CuPy says it."""
        return types.SimpleNamespace(ptr=self._arrays.ctypes.data)


def flat(index: Any) -> list[Any]:
    return list(index) if isinstance(index, tuple) else [index]


def within(index: Any, shape: tuple[int, ...]) -> Any:
    """An index of host arrays; integers in arrays that lie outside wrap, as on the device: nothing checks them."""
    if isinstance(index, tuple):
        return tuple(within(each, shape[i : i + 1]) for i, each in enumerate(index))
    if isinstance(index, list) or (isinstance(index, np.ndarray) and index.ndim):
        index = np.asarray(index)
        traffic.uploads += 1
    held = index._arrays if isinstance(index, ndarray) else index
    if isinstance(held, np.ndarray) and held.dtype.kind in "iu" and held.ndim:
        return held % shape[0] if shape else held
    return held


def stands_twice(index: Any, shape: tuple[int, ...]) -> bool:
    """Whether an index names a place more than once."""
    if not any(isinstance(each, np.ndarray) for each in flat(index)):
        return False  # slices do not
    places = np.arange(math.prod(shape)).reshape(shape)[index]
    return len(np.unique(places)) < places.size


def wrap(result: Any) -> Any:
    """Results as CuPy gives them: arrays, also where NumPy gives scalars."""
    if isinstance(result, (np.ndarray, np.generic)):
        return ndarray(np.asarray(result))
    if isinstance(result, (tuple, list)) and any(isinstance(each, np.ndarray) for each in result):
        return type(result)(map(wrap, result))
    return result


def unwrap(value: Any, name: str, nested: bool) -> Any:
    """The host array in a device array; refuses host arrays, and lists where CuPy does."""
    if isinstance(value, ndarray):
        if value.device != _Device():
            raise ValueError(f"{name}: the array lies on {value.device}, and {_Device()} is current")
        return value._arrays
    if isinstance(value, np.ndarray) and name not in FROM_HOST:
        raise TypeError(f"{name}: Unsupported type {type(value)}")
    if isinstance(value, (list, tuple)) and name not in FROM_HOST:
        if not nested:
            raise TypeError(f"{name}: Unsupported type {type(value)}")
        return type(value)(unwrap(each, name, True) for each in value)
    return value


@functools.cache
def signature(label: str, parameters: str) -> Any:
    """Does nothing, but can be called as this function of CuPy's can: Python refuses the rest."""
    function = eval(f"lambda {parameters[1:-1]}: None")
    function.__qualname__ = label  # for the message
    return function


def refuse_costly(label: str, function: Any, known: str, name: str, args: Any, kwargs: Any) -> None:
    """Raise a ValueError for what CuPy computes as NumPy does, but at a cost that NumPy has not."""
    out = kwargs.get("out")
    arrays = [each._arrays for each in args if isinstance(each, ndarray)]
    if name in ("matmul", "dot") and out is not None and not out.flags.c_contiguous:
        raise ValueError(f"{label}: out= is not contiguous, which costs CuPy a temporary array and a copy")
    if name in REDUCTIONS and out is not None:
        of, *rest = arrays if arrays else (function.__self__, *args)
        axis = kwargs.get("axis", rest[0] if rest else None)
        axes = range(of.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        if of.ndim - 1 in [each % of.ndim for each in axes]:
            raise ValueError(f"{label}: out= of a reduction over the last axis costs CuPy a copy")
    dimensions = [each.ndim for each in arrays]
    if known == "ufunc" and out is not None and 0 in dimensions and max(dimensions) > 1:
        raise ValueError(f"{label}: an array of no dimension keeps CuPy from taking the others as vectors")
    if known == "ufunc" and out is not None and out.dtype == np.float32:
        given = [each._arrays if isinstance(each, ndarray) else each for each in args]
        if np.result_type(*given) == np.float64:
            raise ValueError(f"{label}: is computed in float64, for an out= of float32")


def call(label: str, function: Any, known: str, name: str, *args: Any, **kwargs: Any) -> Any:
    """Call NumPy's function as CuPy's would be called."""
    if known != "any":
        signature(label, KINDS.get(known, known))(*args, **kwargs)
    out = kwargs.get("out")
    if out is not None and not isinstance(out, ndarray):
        raise TypeError(f"{label}: out= must be a device array, got {type(out)}")
    refuse_costly(label, function, known, name, args, kwargs)
    if name in FROM_HOST and isinstance(args[0], np.ndarray):
        traffic.page_locked = max(traffic.page_locked, args[0].nbytes)
    if name in FROM_HOST and any(isinstance(each, (np.ndarray, np.generic, list, int, float)) for each in args[:1]):
        traffic.uploads += 1
    if name == "take" and "mode" not in kwargs:
        kwargs["mode"] = "wrap"  # as on the device: nothing checks the indices
    if name in SYNCHRONIZING and not (name == "where" and len(args) + len(kwargs) > 1):
        traffic.reads += 1
    traffic.calls += 1
    nested = known.startswith("(")
    host = [unwrap(each, name, nested) for each in args]
    result = function(*host, **{key: unwrap(each, name, True) for key, each in kwargs.items()})
    return out if out is not None else wrap(np.asarray(result) if name in ARRAYS_OF_ONE else result)


def asarray(a: Any, *args: Any, **kwargs: Any) -> ndarray:
    """A device array: the same one where it is one and fits, else a copy."""
    dtype = args[0] if args else kwargs.get("dtype")
    if isinstance(a, ndarray) and (dtype is None or a.dtype == dtype):
        return a
    return call("asarray", np.array, NAMES["cupy"]["asarray"], "asarray", a, *args, **kwargs)


def array(a: Any, *args: Any, **kwargs: Any) -> ndarray:
    """A copy, on the device."""
    return call("array", np.array, NAMES["cupy"]["array"], "array", a, *args, **kwargs)


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    """A copy on the host."""
    return a.get(order=order, out=out) if isinstance(a, ndarray) else np.asarray(a)


def get_array_module(*args: Any) -> Any:
    """This module, where one of these is a device array, else numpy."""
    return sys.modules[__name__] if any(isinstance(each, ndarray) for each in args) else np


def find(name: str) -> Any:
    """CuPy's function, type or constant of this name."""
    known = NAMES["cupy"].get(name)
    if known is None:
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    if known in ("constant", "type"):
        value = getattr(np, name)  # numbers and their types; others, as `mgrid`, would be NumPy's own
        number = isinstance(value, type) and issubclass(value, (np.generic, np.dtype, np.finfo, np.iinfo))
        if number or isinstance(value, float | None):
            return value
        raise AttributeError(f"the stand-in for cupy has no {name!r}")
    return functools.partial(call, name, getattr(np, name), known, name)


def __getattr__(name: str) -> Any:
    return find(name)


def _operator(symbol: str, function: str) -> None:
    def apply(self: ndarray, other: Any) -> Any:
        if isinstance(other, (np.ndarray, list, tuple)):
            raise TypeError(f"Unsupported type {type(other)}")
        return find(function)(self, other)

    def reflected(self: ndarray, other: Any) -> Any:
        if isinstance(other, (np.ndarray, list, tuple)):
            raise TypeError(f"Unsupported type {type(other)}")
        return find(function)(other, self)

    def in_place(self: ndarray, other: Any) -> Any:
        return find(function)(self, other, out=self)

    setattr(ndarray, f"__{symbol}__", apply)
    for special, method in ((f"__r{symbol}__", reflected), (f"__i{symbol}__", in_place)):
        if special in NAMES["special"]:  # a @= b makes a new array
            setattr(ndarray, special, method)


COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal"
}  # fmt: skip
ARITHMETIC = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "matmul": "matmul", "pow": "power",
    "floordiv": "floor_divide", "mod": "remainder", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
for _symbol, _function in {**COMPARISONS, **ARITHMETIC}.items():
    _operator(_symbol, _function)
for _symbol, _function in {"pos": "positive", "neg": "negative", "abs": "absolute", "invert": "invert"}.items():
    setattr(ndarray, f"__{_symbol}__", lambda self, _function=_function: find(_function)(self))


class Generator:
    """Random numbers on the device, by the methods that CuPy's generators have; the numbers are NumPy's."""

    def __init__(self, seed: Any = None):
        self._host = np.random.default_rng(seed)

    def __getattr__(self, name: str) -> Any:
        known = NAMES["Generator"].get(name)
        if known is None:
            raise AttributeError(f"'cupy.random.Generator' object has no attribute {name!r}")
        return functools.partial(call, f"Generator.{name}", getattr(self._host, name), known, name)


random = types.SimpleNamespace(Generator=Generator, default_rng=Generator)


linalg = types.SimpleNamespace(
    norm=functools.partial(call, "linalg.norm", np.linalg.norm, "(x, ord=None, axis=None, keepdims=None)", "norm")
)


class _Device:
    """A device, the current one by default, and its memory in bytes, free and in all."""

    current: ClassVar = [0]  # the last one, and those that were current before
    mem_info = (8 << 30, 16 << 30)
    compute_capability = "90"

    def __init__(self, device: int | None = None):
        self.id = self.current[-1] if device is None else device

    def __enter__(self) -> _Device:
        self.current.append(self.id)
        return self

    def __exit__(self, *error: object) -> None:
        self.current.pop()

    def use(self) -> None:
        """Make it the current one."""
        self.current[-1] = self.id

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _Device) and self.id == other.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    @property
    def pci_bus_id(self) -> str:
        """Where it is plugged in."""
        return f"0000:{self.id:02x}:00.0"

    def synchronize(self) -> None:
        """Nothing runs late here."""


class _Pool:
    """What holds memory that was given back."""

    free = 0

    def free_bytes(self) -> int:
        return self.free


def get_default_memory_pool() -> _Pool:
    """The pool of this device."""
    return _Pool()


cuda = types.SimpleNamespace(
    Device=_Device,
    alloc_pinned_memory=bytearray,
    get_current_stream=lambda: types.SimpleNamespace(ptr=0),
    runtime=types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        runtimeGetVersion=lambda: 12090,
        driverGetVersion=lambda: 12090,
        getDeviceProperties=lambda device: {"name": b"stand-in"},
    ),
)
