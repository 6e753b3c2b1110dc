"""Lists of a model and of simple recommenders, and their part of a report."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines.parts.top_k_lists import (
    baseline_lists,
    first_rows,
    model_lists,
    user_groups,
)
from pipelines.reporting.beyond_accuracy import (
    EARLIER,
    by_group,
    measure_lists,
    print_measures,
)
from pipelines.reporting.page import render


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(31)
    pairs = rng.permutation(30 * 12)[:260]
    frame = pd.DataFrame(
        {
            "user_id": [f"u{pair // 12}" for pair in pairs],
            "item_id": [f"i{pair % 12}" for pair in pairs],
            "timestamp": rng.permutation(260),
        }
    )
    items = pd.DataFrame(
        {"item_id": [f"i{i}" for i in range(12)], "kind": list("abc") * 4}
    )
    users = pd.DataFrame(
        {
            "user_id": [f"u{u}" for u in range(29)],  # the last is not in the table
            "country": (["de"] * 15 + ["fr"] * 12 + ["it"] * 2),
            "age": 20 + np.arange(29),
        }
    )
    return tm.data.from_frame(
        frame,
        split="global_time",
        item_frame=items,
        item_category_columns=("kind",),
        user_frame=users,
        user_category_columns=("country",),
        user_number_columns=("age",),
    )


class Scores(tm.baselines.Popularity):
    """Fixed scores of users and items, different ones for odd times."""

    def __init__(self, table):
        object.__setattr__(self, "table", table)

    def score(self, users, times=None):
        return self.table[users] * np.where(times // 10**6 % 2, -1, 1)[:, None]


@pytest.fixture(scope="module")
def table(data):
    rng = np.random.default_rng(32)
    shape = (data.num_users + 1, data.num_items)
    return rng.permutation(np.prod(shape)).reshape(shape).astype("float32")


def best(scores, excluded, k):
    order = sorted(range(len(scores)), key=lambda column: -scores[column])
    items = [column + 1 for column in order if column + 1 not in excluded][:k]
    return items + [0] * (k - len(items))


@pytest.mark.parametrize("exclude", [True, False])
def test_lists_hold_the_best_items_that_are_not_excluded(data, table, exclude):
    rows, k = first_rows(data), 7
    test, known = data.splits["test"], data.known_items("test").to_list()
    users, times = test["user_id"][rows], test["timestamp_us"][rows]
    excluded = [known[user] if exclude else [] for user in users]
    options = {"k": k, "exclude": exclude}

    simple = baseline_lists(Scores(table), data, rows, **options)
    signs = np.where(times // 10**6 % 2, -1, 1)
    expected = [
        best(sign * table[user], no, k)
        for sign, user, no in zip(signs, users, excluded, strict=True)
    ]
    assert simple.tolist() == expected
    assert (simple == 0).any() == exclude  # some users have had nearly all items

    index = tm.layers.BruteForce(k=k).index(
        tf.eye(data.num_items), np.arange(1, data.num_items + 1)
    )
    tower = tf.keras.layers.Lambda(lambda f: tf.gather(table, f["user_id"]))
    model = model_lists(tower, index, data, rows, batch_size=5, **options)
    expected = [best(table[u], no, k) for u, no in zip(users, excluded, strict=True)]
    assert np.maximum(model, 0).tolist() == expected


def test_each_known_user_has_one_list_for_the_first_row(data):
    rows, test = first_rows(data), data.splits["test"]
    users = test["user_id"][rows]
    assert users.tolist() == sorted(set(test["user_id"].tolist()) - {0})
    for row, user in zip(rows, users, strict=True):
        own = test["timestamp_us"][test["user_id"] == user]
        assert test["timestamp_us"][row] == own.min()


def test_the_report_shows_that_one_item_goes_to_all(data, table, tmp_path, capsys):
    rows = first_rows(data)
    popular = np.zeros((len(rows), 3), int)
    popular[:, 0] = 2
    popular[::2, 1] = 5
    simple = baseline_lists(Scores(table), data, rows, k=3, exclude=False)
    measured = measure_lists(data, rows, {"model": popular, "tables": simple})
    title = data.titles[2]
    assert f"“{title}” is in the 3-item lists of 100% of the users" in measured.headline
    assert "show 17% of the catalogue" in measured.headline
    assert list(measured.measures) == ["model", "tables", EARLIER]
    assert measured.measures["model"]["diversity/kind"] in (0, 1)
    assert "serendipity" not in measured.measures["tables"]
    assert all(len(row) == len(measured.header) for row in measured.rows)
    print_measures(measured)
    assert "100.0%" in capsys.readouterr().out

    groups = by_group(
        {"model": np.ones(9), "tables": np.arange(9.0)}, ["a"] * 9, np.arange(9)
    )
    folder = tmp_path / "templates"
    folder.mkdir()
    page = render(
        "beyond_accuracy.html",
        tmp_path / "part.html",
        run="1",
        beyond=measured,
    ).read_text()
    assert "100.0%" in page
    assert page.count("<svg") == 0
    assert page.count("data:image/svg+xml") == 1
    page = render(
        "groups.html",
        tmp_path / "groups.html",
        run="1",
        groups=groups,
        group_column="country",
        group_metric="hit_rate_at_10",
    ).read_text()
    assert "hit rate at 10 by country" in page
    assert "1 smaller group" in page


def test_serendipity_counts_all_test_items_of_the_user(data):
    rows, test = first_rows(data), data.splits["test"]
    users = test["user_id"][rows]
    own = [test["item_id"][test["user_id"] == user].tolist() for user in users]
    assert max(map(len, own)) > 1
    lists = np.array([items[-1:] for items in own])  # hits of the last test row
    nothing = np.zeros_like(lists)
    nothing[0] = lists[0]
    measured = measure_lists(data, rows, {"model": lists, "nothing": nothing})
    expected = 1 - 1 / len(rows)
    assert measured.measures["model"]["serendipity"] == pytest.approx(expected)


def test_groups_are_the_values_of_a_category_or_quarters_of_a_number(data):
    ids = np.array(["", *data.vocabularies["user_id"]])[data.splits["test"]["user_id"]]
    countries = {f"u{u}": "de" if u < 15 else "fr" for u in range(27)}
    countries |= {"u27": "it", "u28": "it"}
    expected = [countries.get(user, "unknown") for user in ids]
    assert user_groups(data, "country").tolist() == expected
    ages = user_groups(data, "age")
    assert len(set(ages.tolist())) == 4
    for user, name in zip(ids, ages, strict=True):
        if user in countries:
            low, high = name.removeprefix("age ").split(" to ")
            assert float(low) <= 20 + int(user[1:]) <= float(high)


def test_a_column_that_users_do_not_have_is_refused(data):
    with pytest.raises(SystemExit, match=r"\['age', 'country'\].*Got 'kind'"):
        user_groups(data, "kind")
