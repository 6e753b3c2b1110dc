import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.metrics import rank_scores


def oracle(scores, positive, known):
    """(above, tied, rivals, found, hidden) by comparing pairs of scores."""
    rivals = [
        item
        for item in range(1, len(scores) + 1)
        if item != positive and item not in known
    ]
    if not 1 <= positive <= len(scores):
        return 0, 0, len(rivals), False, False
    if positive in known:
        return 0, 0, len(rivals), False, True
    own = scores[positive - 1]
    values = [scores[item - 1] for item in rivals]
    if np.isnan(own):
        return len(rivals), 0, len(rivals), True, False
    above = sum(bool(np.isnan(value) or value > own) for value in values)
    tied = sum(value == own for value in values)
    return above, tied, len(rivals), True, False


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(3)
    scores = rng.integers(4, size=(8, 11)).astype("float32")  # many ties
    scores[2, 3] = scores[5, 1] = np.nan
    rows = {
        "user_id": rng.integers(8, size=40),
        "item_id": np.append(rng.integers(1, 12, size=38), [0, 12]),  # two misses
        "timestamp_us": rng.integers(9, size=40),
    }
    rows["user_id"][0], rows["item_id"][0] = 2, 4  # its own score is not a number
    known = [rng.integers(0, 13, rng.integers(6)).tolist() for _ in range(8)]
    return scores, rows, known


@pytest.mark.parametrize("block_size", [None, 1, 7, 100])
@pytest.mark.parametrize("exclude", [True, False])
def test_the_table_holds_the_rank_of_every_row(case, block_size, exclude):
    scores, rows, known = case
    table = rank_scores(
        lambda users, times: scores[users] + 0 * times[:, None],
        rows,
        exclusions=tf.ragged.constant(known, dtype=tf.int64) if exclude else None,
        block_size=block_size,
    )
    for row, (user, item) in enumerate(
        zip(rows["user_id"], rows["item_id"], strict=True)
    ):
        expected = oracle(scores[user], item, set(known[user]) if exclude else set())
        found = (
            table.above[row],
            table.tied[row],
            table.num_candidates[row],
            table.found[row],
            table.hidden[row],
        )
        assert found == expected
    assert table.hidden.any() == exclude


def test_scores_are_computed_in_the_order_of_time():
    seen = []

    def score(users, times):
        seen.extend(times)
        return np.zeros((len(users), 3))

    times = np.array([5, 2, 9, 2])
    rows = {"user_id": np.ones(4, int), "item_id": np.ones(4, int), "timestamp": times}
    assert len(rank_scores(score, rows, block_size=3)) == 4
    assert seen == [2 * 10**6, 2 * 10**6, 5 * 10**6, 9 * 10**6]


def test_rows_without_times_have_none():
    rows = {"user_id": np.array([1]), "item_id": np.array([2])}
    table = rank_scores(lambda _, times: [[0, 1, times is None]], rows)
    assert (table.above[0], table.tied[0]) == (0, 1)


def test_no_row_is_an_empty_table():
    rows = {"user_id": np.zeros(0, int), "item_id": np.zeros(0, int)}
    assert len(rank_scores(lambda *_: np.zeros((0, 3)), rows)) == 0


def test_wrong_sizes_are_refused():
    rows = {"user_id": np.array([1]), "item_id": np.array([2])}
    with pytest.raises(ValueError, match="`block_size` must be positive"):
        rank_scores(lambda *_: np.zeros((1, 3)), rows, block_size=0)
    with pytest.raises(ValueError, match="Got shape \\(3,\\) for 1 rows"):
        rank_scores(lambda *_: np.zeros(3), rows)
