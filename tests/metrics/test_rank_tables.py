import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.metrics import RankTable, popularity_slices, rank_table


def oracle(queries, corpus, ids, positives, known):
    """Ranks by comparing every pair of scores."""
    rows = []
    for query, positive, own in zip(queries, positives, known, strict=True):
        scores = {int(i): float(query @ c) for i, c in zip(ids, corpus, strict=True)}
        target = None if positive in own else scores.get(positive)
        rivals = [
            score
            for item, score in scores.items()
            if item != positive and item not in own
        ]
        if target is None:
            rows.append((None, None, len(rivals), False))
            continue
        above = sum(score > target for score in rivals)
        tied = sum(score == target for score in rivals)
        rows.append((above, tied, len(rivals), True))
    return rows


@pytest.fixture(scope="module")
def ranked():
    rng = np.random.default_rng(7)
    corpus = rng.integers(-3, 4, size=(23, 3)).astype("float32")  # many ties
    ids = rng.permutation(100)[:23].astype("int64")
    queries = rng.integers(-3, 4, size=(17, 3)).astype("float32")
    positives = np.append(rng.choice(ids, 16), 1000)  # the last is no candidate
    known = [rng.choice(ids, rng.integers(5)).tolist() for _ in queries]
    for row in (1, 8, 15):  # the exclusions hide the positive
        known[row] += [positives[row], positives[row]]
    batches = tf.data.Dataset.from_tensor_slices(
        {
            "query": queries,
            "item_id": positives,
            "known_items": tf.ragged.constant(known, dtype=tf.int64),
        }
    ).ragged_batch(5)
    candidates = tf.data.Dataset.from_tensor_slices((ids, corpus)).batch(4)
    table = rank_table(lambda f: f["query"], candidates, batches)
    hidden = [p in own for p, own in zip(positives, known, strict=True)]
    assert table.hidden.tolist() == hidden
    return table, oracle(queries, corpus, ids, positives, known)


def test_the_table_holds_the_rank_of_every_row(ranked):
    table, expected = ranked
    for row, (above, tied, rivals, found) in enumerate(expected):
        assert table.found[row] == found
        assert table.num_candidates[row] == rivals
        if found:
            assert (table.above[row], table.tied[row]) == (above, tied)


@pytest.mark.parametrize("k", [1, 4, 30])
def test_hit_rate_is_the_chance_to_be_drawn_among_the_first_k(ranked, k):
    table, expected = ranked
    values = [
        np.mean([rank < k for rank in range(above, above + tied + 1)]) if found else 0
        for above, tied, _, found in expected
    ]
    np.testing.assert_allclose(table.values(f"hit_rate_at_{k}"), values, atol=1e-6)


def test_mrr_and_ndcg_are_means_over_the_tied_places(ranked):
    table, expected = ranked
    for metric, gain in (
        ("mrr", lambda rank: 1 / (rank + 1)),
        ("ndcg_at_6", lambda rank: (rank < 6) / np.log2(rank + 2)),
    ):
        values = [
            np.mean([gain(r) for r in range(above, above + tied + 1)]) if found else 0
            for above, tied, _, found in expected
        ]
        np.testing.assert_allclose(table.values(metric), values, atol=1e-6)


def test_auc_tie_rate_and_miss_rate_follow_from_the_ranks_too(ranked):
    table, expected = ranked
    auc, tie_rate, miss_rate = (
        table.values(metric) for metric in ("auc", "tie_rate", "miss_rate")
    )
    for row, (above, tied, rivals, found) in enumerate(expected):
        assert miss_rate[row] == 1 - found
        assert tie_rate[row] == (found and tied > 0)
        beaten = (rivals - above - tied + tied / 2) / rivals if found else 0
        assert auc[row] == pytest.approx(beaten, abs=1e-6)
    assert 0 < tie_rate.mean() < 1


def test_rows_whose_positive_is_hidden_are_misses_until_they_are_left_out(ranked):
    table, expected = ranked
    assert 3 <= table.values("hidden_rate").sum() < 8
    assert not table.values("hit_rate_at_30")[table.hidden].any()
    rest = table.take(~table.hidden)
    assert not rest.hidden.any()
    assert rest.above.tolist() == [
        above or 0
        for (above, *_), hidden in zip(expected, table.hidden, strict=True)
        if not hidden
    ]
    swapped = table.take(np.array([9, 8]))
    assert swapped.hidden.tolist() == [False, True]
    with pytest.raises(ValueError, match=r"each of the 17 queries. Got the shape \(3,"):
        table.take(np.array([True, False, True]))


def test_a_query_without_another_candidate_has_no_auc():
    none = np.zeros(2, "int32")
    table = RankTable(none, none, np.array([0, 3], "int32"), np.ones(2, bool))
    np.testing.assert_array_equal(table.values("auc"), [np.nan, 1])


@pytest.mark.parametrize("metric", ["coverage_at_10", "novelty_at_3"])
def test_metrics_of_all_recommendations_are_not_in_a_table(ranked, metric):
    with pytest.raises(ValueError, match=f"follow from the rank.*'{metric}'; `Fact"):
        ranked[0].values(metric)


def test_chance_is_a_random_order_of_the_candidates():
    table = RankTable(
        above=np.array([0, 3]),
        tied=np.array([0, 1]),
        num_candidates=np.array([9, 19]),
        found=np.array([True, True]),
    )
    np.testing.assert_allclose(
        table.chance().values("hit_rate_at_5"), [5 / 10, 5 / 20], rtol=1e-6
    )


def test_without_exclusion_all_candidates_compete():
    batches = tf.data.Dataset.from_tensors(
        {"query": tf.ones([1, 1]), "item_id": tf.constant([3])}
    )
    candidates = tf.data.Dataset.from_tensors(
        (tf.range(5), tf.constant([[5.0], [4.0], [3.0], [2.0], [1.0]]))
    )
    table = rank_table(lambda f: f["query"], candidates, batches, exclude=None)
    assert table.above.tolist() == [3]
    assert table.num_candidates.tolist() == [4]


def test_an_unknown_metric_is_named(ranked):
    with pytest.raises(ValueError, match=r"hit_rate_at_10.*Got 'recall'"):
        ranked[0].values("recall")


def test_head_torso_and_tail_hold_a_third_of_the_rows_each():
    rng = np.random.default_rng(0)
    counts = rng.permutation(1000 / np.arange(1, 501))
    share = counts / counts.sum()
    names = popularity_slices(share)
    for name in ("head", "torso", "tail"):
        assert abs(share[names == name].sum() - 1 / 3) < share.max()


def test_no_torso_item_is_more_popular_than_a_head_item():
    share = np.random.default_rng(1).dirichlet(np.ones(200))
    names = popularity_slices(share)
    assert share[names == "head"].min() >= share[names == "torso"].max()
    assert share[names == "torso"].min() >= share[names == "tail"].max()


def test_items_without_a_training_row_are_cold():
    names = popularity_slices(np.array([0.0, 0.5, 0.3, 0.2, 0.0]))
    assert names.tolist() == ["cold", "head", "torso", "tail", "cold"]
