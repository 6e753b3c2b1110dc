"""Feature columns of users or items, made from the columns of a table."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from tfrs_models.data.columns import (
    SOURCE_ROW,
    as_strings,
    read_ids,
    read_numbers,
    refuse,
    require_column,
    require_rows,
)
from tfrs_models.data.several_values import bags, refuse_lists
from tfrs_models.data.vectors import read_vectors
from tfrs_models.feature import Feature

MAX_WORDS = 12
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@dataclasses.dataclass
class Attributes:
    """Feature columns under construction: row 0 is unknown, row `i` is index `i`.

    Vocabularies, means and scales come only from users or items with train rows: an
    embedding of a value that training never shows could not be learned.

    Args:
      frame: table of the attributes, one row for each of the indices 1 to `len(frame)`.
      train_counts: `[len(frame)]` number of train rows of each index.
    """

    frame: pd.DataFrame
    train_counts: np.ndarray
    columns: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    features: list[Feature] = dataclasses.field(default_factory=list)
    vocabularies: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def add_index(self, name: str, ids: np.ndarray, *, num_known: int) -> None:
        """Adds the index itself; the first `num_known` have train rows."""
        self.vocabularies[name] = ids
        feature = Feature(name, "id", num_values=int(num_known))
        self._add(feature, np.arange(len(ids) + 1))

    def add_number(self, name: str, column: str, *, argument: str) -> None:
        """Adds a number; a missing number becomes the mean."""
        values = read_numbers(self.frame, column, argument=argument)
        weights = np.where(np.isnan(values), 0, self.train_counts)
        mean, scale = 0.0, 0.0
        if weights.sum():
            mean = float(np.average(np.nan_to_num(values), weights=weights))
            variance = np.average(np.nan_to_num(values - mean) ** 2, weights=weights)
            scale = float(np.sqrt(variance))
        filled = np.where(np.isnan(values), mean, values)
        # A column that never varies has nothing to scale.
        feature = Feature(name, "number", mean=mean, scale=scale or 1.0)
        self._add(feature, np.concatenate([[mean], filled]).astype(np.float32))

    def add_vector(self, name: str, *, table: str, argument: str) -> None:
        """Adds a dense vector; a missing vector becomes zeros, which mean unknown.

        Args:
          name: name of the column and of the feature.
          table: the table with the column, for the error message.
          argument: the argument that named the column, for the error message.
        """
        self._refuse_twice(name)
        column = require_column(self.frame, name, argument=argument)
        vectors = read_vectors(column, name, table=table)
        unknown = np.zeros_like(vectors[:1])
        feature = Feature(name, "vector", dim=vectors.shape[1])
        self._add(feature, np.concatenate([unknown, vectors]))

    def add_category(self, name: str, *, separator: str, argument: str) -> None:
        """Adds an id with one value a row; a missing value has index 0.

        A value that contains the separator of bags is refused: it holds several values.
        """
        self._refuse_twice(name)
        column = require_column(self.frame, name, argument=argument)
        refuse_lists(column, name, separator=separator, argument=argument)
        self._add_values(name, "id", [_value(cell) for cell in column])

    def add_decade(self, name: str, year_column: str, *, argument: str) -> None:
        """Adds the decade of a year as an id; a missing year has index 0."""
        years = read_numbers(self.frame, year_column, argument=argument)
        values = [[] if np.isnan(y) else [f"{int(y) // 10 * 10}s"] for y in years]
        self._add_values(name, "id", values)

    def add_bag(self, name: str, *, separator: str, argument: str) -> None:
        """Adds a bag of the parts of a text, or of the values of a list."""
        self._refuse_twice(name)
        column = require_column(self.frame, name, argument=argument)
        rows = bags(column, name, separator=separator, argument=argument)
        self._add_values(name, "bag", rows)

    def add_words(self, name: str, column: str, *, argument: str) -> None:
        """Adds a bag of those words that at least two training texts contain."""
        texts = require_column(self.frame, column, argument=argument)
        refuse(
            pd.Series([_is_several(text) for text in texts]),
            texts,
            column,
            "must hold one text a row, not a list",
            "join its parts to one text",
        )
        words = [
            [] if pd.isna(text) else list(dict.fromkeys(_words(text))) for text in texts
        ]
        self._add_values(name, "bag", words, min_count=2, max_length=MAX_WORDS)

    def _add_values(
        self,
        name: str,
        kind: str,
        values: Sequence[Sequence[str]],
        *,
        min_count: int = 1,
        max_length: int | None = None,
    ) -> None:
        in_train = (v for v, n in zip(values, self.train_counts, strict=True) if n)
        counts = Counter(value for row in in_train for value in dict.fromkeys(row))
        vocabulary = sorted(value for value, n in counts.items() if n >= min_count)
        index = {value: i + 1 for i, value in enumerate(vocabulary)}
        rows = [[index[value] for value in row if value in index] for row in values]
        column = _padded([[], *rows], max_length)
        self.vocabularies[name] = np.array(vocabulary, dtype=str)
        self._add(
            Feature(name, kind, num_values=len(vocabulary)),
            column[:, 0] if kind == "id" else column,
        )

    def _refuse_twice(self, name: str) -> None:
        if name in self.columns:
            raise ValueError(
                f"`{name}` must be one feature. Got it twice: rename a column."
            )

    def _add(self, feature: Feature, column: np.ndarray) -> None:
        self._refuse_twice(feature.name)
        self.features.append(feature)
        self.columns[feature.name] = column


def attribute_table(
    frame: pd.DataFrame,
    code: np.ndarray,
    names: np.ndarray,
    *,
    own: pd.DataFrame | None,
    column: str,
    side: str,
) -> tuple[pd.DataFrame, np.ndarray, int]:
    """Makes a table with one row of attributes for each user or item.

    Args:
      frame: the interactions. Without a separate table, the first row of each user or
        item has its attributes.
      code: `[num_rows]` codes of the users or items of `frame`.
      names: `[num_codes]` ids of the codes.
      own: separate table of the users or items, or None.
      column: name of the id column.
      side: "user" or "item", for the error message.

    Returns:
      The table, whose index `SOURCE_ROW` has the row of `own` or of `frame`, -1 for
      none; the ids of its rows, which are `names` and then the ids that only `own` has;
      the number of `names` without a row in `own`.

    Raises:
      ValueError: `own` has an id twice, or none of `names`.
    """
    if own is None:
        _, first = np.unique(code, return_index=True)
        index = pd.Index(first, name=SOURCE_ROW)
        return frame.iloc[first].set_axis(index, axis=0), names, 0
    require_rows(own, f"{side}_frame")
    own_code, own_names = read_ids(own, column, argument=f"{side}_column")
    if len(own_names) < len(own):
        counts = np.bincount(own_code)
        worst = str(own_names[counts.argmax()])
        raise ValueError(
            f"`{side}_frame` must have each `{column}` once. Got "
            f"{np.sum(counts > 1):,} of them repeated, among them {worst!r}, "
            f"{counts.max()} times: drop the repeats."
        )
    is_there = np.isin(names, own_names)
    if not is_there.any():
        raise ValueError(
            f"`{side}_frame` must have rows of the {side}s of the interactions. Got "
            f"none of {len(names):,}: they are like {str(names[0])!r}, the table's "
            f"`{column}` like {str(own_names[0])!r}."
        )
    _refuse_lost_zeros(names[~is_there], own_names, column, side)
    names = pd.unique(np.concatenate([names, own_names]))
    columns = [_with_gaps(own.iloc[:, number]) for number in range(own.shape[1])]
    table = pd.concat(columns, axis=1).set_axis(own_names, axis=0).reindex(names)
    rows = pd.Series(np.arange(len(own)), own_names).reindex(names, fill_value=-1)
    index = pd.Index(rows, name=SOURCE_ROW)
    return table.set_axis(index, axis=0), names, int((~is_there).sum())


def _refuse_lost_zeros(
    names: np.ndarray, own_names: np.ndarray, column: str, side: str
) -> None:
    """Raises if most ids without a row have one but for leading zeros or blanks.

    A spreadsheet turns "0104257" into 104257: they would be two items.
    """
    bare, own_bare = (np.char.lstrip(ids, " 0") for ids in (names, own_names))
    has_other = np.isin(bare, own_bare)
    if 2 * has_other.sum() > len(names):
        first = int(np.argmax(has_other))
        other = own_names[own_bare == bare[first]][0]
        raise ValueError(
            f"`{side}_frame` must write ids as the interactions do. Got "
            f"{has_other.sum():,} of them with other zeros or blanks before them, such "
            f"as {str(other)!r} for {str(names[first])!r} of `{column}`: keep ids as "
            "text in both tables."
        )


def display_titles(
    items: Attributes, title_column: str | None, year_column: str | None
) -> np.ndarray:
    """Returns display names: the title with its year, or the id without a title.

    Args:
      items: attributes of the items.
      title_column: name of the title column of their table, or None.
      year_column: name of the year column of their table, or None.

    Returns:
      `[num_items + 1]` strings; row 0 is "unknown".
    """
    names = items.vocabularies["item_id"]
    titles = [f"item {name}" for name in names]
    if title_column is not None:
        column = items.frame[title_column]
        titles = [
            "".join(_value(title)) or name
            for name, title in zip(titles, column, strict=True)
        ]
    if title_column is not None and year_column is not None:
        years = read_numbers(items.frame, year_column, argument="year_column")
        titles = [
            title if np.isnan(year) else f"{title} ({year:.0f})"
            for title, year in zip(titles, years, strict=True)
        ]
    return np.array(["unknown", *titles], dtype=str)


def _is_several(text) -> bool:
    return isinstance(text, Iterable) and not isinstance(text, (str, bytes))


def _words(text) -> list[str]:
    return _WORD.findall(str(as_strings([text])[0]).lower())


def _with_gaps(column: pd.Series) -> pd.Series:
    """Makes integers nullable: floats could not tell large ids apart."""
    nullable = {"i": "Int64", "u": "UInt64", "b": "boolean"}
    return column.astype(nullable.get(column.dtype.kind, column.dtype))


def _value(cell) -> list[str]:
    """The one value of a cell, or no value: an empty text counts as missing."""
    value = [] if pd.isna(cell) else as_strings([cell]).tolist()
    return [text for text in value if text.strip()]


def _padded(rows: Sequence[Sequence[int]], max_length: int | None) -> np.ndarray:
    """`[len(rows), length]` int64 with zeros after each row, at least one column."""
    length = max(1, max(map(len, rows)))
    if max_length is not None:
        length = min(length, max_length)
    padded = np.zeros((len(rows), length), np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row[:length])] = row[:length]
    return padded
