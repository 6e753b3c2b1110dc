import itertools

import numpy as np
import pandas as pd
import pytest

from tfrs_models import data as tm_data
from tfrs_models.data.sequences import histories, training_windows
from tfrs_models.data.ties import Ties, count_ties, drawn_order, hashes


def log(num_users=9, rows=260, num_times=14, seed=5):
    """Rows in no order, in which over half of a user's rows share a time."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "user_id": rng.choice([f"u{i}" for i in range(num_users)], rows),
            "item_id": rng.choice([f"i{i}" for i in range(60)], rows),
            "timestamp": 1_600_000_000 + rng.integers(num_times, size=rows) * 86_400,
        }
    )
    return frame.drop_duplicates(ignore_index=True)


def sequences(data):
    """User -> ids of the items in the order of the serving history."""
    table = tm_data.history_table(data, "serving", 400)
    names = np.append("", data.vocabularies["item_id"])
    return {
        user: names[row[row > 0]].tolist()
        for user, row in zip(data.vocabularies["user_id"], table[1:], strict=True)
    }


def by_ids(seed=0, num_users=300, times=3, tied=4):
    """Each user has `tied` items at each time, which the file sorts by ascending id."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{user}", item, 1_600_000_000 + 9 * time)
        for user in range(num_users)
        for time in range(times)
        for item in sorted(rng.choice(50, tied, replace=False) + 50 * time)
    ]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


SPLITS = ["leave_last_out", "per_user_time", "global_time", "new_items", "random"]


@pytest.mark.parametrize("split", SPLITS)
def test_one_order_of_equal_times_holds_in_every_split_history_and_window(split):
    options = {"test_fraction": 0.3, "validation_fraction": 0.3, "seed": 3}
    expected = sequences(tm_data.from_frame(log(), split="leave_last_out", seed=3))
    if split == "leave_last_out":
        options = {"seed": 3}
    data = tm_data.from_frame(log(), split=split, **options)
    names = np.append("", data.vocabularies["item_id"])
    users = np.append("", data.vocabularies["user_id"])
    found = sequences(data)
    assert found == {user: expected[user] for user in found}
    for part in data.splits:
        columns = data.splits[part]
        history = histories(data, part, 400)
        for user, item, row in zip(
            columns["user_id"], columns["item_id"], history, strict=True
        ):
            if user > 0:
                before = names[row[row > 0]].tolist()
                assert [*before, names[item]] == expected[users[user]][
                    : len(before) + 1
                ]
    windows = training_windows(data, 400)
    for user, history in zip(windows.user_id, windows.history, strict=True):
        rest = iter(expected[users[user]])  # held-out rows may lie in between
        assert all(names[item] in rest for item in history[history > 0])


def test_times_that_differ_are_never_exchanged():
    frame = log()
    data = tm_data.from_frame(frame, split="leave_last_out")
    names = np.append("", data.vocabularies["item_id"])
    for user, items in sequences(data).items():
        rows = frame[frame["user_id"] == user].sort_values("timestamp")
        start = 0
        for _, tied in rows.groupby("timestamp"):
            assert set(items[start : start + len(tied)]) == set(tied["item_id"])
            start += len(tied)
    assert names[0] == ""


def test_neither_the_order_of_the_file_nor_other_users_change_the_draw():
    frame = log()
    expected = sequences(tm_data.from_frame(frame, split="leave_last_out", seed=1))
    for seed in range(3):
        more = pd.DataFrame(
            {"user_id": ["new"] * 7, "item_id": [f"n{i}" for i in range(7)]}
        ).assign(timestamp=frame["timestamp"][0])
        shuffled = pd.concat([more, frame]).sample(frac=1, random_state=seed)
        found = sequences(tm_data.from_frame(shuffled, split="leave_last_out", seed=1))
        found.pop("new")
        assert found == expected
    other = sequences(tm_data.from_frame(frame, split="leave_last_out", seed=2))
    assert other != expected


def test_every_order_of_three_rows_is_drawn_as_often():
    num_users = 6000
    user = np.repeat(np.arange(num_users), 3)
    item = np.tile(np.arange(3), num_users)
    order = drawn_order(
        np.zeros(len(user), np.int64),
        (hashes(np.array([f"u{i}" for i in range(num_users)]))[user], item),
        seed=0,
    )
    kept = order[np.argsort(user[order], kind="stable")]
    orders, counts = np.unique(item[kept].reshape(-1, 3), axis=0, return_counts=True)
    assert orders.tolist() == [list(p) for p in itertools.permutations(range(3))]
    # Four standard deviations of a count: sqrt(6000 * 1/6 * 5/6) is 29.
    np.testing.assert_allclose(counts, 1000, atol=116)


def test_rows_without_a_tie_stay_where_they_are():
    rng = np.random.default_rng(2)
    time = rng.permutation(40) // 2 * 2
    time[:8] = 100 + np.arange(8)
    order = drawn_order(time, (rng.integers(3, size=40), np.arange(40)), seed=4)
    assert sorted(order) == list(range(40))
    assert order[:8].tolist() == list(range(8))
    np.testing.assert_array_equal(time[order], time)
    assert order.tolist() != list(range(40))


def test_a_global_cut_through_one_day_does_not_follow_the_users_in_the_file():
    user = np.repeat(np.arange(10), 20)
    frame = pd.DataFrame({"user_id": user, "item_id": np.arange(200) % 23})
    frame = frame.assign(timestamp="2024-01-31")
    of_last_users = tm_data.from_frame(frame, split="global_time", ties="file")
    assert len(np.unique(of_last_users.splits["test"]["user_id"])) == 1
    drawn = tm_data.from_frame(frame, split="global_time")
    assert len(np.unique(drawn.splits["test"]["user_id"])) > 3


def test_ties_file_takes_the_order_of_the_file():
    frame = by_ids(num_users=6)
    data = tm_data.from_frame(frame, split="leave_last_out", ties="file")
    for user, items in sequences(data).items():
        own = frame["item_id"][frame["user_id"] == user]
        assert items == own.astype(str).tolist()
    data = tm_data.from_frame(
        frame.sample(frac=1, random_state=0), split="random", ties="file"
    )
    file = frame.sample(frac=1, random_state=0)
    for user, items in sequences(data).items():
        own = file[file["user_id"] == user].sort_values("timestamp", kind="stable")
        assert items == own["item_id"].astype(str).tolist()
    with pytest.raises(ValueError, match="`ties` must be one of .* Got 'first'"):
        tm_data.from_frame(frame, ties="first")


def test_a_file_that_sorts_equal_times_by_id_tests_on_the_next_id_only_if_told_to():
    """Planted: the last row of a tie has the largest id of it in the file."""

    def share_of_largest(ties):
        data = tm_data.from_frame(by_ids(), split="leave_last_out", ties=ties)
        names = np.append(-1, data.vocabularies["item_id"].astype(int))
        test = names[data.splits["test"]["item_id"]]
        before = names[histories(data, "test", 12)[:, 8:11]]  # others of the last time
        return (test[:, None] > before).all(axis=1).mean()

    assert share_of_largest("file") == 1
    # A quarter of 300 users, plus or minus four standard deviations.
    assert share_of_largest("random") == pytest.approx(0.25, abs=0.1)


def oracle(frame):
    """Counts of equal times as loops over the users' rows in the order of the file."""
    counts = dict.fromkeys(
        ("tied_rows", "neighbours", "tied_neighbours", "ascending", "descending"), 0
    )
    for _, rows in frame.groupby("user_id"):
        rows = list(zip(rows["timestamp"], rows["item_id"], strict=True))
        counts["tied_rows"] += sum(
            sum(time == other for other, _ in rows) > 1 for time, _ in rows
        )
        rows = sorted(rows, key=lambda row: row[0])
        for (time, item), (later, following) in itertools.pairwise(rows):
            counts["neighbours"] += 1
            counts["tied_neighbours"] += time == later
            counts["ascending"] += time == later and following > item
            counts["descending"] += time == later and following < item
    return counts | {"rows": len(frame), "rule": "random"}


@pytest.mark.parametrize("seed", range(4))
def test_the_summary_counts_what_the_loops_count(seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(5, size=70),
            "item_id": rng.integers(8, 13, size=70),  # 8, 9, 10: not as text
            "timestamp": rng.integers(12, size=70),
        }
    )
    data = tm_data.from_frame(frame)
    assert data.summary.ties == Ties(**oracle(frame))


def test_text_ids_ascend_as_text():
    found = count_ties(
        np.zeros(3, int),
        np.array([1, 0, 2]),
        np.array(["10", "9", "x"]),
        np.zeros(3, int),
        rule="file",
    )
    assert (found.ascending, found.descending) == (1, 1)  # "9", "10", "x"


@pytest.mark.parametrize(
    ("ascending", "descending", "words"),
    [
        (100, 0, "100% of them by ascending item id"),
        (20, 90, "82% of them by descending item id"),
        (3, 0, None),  # by chance one time in eight
        (54_000, 46_000, None),  # certain and too weak to matter
        (0, 0, None),
    ],
)
@pytest.mark.parametrize("rule", ["random", "file"])
def test_a_file_far_from_a_random_order_is_named(ascending, descending, words, rule):
    pairs = ascending + descending
    found = Ties(rule, 10**6, 2 * pairs, 2 * pairs + 1, pairs, ascending, descending)
    if words is None:
        assert found.warnings == ()
    else:
        (warning,) = found.warnings
        assert words in warning
        assert ("drawn with the seed" in warning) == (rule == "random")
        assert ('`ties="file"`' in warning) == (rule == "file")


def test_the_summary_tells_of_equal_times():
    text = str(tm_data.from_frame(by_ids()).summary)
    assert "ties   3,600 rows (100.0%) have the time of another row" in text
    assert "their order is drawn with the seed" in text
    assert "warning: 82% of a user's neighbouring rows have one time" in text
    text = str(tm_data.from_frame(by_ids(), ties="file").summary)
    assert "their order is that of the file" in text
    untied = log().assign(timestamp=lambda frame: np.arange(len(frame)))
    assert "no two rows of a user have one time" in str(tm_data.from_frame(untied))
    without = tm_data.from_frame(untied.drop(columns="timestamp"), split="random")
    assert without.summary.ties is None
    assert "the table has no times" in str(without)


def test_batches_have_no_column_that_only_orders():
    data = tm_data.from_frame(log(), split="random")
    assert "tie_order" in data.splits["test"]
    assert "tie_order" not in data.batches("test", 2).element_spec
    assert "tie_order" not in tm_data.from_frame(log()).splits["test"]
