"""Columns: how the columns of a table become the inputs of a network, learned from the rows that it is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..base import at_least_one, number, printable, repeated
from ..errors import ArgumentError, InputError
from .cells import Cells, parse

# A value of a category, and the fact that a value is missing, have an input of their own if at least this share of the
# rows has it, and two rows do. Standardized, a rarer one would be an input of 10 and more.
COMMON = 0.01
MOST_SHOWN = 8  # names in an error
Table = Mapping[str, Any]


class Number(NamedTuple):
    """A column of numbers: one input, and another one that says whether the number is missing, if `missing`.

    Attributes
    ----------
    name : str
        The name of the column.
    median : float
        What a missing number becomes.
    missing : bool
        Whether there is an input for it.
    """

    name: str
    median: float
    missing: bool

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return [self.name, *([f"{self.name} is missing"] if self.missing else [])]

    def encode(self, cells: Cells) -> list[np.ndarray]:
        """The inputs, one array (N,) each."""
        values = cells.numbers(self.name)
        filled = np.where(cells.missing, self.median, values)
        return [filled, *([cells.missing] if self.missing else [])]


class Category(NamedTuple):
    """A column of words: an input of 0 or 1 for each common value (one-hot).

    Attributes
    ----------
    name : str
        The name of the column.
    values : list of str
        The values that have an input.
    other : bool
        Whether there is an input for all other values. Without one, they are 0 everywhere.
    missing : bool
        Whether there is an input for missing values. Without one, they count as another value.
    """

    name: str
    values: list[str]
    other: bool
    missing: bool

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        more = [f"{self.name} is {what}" for what in ("other", "missing") if getattr(self, what)]
        return [*(f"{self.name}={value}" for value in self.values), *more]

    def encode(self, cells: Cells) -> list[np.ndarray]:
        """The inputs, one array (N,) each."""
        place = {value: i for i, value in enumerate(self.values)}
        found = np.array([place.get(word, -1) for word in cells.words()], int)
        lost = cells.missing & self.missing
        found[cells.missing] = -1
        inputs = [found == i for i in range(len(self.values))]
        return [*inputs, *([(found < 0) & ~lost] if self.other else []), *([lost] if self.missing else [])]


class Columns:
    """How the columns of a table become inputs: `encode` gives the same inputs for any table with these columns.

    A number stays one. A missing number is the median of the training rows, and a second input says that it is missing.
    A column of words has an input of 0 or 1 for each of its values; rare values, and those that come later, share one.
    What occurs in less than 1 % of the training rows, or in one row, has no input of its own: its weights would hardly
    be trained. Assign it to `net.preprocessing`, and `save` keeps it in the file of the network.

    Parameters
    ----------
    columns : sequence of Number, Category or dict
        The columns that are used. `Columns.of` finds them from a table.
    target : str, optional
        The column that the network predicts. `encode` does not need it.
    missing : iterable of str, optional
        What else stands for a missing value, for `read_table`.
    """

    def __init__(
        self,
        columns: Iterable[Number | Category | Mapping[str, Any]],
        target: str | None = None,
        missing: Iterable[str] = (),
    ):
        self.columns = [_checked(column) for column in columns]
        self.missing = [_name(word) for word in missing]
        self.target = None if target is None else _name(target)
        names = [column.name for column in self.columns] + ([self.target] if self.target is not None else [])
        if twice := repeated(names):
            raise ArgumentError(f"Columns: there are two columns {twice[0]!r}")
        if twice := repeated(self.inputs):
            raise ArgumentError(f"Columns: two inputs would be called {twice[0]!r}; rename a column")
        if not self.columns:
            raise ArgumentError("Columns: there is no column; expected at least one")

    @classmethod
    def of(
        cls, table: Table, target: str | None = None, categories: Iterable[str] = (), missing: Iterable[str] = ()
    ) -> Columns:
        """Find the columns of a table: a dict of arrays (N,) by name, or a DataFrame. It should be the training part.

        Columns that cannot help are left out: those without a value, those of words in which no value is common, and
        those that are neither numbers nor words, such as dates.

        Parameters
        ----------
        table : mapping
            An array (N,) for each name.
        target : str, optional
            The column to predict, which is no input.
        categories : iterable of str, optional
            Columns of numbers that are names, such as postal codes.
        missing : iterable of str, optional
            What else stood for a missing value when the table was read.

        Raises
        ------
        InputError
            If a column holds numbers and words, or no column is left.
        """
        categories, found = set(categories), []
        for name in table:
            if name == target:
                continue
            cells = parse(table[name])
            column = _learned(str(name), cells, name in categories) if cells is not None else None
            found += [column] if column is not None else []
        if not found:
            names = ", ".join(map(repr, list(table)[:MOST_SHOWN]))
            raise InputError(f"no column of {names} can be used: each is without values, all different, or dates")
        return cls(found, target, missing)

    def config(self) -> dict[str, Any]:
        """The arguments of `__init__`, as plain values."""
        columns = [column._asdict() for column in self.columns]
        return {"columns": columns, "target": self.target, "missing": self.missing}

    def __repr__(self) -> str:
        target = "" if self.target is None else f", target={self.target!r}"
        return f"Columns({[column.name for column in self.columns]}{target})"

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs, for `net.column_names`: "age", "age is missing", "colour=red"."""
        return [name for column in self.columns for name in column.inputs]

    @property
    def sample_size(self) -> int:
        """The number of inputs, F."""
        return len(self.inputs)

    def unknown(self, table: Table) -> dict[str, list[str]]:
        """The columns of words in which most words have no input of their own, and these words, sorted."""
        found = {}
        for column in self.columns:
            cells = parse(table[column.name]) if isinstance(column, Category) and column.name in table else None
            if cells is not None and isinstance(column, Category):
                words = np.array(cells.words(), object)[~cells.missing].tolist()
                strange = [word for word in words if word not in column.values]
                if 2 * len(strange) > len(words):
                    found[column.name] = sorted(set(strange))
        return found

    def encode(self, table: Table) -> np.ndarray:
        """The inputs (N, F) in float32 of a table with these columns, in any order; other columns are not used.

        Raises
        ------
        InputError
            If a column is missing, or a column of numbers holds words or infinity.
        """
        if missing := [column.name for column in self.columns if column.name not in table]:
            have = ", ".join(map(repr, list(table)[:MOST_SHOWN]))
            lost = ", ".join(map(repr, missing[:MOST_SHOWN])) + (", ..." if len(missing) > MOST_SHOWN else "")
            what = f"the table lacks {len(missing)} of {len(self.columns)} columns: {lost}"
            raise InputError(printable(f"{what}; it has {have}{', ...' if len(table) > MOST_SHOWN else ''}"))
        inputs = []
        for column in self.columns:
            cells = parse(table[column.name])
            if cells is None:
                what = "numbers" if isinstance(column, Number) else "words"
                raise InputError(f"column {column.name!r} holds neither numbers nor words; expected {what}")
            inputs += column.encode(cells)
        with np.errstate(over="ignore"):
            x = np.stack(inputs, axis=1).astype("float32")
        if not np.isfinite(x).all():
            row, place = np.argwhere(~np.isfinite(x))[0]
            value = inputs[place][row]
            what = f"column {self.inputs[place]!r} holds {value:g} in row {row + 1}"
            raise InputError(f"{what}, expected numbers of at most 3e38; leave the cell empty if it is unknown")
        return x


def _learned(name: str, cells: Cells, as_category: bool) -> Number | Category | None:
    """The column as these cells show it; None if it is of no use."""
    n = len(cells.missing)
    common = max(2, COMMON * n)
    missing = int(cells.missing.sum())
    if missing == n:
        return None
    if cells.hold_numbers(name) and not as_category:
        median = float(np.median(cells.numbers(name)[~cells.missing]))
        return Number(name, median, missing >= common)
    counts: dict[str, int] = {}
    for word, lost in zip(cells.words(), cells.missing.tolist(), strict=True):
        if not lost:
            counts[word] = counts.get(word, 0) + 1
    values = sorted(word for word, count in counts.items() if count >= common)
    if not values:
        return None
    others = n - missing - sum(counts[value] for value in values)
    return Category(name, values, others >= common, missing >= common)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ArgumentError(f"Columns: a name is {value!r:.80}, expected a string")
    return value


def _checked(column: Any) -> Number | Category:
    """A column, also one from a file."""
    given = column._asdict() if isinstance(column, (Number, Category)) else column
    kinds = {frozenset(kind._fields): kind for kind in (Number, Category)}
    if not isinstance(given, Mapping) or frozenset(given) not in kinds:
        raise ArgumentError(f"Columns: a column is {given!r:.80}, expected a Number or a Category")
    for flag in {"missing", "other"} & given.keys():
        if not isinstance(given[flag], bool):
            raise ArgumentError(f"Columns: {flag} is {given[flag]!r:.80}, expected True or False")
    if "median" in given:
        return Number(_name(given["name"]), number("median", given["median"], -np.inf), given["missing"])
    values = given["values"]
    if not isinstance(values, list) or len(set(map(_name, values))) < at_least_one("values", len(values)):
        raise ArgumentError(f"Columns: the values of {given['name']!r} are {values!r:.80}, expected different strings")
    return Category(_name(given["name"]), list(values), given["other"], given["missing"])
