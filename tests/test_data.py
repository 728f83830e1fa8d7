"""Data sets: what is accepted, what is refused and why, and where the files of published ones are found."""

import gzip
import hashlib
import os
import shutil
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from arrays import idx_bytes
from failing import failing
from memory import traced

from minibp import data
from minibp.data import Dataset, published, split
from minibp.data.download import File
from minibp.errors import (
    ArgumentError,
    ChecksumError,
    DataError,
    DownloadError,
    FileFormatError,
    InputError,
    ShapeError,
    TargetError,
)

ROOT = Path(__file__).parent.parent


def a_dataset(n=10):
    return Dataset(np.arange(n * 4, dtype=np.float32).reshape(n, 2, 2), np.arange(n))


# --- Dataset -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_arrays_are_kept_and_not_copied(dtype):
    x, t = np.ones((3, 2), dtype), np.arange(3)
    dataset = Dataset(x, t)
    assert dataset.x is x and dataset.t is t


def test_data_set_unpacks_to_inputs_and_targets():
    x, t = a_dataset()
    assert x.shape == (10, 2, 2) and t.shape == (10,)
    assert [(x.shape, int(t)) for x, t in zip(*a_dataset(), strict=True)] == [((2, 2), i) for i in range(10)]


def test_lists_are_accepted():
    dataset = Dataset([[0.0, 1.0], [1.0, 0.0]], [0, 1])
    assert dataset.x.dtype == np.float64 and len(dataset) == 2


def test_targets_in_rows_are_accepted():
    assert Dataset(np.ones((3, 2)), np.ones((3, 5))).t.shape == (3, 5)


def test_targets_in_foreign_byte_order_are_converted():
    assert Dataset(np.ones((3, 2)), np.arange(3, dtype=">i4")).t.dtype == np.int32


def test_a_memory_map_stays_a_memory_map(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(10, 3))
    dataset = Dataset(x, np.arange(10))
    assert isinstance(dataset.x, np.memmap) and isinstance(dataset[2:5].x, np.memmap)
    with pytest.raises(ArgumentError, match=r"would copy the memory map .* Slices copy nothing: dataset\[:-1000\]"):
        split(dataset)


@pytest.mark.parametrize(
    ("index", "samples"),
    [
        (slice(2, 5), [2, 3, 4]),
        (slice(None, None, -4), [9, 5, 1]),
        ([3, 1, 3], [3, 1, 3]),
        (np.array([-1]), [9]),
        (np.arange(10) > 7, [8, 9]),
        (4, [4]),
        (np.int64(4), [4]),
    ],
)
def test_index_picks_samples(index, samples):
    part = a_dataset()[index]
    assert isinstance(part, Dataset)
    np.testing.assert_array_equal(part.t, samples)
    np.testing.assert_array_equal(part.x, a_dataset().x[samples])


def test_slice_shares_memory():
    dataset = a_dataset()
    assert np.shares_memory(dataset[2:5].x, dataset.x)


@pytest.mark.parametrize("index", [(slice(None), 0), None, 1.5, [[0, 1]], "a"])
def test_index_of_another_type_is_refused(index):
    with pytest.raises(ArgumentError, match="received an index of"):
        a_dataset()[index]


@pytest.mark.parametrize("index", [10, [0, -11], np.ones(9, bool)])
def test_index_outside_is_an_index_error(index):
    with pytest.raises(IndexError):
        a_dataset()[index]


@pytest.mark.parametrize("index", [slice(5, 5), [], np.zeros(10, bool)])
def test_index_that_picks_nothing_is_refused(index):
    with pytest.raises(InputError, match="empty: the index selects none of 10 samples"):
        a_dataset()[index]


@pytest.mark.parametrize(
    ("x", "t", "text"),
    [
        (np.zeros((2, 4, 8), "u1"), np.array([0, 9]), "Dataset(x=uint8[2, 4, 8], t=int64[2], labels=0..9)"),
        (np.zeros((1, 2)), np.ones((1, 5), "f4"), "Dataset(x=float64[1, 2], t=float32[1, 5])"),
        (np.zeros((1, 2)), np.ones(1), "Dataset(x=float64[1, 2], t=float64[1])"),
    ],
)
def test_repr_shows_types_shapes_and_labels(x, t, text):
    assert repr(Dataset(x, t)) == text


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((3, 2), int), InputError, r"array of int\d\d, expected uint8 \(scaled by 1/255\) or floats .*float32"),
        (np.ones((3, 2), bool), InputError, r"x: received an array of bool, .*astype\('float32'\)"),
        (np.ones((3, 2), ">f4"), InputError, "x: received an array of >f4"),
        (np.ma.masked_array(np.ones((3, 2)), mask=True), InputError, "x: received a masked array"),
        (np.ones((0, 2)), InputError, "the data set is empty"),
        (np.ones((3, 0)), InputError, "the data set is empty"),
        ([], InputError, "the data set is empty"),
        (np.ones(3), ShapeError, r"x\.reshape\(-1, 1\)"),
        (np.float32(1), ShapeError, r"shape \(\); expected \(N, \.\.\.\)"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(x, error, message):
    with pytest.raises(error, match=message):
        Dataset(x, [0, 1, 2])


def test_first_sample_with_nan_or_infinity_is_named():
    x = np.zeros((20, 2, 2))
    x[13, 1, 0] = x[17] = np.nan
    with pytest.raises(InputError, match="x: NaN or infinity, first in sample 13"):
        Dataset(x, np.arange(20))


def test_check_for_nan_needs_little_memory(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(8_000_000, 1))
    t = np.zeros(len(x), np.uint8)
    with traced() as memory:
        Dataset(x, t)
    assert memory.peak < 4e6


@pytest.mark.parametrize(
    ("t", "message"),
    [
        ([0, 1], "x has 3 samples, but t has 2 targets"),
        ([], "x has 3 samples, but t has 0 targets"),
        ([0, np.nan, 1], "t: NaN or infinity, first in sample 1"),
        ([[0, 1], [1, 0], [np.inf, 0]], "t: NaN or infinity, first in sample 2"),
        (np.ones((3, 2, 2)), r"shape \(3, 2, 2\); expected labels \(N,\) or rows \(N, K\)"),
        (np.ones((3, 0)), r"shape \(3, 0\)"),
        (5, r"shape \(\)"),
        (["cat", "dog", "cat"], r"t: received an array of <U3, .*np\.unique"),
        (np.ma.masked_array([0, 1, 2], mask=[0, 1, 0]), "t: received a masked array"),
    ],
)
def test_targets_that_cannot_be_used_are_refused(t, message):
    with pytest.raises(TargetError, match=message):
        Dataset(np.ones((3, 2)), t)


# --- split and digits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("held_out", "count"), [(0.2, 2), (0.24, 2), (3, 3), (np.int64(9), 9), (np.float32(0.5), 5)])
def test_split_holds_out_a_fraction_or_a_number(held_out, count):
    train, test = split(a_dataset(), held_out)
    assert len(test) == count
    assert sorted([*train.t, *test.t]) == list(range(10))


def test_split_keeps_inputs_with_their_targets():
    for part in split(a_dataset()):
        np.testing.assert_array_equal(part.x[:, 0, 0], 4 * part.t)


def test_split_is_drawn_by_its_seed():
    drawn = [split(a_dataset(100), seed=seed).test.t for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


@pytest.mark.parametrize("held_out", [0.0, 1.0, -0.5, np.nan, "0.2", None, True])
def test_split_refuses_anything_but_a_fraction_or_a_number(held_out):
    with pytest.raises(ArgumentError, match="expected a fraction between 0 and 1, or a number of samples"):
        split(a_dataset(), held_out)


def test_split_takes_a_dataset():
    with pytest.raises(ArgumentError, match=r"dataset must be a Dataset, received tuple; create one: Dataset\(x, lab"):
        split((np.ones((10, 2)), np.arange(10)))


@pytest.mark.parametrize("held_out", [0, 10, 11, -1, 0.01, 0.99])
def test_split_leaves_no_part_empty(held_out):
    with pytest.raises(ArgumentError, match=r"of 10 samples; expected 1\.\.9"):
        split(a_dataset(), held_out)


def test_digits_come_in_1437_and_360_images_of_full_range():
    train, test = data.digits()
    assert train.x.shape == (1437, 8, 8) and test.x.shape == (360, 8, 8)
    assert train.x.dtype == train.t.dtype == np.uint8
    assert train.x.min() == 0 and train.x.max() == 255
    assert set(test.t.tolist()) == set(range(10))


def test_digits_are_split_by_their_seed():
    np.testing.assert_array_equal(data.digits(seed=3).test.x, data.digits(seed=3).test.x)
    assert (data.digits(seed=3).test.t != data.digits(seed=4).test.t).any()


def test_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn to compare with")
    theirs = datasets.load_digits()
    with np.load(ROOT / "minibp" / "data" / "digits.npz") as ours:
        np.testing.assert_array_equal(np.round(ours["x"] * (16 / 255)), theirs.images)
        np.testing.assert_array_equal(ours["t"], theirs.target)


def test_importing_data_does_not_import_the_downloader():
    code = "import sys; from minibp import data; data.digits(); assert 'requests' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# --- published data sets, with small files in place of the real ones ---------------------------------------------

SHAPES = {
    "train-images-idx3-ubyte.gz": (6, 2, 2),
    "train-labels-idx1-ubyte.gz": (6,),
    "t10k-images-idx3-ubyte.gz": (4, 2, 2),
    "t10k-labels-idx1-ubyte.gz": (4,),
}
NAMES = list(SHAPES)
STARTS = {"mnist": 1, "fashion_mnist": 2, "kmnist": 3}  # the first value of their contents


def contents(name, start):
    """Unpacked IDX bytes of the file `name`, which depend on the start."""
    shape = SHAPES[name]
    return idx_bytes((np.arange(start, start + np.prod(shape)) % 10).astype(np.uint8).reshape(shape))


def packed(unpacked, level=9):
    return gzip.compress(unpacked, level, mtime=0)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A cache in a folder of the test, so that no test touches the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("minibp.data.published.cache_folder", lambda: folder)
    monkeypatch.delenv("MINIBP_DATA", raising=False)
    return folder


@pytest.fixture
def small(monkeypatch, dead_port):
    """The table of published data sets, with small files, and mirrors that cannot be reached."""

    def files(start):
        published_bytes = {name: packed(contents(name, start)) for name in NAMES}
        return tuple(File(n, len(b), hashlib.sha256(b).hexdigest()) for n, b in published_bytes.items())

    table = {
        name: published.Published((dead_port, dead_port + "second/"), files(start))
        for name, start in STARTS.items()
    }
    monkeypatch.setattr(published, "PUBLISHED", table)
    monkeypatch.setattr(published, "SHAPES", SHAPES)
    sums = {hashlib.sha256(contents(name, 1)).hexdigest(): name for name in NAMES}
    monkeypatch.setattr(published, "MNIST_CONTENTS", sums)


def fill(folder, name, start=None):
    """Put the four published files of a data set into a folder."""
    folder.mkdir(parents=True)
    for file in NAMES:
        (folder / file).write_bytes(packed(contents(file, start or STARTS[name])))
    return folder


def state(folder):
    return [(path.name, path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.iterdir())]


def load(name, directory=None):
    return getattr(data, name)(directory)


every_data_set = pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])


@every_data_set
def test_published_files_are_read_from_a_directory(small, tmp_path, name):
    train, test = load(name, str(fill(tmp_path / "mine", name)))
    for file, array in zip(NAMES, [train.x, train.t, test.x, test.t], strict=True):
        assert idx_bytes(array) == contents(file, STARTS[name])


@every_data_set
def test_unpacked_files_are_read_from_a_directory(small, tmp_path, name):
    for file in NAMES:
        (tmp_path / file.removesuffix(".gz").replace("-idx", ".idx")).write_bytes(contents(file, STARTS[name]))
    assert len(load(name, tmp_path).train) == 6


@every_data_set
def test_published_files_are_found_by_the_environment_variable(small, monkeypatch, tmp_path, name):
    fill(tmp_path / "all" / name, name)
    monkeypatch.setenv("MINIBP_DATA", str(tmp_path / "all"))
    assert len(load(name).test) == 4


def test_directory_takes_precedence_over_the_environment_variable(small, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIBP_DATA", str(tmp_path))
    fill(tmp_path / "mnist", "mnist", start=5)
    assert len(data.mnist(fill(tmp_path / "mine", "mnist")).train) == 6


@every_data_set
def test_published_files_in_the_cache_are_used(small, cache, monkeypatch, tmp_path, name):
    monkeypatch.setenv("MINIBP_DATA", str(tmp_path))  # has no sub-folder of that name
    fill(cache / name, name)
    assert len(load(name).train) == 6


def test_without_a_network_the_mirrors_and_manual_steps_are_listed(small, cache, dead_port):
    with pytest.raises(DownloadError) as caught:
        data.fashion_mnist()
    for expected in [
        dead_port, dead_port + "second/", *NAMES, "MINIBP_DATA", "data.fashion_mnist(",
    ]:  # fmt: skip
        assert expected in str(caught.value)


def test_without_a_home_folder_the_error_says_what_to_set(small, monkeypatch, dead_port):
    monkeypatch.setattr(published, "cache_folder", failing(RuntimeError("Could not determine home directory.")))
    with pytest.raises(DataError, match=f"no cache for downloads: set HOME to a folder.* from {dead_port} or"):
        data.mnist()


NO_FOLDERS = ["nowhere", "~no such user/data", "a" * 5000]


@pytest.mark.parametrize("root", NO_FOLDERS)
def test_minibp_data_that_is_not_a_folder_is_reported(monkeypatch, root):
    monkeypatch.setenv("MINIBP_DATA", root)
    with pytest.raises(DataError, match=f"mnist: MINIBP_DATA is {root}, which is not a folder; expected one with a"):
        data.mnist()


def test_minibp_data_without_the_data_set_is_mentioned(small, cache, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIBP_DATA", str(tmp_path))
    with pytest.raises(DownloadError, match=r"\(it is .*, which has no kmnist\)"):
        data.kmnist()


@pytest.mark.parametrize("directory", [*NO_FOLDERS, "a\0b"])
def test_directory_that_does_not_exist_is_named(directory):
    with pytest.raises(DataError, match=f"{directory} is not a folder; expected one with the files train-images-idx3"):
        data.mnist(directory)


def test_directory_may_lie_in_the_home_of_a_user(small, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME" if os.name == "posix" else "USERPROFILE", str(tmp_path))
    fill(tmp_path / "mine", "mnist")
    assert len(data.mnist("~/mine").train) == 6


def test_directory_may_be_given_as_bytes(small, tmp_path):
    assert len(data.mnist(os.fsencode(fill(tmp_path / "mine", "mnist"))).train) == 6


def test_missing_files_are_named(small, tmp_path):
    folder = fill(tmp_path / "mine", "mnist")
    (folder / NAMES[1]).unlink()
    (folder / NAMES[2]).unlink()
    with pytest.raises(DataError, match=f"lacks {NAMES[1]}, {NAMES[2]}; expected {NAMES[0]}, "):
        data.mnist(folder)


def test_folder_above_the_right_one_gets_a_hint(small, tmp_path):
    fill(tmp_path / "mnist", "mnist")
    with pytest.raises(DataError, match="Did you mean its sub-folder"):
        data.mnist(tmp_path)


def test_mnist_gzipped_again_is_accepted_by_its_contents(small, tmp_path):
    folder = fill(tmp_path / "mine", "mnist")
    (folder / NAMES[0]).write_bytes(packed(contents(NAMES[0], 1), level=1) + packed(b""))
    assert len(data.mnist(folder).train) == 6


@pytest.mark.parametrize(
    ("name", "file", "replacement", "message"),
    [
        ("mnist", NAMES[0], packed(contents(NAMES[0], 7)), "its sha256 is"),
        ("mnist", NAMES[0].removesuffix(".gz"), contents(NAMES[0], 7), "its sha256 is"),
        ("mnist", NAMES[0], packed(contents(NAMES[2], 1)), "contents are those of MNIST's t10k-images-idx3-ubyte"),
        ("mnist", NAMES[0], b"<html>503", r"looks like a web page \(HTML\)"),
        ("kmnist", NAMES[0], b"<html>503", r"looks like a web page \(HTML\)"),
        ("kmnist", NAMES[0], packed(contents(NAMES[0], 3))[:-3], "its sha256 is"),
        ("kmnist", NAMES[0], packed(contents(NAMES[0], 7)), "its sha256 is"),
        ("fashion_mnist", NAMES[0], packed(contents(NAMES[0], 1)), "contents are those of MNIST's train-images"),
        ("fashion_mnist", NAMES[3].removesuffix(".gz"), contents(NAMES[3], 1), "contents are those of MNIST's t10k"),
    ],
)
def test_file_with_other_contents_is_refused_and_left_as_it_is(small, tmp_path, name, file, replacement, message):
    folder = fill(tmp_path / "mine", name)
    gz = f"{file.removesuffix('.gz')}.gz"
    (folder / gz).unlink()
    (folder / file).write_bytes(replacement)
    before = state(folder)
    with pytest.raises(ChecksumError, match=message) as caught:
        load(name, folder)
    assert state(folder) == before
    sums = [hashlib.sha256(replacement).hexdigest(), published.PUBLISHED[name].files[NAMES.index(gz)].sha256]
    for expected in [str(folder / file), *sums, "was left as it is", "data.Dataset(data.read_idx("]:
        assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        (NAMES[0], np.zeros((5, 2, 2), np.uint8), r"holds uint8 \(5, 2, 2\), expected uint8 \(6, 2, 2\)"),
        (NAMES[1], np.array([0, 1, 2, 3, 4, 10], np.uint8), r"holds the label 10, expected 0\.\.9"),
    ],
)
def test_unpacked_file_of_another_shape_or_with_other_labels_is_refused(small, tmp_path, file, array, message):
    folder = fill(tmp_path / "mine", "kmnist")
    (folder / file).unlink()
    (folder / file.removesuffix(".gz")).write_bytes(idx_bytes(array))
    with pytest.raises(FileFormatError, match=message):
        data.kmnist(folder)


@pytest.mark.parametrize(("unpacked", "error"), [(False, ChecksumError), (True, FileFormatError)])
def test_file_that_would_unpack_to_more_than_the_data_set_is_not_unpacked(small, tmp_path, unpacked, error):
    folder = fill(tmp_path / "mine", "kmnist")
    (folder / NAMES[0]).unlink()
    bomb = packed(bytes([0, 0, 8, 1]) + struct.pack(">I", 50_000_000) + bytes(50_000_000), level=1)
    (folder / (NAMES[0].removesuffix(".gz") if unpacked else NAMES[0])).write_bytes(bomb)
    with traced() as memory, pytest.raises(error, match="header promises 50000000 bytes"):
        data.kmnist(folder)
    assert memory.peak < 4e6


def test_file_larger_than_the_data_set_is_not_read_to_its_end(small, tmp_path):
    folder = fill(tmp_path / "mine", "mnist")
    os.truncate(folder / NAMES[0], 1 << 25)
    with traced() as memory, pytest.raises(ChecksumError, match="it has more than 1048600 bytes"):
        data.mnist(folder)
    assert memory.peak < 4e6


@pytest.mark.parametrize("unpack", [False, True])
def test_the_checked_bytes_are_used_whatever_happens_to_the_file(small, monkeypatch, tmp_path, unpack):
    folder = fill(tmp_path / "mine", "mnist")
    if unpack:
        for name in NAMES:
            (folder / name).unlink()
            (folder / name.removesuffix(".gz")).write_bytes(contents(name, 1))

    @contextmanager
    def open_and_exchange(path, mode):
        with open(path, mode) as file:
            yield file
        path.write_bytes(packed(contents(path.name.removesuffix(".gz") + ".gz", 7)))

    monkeypatch.setattr(published, "open", open_and_exchange, raising=False)
    train, test = data.mnist(folder)
    for file, array in zip(NAMES, [train.x, train.t, test.x, test.t], strict=True):
        assert idx_bytes(array) == contents(file, 1)


# --- MNIST itself -------------------------------------------------------------------------------------------------


def test_mnist_is_read_and_checked(mnist_directory):
    train, test = data.mnist(mnist_directory)
    assert repr(train) == "Dataset(x=uint8[60000, 28, 28], t=uint8[60000], labels=0..9)"
    assert repr(test) == "Dataset(x=uint8[10000, 28, 28], t=uint8[10000], labels=0..9)"
    assert train.t[:5].tolist() == [5, 0, 4, 1, 9]


@pytest.mark.parametrize("unpack", [False, True])
def test_mnist_under_the_name_of_fashion_mnist_is_refused(mnist_directory, tmp_path, unpack):
    for name in NAMES:
        if unpack:
            (tmp_path / name.removesuffix(".gz")).write_bytes(idx_bytes(data.read_idx(mnist_directory / name)))
        else:
            shutil.copy(mnist_directory / name, tmp_path)
    with pytest.raises(ChecksumError, match="those of MNIST's train-images"):
        data.fashion_mnist(tmp_path)
