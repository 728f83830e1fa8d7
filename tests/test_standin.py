"""The stand-in for CuPy: it refuses what CuPy refuses, and counts what CuPy waits for.

On a GPU the same tests run on CuPy itself, and show that the stand-in refuses neither too much nor too little.
"""

import copy
import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import standin

import minibp
from minibp import backend


@pytest.fixture(params=["standin", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request):
    return importlib.import_module(request.param)


@pytest.fixture
def host():
    return np.arange(24, dtype="float32").reshape(6, 4)


@pytest.fixture
def device(xp, host):
    return xp.asarray(host)


MISTAKES = {
    "device and host added": lambda xp, d, h: d + h,
    "host and device added": lambda xp, d, h: h + d,
    "device and host multiplied as matrices": lambda xp, d, h: xp.matmul(d, h.T),
    "host and device multiplied as matrices": lambda xp, d, h: h.T @ d,
    "device added to a host array in place": lambda xp, d, h: h.__iadd__(d),
    "np.asarray of a device array": lambda xp, d, h: np.asarray(d),
    "np.array of a device array": lambda xp, d, h: np.array(d),
    "a device array written into a host array": lambda xp, d, h: h.__setitem__(slice(None), d),
    "a host array written into a device array": lambda xp, d, h: d.__setitem__(slice(None), h),
    "a host array given to a ufunc": lambda xp, d, h: xp.exp(h),
    "a host array as out=": lambda xp, d, h: xp.exp(d, out=h),
    "NumPy's function with a host array as out=": lambda xp, d, h: np.exp(d, out=h),
    "a host array indexed by a device array": lambda xp, d, h: h[xp.asarray([0, 1])],
    "where= of a ufunc": lambda xp, d, h: xp.exp(d, where=d > 0, out=d),
    "where= of a sum": lambda xp, d, h: d.sum(where=d > 0),
    "where= of the function sum": lambda xp, d, h: xp.sum(d, where=d > 0),
    "initial= of a maximum": lambda xp, d, h: d.max(initial=0),
    "initial= of a maximum, by its place": lambda xp, d, h: xp.max(d, 0, None, False, 0),
    "mode= of take": lambda xp, d, h: d.take(xp.asarray([0]), axis=0, mode="clip"),
    "mode= of the function take": lambda xp, d, h: xp.take(d, xp.asarray([0]), axis=0, mode="clip"),
    "out= of einsum": lambda xp, d, h: xp.einsum("ij->i", d, out=xp.zeros(6, "float32")),
    "one bound of clip alone": lambda xp, d, h: xp.clip(d, min=0),
    "vecdot": lambda xp, d, h: xp.vecdot(d, d),
    "errstate": lambda xp, d, h: xp.errstate(divide="ignore"),
    "nditer": lambda xp, d, h: xp.nditer,
    "ctypes of an array": lambda xp, d, h: d.ctypes,
    "a list given to a ufunc": lambda xp, d, h: xp.exp([1.0, 2.0]),
    "np.concatenate of both": lambda xp, d, h: np.concatenate([d, h]),
    "concatenate of both": lambda xp, d, h: xp.concatenate([d, h]),
    "the mean of a list of device numbers, by NumPy": lambda xp, d, h: np.mean([d.sum()]),
    "a device array taken for a list": lambda xp, d, h: d if isinstance(d, np.ndarray) else np.array(list(d)),
    "a device number as the end of a range": lambda xp, d, h: range(d.argmax()),
    "a device number as the index of a list": lambda xp, d, h: [*range(24)][d.argmax()],
    "an element by item(i)": lambda xp, d, h: d.item(3),
    "permutation of a generator": lambda xp, d, h: xp.random.default_rng(0).permutation(5),
    "shuffle of a generator": lambda xp, d, h: xp.random.default_rng(0).shuffle(d),
    "choice of a generator": lambda xp, d, h: xp.random.default_rng(0).choice(5),
    "normal of a generator": lambda xp, d, h: xp.random.default_rng(0).normal(),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused(xp, device, host, mistake):
    # Of CuPy's `__array__`, NumPy says first that it lacks a keyword.
    with pytest.raises((TypeError, AttributeError, ValueError, IndexError, DeprecationWarning)):
        mistake(xp, device, host)


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="older NumPy also refuses some of them")
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_passes_unnoticed_on_numpy(host, mistake):
    mistake(np, host.copy(), host)


def test_numpy_functions_of_device_arrays_stay_on_the_device(xp, device):
    for result in (np.exp(device), np.sum(device), np.float32(2) * device):
        assert isinstance(result, xp.ndarray)


def test_reductions_are_arrays_of_no_dimension(xp, device):
    total = device.sum()
    assert isinstance(total, xp.ndarray) and total.shape == ()
    assert float(total) == 276


def test_indices_outside_wrap_silently(xp, device):
    outside = xp.asarray([-1, 6, 8])
    np.testing.assert_array_equal(device.take(outside, axis=0).get(), device.get()[[5, 0, 2]])
    np.testing.assert_array_equal(device[outside].get(), device.get()[[5, 0, 2]])


def test_a_device_array_is_not_a_view_of_its_host_array(xp, host):
    device = xp.asarray(host)
    host[0, 0] = 99
    assert float(device[0, 0]) == 0


def test_asarray_of_a_device_array_is_the_array_itself(xp, device):
    assert xp.asarray(device) is device
    assert xp.asarray(device, "float32") is device


def test_views_share_memory_and_in_place_operations_write_through_them(xp, device):
    row = device[2]
    row += 1
    row[0] = 0
    np.testing.assert_array_equal(device.get()[2], [0, 10, 11, 12])


def test_a_deep_copy_is_another_array_on_the_device(xp, device):
    other = copy.deepcopy(device)
    other += 1
    assert isinstance(other, xp.ndarray)
    assert float(device[0, 0]) == 0


def test_a_matrix_product_in_place_makes_a_new_array(xp, device):
    product = device
    product @= xp.ones((4, 4), "float32")
    assert product is not device
    assert float(device[0, 1]) == 1


def test_a_generator_on_the_device_fills_an_array(xp):
    draw, out = xp.random.default_rng(0), xp.zeros((100, 3), "float32")
    draw.standard_normal(dtype=np.float32, out=out)
    assert 0.5 < float(out.std()) < 1.5
    for drawn in (draw.random(5), draw.uniform(size=5)):
        assert isinstance(drawn, xp.ndarray) and drawn.shape == (5,)


def test_the_device_tells_its_name_and_memory(xp):
    free, total = xp.cuda.Device().mem_info
    assert 0 < free <= total
    assert isinstance(xp.cuda.runtime.getDeviceProperties(0)["name"], bytes)


def test_the_device_says_where_it_is_plugged_in(xp):
    assert re.fullmatch(r"[0-9a-fA-F]+:[0-9a-fA-F]+:[0-9a-fA-F]+\.0", xp.cuda.Device().pci_bus_id)


def test_page_locked_memory_takes_values_and_gives_them_back(xp, device, host):
    memory = xp.cuda.alloc_pinned_memory(host.nbytes)
    there = np.ndarray(host.nbytes, "uint8", memory)[: host.nbytes].view("float32").reshape(host.shape)
    device.get(out=there)
    there += 1
    device.set(there)
    np.testing.assert_array_equal(device.get(), host + 1)


@pytest.mark.parametrize("shape, dtype", [((6, 4), "float64"), ((4, 6), "float32")])
def test_values_do_not_go_into_another_kind_of_array(device, shape, dtype):
    with pytest.raises((TypeError, ValueError)):
        device.get(out=np.empty(shape, dtype))


@pytest.mark.parametrize("name", [
    pytest.param("standin", marks=pytest.mark.mpi),  # by which it sums
    pytest.param("cupy", marks=pytest.mark.gpu),
])  # fmt: skip
def test_nccl_of_one_rank_sums_what_is_there(name, host, monkeypatch):
    xp = importlib.import_module(name)
    if xp is standin:
        monkeypatch.setitem(sys.modules, "cupy", standin)
        monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", importlib.import_module("standin.nccl"))
    nccl = backend.nccl()
    if nccl is None:
        pytest.skip("CuPy finds no NCCL")
    vector = xp.asarray(host.ravel())
    communicator = nccl.NcclCommunicator(1, nccl.get_unique_id(), 0)
    start, stream = vector.data.ptr, xp.cuda.get_current_stream().ptr
    communicator.allReduce(start, start, vector.size, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, stream)
    np.testing.assert_array_equal(vector.get(), host.ravel())


# --- reads, uploads and calls --------------------------------------------------------------------------------------

READS = {
    "float": lambda xp, d: float(d.sum()),
    "int": lambda xp, d: int(d.sum()),
    "bool": lambda xp, d: bool(d.sum()),
    "item": lambda xp, d: d.sum().item(),
    "tolist": lambda xp, d: d.tolist(),
    "get": lambda xp, d: d.get(),
    "asnumpy": lambda xp, d: xp.asnumpy(d),
    "a string": lambda xp, d: str(d),
    "a formatted string": lambda xp, d: f"{d.sum():.3f}",
    "tobytes": lambda xp, d: d.tobytes(),
    "dumps": lambda xp, d: d.dumps(),
    "array_repr": lambda xp, d: xp.array_repr(d),
    "a boolean index": lambda xp, d: d[d > 3],
    "nonzero": lambda xp, d: xp.nonzero(d),
    "the method nonzero": lambda xp, d: d.nonzero(),
    "where of a condition alone": lambda xp, d: xp.where(d > 3),
    "argwhere": lambda xp, d: xp.argwhere(d),
    "flatnonzero": lambda xp, d: xp.flatnonzero(d),
    "unique": lambda xp, d: xp.unique(d),
    "extract": lambda xp, d: xp.extract(d > 3, d),
    "compress": lambda xp, d: d.compress(d[:, 0] > 3, axis=0),
    "whether all are close": lambda xp, d: 1 if xp.allclose(d, d) else 0,
    "whether all are equal": lambda xp, d: 1 if xp.array_equal(d, d) else 0,
    "whether one number is larger": lambda xp, d: max(d[0, 0], d[1, 1]),
}
NO_READS = {
    "arithmetic": lambda xp, d: (d * 2 + 1).sum(),
    "allclose": lambda xp, d: xp.allclose(d, d),
    "array_equal": lambda xp, d: xp.array_equal(d, d),
    "count_nonzero": lambda xp, d: xp.count_nonzero(d),
    "argmax": lambda xp, d: d.argmax(),
    "where of three": lambda xp, d: xp.where(d > 3, d, d),
    "a slice": lambda xp, d: d[1:3],
    "an element": lambda xp, d: d[0, 0],
    "rows by an index array": lambda xp, d: d[xp.asarray([0, 1])],
    "a copy": lambda xp, d: copy.copy(d),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_operations_that_need_a_value_count_as_reads(host, read):
    device = standin.asarray(host)
    standin.traffic.clear()
    read(standin, device)
    assert standin.traffic.reads == 1


@pytest.mark.parametrize("compute", NO_READS.values(), ids=NO_READS)
def test_operations_on_the_device_do_not_count_as_reads(host, compute):
    device = standin.asarray(host)
    standin.traffic.clear()
    result = compute(standin, device)
    assert isinstance(result, standin.ndarray)
    assert standin.traffic.reads == 0


def test_uploads_and_calls_are_counted(host):
    standin.traffic.clear()
    device = standin.asarray(host)
    assert (standin.traffic.uploads, standin.traffic.calls) == (1, 1)
    (device * 2 + 1).sum()
    assert (standin.traffic.uploads, standin.traffic.calls) == (1, 4)
    device[np.array([0, 1])], device[[0, 1]]
    assert standin.traffic.uploads == 3


# --- refused by the stand-in alone: undefined on CuPy, a needless copy, or of no use to minibp -----------------------


def test_many_values_are_not_assigned_to_a_repeated_index(host):
    device, rows = standin.asarray(host), standin.asarray(host[:2])
    device[standin.asarray([0, 1])] = rows
    with pytest.raises(IndexError, match="which value wins is undefined"):
        device[standin.asarray([3, 3])] = rows
    device[standin.asarray([3, 3])] = 0
    np.testing.assert_array_equal(device.get()[3], np.zeros(4))


def test_a_product_is_not_written_into_an_array_that_is_not_contiguous(host):
    device = standin.asarray(host)
    with pytest.raises(ValueError, match="not contiguous"):
        standin.matmul(device, device.T, out=standin.empty((6, 12), "float32")[:, ::2])


COSTLY = {
    "a copy of a sum over the last axis": lambda xp, d: d.sum(axis=1, out=xp.empty(6, "float32")),
    "a copy of a maximum over the last axis": lambda xp, d: xp.max(d, axis=-1, out=xp.empty(6, "float32")),
    "indices for an array of no dimension": lambda xp, d: xp.multiply(d, xp.asarray(2, "float32"), out=d),
    "float64 for a bool and a number": lambda xp, d: xp.multiply(d > 0, 0.5, out=d),
}


@pytest.mark.parametrize("costly", COSTLY.values(), ids=COSTLY)
def test_what_costs_more_on_a_device_than_on_the_host_is_refused(host, costly):
    costly(np, host.copy())
    with pytest.raises(ValueError, match=r"costs CuPy a copy|of no dimension|computed in float64"):
        costly(standin, standin.asarray(host))


@pytest.mark.parametrize("name", ["flat", "cstruct"])
def test_host_memory_is_not_exposed(host, name):
    assert not hasattr(standin.asarray(host), name)


@pytest.mark.parametrize("name", ["fuse", "RawKernel", "ElementwiseKernel", "ReductionKernel", "fft", "mgrid"])
def test_features_that_numpy_cannot_imitate_are_not_offered(name):
    assert not hasattr(standin, name)


# --- the list of names ---------------------------------------------------------------------------------------------


def test_arrays_have_no_special_method_that_those_of_cupy_lack():
    own = {name for name, value in vars(standin.ndarray).items() if name.startswith("__") and callable(value)}
    assert own - {"__getattr__"} <= set(standin.NAMES["special"])


def test_minibp_uses_no_function_whose_parameters_are_not_known():
    sources = Path(minibp.__file__).parent.rglob("*.py")
    used = {name for path in sources for name in re.findall(r"\bxp\.(\w+)", path.read_text(encoding="utf-8"))}
    assert {"matmul", "exp"} <= used
    assert not [name for name in used if standin.NAMES["cupy"].get(name) == "any"]


def test_the_stand_in_offers_what_this_cupy_offers():
    cupy = pytest.importorskip("cupy")
    if cupy.__version__ != standin.__version__:
        pytest.skip(f"CuPy {cupy.__version__} is here, the names are those of {standin.__version__}")
    content = importlib.import_module("standin.make_names").content()
    content["cupy"]["einsum"] = standin.NAMES["cupy"]["einsum"]  # written by hand
    assert content == standin.NAMES
