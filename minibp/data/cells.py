"""The cells of one column of a table: which are missing, and whether they are numbers or words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..base import printable
from ..errors import InputError

# What stands for a missing value, in any case, besides None and NaN. pandas reads most of these as NaN.
MISSING = {"", "?", "na", "n/a", "#n/a", "nan", "null", "none", "<na>"}
SEPARATED = re.compile(r"[-+]?\d{1,3}([.,' ]\d{3})*([.,]\d+)?")  # 1,200 or 1.234,56 or 3,14


class Cells:
    """N cells.

    Attributes
    ----------
    values : array (N,)
        Numbers, or objects.
    missing : array (N,) of bool
        Which are missing.
    """

    def __init__(self, values: np.ndarray, missing: np.ndarray):
        self.values, self.missing = values, missing
        self._numbers: np.ndarray | None = values.astype("float64") if values.dtype.kind in "iuf" else None

    def words(self) -> list[str]:
        """The cells as text. A whole number is one without a point, also where missing cells made floats of all."""
        if self.values.dtype.kind == "f":
            whole = np.isfinite(self.values) & (self.values == np.round(self.values))
            pairs = zip(self.values.tolist(), whole.tolist(), strict=True)
            return [str(int(value)) if integer else str(value) for value, integer in pairs]
        return [str(value).strip() for value in self.values.tolist()]

    def numbers(self, name: str) -> np.ndarray:
        """The cells as numbers, NaN where one is missing; an InputError that names the first that is none."""
        if self._numbers is None:
            found, bad = self._parsed()
            if bad is not None:
                what = f"column {name!r} holds {printable(self.words()[bad])!r:.60} in row {bad + 1}, expected a number"
                raise InputError(f"{what}; leave the cell empty if it is unknown")
            self._numbers = found
        return self._numbers

    def hold_numbers(self, name: str) -> bool:
        """Whether the column is one of numbers; an InputError if it mixes them with words, or separates digits."""
        if self._numbers is not None:
            return True
        found, bad = self._parsed()
        if bad is None:
            self._numbers = found
            return True
        words, present = self.words(), ~self.missing
        readable, word = ~np.isnan(found), printable(words[bad])
        if 2 * readable.sum() >= present.sum():
            what = f"column {name!r} holds {readable.sum()} numbers, but {word!r:.60} in row {bad + 1}"
            raise InputError(
                f"{what}. If that means missing, say --missing {word!r:.60}, or leave the cell empty; "
                f"if the numbers are names, say --categories {name!r}"
            )
        separated = [SEPARATED.fullmatch(each) is not None for each in words]
        if 2 * np.sum(separated, where=present) >= present.sum():
            row = int(np.argmax(np.array(separated) & np.isnan(found)))
            what = f"column {name!r} holds {printable(words[row])!r} in row {row + 1}, which is a number to people only"
            cure = "write numbers with a point and without separators: 1234.56"
            raise InputError(f"{what}; {cure}, or say --categories {name!r} if they are names")
        return False

    def _parsed(self) -> tuple[np.ndarray, int | None]:
        """The cells as numbers, NaN where there is none, and the place of the first that is neither missing nor one."""
        found = np.full(len(self.values), np.nan)
        bad: int | None = None
        for i, (value, lost) in enumerate(zip(self.values.tolist(), self.missing.tolist(), strict=True)):
            if lost:
                continue
            try:
                if isinstance(value, bool) or "_" in str(value):  # which float would take
                    raise ValueError
                found[i] = float(value)
            except (TypeError, ValueError):
                bad = i if bad is None else bad
        return found, bad


def parse(values: Any) -> Cells | None:
    """The cells of a column: an array, a list, a column of a DataFrame. None if they are neither numbers nor words."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise InputError(f"a column has the shape {array.shape}, expected (N,)")
    if array.dtype.kind == "f":
        return Cells(array, np.isnan(array))
    if array.dtype.kind in "iu":
        return Cells(array, np.zeros(len(array), bool))
    if array.dtype.kind not in "bUSO":
        return None
    cells = array.astype(object)
    missing = np.array([_is_missing(value) for value in cells.tolist()], bool)
    if not all(isinstance(value, (str, bytes, bool, int, float, np.generic)) for value in cells[~missing].tolist()):
        return None
    return Cells(cells, missing)


def _is_missing(value: Any) -> bool:
    """Whether it is None, NaN, pandas.NA, or a word for it."""
    if isinstance(value, str):
        return value.strip().lower() in MISSING
    of_pandas = type(value).__name__ in ("NAType", "NaTType")
    return value is None or of_pandas or (isinstance(value, float) and value != value)
