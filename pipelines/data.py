"""The flags that say what a pipeline learns from."""

import dataclasses
from typing import Literal

import tfrs_models as tm


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Flags of the data."""

    dataset: str = "movielens-latest-small"
    """movielens-latest-small, recbole:ml-100k, tfds:movielens/<config>, or the path of
    your own .parquet or .csv."""
    split: Literal[
        "leave_last_out", "per_user_time", "global_time", "new_items", "random"
    ] = "leave_last_out"
    """What is held out: each user's last row, each user's last tenth, the last tenth of
    all, each user's last row and all rows of a random tenth of the items, or a random
    tenth."""
    min_rating: float | None = None
    """Ratings from which a row is a positive; all rows are where this is not given."""
    user_column: str = "user_id"
    """Of your own table."""
    item_column: str = "item_id"
    """Of your own table."""
    rating_column: str = "auto"
    """Of your own table."""
    timestamp_column: str = "auto"
    """Of your own table; time splits need one."""
    item_table: str | None = None
    """Your own items' features, a .parquet or .csv with the same item column."""
    title_column: str | None = None
    """Of your own item table: the name that people read."""
    category_columns: tuple[str, ...] = ()
    """Of your own item table: columns that hold one value each."""
    number_columns: tuple[str, ...] = ()
    """Of your own item table: columns that hold a number."""


def load_data(config: DataConfig, *, seed: int) -> tm.data.Interactions:
    """Loads and splits what the flags name; a mistake in them ends the program."""
    options = {"split": config.split, "min_rating": config.min_rating, "seed": seed}
    if config.dataset.endswith((".parquet", ".csv")):
        options |= {
            "user_column": config.user_column,
            "item_column": config.item_column,
            "rating_column": config.rating_column,
            "timestamp_column": config.timestamp_column,
            "item_table": config.item_table,
            "title_column": config.title_column,
            "item_category_columns": config.category_columns,
            "item_number_columns": config.number_columns,
        }
    try:
        return tm.data.load(config.dataset, **options)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"Cannot load the data: {error}") from error
