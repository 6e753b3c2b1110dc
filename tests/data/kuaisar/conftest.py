import numpy as np
import pytest

from tests.data.kuaisar.raw_files import HOUR, START, write
from tfrs_models.data import kuaisar, synthetic


@pytest.fixture(scope="session")
def data():
    return synthetic.make_search_and_recommendation(3, num_users=40)


@pytest.fixture(scope="session")
def raw_directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("raw")
    synthetic.write_search_and_recommendation_log(directory, 3, num_users=40)
    return directory


@pytest.fixture
def pickles(data, tmp_path):
    kuaisar.write_pickles(data, tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def log(tmp_path_factory):
    """Few moments, so that everything ties with everything, in no order; repeats."""
    rng = np.random.default_rng(11)
    users, items = rng.permutation(90)[:9] + 100, rng.permutation(400)[:60] + 1000
    moments = START + HOUR * rng.integers(0, 96, size=14)
    clicks = [
        (
            rng.choice(users),
            rng.choice(items),
            rng.choice(moments),
            int(rng.random() < 0.7),
        )
        for _ in range(420)
    ]
    searches = []
    for session in rng.permutation(300)[:120]:
        user, time = rng.choice(users), rng.choice(moments)
        words = rng.integers(30, size=rng.integers(0, 4)).tolist()
        for item in rng.choice(items, size=rng.integers(1, 5), replace=False):
            clicked = int(rng.integers(0, 3))
            searches.append((user, session, time, str(words), item, clicked))
    directory = tmp_path_factory.mktemp("log")
    clicks, searches = clicks + clicks[::40], searches + searches[::20]
    write(directory, clicks, searches, users, items[5:])  # five are in no item file
    return directory, clicks, searches
