"""base.validation: which arrays are accepted, and the errors that refuse the others."""

import numpy as np
import pytest

from minibp.base import INPUTS, check_array, check_finite, check_inputs, first_not_finite, validation
from minibp.errors import InputError, TargetError


class Sparse:
    """What SciPy's sparse matrices have in common: NumPy does not take them apart."""

    def toarray(self):
        return np.ones(2)


class NeedsGradient:
    """A tensor of PyTorch that requires a gradient."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Use tensor.detach().numpy() instead.")


@pytest.mark.parametrize("values", [[[1, 2]], ((True, False),), np.ones((1, 2), "float16"), 3.5])
def test_numbers_become_an_array(values):
    found = check_array(values, "x")
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(("values", "message"), [
    (np.ma.masked_array([1.0, 2.0], mask=[0, 1]), r"x: received a masked array.* fill it first: \.filled\(value\)"),
    ([[1.0], [1.0, 2.0]], r"x: cannot be converted to an array \(.*inhomogeneous.*\); expected numbers"),
    (["a"], "x: received an array of <U1, expected numbers; try this"),
    (None, "x: received None, expected numbers$"),
    ({1, 2}, "x: received a set, expected numbers$"),
    ((value for value in (1, 2)), r"x: received a generator, expected numbers; collect its values first: np"),
    (Sparse(), r"x: received a Sparse, expected numbers; a sparse matrix becomes an array by \.toarray\(\)"),
    (NeedsGradient(), r"x: cannot be converted to an array \(Use tensor\.detach.*\); expected numbers$"),
    (np.zeros(2, "f4, i4"), "x: received an array with the fields f0, f1, expected numbers; make them columns"),
    (np.ones(2, complex), r"x: received an array of complex128, expected numbers; use \.real and \.imag"),
    ([None], "x: received an array of object, expected numbers"),
    (np.ones(2, np.longdouble), r"x: received an array of .*, expected numbers; convert it: \.astype\('float64'\)"),
    (np.zeros(2, "datetime64[s]"), r"x: received an array of datetime64\[s\], expected numbers"),
])  # fmt: skip
def test_other_values_are_refused_with_the_given_error(values, message):
    with pytest.raises(InputError, match=message):
        check_array(values, "x", cure="try this")
    with pytest.raises(TargetError, match=message):
        check_array(values, "x", TargetError, cure="try this")


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_inputs_may_have_these_types(dtype):
    assert check_array(np.ones(2, dtype), "x", dtypes=INPUTS).dtype == dtype


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "bool"])
def test_inputs_may_not_have_other_types(dtype):
    with pytest.raises(InputError, match=f"x: received an array of {dtype}, expected pixels or floats"):
        check_array(np.ones(2, dtype), "x", dtypes=INPUTS, expected="pixels or floats")


PIXELS = "for pixels x.astype('uint8') or x / 255, for other numbers, also ids, x.astype('float32')"
SCALE = "x.astype('float32'), and scale it to about -1..1, unless it holds ids"


@pytest.mark.parametrize(("x", "cure"), [
    ([[0, 255]], PIXELS),
    (np.uint16([[17, 0]]), PIXELS),
    ([[0, 1]], "x.astype('float32')"),
    ([[0, 16]], SCALE),
    ([[-5, 200]], SCALE),
    ([[0, 65535]], SCALE),
    ([[0, 2**24 + 1]], "x.astype('float64'), and scale it to about -1..1; ids need a network of dtype float64, because "
     "float32 rounds integers above 2**24"),
    ([[False, True]], "x.astype('float32')"),
    (np.zeros((0, 2), int), "x.astype('float32')"),
    (30, PIXELS),
])  # fmt: skip
def test_the_advice_for_integers_depends_on_their_range(x, cure):
    with pytest.raises(InputError) as error:
        check_inputs(x)
    kind = np.asarray(x).dtype
    expected = "uint8 (scaled by 1/255) or floats (used as they are)"
    assert str(error.value) == f"x: received an array of {kind}, expected {expected}; convert it: {cure}"


def test_a_memory_map_of_integers_is_not_read_to_the_end(tmp_path):
    mapped = np.memmap(tmp_path / "x", "uint16", "w+", shape=(100, 2))
    mapped[0], mapped[99] = 255, 256
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError, match="for pixels"):
        patch.setattr(validation, "CHUNK", 100)
        check_inputs(mapped)


def test_memory_maps_stay_memory_maps_and_other_subclasses_become_arrays(tmp_path):
    mapped = np.memmap(tmp_path / "x", "float32", "w+", shape=(3, 2))
    assert check_array(mapped, "x") is mapped
    assert type(check_array(np.ones(2).view(np.recarray), "x")) is np.ndarray


def test_an_array_on_a_device_stays_there():
    standin = pytest.importorskip("standin")
    array = standin.ones(3, "float32")
    assert check_array(array, "x", xp=standin) is array
    with pytest.raises(InputError, match="x: cannot be converted to an array"):
        check_array(array, "x")


@pytest.mark.parametrize("chunk", [1, 8, 1 << 20])  # one sample at a time, two, and all
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_sample_that_is_not_finite_is_found_over_chunks(monkeypatch, chunk, dtype, value):
    monkeypatch.setattr(validation, "CHUNK", chunk)
    x = np.zeros((9, 2, 2), dtype)
    assert first_not_finite(x) is None
    x[4, 1, 0] = x[7] = value
    assert first_not_finite(x) == 4


def test_integers_are_always_finite():
    assert first_not_finite(np.zeros((9, 2), int)) is None


def test_the_error_adds_the_number_of_the_first_sample():
    x = np.array([[0.0], [np.inf]])
    with pytest.raises(InputError, match="x: NaN or infinity, first in sample 101; replace it"):
        check_finite(x, "x", InputError, "replace it", first=100)


def test_numbers_too_large_for_the_dtype_are_refused():
    x = np.array([[1.0], [1e300]])
    check_finite(x, "x", InputError, "scale it")
    with pytest.raises(InputError, match="x: NaN, infinity or a number too large for float32, first in sample 1"):
        check_finite(x, "x", InputError, "scale it", np.dtype("float32"))
