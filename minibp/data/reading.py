"""read_table(): a CSV or Parquet file as a table, its columns by name. It needs the extra `data`."""

from __future__ import annotations

import codecs
import csv
import os
import re
import stat
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..base import printable, repeated
from ..errors import FileFormatError, MissingExtraError, OtherFileError, UnknownNameError
from .cells import MISSING

START = 1 << 16  # bytes of a file that tell how it is written
DELIMITERS = (",", ";", "\t", "|")
LINES = 50  # that must agree on it
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
DECIMAL_POINT = re.compile(r"[-+]?\d+\.\d+")


class Form(NamedTuple):
    """How a text file holds a table: its encoding, what separates cells, the decimal sign, the first line."""

    encoding: str
    delimiter: str
    decimal: str
    head: list[str]


def read_table(
    path: str | os.PathLike[str], missing: Iterable[str] = (), header: bool = True, encoding: str | None = None
) -> dict[str, np.ndarray]:
    """Read a table from a CSV or a Parquet file.

    The start of a CSV file tells its form: the cells are separated by commas, semicolons, tabs or bars; a decimal comma
    is understood where no comma separates cells; the text is UTF-8, with or without a byte-order mark, or UTF-16 with
    one.

    Parameters
    ----------
    path : path
        The file.
    missing : iterable of str, optional
        What else stands for a missing value, besides empty cells, ?, NA, N/A, NaN, null and None.
    header : bool, default True
        Whether the first line names the columns. Else they are called "column 1", "column 2", ...
    encoding : str, optional
        The encoding of a text that is neither UTF-8 nor UTF-16, such as "gb18030" or "cp1252".

    Returns
    -------
    dict
        An array (N,) for each column: numbers, with NaN where one is missing, or objects.

    Raises
    ------
    FileFormatError
        If it is no such file, is empty, has two columns of the same name, or lines with too many cells.
    MissingExtraError
        If pandas is not installed (pyarrow, for Parquet).
    OSError
        If it cannot be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block
        raise FileFormatError(f"{os.fsdecode(path)} is a folder, a pipe or a device; expected a CSV or Parquet file")
    with open(path, "rb") as file:
        start = file.read(START)
    frame = _parquet(path) if start[:4] == b"PAR1" else _csv(path, start, set(missing), header, encoding)
    if not len(frame):
        raise FileFormatError(f"{os.fsdecode(path)} has columns, but no row; expected a line for each sample")
    return {name: frame.iloc[:, i].to_numpy() for i, name in enumerate(map(str, frame.columns))}


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise MissingExtraError("pandas", "data", "a table") from None
    return pandas


def _parquet(path: str | os.PathLike[str]) -> Any:
    pandas = _pandas()
    try:
        frame = pandas.read_parquet(path)
    except ImportError:
        raise MissingExtraError("pyarrow", "data", "a Parquet file") from None
    except Exception as error:  # pyarrow has its own classes
        raise FileFormatError(f"{os.fsdecode(path)} is not a usable Parquet file: {printable(error):.200}") from None
    _refuse_doubles(path, list(map(str, frame.columns)))
    return frame


def _csv(path: str | os.PathLike[str], start: bytes, missing: set[str], header: bool, encoding: str | None) -> Any:
    pandas = _pandas()
    form = find_form(path, start, encoding)
    head = [name.strip() or f"column {i}" for i, name in enumerate(form.head, 1)]
    if header:
        if all(_is_number(name) for name in form.head):
            what = f"the first line of {os.fsdecode(path)} holds numbers, {printable(','.join(form.head)):.60}"
            raise FileFormatError(f"{what}; expected the names of the columns: add such a line, or say --no-header")
        _refuse_doubles(path, head)
    else:
        head = [f"column {i}" for i in range(1, len(head) + 1)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # more cells in a line than names
            warnings.simplefilter("ignore", pandas.errors.DtypeWarning)
            return pandas.read_csv(
                path, sep=form.delimiter, decimal=form.decimal, encoding=form.encoding, names=head,
                header=0 if header else None, index_col=False, skipinitialspace=True, low_memory=False,
                na_values=sorted({case(word) for word in MISSING for case in (str.lower, str.upper)} | missing),
            )  # fmt: skip
    except (pandas.errors.ParserError, pandas.errors.ParserWarning, csv.Error) as error:
        said = printable(error).removeprefix("Error tokenizing data. C error: ")
        what = f"{os.fsdecode(path)}: a line has more cells than the first one, or a quote is not closed ({said:.150})"
        raise FileFormatError(f"{what}; quote cells that hold a {form.delimiter!r}") from None
    except UnicodeError as error:
        raise _other_encoding(os.fsdecode(path), form.encoding, error) from None


def find_form(path: str | os.PathLike[str], start: bytes, encoding: str | None = None) -> Form:
    """How a text file that starts so holds a table; a FileFormatError if it is no text, or empty."""
    name = os.fsdecode(path)
    text, encoding = _decode(name, start, encoding)
    if not text.strip():
        raise FileFormatError(f"{name} is empty; expected a CSV file with a line of column names")
    if text.lstrip().startswith(("<", "{", "[")):
        kind = "a web page (HTML) or XML" if text.lstrip().startswith("<") else "JSON"
        raise OtherFileError(f"{name} looks like {kind}; expected a CSV or Parquet file")
    lines = text.splitlines()
    lines = [line for line in (lines if len(start) < START else lines[:-1] or lines) if line.strip()][:LINES]
    found = {delimiter: list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True)) for delimiter in DELIMITERS}

    def agreed(delimiter: str) -> int:
        """The number of columns, if the lines agree on it."""
        sizes = {len(row) for row in found[delimiter]}
        return len(found[delimiter][0]) if len(sizes) == 1 else 1

    delimiter = max(DELIMITERS, key=lambda each: (agreed(each), len(found[each][0])))
    rows = found[delimiter]
    cells = [cell.strip() for row in rows[1:] for cell in row]
    comma = any(map(DECIMAL_COMMA.fullmatch, cells)) and not any(map(DECIMAL_POINT.fullmatch, cells))
    return Form(encoding, delimiter, "," if comma and delimiter != "," else ".", rows[0])


def _decode(name: str, start: bytes, encoding: str | None) -> tuple[str, str]:
    """The text and its encoding."""
    if encoding is None and start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return start.decode("utf-16", "ignore"), "utf-16"
    if encoding is None and any(byte < 32 and byte not in b"\t\r\n\f" for byte in start):
        raise FileFormatError(f"{name} is no text: it starts with {start[:8]!r}; expected a CSV or Parquet file")
    encoding = encoding or "utf-8-sig"
    try:  # not final: a character may be cut
        return codecs.getincrementaldecoder(encoding)().decode(start), encoding
    except LookupError:
        raise UnknownNameError("encoding", encoding, ["utf-8", "utf-16", "gb18030", "big5", "cp1252", "..."]) from None
    except UnicodeError as error:
        raise _other_encoding(name, encoding, error) from None


def _other_encoding(name: str, encoding: str, error: UnicodeError) -> FileFormatError:
    what = f"{name} is not in {encoding.removesuffix('-sig').upper()} ({printable(error):.150})"
    return FileFormatError(f"{what}; save it as UTF-8, or name its encoding: --encoding gb18030, cp1252, ...")


def _refuse_doubles(path: str | os.PathLike[str], names: list[str]) -> None:
    if twice := repeated(names):
        what = f"{os.fsdecode(path)} has {names.count(twice[0])} columns {printable(twice[0])!r}"
        raise FileFormatError(f"{what}; give each column its own name")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
