"""Flags of the data and how they load it."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

import tfrs_models as tm
from tfrs_models.data.files import is_table

from .flags import Number, Range, ShareBelowOne


@dataclasses.dataclass(frozen=True)
class TableConfig:
    """Flags of the format of your own table."""

    encoding: str | None = None
    """Encoding of your own .csv and .tsv tables, such as latin-1; by default UTF-8."""
    timestamp_unit: Literal["s", "ms", "us", "ns"] = "s"
    """Unit of times that are numbers in your own table."""
    timestamp_format: str | None = None
    """Format of dates in your own table other than 2024-01-31 23:59:59, such as
    "%m/%d/%Y %I:%M %p" or, for numbers, "%Y%m%d"."""


@dataclasses.dataclass(frozen=True)
class DataConfig(TableConfig):
    """Flags of the data."""

    dataset: str = "movielens-latest-small"
    """movielens-latest-small, recbole:ml-100k, tfds:movielens/<config>, or the path of
    a file: a known format such as ratings.dat or *.inter, or your own .parquet, .csv or
    .tsv table; texts also as .gz, .bz2 or .xz."""
    later: str | None = None
    """Parquet file of rows that came after those of --dataset, with the same columns;
    rows that --dataset has too are left out. `tfrs-models update` makes such files."""
    file_format: str = "auto"
    """Name of the known format of the file, if it looks like several; `table` for your
    own table."""
    split: Literal[
        "leave_last_out", "per_user_time", "global_time", "new_items", "random"
    ] = "leave_last_out"
    """Test rows: each user's last row, each user's last tenth, the last tenth of all
    rows, each user's last row and all rows of a random tenth of the items, or a random
    tenth."""
    validation_fraction: ShareBelowOne = 0.1
    """Share of the validation rows, of the splits that have one."""
    test_fraction: Annotated[float, Range(0, 1, open_low=True, open_high=True)] = 0.1
    """Share of the test rows, of the splits that have one."""
    min_rating: Number | None = None
    """Smallest rating of a positive row; by default all rows are positives."""
    ties: Literal["random", "file"] = "random"
    """Order of a user's rows with equal times: drawn with the seed, or that of a file
    whose rows are in the order of events."""
    repeats: Literal["auto", "allow", "leave-out"] = "auto"
    """Rows whose user had the item before: `allow` excludes nothing in evaluation, and
    in what is served unless a request asks for it; `leave-out` excludes what a user has
    and leaves these rows out; `auto` allows them above 5% of a split."""
    user_column: str = "auto"
    """Column of the user ids in your own table; `auto` is that of the known format, or
    user_id."""
    item_column: str = "auto"
    """Column of the item ids in your own table; `auto` is that of the known format, or
    item_id."""
    rating_column: str = "auto"
    """Column of the ratings in your own table."""
    timestamp_column: str = "auto"
    """Column of the times in your own table; splits by time need one."""
    events: tuple[str, ...] = ()
    """Kinds of events to keep, such as transaction; by default all."""
    event_column: str | None = None
    """Column of the kinds of events in your own table, such as view and purchase;
    towers over histories read them."""
    weight_column: str | None = None
    """Column of the weights of rows in your own table, 0 or more, such as play counts;
    towers over histories read them, and with --sample-weights the loss."""
    item_table: str | None = None
    """Table of your items' features, with the same item column."""
    title_column: str | None = None
    """Column of the item table with the title of an item."""
    category_columns: tuple[str, ...] = ()
    """Columns of the item table with one category each."""
    number_columns: tuple[str, ...] = ()
    """Columns of the item table with a number."""
    vector_columns: tuple[str, ...] = ()
    """Columns of the item table with a dense vector, such as the embedding of a text: a
    list of numbers; or name=path.npy for a file with one row per row of the item
    table."""
    bag_columns: tuple[str, ...] = ()
    """Columns of the item table with several values each."""
    bag_separator: str = "|"
    """Separator of the values of a bag column."""
    user_table: str | None = None
    """Table of your users' features, with the same user column."""
    user_category_columns: tuple[str, ...] = ()
    """Columns of the user table with one category each."""
    user_number_columns: tuple[str, ...] = ()
    """Columns of the user table with a number."""
    user_vector_columns: tuple[str, ...] = ()
    """Columns of the user table with a dense vector, or name=path.npy."""


# Arguments of `from_table` -> the flags that set them.
_TABLE_FLAGS = {
    "file_format": "file_format",
    "user_column": "user_column",
    "item_column": "item_column",
    "rating_column": "rating_column",
    "timestamp_column": "timestamp_column",
    "events": "events",
    "event_column": "event_column",
    "weight_column": "weight_column",
    "encoding": "encoding",
    "timestamp_unit": "timestamp_unit",
    "timestamp_format": "timestamp_format",
    "item_table": "item_table",
    "title_column": "title_column",
    "item_category_columns": "category_columns",
    "item_number_columns": "number_columns",
    "item_vector_columns": "vector_columns",
    "bag_columns": "bag_columns",
    "bag_separator": "bag_separator",
    "user_table": "user_table",
    "user_category_columns": "user_category_columns",
    "user_number_columns": "user_number_columns",
    "user_vector_columns": "user_vector_columns",
}


def load_data(
    config: DataConfig, *, seed: int, windows_back: int = 0
) -> tm.data.Interactions:
    """Loads and splits the data.

    Args:
      config: flags of the data.
      seed: seed of a random split and of the order of equal times.
      windows_back: number of newest test windows of `global_time` that are dropped.

    Raises:
      SystemExit: the flags name no data, or data that cannot be used.
    """
    options = {"split": config.split, "min_rating": config.min_rating, "seed": seed}
    options |= {"ties": config.ties, "repeats": config.repeats}
    options["validation_fraction"] = config.validation_fraction
    options["test_fraction"] = config.test_fraction
    options["windows_back"] = windows_back
    if config.later is not None:
        options["later"] = config.later
    if is_table(config.dataset):
        options |= table_options(config)
    else:
        _refuse_table_flags(config)
    try:
        return tm.data.load(config.dataset, **options)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"Cannot load the data: {as_flags(str(error))}") from error


def table_options(config: DataConfig) -> dict[str, object]:
    """Returns the arguments of `tm.data.load` about the format of a table.

    A flag that is not given leaves the choice to the format.

    Args:
      config: flags of the data.
    """
    usual = DataConfig()
    return {
        name: getattr(config, flag)
        for name, flag in _TABLE_FLAGS.items()
        if getattr(config, flag) != getattr(usual, flag)
    }


def moved(config: DataConfig, then: Path, now: Path) -> DataConfig:
    """Returns the flags of a run's data after its output folder has moved.

    Args:
      config: flags of the data.
      then: output folder when the run wrote them.
      now: output folder.
    """
    if config.later is None or not Path(config.later).is_relative_to(then):
        return config
    later = now / Path(config.later).relative_to(then)
    return dataclasses.replace(config, later=str(later))


def _refuse_table_flags(config: DataConfig) -> None:
    """Ends the program if a flag of tables is given with a data set that has none."""
    usual = DataConfig()
    for flag in _TABLE_FLAGS.values():
        if getattr(config, flag) != getattr(usual, flag):
            raise SystemExit(
                f"`--{flag.replace('_', '-')}` is for a table of your own. Got "
                f"`--dataset {config.dataset}`: leave it out, or name a file that ends "
                "in .parquet, .csv, .tsv, .dat, .txt or .inter."
            )


def as_flags(message: str) -> str:
    """Replaces the names of arguments in a message of the library by those of flags."""
    flags = {
        "columns": "columns",
        "item_frame": "item_table",
        "user_frame": "user_table",
        **_TABLE_FLAGS,
    }
    for argument, flag in flags.items():
        flag = "--" + flag.replace("_", "-")
        message = message.replace(f"`{argument}=", f"`{flag} ")
        message = message.replace(f"`{argument}`", f"`{flag}`")
    return message


def train_ids(data: tm.data.Interactions) -> dict[str, np.ndarray]:
    """Returns the ids of users with a train row, and of all items, for a ranker.

    Args:
      data: interactions.
    """
    users = data.vocabularies["user_id"][: data.num_train_users]
    return {"user_id": users, "item_id": data.vocabularies["item_id"]}
