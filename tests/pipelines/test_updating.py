"""An update trains on what is new, and on a share of the rest."""

import numpy as np
import pandas as pd
import pytest

import tfrs_models as tm
from pipelines import retrieval
from pipelines.parts import query_towers, updating


def frame(num_rows):
    rng = np.random.default_rng(5)
    pairs = rng.permutation(20 * 30)[:300]
    return pd.DataFrame(
        {
            "user_id": [f"u{pair // 30}" for pair in pairs],
            "item_id": [f"i{pair % 30}" for pair in pairs],
            "timestamp": 1_600_000_000 + 3_600 * np.arange(300),
        }
    ).head(num_rows)


def data_of(num_rows):
    data = tm.data.from_frame(
        frame(num_rows),
        split="global_time",
        validation_fraction=0.0,
        test_fraction=10 / num_rows,
    )
    return tm.data.with_histories(data, 4)


@pytest.fixture(scope="module")
def both():
    return data_of(200), data_of(230)


def test_rows_are_known_by_user_item_and_time_whatever_their_index(both):
    then, data = both
    known = updating.known_rows(data, then, ["train"])["train"]
    # The first 190 rows were train rows; the rows of data are in the order of time.
    np.testing.assert_array_equal(known, np.arange(220) < 190)
    tested = updating.known_rows(data, then, ["test"])["train"]
    np.testing.assert_array_equal(np.flatnonzero(tested), np.arange(190, 200))


@pytest.mark.parametrize("query_tower", ["history", "id"])
@pytest.mark.parametrize("replay", [0.0, 1.0])
def test_all_new_rows_are_learned_and_only_the_share_of_old_ones(
    both, query_tower, replay
):
    then, data = both
    config = query_towers.resolved(
        retrieval.Config(query_tower=query_tower, history_length=4)
    )
    is_new = ~updating.known_rows(data, then, ["train"])["train"]
    rows = updating.rows_to_learn(config, data, is_new, replay=replay, seed=0)
    if query_tower == "id":
        expected = np.arange(len(is_new)) if replay else np.flatnonzero(is_new)
        np.testing.assert_array_equal(rows, expected)
        return
    windows = query_towers.windows_of(config, data)
    if replay:
        assert len(rows) == len(windows.user_id)
        return
    train = data.splits["train"]
    new = set(zip(train["user_id"][is_new], train["timestamp"][is_new], strict=True))
    for number, user in enumerate(windows.user_id):
        has_new = any((user, time) in new for time in windows.timestamp[number])
        assert (number in rows) == has_new
    learned = windows.timestamp[rows]
    assert {time for _, time in new} <= set(learned.ravel())
