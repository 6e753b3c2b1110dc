"""MovieLens tables out of TensorFlow Datasets, without its minutes of retries."""

import os
import threading
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfrs_models.data.columns import as_strings

PROBE_SECONDS = 3.0
_COLUMNS = ("user_id", "movie_id", "user_rating", "timestamp")
_NO_GENRES = ("(no genres listed)", "Unknown")


def open_ratings(name: str, *, data_dir: str | os.PathLike | None = None) -> Any:
    """A prepared builder: from disk if it is there, else downloaded.

    Args:
      name: "movielens/<size>-ratings".
      data_dir: where it is prepared; `TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Returns:
      A `tfds.core.DatasetBuilder` that is ready to read.

    Raises:
      ValueError: a name that is no MovieLens ratings configuration.
      ConnectionError: not prepared, and its server does not answer within seconds.
    """
    import tensorflow_datasets as tfds

    configs = {
        f"movielens/{config.name}": config
        for config in tfds.builder_cls("movielens").BUILDER_CONFIGS
        if config.name.endswith("-ratings")
    }
    if name not in configs:
        raise ValueError(f"`name` must be one of {tuple(configs)}. Got {name!r}.")
    data_dir = (
        data_dir or os.environ.get("TFDS_DATA_DIR") or tfds.core.constants.DATA_DIR
    )
    data_dir = Path(data_dir).expanduser()
    version = configs[name].version
    folder = data_dir / name / str(version)
    # Asking the registry of TFDS first would go to the network for a prepared one too.
    if (folder / "dataset_info.json").exists():
        return tfds.builder_from_directory(folder)
    if not _answers(configs[name].download_url):
        raise ConnectionError(
            f"`tfds:{name}` is not prepared in {str(data_dir)!r} and its server does "
            f"not answer. On a connected machine run `tfds build {name}` and copy "
            "~/tensorflow_datasets here; TFDS_DATA_DIR names another folder. Without a "
            'network there is "movielens-latest-small".'
        )
    builder = tfds.builder(name, data_dir=data_dir)
    builder.download_and_prepare()
    return builder


def read_ratings_tables(builder: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ratings, and one row per movie.

    Args:
      builder: a prepared builder of a ratings configuration.

    Returns:
      The ratings with `user_id`, `movie_id`, `user_rating`, `timestamp`, and the movies
      with `movie_id`, `movie_title`, `genres`, a list each.
    """
    genre_names = builder.info.features["movie_genres"].feature.names
    ratings = {name: [] for name in _COLUMNS}
    movies: dict[bytes, tuple[bytes, np.ndarray]] = {}
    for batch in builder.as_dataset(split="train").ragged_batch(8192):
        for name, chunks in ratings.items():
            chunks.append(batch[name].numpy())
        titles = batch["movie_title"].numpy()
        genres = batch["movie_genres"]
        ids, first = np.unique(ratings["movie_id"][-1], return_index=True)
        for movie, row in zip(ids, first, strict=True):
            if movie not in movies:
                movies[movie] = (titles[row], genres[row].numpy())
    frame = pd.DataFrame({name: np.concatenate(c) for name, c in ratings.items()})
    genre_lists = [
        [genre_names[i] for i in row if genre_names[i] not in _NO_GENRES]
        for _, row in movies.values()
    ]
    return frame, pd.DataFrame(
        {
            "movie_id": list(movies),
            "movie_title": as_strings([title for title, _ in movies.values()]),
            "genres": genre_lists,
        }
    )


def _answers(url: str) -> bool:
    """Whether a server answers within seconds, name lookup included."""
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
                answered.set()
        except OSError:
            pass

    # A thread, because no timeout of `urlopen` bounds the lookup of the name.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PROBE_SECONDS)
    return answered.is_set()
