"""CSV and Parquet files as tables."""

import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibp.data import Columns, read_table
from minibp.errors import FileFormatError, MinibpError, MissingExtraError

pandas = pytest.importorskip("pandas")


@pytest.fixture
def table(tmp_path):
    """A function that writes bytes or text to a file, and reads it as a table of lists."""

    def read(content, **options):
        (tmp_path / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return {name: column.tolist() for name, column in read_table(tmp_path / "a.csv", **options).items()}

    return read


@pytest.mark.parametrize("text", [
    "age,name\n1.5,Ann\n2.5,Bob\n",
    "age;name\n1,5;Ann\n2,5;Bob\n",
    "age;name\r\n1.5;Ann\r\n2.5;Bob",
    "age\tname\n1.5\tAnn\n2.5\tBob\n",
    "age|name\n1.5|Ann\n2.5|Bob\n",
    "\ufeffage,name\n1.5,Ann\n2.5,Bob\n",
    '"age", "name"\n1.5, "Ann"\n2.5, "Bob"\n\n',
    "age,name\n1.5,Ann\n2.5,Bob\n".encode("utf-16"),
])  # fmt: skip
def test_the_form_of_a_file_is_found_out(table, text):
    assert table(text) == {"age": [1.5, 2.5], "name": ["Ann", "Bob"]}


def test_a_comma_in_quotes_separates_nothing(table):
    assert table('name,age\n"Smith, Ann",1\n"Jones, Bob",2\n') == {"name": ["Smith, Ann", "Jones, Bob"], "age": [1, 2]}


@pytest.mark.parametrize("word", ["", "?", "NA", "N/A", "NaN", "null", "None", "none", "NULL", "unknown"])
def test_missing_values_are_found(table, word):
    found = table(f"age,n\n1,1\n{word},2\n3,3\n", missing=["unknown"])["age"]
    assert found[0] == 1 and np.isnan(found[1]) and found[2] == 3


def test_columns_without_names_are_numbered(table):
    assert list(table(",age\n0,1\n1,2\n")) == ["column 1", "age"]
    assert table("1,Ann\n2,Bob\n", header=False) == {"column 1": [1, 2], "column 2": ["Ann", "Bob"]}


def test_the_encoding_can_be_said(table):
    text = "姓名,年龄\n王,1\n李,2\n"
    assert table(text.encode("gb18030"), encoding="gb18030") == {"姓名": ["王", "李"], "年龄": [1, 2]}


def test_parquet_files_are_read(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"age": pandas.array([1, None, 3], "Int64"), "name": ["a", "b", None], "ok": [True] * 3})
    frame.to_parquet(tmp_path / "a.parquet")
    columns = Columns.of(read_table(tmp_path / "a.parquet") | {"name": ["a", "a", "b"]})
    assert columns.inputs == ["age", "name=a", "ok=True"]


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is empty; expected a CSV file with a line of column names"),
    (b" \n\n", "is empty"),
    (b"age,name\n", "has columns, but no row"),
    (b"age,name,age\n1,2,3\n", "has 2 columns 'age'; give each column its own name"),
    (b"1,2\n3,4\n", "the first line of .* holds numbers, 1,2; expected the names of the columns: .* --no-header"),
    (b"age,name\n1,2\n1,2,3\n", "a line has more cells than the first one"),
    (b"age,name\n1,\"2\n", "a quote is not closed"),
    (b"\x89PNG\r\n\x1a\n", "is no text: it starts with"),
    (b"MZ\0\0,1", "is no text"),
    (b"<!doctype html>", "looks like a web page"),
    (b'{"a": 1}', "looks like JSON"),
    ("name,age\nJosé,1\n".encode("cp1252"), r"is not in UTF-8 .*save it as UTF-8, or name its encoding: --encoding"),
    (b"PAR1 and nothing else", "is not a usable Parquet file"),
])  # fmt: skip
def test_other_files_are_refused(table, content, message):
    if content.startswith(b"PAR1"):
        pytest.importorskip("pyarrow")
    with pytest.raises(FileFormatError, match=message):
        table(content)


def test_an_unknown_encoding_is_refused(table):
    with pytest.raises(MinibpError, match="unknown encoding 'latin-17'"):
        table("a,b\n1,2\n", encoding="latin-17")


def test_folders_and_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(FileFormatError, match="is a folder, a pipe or a device; expected a CSV or Parquet file"):
            read_table(path)


def test_missing_pandas_is_named(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="a table needs pandas, which is not installed: pip install pandas"):
        table("a,b\n1,2\n")


@given(st.one_of(
    st.binary(max_size=60),
    st.lists(st.sampled_from(["a", "1", ",", ";", "\n", '"', "1,5", "NA", "\t", "é", "\r", " ", "inf"]), max_size=40)
    .map("".join).map(str.encode),
))  # fmt: skip
def test_any_bytes_give_a_table_or_an_error_of_minibp(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        table = read_table(path)
        x = Columns.of(table).encode(table)
    except MinibpError:
        return
    assert np.isfinite(x).all() and len(x) == len(next(iter(table.values())))
