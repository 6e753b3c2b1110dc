"""Data by name: what the flag `--dataset` of a pipeline takes."""

import difflib
import os
from typing import Any

from tfrs_models.data import movielens
from tfrs_models.data.files import from_table, is_table
from tfrs_models.data.interactions import Interactions

FORMS = (
    "movielens-latest-small",
    "recbole:ml-100k",
    "tfds:movielens/100k-ratings",
    "path/to/interactions.parquet",
    "path/to/interactions.csv",
)


def load(
    dataset: str | os.PathLike = "movielens-latest-small", **options: Any
) -> Interactions:
    """Loads and splits a data set.

    Args:
      dataset: "movielens-latest-small" (offline), "recbole:ml-100k",
        "tfds:movielens/<config>", or the path of a table, see `from_table`.
      **options: of `from_frame`; of `from_table` for a path.

    Returns:
      The data, split; print its summary.

    Raises:
      ValueError: any other name, and whatever the loader finds wrong.
    """
    dataset = str(dataset)
    source, _, name = dataset.partition(":")
    if dataset == "movielens-latest-small":
        return movielens.latest_small(**options)
    if dataset == "recbole:ml-100k":
        return movielens.recbole_ml_100k(**options)
    if source == "tfds":
        return movielens.tfds(name, **options)
    if is_table(dataset):
        return from_table(dataset, **options)
    near = difflib.get_close_matches(dataset, FORMS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"`dataset` must be one of these forms: {', '.join(FORMS)}. Got "
        f"{dataset!r}.{hint}"
    )
