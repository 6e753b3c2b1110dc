"""Ranks with trends against loops over rows and items."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm

DAY = 86_400
RNG = np.random.default_rng(3)


def test_ranks_are_over_the_items_as_they_were_at_each_rows_time():
    num_items, dim, number = 7, 3, 12
    table = tm.data.TrendTable(
        RNG.integers(1, num_items + 1, 40),
        RNG.integers(0, 10 * DAY, 40),
        num_items=num_items,
        half_lives_days=[0.5, 4.0],
    )
    queries = RNG.normal(size=(number, dim + 4)).astype("float32")
    embeddings = RNG.normal(size=(num_items, dim)).astype("float32")
    rows = {
        "user_id": RNG.integers(0, 3, number),
        "item_id": RNG.integers(1, num_items + 1, number),
        "timestamp": RNG.integers(0, 12 * DAY, number),
    }
    exclusions = tf.ragged.constant([[], [2, 5], [1]], dtype=tf.int64)
    ranks = tm.metrics.rank_with_trends(
        queries, embeddings, table, rows, exclusions=exclusions
    )
    for row in range(number):
        trends = table.at(int(rows["timestamp"][row]))[1:]
        scores = [
            queries[row, :dim] @ embeddings[i] + queries[row, dim:] @ trends[i]
            for i in range(num_items)
        ]
        had = exclusions[rows["user_id"][row]].numpy().tolist()
        own = rows["item_id"][row]
        above = sum(
            scores[i - 1] > scores[own - 1] + 1e-6
            for i in range(1, num_items + 1)
            if i not in had and i != own
        )
        assert ranks.hidden[row] == (own in had)
        if own not in had:
            assert ranks.above[row] == above


def test_queries_of_another_width_are_refused():
    table = tm.data.TrendTable([1], [0], num_items=2, half_lives_days=[1.0])
    with pytest.raises(
        ValueError, match="`queries` must have 2 dimensions .* 3 of the"
    ):
        tm.metrics.trend_scores(np.ones([1, 4]), np.eye(2), table, np.array([5]))
