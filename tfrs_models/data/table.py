"""Interactions from a pandas table."""

import difflib
import time
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from tfrs_models.data.attributes import (
    Attributes,
    attribute_table,
    display_titles,
)
from tfrs_models.data.columns import (
    read_ids,
    read_ratings,
    read_weights,
    require_rows,
)
from tfrs_models.data.interactions import Interactions
from tfrs_models.data.later import with_later
from tfrs_models.data.probabilities import candidate_probabilities
from tfrs_models.data.repeats import check_repeats, with_repeats
from tfrs_models.data.splits import (
    SPLIT_NAMES,
    TIME_SPLITS,
    TRAIN,
    UNORDERED_SPLITS,
    rows_before_window,
    split_rows,
)
from tfrs_models.data.summary import Summary, audit
from tfrs_models.data.ties import check_ties, count_ties, drawn_order, hashes
from tfrs_models.data.times import FIRST_SECOND, SECOND, read_timestamps

RESERVED = (
    "rating",
    "timestamp",
    "timestamp_us",
    "tie_order",
    "candidate_sampling_probability",
    "known_items",
    "history",
    "activity",
    "user_features",
    "item_features",
    "history_timestamp",
    "history_event",
    "history_weight",
    "sample_weight",
)
NO_TIMES = (
    "the table has no times: histories, features of activity and whatever else asks "
    "what came first are off."
)
_DAY = 86_400


def from_frame(
    frame: pd.DataFrame,
    *,
    name: str = "table",
    later: pd.DataFrame | None = None,
    user_column: str = "user_id",
    item_column: str = "item_id",
    rating_column: str | None = "auto",
    timestamp_column: str | None = "auto",
    timestamp_unit: str = "s",
    timestamp_format: str | None = None,
    event_column: str | None = None,
    weight_column: str | None = None,
    item_frame: pd.DataFrame | None = None,
    user_frame: pd.DataFrame | None = None,
    title_column: str | None = None,
    year_column: str | None = None,
    bag_columns: Sequence[str] = (),
    bag_separator: str = "|",
    item_category_columns: Sequence[str] = (),
    item_number_columns: Sequence[str] = (),
    item_vector_columns: Sequence[str] = (),
    user_category_columns: Sequence[str] = (),
    user_number_columns: Sequence[str] = (),
    user_vector_columns: Sequence[str] = (),
    split: str = "per_user_time",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    windows_back: int = 0,
    min_rating: float | None = None,
    ties: str = "random",
    repeats: str = "auto",
    seed: int = 42,
) -> Interactions:
    """Indexes, joins, splits and audits a table with one row per interaction.

    Features of items and users come from separate tables or, without one, from the
    first row of each item or user in `frame`. The catalogue has every item of either
    table, also items that only have rows below `min_rating`.

    Args:
      frame: table with one row per interaction.
      name: name of the data, for the summary.
      later: rows that came later, with the columns of `frame`, which are added to it.
        Rows with a user, item and time of `frame` are left out.
      user_column: column of the user ids.
      item_column: column of the item ids.
      rating_column: column of the ratings; "auto" reads `rating` if there is one, None
        reads none.
      timestamp_column: column of the times; "auto" reads `timestamp` if there is one,
        None reads none.
      timestamp_unit: unit of times that are numbers: "s", "ms", "us" or "ns".
      timestamp_format: format of dates that are not ISO 8601, such as "%m/%d/%Y %I:%M
        %p", or that are written as numbers, "%Y%m%d".
      event_column: column of the kinds of events, such as "view" and "purchase", which
        becomes the column `event` of the splits; None reads none.
      weight_column: column of the weights of rows, 0 or more, such as play counts,
        which becomes the column `weight` of the splits; None reads none.
      item_frame: table with one row per item and the column `item_column`.
      user_frame: table with one row per user and the column `user_column`.
      title_column: column of item titles, which become display names and a bag of words
        `title`.
      year_column: column of item years, which become the number `year`, the id `decade`
        and a part of the display name.
      bag_columns: item columns with several values a row: lists, or text with
        `bag_separator`.
      bag_separator: separator between the values of a text.
      item_category_columns: item columns with one category a row.
      item_number_columns: item columns with one number a row.
      item_vector_columns: item columns with one dense vector a row, such as the
        embedding of a text: a list of numbers, or the text of one, of the same length
        in all rows. A missing vector is zeros, and unknown to towers.
      user_category_columns: user columns with one category a row.
      user_number_columns: user columns with one number a row.
      user_vector_columns: user columns with one dense vector a row.
      split: rule of the split: "per_user_time", "leave_last_out", "global_time",
        "new_items" or "random".
      validation_fraction: share of the validation rows; 0 for none.
      test_fraction: share of the test rows, or of the items for "new_items".
      windows_back: number of newest test windows of "global_time" that are dropped, as
        if they had not happened yet. Several of them make a rolling origin.
      min_rating: smallest rating of a positive; rows below it are dropped. None keeps
        all rows.
      ties: "random" puts rows with equal times in an order drawn with the seed, the
        same in every split, history and window; "file" takes the order of the table for
        the order of events.
      repeats: rule for rows whose user had the item before: "allow" excludes nothing in
        evaluation, "leave-out" excludes known items and leaves these rows out, "auto"
        allows where they are more than 5% of a split; see `with_repeats`.
      seed: seed of the draws of equal times, random rows and new items.

    Returns:
      The split data; print them for a summary.

    Raises:
      ValueError: the table cannot be used; the message has the column, the rule and the
        repair.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aabbcc"), "item_id": list("pqpqpr")})
      >>> frame = frame.assign(timestamp=range(6), colour=list("rgrgrb"))
      >>> data = tm.data.from_frame(frame, item_category_columns=["colour"])
      >>> data.summary.rows, [feature.name for feature in data.item_features]
      ({'train': 3, 'validation': 0, 'test': 3}, ['item_id', 'colour'])
    """
    require_rows(frame, "frame")
    check_ties(ties)
    check_repeats(repeats)
    rating_column = found_column(frame, rating_column, "rating")
    timestamp_column = found_column(frame, timestamp_column, "timestamp")
    refuse_shared_columns(
        user_column=user_column,
        item_column=item_column,
        rating_column=rating_column,
        timestamp_column=timestamp_column,
        event_column=event_column,
    )
    if later is not None:
        frame = with_later(
            frame,
            later,
            keys=[user_column, item_column, timestamp_column],
            others=[rating_column, event_column, weight_column],
        )
    user, user_names = read_ids(frame, user_column, argument="user_column")
    item, item_names = read_ids(frame, item_column, argument="item_column")
    rows, notes = {"user_id": user, "item_id": item}, []
    if rating_column is not None:
        rows["rating"] = read_ratings(frame, rating_column, argument="rating_column")
    if timestamp_column is not None:
        rows["timestamp_us"] = read_timestamps(
            frame,
            timestamp_column,
            unit=timestamp_unit,
            form=timestamp_format,
            argument="timestamp_column",
        )
        rows["timestamp"] = rows["timestamp_us"] // SECOND
        notes += time_notes(rows["timestamp_us"])
    elif split in TIME_SPLITS:
        refuse_time_split(frame, split)
    else:
        notes.append(NO_TIMES)
    kinds = None
    if event_column is not None:
        rows["event"], kinds = read_ids(frame, event_column, argument="event_column")
    if weight_column is not None:
        rows["weight"] = read_weights(frame, weight_column, argument="weight_column")
    user_table, user_names, without_row = attribute_table(
        frame, user, user_names, own=user_frame, column=user_column, side="user"
    )
    notes += missing_rows("user", without_row, len(user_names))
    item_table, item_names, without_row = attribute_table(
        frame, item, item_names, own=item_frame, column=item_column, side="item"
    )
    notes += missing_rows("item", without_row, len(item_names))

    all_items, all_times = rows["item_id"], rows.get("timestamp_us")
    rows, num_dropped = _positives(rows, min_rating)
    counted = None
    if "timestamp_us" in rows:
        user, item, micro = (rows[k] for k in ("user_id", "item_id", "timestamp_us"))
        counted = count_ties(user, item, item_names, micro, rule=ties)
        if ties == "random":
            ids = hashes(user_names)[user], hashes(item_names)[item]
            order = drawn_order(micro, ids, seed=seed)
            rows = {column: values[order] for column, values in rows.items()}
        if counted.tied_rows and split in UNORDERED_SPLITS:
            rows["tie_order"] = np.arange(len(micro))
    in_catalogue = np.ones(len(item_names), bool)
    if windows_back:
        num_rows = len(rows["user_id"])
        rows = _rows_of_origin(rows, split, windows_back, test_fraction)
        scale = num_rows / len(rows["user_id"])  # all windows are equally long
        validation_fraction *= scale
        test_fraction *= scale
        if item_frame is None:
            past = all_times <= rows["timestamp_us"].max()
            in_catalogue = np.isin(np.arange(len(item_names)), all_items[past])
    part = split_rows(
        rows["user_id"],
        rows["item_id"],
        rows.get("timestamp_us"),
        split=split,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
    )
    audited = audit(
        rows["user_id"],
        rows["item_id"],
        rows.get("timestamp_us"),
        part,
        ticks_per_second=SECOND,
    )
    density = _density(rows["user_id"], rows["item_id"])

    user_counts = _train_counts(rows["user_id"], part, len(user_names))
    train_users = np.flatnonzero(user_counts)
    new_users = _users_without_train_row(rows["user_id"], part)
    all_users = np.concatenate([train_users, new_users])
    users = Attributes(user_table.iloc[all_users], user_counts[all_users])
    users.add_index("user_id", user_names[all_users], num_known=len(train_users))
    users.columns["user_id"][len(train_users) + 1 :] = 0  # the id that towers read
    for column in user_category_columns:
        users.add_category(
            column, separator=bag_separator, argument="user_category_columns"
        )
    for column in user_number_columns:
        users.add_number(column, column, argument="user_number_columns")
    source = "the interactions" if user_frame is None else "`user_frame`"
    for column in user_vector_columns:
        users.add_vector(column, table=source, argument="user_vector_columns")

    item_counts = _train_counts(rows["item_id"], part, len(item_names))
    catalogue = np.argsort(-item_counts, kind="stable")
    catalogue = catalogue[in_catalogue[catalogue]]
    num_train_items = int(np.count_nonzero(item_counts))
    items = Attributes(item_table.iloc[catalogue], item_counts[catalogue])
    items.add_index("item_id", item_names[catalogue], num_known=num_train_items)
    for column in bag_columns:
        items.add_bag(column, separator=bag_separator, argument="bag_columns")
    if title_column is not None:
        items.add_words("title", title_column, argument="title_column")
    if year_column is not None:
        items.add_number("year", year_column, argument="year_column")
        items.add_decade("decade", year_column, argument="year_column")
    for column in item_category_columns:
        items.add_category(
            column, separator=bag_separator, argument="item_category_columns"
        )
    for column in item_number_columns:
        items.add_number(column, column, argument="item_number_columns")
    source = "the interactions" if item_frame is None else "`item_frame`"
    for column in item_vector_columns:
        items.add_vector(column, table=source, argument="item_vector_columns")
    refuse_shared_names(users, items, {"event", "weight"} & rows.keys())
    notes += missing_vectors("user", users) + missing_vectors("item", items)

    rows["user_id"] = _index_of(all_users, len(user_names))[rows["user_id"]]
    rows["item_id"] = _index_of(catalogue, len(item_names))[rows["item_id"]]
    vocabularies = {**users.vocabularies, **items.vocabularies}
    if kinds is not None:
        counts = _train_counts(rows["event"], part, len(kinds))
        known = np.lexsort((kinds, -counts))[: np.count_nonzero(counts)]
        rows["event"] = _index_of(known, len(kinds))[rows["event"]]
        vocabularies["event"] = kinds[known]
    splits = {
        split_name: {column: values[part == code] for column, values in rows.items()}
        for code, split_name in enumerate(SPLIT_NAMES)
    }
    data = Interactions(
        name=name,
        vocabularies=vocabularies,
        user_features=tuple(users.features),
        item_features=tuple(items.features),
        users=users.columns,
        items=items.columns,
        titles=display_titles(items, title_column, year_column),
        splits=splits,
        candidate_probabilities=candidate_probabilities(
            splits["train"], "item_id", num_items=len(catalogue)
        ),
        summary=Summary(
            name=name,
            split=split,
            min_rating=min_rating,
            num_users=len(train_users),
            num_items=len(catalogue),
            num_train_items=num_train_items,
            rows={k: len(columns["user_id"]) for k, columns in splits.items()},
            dropped_rows=num_dropped,
            density=density,
            audit=audited,
            ties=counted,
            notes=tuple(notes),
        ),
    )
    return with_repeats(data, repeats)


def _density(user: np.ndarray, item: np.ndarray) -> float:
    """Share of the user-item pairs that have one or more rows."""
    pair = np.sort(user * (item.max() + 1) + item)
    num_pairs = 1 + np.count_nonzero(np.diff(pair))
    num_users, num_items = (np.count_nonzero(np.bincount(x)) for x in (user, item))
    return num_pairs / (num_users * num_items)


def _positives(
    rows: dict[str, np.ndarray], min_rating: float | None
) -> tuple[dict[str, np.ndarray], int]:
    if min_rating is None:
        return rows, 0
    if "rating" not in rows:
        raise ValueError(
            f"`min_rating` needs ratings. Got {min_rating} and a table without: name "
            "their column with `rating_column`."
        )
    keep = rows["rating"] >= min_rating
    if not keep.any():
        raise ValueError(
            f"`min_rating` must leave rows. Got {min_rating}; the largest rating is "
            f"{rows['rating'].max():g}."
        )
    kept = {column: values[keep] for column, values in rows.items()}
    return kept, int((~keep).sum())


def _rows_of_origin(
    rows: dict[str, np.ndarray], split: str, windows_back: int, test_fraction: float
) -> dict[str, np.ndarray]:
    if split != "global_time":
        raise ValueError(
            '`windows_back` is for split="global_time". Got '
            f"{windows_back} with {split!r}."
        )
    keep = rows_before_window(
        rows["timestamp_us"], windows_back=windows_back, test_fraction=test_fraction
    )
    return {column: values[keep] for column, values in rows.items()}


def _train_counts(code: np.ndarray, part: np.ndarray, num_codes: int) -> np.ndarray:
    return np.bincount(code[part == TRAIN], minlength=num_codes)


def _users_without_train_row(user: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Codes of these users by the first split that has them, then by code."""
    in_train = np.unique(user[part == TRAIN])
    found = [in_train]
    for code in range(TRAIN + 1, len(SPLIT_NAMES)):
        found.append(np.setdiff1d(user[part == code], np.concatenate(found)))
    return np.concatenate(found[1:])


def _index_of(order: np.ndarray, num_codes: int) -> np.ndarray:
    """`[num_codes]` index of each code: position in `order` plus 1, or 0 if absent."""
    index = np.zeros(num_codes, np.int64)
    index[order] = np.arange(1, len(order) + 1)
    return index


def found_column(frame: pd.DataFrame, column: str | None, default: str) -> str | None:
    """Returns the requested column; for "auto" the default one if the table has it."""
    if column != "auto":
        return column
    return default if default in frame.columns else None


def refuse_shared_columns(**columns: str | None) -> None:
    """Raises a `ValueError` if two arguments name the same column."""
    named = [name for name, column in columns.items() if column is not None]
    for index, name in enumerate(named):
        for other in named[:index]:
            if columns[name] == columns[other]:
                raise ValueError(
                    f"`{other}` and `{name}` must be two columns. Got "
                    f"{columns[name]!r} for both."
                )


def refuse_time_split(frame: pd.DataFrame, split: str) -> None:
    """Raises the `ValueError` of a split by time in a table without times."""
    near = difflib.get_close_matches("timestamp", map(str, frame.columns), n=1)
    hint = f" Did you mean `timestamp_column={near[0]!r}`?" if near else ""
    raise ValueError(
        f'`split="{split}"` needs timestamps. Got a table without: name their column '
        f'with `timestamp_column`, or use split="random". The columns are '
        f"{list(frame.columns)}.{hint}"
    )


def refuse_shared_names(
    users: Attributes, items: Attributes, own: Iterable[str]
) -> None:
    """Raises a `ValueError` for features whose name is already a key of a batch."""
    reserved = {*RESERVED, *own}
    for name in (*users.columns, *items.columns):
        if name in reserved or (name in users.columns and name in items.columns):
            raise ValueError(
                f"`{name}` cannot name a feature: a batch has this key already. Rename "
                "the column."
            )


def missing_rows(side: str, count: int, of: int) -> list[str]:
    """Makes a note if over a tenth of the users or items have no row in their table."""
    if count <= 0.1 * of:
        return []
    return [
        f"{count:,} of {of:,} {side}s have no row in the {side} table: their features "
        "are unknown."
    ]


def missing_vectors(side: str, found: Attributes) -> list[str]:
    """Makes a note for each vector that over a tenth of the users or items lack."""
    notes = []
    for feature in found.features:
        if feature.kind != "vector":
            continue
        missing = ~found.columns[feature.name][1:].any(axis=1)
        if missing.mean() > 0.1:
            notes.append(
                f"{missing.sum():,} of {len(missing):,} {side}s have no vector of "
                f"`{feature.name}`, or zeros: it is unknown."
            )
    return notes


def time_notes(micro: np.ndarray) -> list[str]:
    """Makes a note if times (microseconds) number steps, or are yet to come."""
    if micro.max(initial=0) < FIRST_SECOND * SECOND:
        return [
            "all times lie in 1970: they tell the order, and their differences are "
            "taken for seconds. Dates need `timestamp_unit` or `timestamp_format`."
        ]
    coming = micro > (time.time() + _DAY) * SECOND  # clocks of all zones are allowed
    if not coming.any():
        return []
    return [
        f"{coming.sum():,} of {len(micro):,} rows have times that are yet to come, up "
        f"to {np.datetime64(int(micro.max()), 'us').astype('datetime64[D]')}: are unit "
        "and format right?"
    ]
