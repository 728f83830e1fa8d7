"""What CuPy's own code does with minibp, counted on a CPU: see tests/cupy_on_cpu."""

import ctypes
import importlib
import os
from itertools import pairwise
from pathlib import Path

import cupy_on_cpu
import numpy as np
import pytest

import minibp
from benchmarks import launches
from benchmarks.nets import NETS
from minibp import (
    ELU,
    SGD,
    Adam,
    AdamW,
    BatchNorm,
    CrossEntropy,
    Dense,
    Dropout,
    ElasticDistortion,
    GaussianNoise,
    LayerNorm,
    LeakyReLU,
    Network,
    RandomAffine,
    Softmax,
    SoftmaxCrossEntropy,
)
from minibp.backend import available
from minibp.data import Dataset
from minibp.data.batches import Batches
from minibp.errors import BackendError
from minibp.program import kernels

pytestmark = pytest.mark.cupy_cpu


@pytest.fixture(scope="module", autouse=True)
def cupy():
    if "MINIBP_CUPY_ON_CPU" not in os.environ:
        pytest.skip("MINIBP_CUPY_ON_CPU is not set")
    return importlib.import_module("cupy")


@pytest.fixture
def fake():
    yield cupy_on_cpu.fake
    cupy_on_cpu.fake.driver, cupy_on_cpu.fake.gpus = 12090, 2


def steps(net, optimizer, rows=256, batch_size=32):
    """A function that makes one training step, after two that make the workspaces and compile the kernels."""
    rng = np.random.default_rng(0)
    data = Dataset(rng.integers(256, size=(rows, 64)).astype("uint8"), rng.integers(10, size=rows))
    batches = Batches(net, data, batch_size)(np.arange(rows))

    def step():
        x, t = next(batches)
        net.unchecked_losses(x, t)
        net.backward()
        optimizer.step()

    step(), step()
    return step


def wide():
    """A network of the layers that differ from others by what they launch."""
    layers = [Dense(64, 32), BatchNorm(32), LeakyReLU(), Dropout(0.2), Dense(32, 32), LayerNorm(32), ELU()]
    return Network([*layers, Dense(32, 10), Softmax()], CrossEntropy(), backend="cupy")


OPTIMIZERS = {
    "SGD": lambda net: SGD(net),
    "SGD with all options": lambda net: SGD(net, momentum=0.9, weight_decay=1e-3, clip_norm=0.5, max_norm=1.0),
    "Adam": lambda net: Adam(net),
    "AdamW": lambda net: AdamW(net),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_training_step_sends_nothing_waits_for_nothing_and_allocates_nothing(fake, make):
    net = wide()
    step = steps(net, make(net))
    fake.clear()
    step()
    counts = fake.counts()
    assert set(counts) == {"launches", "gemms", "copies"}  # copies on the device: the running mean of BatchNorm
    assert counts["gemms"] == 11  # two for each Dense forward and backward, one for its bias, none for dx of the first


def test_a_training_step_computes_nothing_in_float64():
    net = wide()
    step = steps(net, Adam(net))
    with cupy_on_cpu.launched() as names:
        step()
    assert len(names) > 50
    assert not [name for name in names if "in float64" in name]


def test_augmentation_sends_nothing_waits_for_nothing_and_computes_nothing_in_float64(fake):
    moved = [RandomAffine(image_shape=(8, 8)), ElasticDistortion(8, 2, image_shape=(8, 8))]
    layers = [*moved, GaussianNoise(), Dense(64, 10)]
    net = Network(layers, SoftmaxCrossEntropy(), backend="cupy")
    step = steps(net, Adam(net))
    fake.clear()
    with cupy_on_cpu.launched() as names:
        step()
    assert {"uploads", "reads", "syncs"}.isdisjoint(fake.counts())
    assert not [name for name in names if "in float64" in name]


def test_constants_do_not_keep_cupy_from_taking_arrays_as_vectors(cupy):
    x = cupy.ones((40, 30), "float32")
    layer = minibp.Sigmoid()
    layer.attach(cupy, np.dtype("float32"), {})
    layer.forward(x)
    with cupy_on_cpu.launched() as names:
        layer.forward(x), layer.backward(x)
    assert len(names) == 8 and not [name for name in names if "by rows and columns" in name]


def test_norms_make_no_product(fake):
    net = wide()
    plain, limited = steps(net, SGD(net)), steps(net, SGD(net, max_norm=1.0, clip_norm=1.0))
    gemms = []
    for step in (plain, limited):
        fake.clear()
        step()
        gemms.append(fake.gemms)
    assert gemms[0] == gemms[1]


def test_a_large_set_page_locks_at_most_64_mib(fake, cupy):
    rows = (256 << 20) // 784
    net = Network([Dense(784, 10), Softmax()], CrossEntropy(), backend="cupy")
    cupy.get_default_pinned_memory_pool().free_all_blocks()
    fake.clear()
    data = Dataset(np.zeros((rows, 784), "uint8"), np.zeros(rows, int))
    batches = Batches(net, data, 4096)
    next(batches(np.arange(rows)))
    assert isinstance(batches.x, cupy.ndarray)
    assert fake.most_pinned <= 64 << 20


def test_a_prediction_waits_twice_for_20000_images(fake):
    net = Network([Dense(784, 10), Softmax()], CrossEntropy(), backend="cupy")
    x = np.zeros((20_000, 784), "uint8")
    net.predict(x[:1])
    fake.clear()
    net.predict(x)
    assert fake.reads == 2


def test_a_network_that_is_built_while_cupy_works_waits_for_nothing(fake):
    wide()
    fake.clear()
    wide()
    assert fake.reads == fake.syncs == 0


@pytest.mark.parametrize("name", "abcdefg")
def test_each_matrix_of_weights_of_the_benchmarks_begins_at_16_bytes(name):
    layers = [Dense(*sizes) for sizes in pairwise(NETS[name].sizes)]
    net = Network(layers, minibp.QuadraticLoss(), backend="cupy")
    assert [W.data.ptr % 16 for W in net.weights] == [0] * len(net.weights)


# --- machines on which it does not work ----------------------------------------------------------------------------


def test_a_driver_that_is_too_old_for_the_toolkit_is_named(fake):
    fake.driver = 11080
    found = available()["cupy"]
    assert not found.works and "needs a newer NVIDIA driver" in found.detail
    assert "CUDA 12.9, driver for CUDA 11.8" in found.detail


def test_a_machine_without_a_gpu_is_named(fake):
    fake.gpus = 0
    assert "finds no GPU" in available()["cupy"].detail


def test_cupy_13_is_refused(cupy, monkeypatch):
    monkeypatch.setattr(cupy, "__version__", "13.6.0")
    monkeypatch.setattr("minibp.backend.libraries._proven", None)
    with pytest.raises(BackendError, match=r"CuPy 13\.6\.0 is too old: minibp needs 14 or newer"):
        wide()


def test_a_product_on_another_gpu_than_the_current_one_fails_here(cupy, two_gpus):
    with cupy.cuda.Device(1):
        a = cupy.ones((4, 4), "float32")
    with pytest.raises(Exception, match="CUBLAS_STATUS_EXECUTION_FAILED"):
        cupy.matmul(a, a, out=a)  # on a GPU it fails later, or not at all


@pytest.mark.parametrize("name", "abcdeg")  # f differs from d by its sizes alone, and takes a minute
def test_a_step_by_minibps_kernels_is_five_launches_for_a_dense_and_one(name):
    counts, dense = launches.count_step(name, compiled=True), len(NETS[name].sizes) - 1
    assert set(counts) == {"launches", "gemms"}  # no copy, no wait, no allocation
    assert counts["launches"] + counts["gemms"] <= 5 * dense + 1
    assert counts["gemms"] == 3 * dense - 1  # no dx of the first


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_step_by_minibps_kernels_sends_nothing_waits_for_nothing_and_allocates_nothing(fake, make):
    counts, rng = [], np.random.default_rng(0)
    for steps in (6, 6, 2):
        net = wide()
        data = Dataset(rng.integers(256, size=(32 * steps, 64)).astype("uint8"), rng.integers(10, size=32 * steps))
        epochs = minibp.train(net, make(net), data, 1, 32, compiled=True)
        fake.clear()
        next(epochs)
        counts.append(fake.counts())
    assert {kind for kind in counts[1] if counts[1][kind] != counts[2].get(kind)} == {"launches", "gemms"}


@pytest.mark.parametrize(("layer", "expected"), [
    (minibp.RandomAffine, 1), (lambda: minibp.ElasticDistortion(8, 2), 3), (minibp.GaussianNoise, 1),
], ids=["RandomAffine", "ElasticDistortion", "GaussianNoise"])  # fmt: skip
def test_augmentation_takes_few_launches_by_minibps_kernels(fake, layer, expected):
    counts, rng = [], np.random.default_rng(0)
    for steps in (4, 4, 2):
        net = Network([layer(), minibp.Flatten(), Dense(64, 10), Softmax()], CrossEntropy(), backend="cupy")
        data = Dataset(rng.integers(256, size=(16 * steps, 8, 8)).astype("uint8"), rng.integers(10, size=16 * steps))
        epochs = minibp.train(net, SGD(net), data, 1, 16, compiled=True)
        fake.clear()
        next(epochs)
        counts.append(fake.counts())
    assert counts[1]["launches"] - counts[2]["launches"] == 2 * (4 + expected)
    assert counts[1]["gemms"] - counts[2]["gemms"] == 2 * 2


# --- the kernels, compiled by NVIDIA's compiler --------------------------------------------------------------------


class Compiler:
    """NVRTC, which compiles CUDA C++ for GPUs, and needs none."""

    def __init__(self):
        site = Path(os.environ["MINIBP_CUPY_ON_CPU"]) / "site"
        self.nvrtc = ctypes.CDLL(str(next(site.glob("nvidia/cuda_nvrtc/lib/libnvrtc.so.*"))))

    def text(self, what, program):
        """What the compiler has to say or to give about a program."""
        size = ctypes.c_size_t()
        getattr(self.nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        found = ctypes.create_string_buffer(size.value)
        getattr(self.nvrtc, f"nvrtcGet{what}")(program, found)
        return found.raw.rstrip(b"\0")

    def __call__(self, source, *options):
        """The binary for a GPU; an AssertionError with what the compiler says, if there is any."""
        program, given = ctypes.c_void_p(), [option.encode() for option in options]
        self.nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
        status = self.nvrtc.nvrtcCompileProgram(program, len(given), (ctypes.c_char_p * len(given))(*given))
        log = self.text("ProgramLog", program).decode()
        assert status == 0 and not log, log
        return self.text("CUBIN", program)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90", "sm_100"])  # Turing, Ampere, Hopper, Blackwell
def test_the_kernels_compile_for_gpus_of_the_last_years(architecture, dtype):
    options = (f"-arch={architecture}", *kernels.OPTIONS, "-ftz=true")  # which CuPy adds
    binary = Compiler()(kernels.source(np.dtype(dtype)), *options)
    assert binary.startswith(b"\x7fELF") and b"minibp_softmax_cross_entropy" in binary


def test_the_compiler_says_what_is_wrong():
    with pytest.raises(AssertionError, match="INFINITY"):
        Compiler()("__device__ float f() { return INFINITY; }", "-arch=sm_80")
