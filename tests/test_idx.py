"""IDX files: valid files are read, and all others are refused with a reason."""

import gzip
import hashlib
import io
import os
import struct
from contextlib import suppress

import numpy as np
import pytest
from arrays import IDX_TYPES, idx_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from memory import traced

from minibp.data.idx import contents_sha256, parse_idx, read_idx
from minibp.errors import FileFormatError

arrays = st.sampled_from(sorted(IDX_TYPES)).flatmap(
    lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
)


def write(folder, contents: bytes, name="some-idx-file"):
    path = folder / name
    path.write_bytes(contents)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("idx")


@settings(deadline=None)
@given(array=arrays, packed=st.booleans())
def test_every_array_is_read_back_as_it_was(folder, array, packed):
    contents = idx_bytes(array)
    read = read_idx(write(folder, gzip.compress(contents) if packed else contents))
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)


@settings(deadline=None)
@given(contents=st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: b"\0\0\x08\x01\0\0\0" + rest))
def test_random_bytes_are_read_or_refused(folder, contents):
    path = write(folder, contents)
    try:
        assert idx_bytes(read_idx(path)) == contents
    except FileFormatError as error:
        assert str(path) in str(error)


@settings(deadline=None)
@given(data=st.data())
def test_a_flipped_byte_in_a_gzip_never_changes_the_values(folder, data):
    array = np.arange(60, dtype="i2").reshape(3, 20)
    packed = bytearray(gzip.compress(idx_bytes(array)))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(FileFormatError):
        np.testing.assert_array_equal(read_idx(write(folder, bytes(packed))), array)


@settings(deadline=None)
@given(data=st.data(), packed=st.booleans())
def test_a_file_cut_off_anywhere_is_refused(folder, data, packed):
    contents = idx_bytes(np.arange(60, dtype="f4").reshape(3, 20))
    contents = gzip.compress(contents) if packed else contents
    path = write(folder, contents[: data.draw(st.integers(0, len(contents) - 1))])
    with pytest.raises(FileFormatError):
        read_idx(path)


def test_gzip_is_recognised_by_its_bytes_and_not_by_its_name(folder):
    array = np.arange(6, dtype="u1")
    np.testing.assert_array_equal(read_idx(write(folder, idx_bytes(array), "plain.gz")), array)
    np.testing.assert_array_equal(read_idx(write(folder, gzip.compress(idx_bytes(array)), "packed")), array)


def test_the_array_can_be_written_to(folder):
    array = read_idx(write(folder, idx_bytes(np.zeros(3, "u1"))))
    array[0] = 1
    assert array[0] == 1


def test_missing_file_is_a_file_not_found_error(folder):
    with pytest.raises(FileNotFoundError):
        read_idx(folder / "there is no such file")


def test_folder_is_refused(folder):
    with pytest.raises(FileFormatError, match="a folder, a pipe or a device"):
        read_idx(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_pipe_and_device_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(FileFormatError, match="a folder, a pipe or a device"):
            read_idx(path)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "the file is empty"),
        (b"\x00\x01\x08\x01", "starts with the bytes 00 01 08 01; expected 00 00"),
        (b"\x00\x00\x0a\x01\x00\x00\x00\x00", "starts with the bytes 00 00 0a 01"),
        (b"\x00\x00\x08\x00\x05", "0 dimensions; expected 1 to 32"),
        (b"\x00\x00\x08\xff" + bytes(255 * 4), "255 dimensions"),
        (b"\x00\x00\x08\x02\x00\x00\x00\x01\x00", "header is cut off after 9 bytes; expected 12"),
        (idx_bytes(np.zeros((2, 3), "u1"))[:-2], r"cut off after 4 bytes of values; expected 6 for shape \(2, 3\)"),
        (idx_bytes(np.zeros((2, 3), "u1")) + b"\0", "left over after the values"),
        (b"\x00\x00\x08\x04" + b"\xff" * 12 + bytes(4), "one that an array can have"),
        (b"\x00\x00\x08\x20" + b"\xff" * 128, r"cut off after 0 bytes of values; expected 17\d{307} for"),
        (b"\x00\x00\x0e\x21" + b"\0\0\0\1" * 33 + bytes(8), "33 dimensions; expected 1 to 32"),
        (b"<!DOCTYPE html><html>503</html>", r"looks like a web page \(HTML\)"),
        (b"\n  <html>", r"looks like a web page \(HTML\)"),
        (gzip.compress(b"<html>", mtime=0), r"looks like a web page \(HTML\)"),
        (gzip.compress(idx_bytes(np.zeros(9, "u1")), mtime=0)[:-9], "gzip is damaged or cut off"),
        (gzip.compress(idx_bytes(np.zeros(9, "u1")), mtime=0) + b"more", "gzip is damaged or cut off"),
    ],
)
def test_other_files_than_idx_are_refused_with_the_reason(folder, contents, message):
    path = write(folder, contents, "train-images-idx3-ubyte.gz")
    with pytest.raises(FileFormatError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "Get the file again" in str(caught.value)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"sepal,petal\r\n5.1,3.5\r\n", "text, such as CSV; .* Read it with numpy.loadtxt, and use the array"),
        (b"\xef\xbb\xbf1;2\n", "text, such as CSV"),
        (gzip.compress(b"1,2\n", mtime=0), "text, such as CSV"),
        (b"PK\x03\x04" + bytes(30), r"a zip file, such as \.npz; .* numpy\.load,"),
        (b"\x93NUMPY\x01\0", r"a \.npy file; .* numpy\.load,"),
        (b"\x89PNG\r\n\x1a\n\0", r"a PNG image; .* PIL\.Image\.open"),
        (b"\xff\xd8\xff\xe0\0", r"a JPEG image; .* numpy\.save it as \.npy"),
    ],
)
def test_a_file_of_another_format_is_named_and_what_reads_it(folder, contents, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        read_idx(write(folder, contents))
    assert "again" not in str(caught.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_that_claims_too_much_allocates_no_memory(folder, pack):
    path = write(folder, pack(b"\x00\x00\x08\x03" + struct.pack(">3I", 2**20, 2**20, 2**20) + b"some"))
    assert peak_of_refusal(path, "cut off after 4 bytes") < 4e6


def test_a_gzip_bomb_is_cut_off_at_the_size_its_header_promises(folder):
    bomb = gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x05" + bytes(50_000_000), compresslevel=1)
    assert peak_of_refusal(write(folder, bomb), "left over") < 4e6


def test_a_header_that_promises_more_than_is_allowed_is_refused_unread():
    file = io.BytesIO(b"\x00\x00\x0b\x01\x00\x00\x00\x05" + bytes(10))
    assert len(parse_idx(file, "name", at_most=10)) == 5
    file.seek(0)
    with pytest.raises(FileFormatError, match=r"name: .* promises 10 bytes for shape \(5,\); expected at most 9"):
        parse_idx(file, "name", at_most=9)
    assert file.tell() == 8


FIVE = idx_bytes(np.arange(5, dtype="u1"))
EMPTY, PACKED = gzip.compress(b"", mtime=0), gzip.compress(FIVE, mtime=0)
LONG = 100_000


class Counting(io.BytesIO):
    """A file that counts the bytes that are read."""

    taken = 0

    def read(self, size=-1):
        piece = super().read(size)
        self.taken += len(piece)
        return piece


@pytest.mark.parametrize(
    ("contents", "good"),
    [
        (EMPTY * (LONG // 20) + PACKED, True),
        (PACKED + EMPTY * (LONG // 20), True),
        (PACKED + bytes(LONG), True),
        (PACKED[:10] + b"\0\0\0\xff\xff" * (LONG // 5) + PACKED[10:], True),  # empty blocks
        (b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * LONG + b"\0" + PACKED[10:], True),  # its name
        (b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * LONG, False),
        (b"\x1f\x8b\x08\x10" + bytes(6) + b"a" * LONG, False),  # a comment
        (b"\x1f\x8b\x08\x04" + bytes(6) + b"\xff\xff" + bytes(65535) + PACKED[10:], True),  # an extra field
        (b"\x1f\x8b\x08\x04" + bytes(6) + b"\xff\xff" + bytes(60000), False),
        (b"\x1f\x8b\x08\xff" + bytes(LONG), False),
        (b"\x1f\x8b\x09\x00" + bytes(LONG), False),  # an unknown method
        (PACKED + PACKED, False),
    ],
)
def test_unusual_gzips_take_time_and_memory_in_proportion_to_their_size(folder, contents, good):
    with traced() as memory:
        file = Counting(contents)
        if good:
            assert parse_idx(file, "name").tolist() == [0, 1, 2, 3, 4]
        else:
            with pytest.raises(FileFormatError, match=r"gzip is damaged or cut off|left over"):
                parse_idx(file, "name")
    assert memory.peak < len(contents) + 3e6
    assert file.taken <= len(contents) + 2  # the first two are read twice


@settings(deadline=None)
@given(flags=st.integers(0, 255), rest=st.binary(max_size=60), whole=st.booleans())
def test_random_gzip_headers_are_read_or_refused(folder, flags, rest, whole):
    path = write(folder, b"\x1f\x8b\x08" + bytes([flags]) + rest + (PACKED[10:] if whole else b""))
    with suppress(FileFormatError):
        assert read_idx(path).tolist() == [0, 1, 2, 3, 4]


def peak_of_refusal(path, message) -> int:
    with traced() as memory, pytest.raises(FileFormatError, match=message):
        read_idx(path)
    return memory.peak


@settings(deadline=None)
@given(array=arrays)
def test_sha256_of_the_contents_is_that_of_the_unpacked_file(folder, array):
    path = write(folder, idx_bytes(array))
    assert contents_sha256(read_idx(path)) == hashlib.sha256(path.read_bytes()).hexdigest()
