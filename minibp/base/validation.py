"""Checks of arrays. An error says what was received, what was expected, and what to do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import to_host
from ..errors import ArgumentError, InputError, MinibpError

# Allowed dtypes, as NumPy's one-letter codes.
FLOATS = "efd"  # float16, float32, float64
NUMBERS = f"?{np.typecodes['AllInteger']}{FLOATS}"
INPUTS = f"B{FLOATS}"  # inputs of a network: uint8 is scaled by 1/255, floats are used unchanged
UINT8_OR_FLOATS = "uint8 (scaled by 1/255) or floats (used as they are)"
SMALL_BYTE = 16  # bytes up to this are codes or counts rather than pixels; the digits of scikit-learn are 0..16
EXACT = 1 << 24  # up to which float32 holds all integers
CHUNK = 1 << 20  # values to check at a time


def check_array(
    values: Any,
    name: str,
    error: type[MinibpError] = InputError,
    dtypes: str = NUMBERS,
    expected: str = "numbers",
    xp: Any = np,
    cure: str = "",
) -> Any:
    """Convert values to an array and check its dtype.

    Parameters
    ----------
    values : array_like
        The values of the user. A memory map stays one.
    name : str
        The name of the values in errors: "x", "the targets".
    error : exception class
        The error to raise.
    dtypes : str
        The allowed dtypes: `INPUTS` or `NUMBERS`.
    expected : str
        The words for these dtypes in errors.
    xp : module
        The array library whose arrays are accepted, too.
    cure : str
        What to do about an array of another dtype.

    Returns
    -------
    array
        A NumPy array; an array of `xp` is returned unchanged.

    Raises
    ------
    error
        If values is a masked array, cannot be converted to an array, or has another dtype.
    """
    if np.ma.isMaskedArray(values):
        raise error(f"{name}: received a masked array, whose mask would be ignored; fill it first: .filled(value)")
    on_device, given = xp is not np and isinstance(values, xp.ndarray), values
    if not on_device and not isinstance(values, np.memmap):
        try:
            values = np.asarray(values)
        except (TypeError, ValueError, RuntimeError) as cause:  # an array of another library says what to do
            raise error(f"{name}: cannot be converted to an array ({cause}); expected {expected}") from None
    if values.dtype.char not in dtypes:
        what, cure = _describe(given, values, cure)
        raise error(f"{name}: received {what}, expected {expected}{cure and '; '}{cure}")
    return values


def _describe(given: Any, array: Any, cure: str) -> tuple[str, str]:
    """What was received in place of numbers, and what to do: `cure`, unless that cannot work."""
    if array.ndim == 0 and array.dtype.kind in "OUS":  # what NumPy does not take apart
        what = "None" if given is None else f"a {type(given).__name__}"
        if hasattr(given, "toarray"):
            return what, "a sparse matrix becomes an array by .toarray()"
        return what, "collect its values first: np.array(list(...))" if hasattr(given, "__next__") else ""
    if array.dtype.names:
        columns = "make them columns: numpy.lib.recfunctions.structured_to_unstructured(...)"
        return f"an array with the fields {', '.join(array.dtype.names)}", columns
    cures = {"g": "convert it: .astype('float64')"} | dict.fromkeys("FDG", "use .real and .imag as two columns")
    return f"an array of {array.dtype}", cures.get(array.dtype.char, cure)


def check_inputs(x: Any, xp: Any = np) -> Any:
    """Inputs of a network as an array of uint8 or floats; an InputError says how to convert others (see `check_array`).

    Integers up to 255 may be pixels, such as those that pandas reads from a CSV file.
    """
    x = check_array(x, "x", InputError, NUMBERS, UINT8_OR_FLOATS, xp, "convert other numbers: x.astype('float32')")
    if x.dtype.char in INPUTS:
        return x
    cure = "x.astype('float32')"
    if x.size and x.dtype.kind in "iu":
        part = x[: max(1, CHUNK * len(x) // x.size)] if x.ndim else x  # a memory map may be larger than memory
        low, high = int(part.min()), int(part.max())
        if low >= 0 and SMALL_BYTE < high <= 255:
            cure = "for pixels x.astype('uint8') or x / 255, for other numbers, also ids, x.astype('float32')"
        elif max(-low, high) > EXACT:
            cure = "x.astype('float64'), and scale it to about -1..1; ids need a network of dtype float64, because"
            cure += " float32 rounds integers above 2**24"
        elif max(-low, high) > 1:
            cure += ", and scale it to about -1..1, unless it holds ids"
    raise InputError(f"x: received an array of {x.dtype}, expected {UINT8_OR_FLOATS}; convert it: {cure}")


def first_not_finite(values: Any, dtype: Any = None, xp: Any = np) -> int | None:
    """The first sample that holds NaN or infinity, after a cast to `dtype` if there is one; None if all are finite."""
    if values.dtype.kind != "f":
        return None
    xp = np if isinstance(values, np.ndarray) else xp
    step = max(1, CHUNK * len(values) // max(values.size, 1))  # samples; a memory map may be larger than memory
    for start in range(0, len(values), step):
        with np.errstate(all="ignore"):
            finite = xp.isfinite(values[start : start + step].astype(dtype or values.dtype, copy=False))
        if not finite.all():
            return start + int(finite.reshape(len(finite), -1).all(axis=1).argmin())
    return None


def check_finite(
    values: Any, name: str, error: type[MinibpError], cure: str, dtype: Any = None, first: int = 0, xp: Any = np
) -> None:
    """Raise an error that names the first sample with NaN or infinity, if any, after a cast to `dtype`.

    `first` is the index of the first sample, if the values are part of a larger array.
    """
    bad = first_not_finite(values, dtype, xp)
    if bad is not None:
        what = "NaN or infinity" if dtype is None else f"NaN, infinity or a number too large for {dtype}"
        raise error(f"{name}: {what}, first in sample {first + bad}; {cure}")


def check_assigned(values: Any, name: str, xp: Any, dtype: np.dtype) -> None:
    """Raise an ArgumentError if assigned values are not finite numbers. Arrays on a device are not read."""
    if xp is not np and isinstance(values, xp.ndarray):
        return
    values = check_array(to_host(values) if hasattr(values, "get") else values, name, ArgumentError)  # from a device
    with np.errstate(all="ignore"):
        finite = np.isfinite(values.astype(dtype, copy=False)).all()
    if not finite:
        raise ArgumentError(f"{name} must hold finite numbers, received NaN or infinity (as {dtype})")


def check_numbers(values: Any, name: str, xp: Any) -> None:
    """Raise an ArgumentError if assigned values are no numbers, as strings. Arrays of the library are not looked at."""
    if not isinstance(values, xp.ndarray):
        check_array(to_host(values) if hasattr(values, "get") else values, name, ArgumentError)


def check_range(array: Any, name: str, dtype: np.dtype) -> None:
    """Raise an ArgumentError if finite numbers would become infinite in this dtype."""
    if array.dtype.itemsize > dtype.itemsize:
        size = abs(array)
        if ((size > np.finfo(dtype).max) & (size < math.inf)).any():
            raise ArgumentError(f"{name} holds numbers that are too large for {dtype}")


def check_sample_weights(name: str, weights: Any, n: int) -> np.ndarray:
    """Weights of n samples as float64; an ArgumentError if they are not finite numbers of at least 0, or all are 0."""
    values = np.asarray(check_array(weights, name, ArgumentError), "float64")
    if values.shape != (n,):
        raise ArgumentError(f"{name} has the shape {values.shape}, expected ({n},): one for each sample")
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        n = int(bad.argmax())
        raise ArgumentError(f"{name}: that of sample {n} is {values[n]:g}, expected a finite number of at least 0")
    if not values.any():
        raise ArgumentError(f"{name}: all are 0, so no sample counts")
    return values


def relative_weights(weights: np.ndarray) -> np.ndarray:
    """Weights over the largest of them: that changes no weighted mean, and cannot overflow in another dtype.

    An ArgumentError if all are 0, as in a part of a data set.
    """
    largest = weights.max()
    if not largest:
        raise ArgumentError(f"the weights of these {len(weights)} samples are all 0, so none of them counts")
    return weights / largest
