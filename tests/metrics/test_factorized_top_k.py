import numpy as np
import pytest
import tensorflow as tf

from tests import oracles
from tfrs_models import layers, metrics

KS = (1, 2, 5)
EXTRA = ("mrr", "ndcg_at_3", "auc", "tie_rate", "miss_rate", "hidden_rate")


def whole_numbers(rng, *shape):
    """Embeddings whose scores are exact, so that ties are plenty and certain."""
    return rng.integers(-2, 3, size=shape).astype("float32")


def dataset(embeddings, ids=None, batch=4):
    values = embeddings if ids is None else (ids, embeddings)
    return tf.data.Dataset.from_tensor_slices(values).batch(batch)


def results(metric):
    """Values by the last part of their names."""
    return {m.name.split("/")[1]: float(m.result()) for m in metric.metrics}


def ragged(rows, dtype="int32"):
    flat = np.array([i for row in rows for i in row]).astype(dtype)
    return tf.RaggedTensor.from_row_lengths(flat, [len(row) for row in rows])


def oracle(
    queries,
    corpus,
    positives,
    *,
    weights=None,
    excluded=None,
    ties="expected",
    leave_out=False,
):
    """Weighted means of all metrics; a positive of -1 or one that is hidden is a miss.

    Where hidden positives are left out, their rows have no weight.
    """
    weights = np.ones(len(queries)) if weights is None else np.asarray(weights)
    all_weights = weights
    excluded = [[]] * len(queries) if excluded is None else excluded
    hidden = [p >= 0 and p in e for p, e in zip(positives, excluded, strict=True)]
    if leave_out:
        weights = np.where(hidden, 0, weights)
    above, tied, competing = oracles.ranks(
        oracles.scores(queries, corpus), positives, excluded
    )

    def mean(values, weights=weights):  # of nothing: 0
        if not sum(weights):
            return 0.0
        return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)

    def values(kind, k=None):
        return [
            0.0
            if number is None
            else oracles.expected(kind, a, t, ties=ties, k=k, competing=number)
            for a, t, number in zip(above, tied, competing, strict=True)
        ]

    out = {f"top_{k}_categorical_accuracy": mean(values("hits", k)) for k in KS}
    out["mrr"], out["ndcg_at_3"] = mean(values("mrr")), mean(values("ndcg", 3))
    out["auc"] = mean(values("auc"))
    out["tie_rate"] = mean([float(t > 0) for t in tied])
    out["miss_rate"] = mean([float(number is None) for number in competing])
    out["hidden_rate"] = mean(map(float, hidden), all_weights)
    return out


def assert_results(metric, expected):
    got = results(metric)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, err_msg=name)


def test_the_names_are_upstreams():
    names = [m.name for m in metrics.FactorizedTopK(dataset(np.eye(3, 2))).metrics]
    assert names == [
        f"factorized_top_k/top_{k}_categorical_accuracy" for k in (1, 5, 10, 50, 100)
    ]
    metric = metrics.FactorizedTopK(
        dataset(np.eye(3, 2)), ks=[3], name="items", metrics=["mrr", "ndcg_at_7"]
    )
    assert [m.name for m in metric.metrics] == [
        "items/top_3_categorical_accuracy",
        "items/mrr",
        "items/ndcg_at_7",
    ]


@pytest.mark.parametrize(
    ("ties", "hidden"),
    [
        ("expected", "miss"),
        ("pessimistic", "leave-out"),
        ("optimistic", "miss"),
        ("expected", "leave-out"),
    ],
)
@pytest.mark.parametrize("num_heads", [None, 3])
def test_every_value_is_the_loops_over_batches_weights_and_exclusions(
    ties, hidden, num_heads
):
    rng = np.random.default_rng(11)
    ids = rng.permutation(np.arange(100, 119))
    corpus = whole_numbers(rng, 19, 3)
    shape = (13, 3) if num_heads is None else (13, num_heads, 3)
    queries = whole_numbers(rng, *shape)
    positives = rng.integers(-1, 19, size=13)
    positives[4] = -1
    weights = rng.uniform(size=13)
    excluded = [rng.integers(-3, 22, size=n % 7).tolist() for n in range(13)]
    for row in (2, 6, 11):  # the row's own positive is among them, once or twice
        excluded[row] += [positives[row]] * (row % 2 + 1)
    metric = metrics.FactorizedTopK(
        dataset(corpus, ids), ks=KS, ties=ties, metrics=EXTRA, hidden=hidden
    )
    for rows in (slice(0, 5), slice(5, 13)):
        metric.update_state(
            tf.constant(queries[rows]),
            tf.zeros_like(queries[rows]),
            tf.constant([ids[p] if p >= 0 else 7 for p in positives[rows]]),
            tf.constant(weights[rows], tf.float32),
            exclude=ragged(
                [[ids[i] if 0 <= i < 19 else 7 for i in e] for e in excluded[rows]],
                "int64",
            ),
        )
    assert_results(
        metric,
        oracle(
            queries,
            corpus,
            positives,
            weights=weights,
            excluded=excluded,
            ties=ties,
            leave_out=hidden == "leave-out",
        ),
    )


@pytest.mark.parametrize("source", ["dataset", "streaming", "brute_force"])
@pytest.mark.parametrize("by_id", [True, False])
def test_datasets_and_exact_indexes_give_the_same_values(source, by_id):
    rng = np.random.default_rng(2)
    corpus, queries = rng.normal(size=(17, 4)), rng.normal(size=(9, 4))
    corpus, queries = corpus.astype("float32"), queries.astype("float32")
    ids = np.array([f"item {i}" for i in rng.permutation(17)])
    positives = rng.integers(17, size=9)
    candidates = dataset(corpus, ids)
    if source != "dataset":
        layer = {"streaming": layers.Streaming, "brute_force": layers.BruteForce}
        candidates = layer[source]().index_from_dataset(candidates)
    metric = metrics.FactorizedTopK(candidates, ks=KS, metrics=EXTRA)
    metric.update_state(queries, corpus[positives], ids[positives] if by_id else None)
    assert_results(metric, oracle(queries, corpus, positives))


def test_without_ids_the_positions_are_the_ids():
    rng = np.random.default_rng(4)
    corpus, queries = whole_numbers(rng, 11, 3), whole_numbers(rng, 6, 3)
    positives = rng.integers(11, size=6)
    metric = metrics.FactorizedTopK(dataset(corpus), ks=KS, metrics=EXTRA)
    metric.update_state(queries, queries, positives)
    assert_results(metric, oracle(queries, corpus, positives))


def test_ids_beyond_the_range_of_the_positions_are_misses():
    metric = metrics.FactorizedTopK(dataset(np.eye(4)), ks=[4], metrics=["miss_rate"])
    metric.update_state(np.eye(2, 4), np.eye(2, 4), tf.constant([2**32 + 3, 2**40]))
    assert results(metric) == {"top_4_categorical_accuracy": 0.0, "miss_rate": 1.0}


def test_neighbouring_ids_beyond_the_exact_floats_are_told_apart():
    ids = np.array([2**53, 2**53 + 1, -(2**62), -(2**62) + 1])
    corpus = np.diag([1.0, 2.0, 3.0, 4.0]).astype("float32")
    metric = metrics.FactorizedTopK(dataset(corpus, ids), ks=[1])
    metric.update_state(tf.ones([4, 4]), corpus, ids)
    assert results(metric) == {"top_1_categorical_accuracy": 0.25}


@pytest.mark.parametrize("by_id", [True, False])
def test_a_collapsed_model_scores_at_chance(by_id):
    corpus = np.tile(np.float32([[0.3, -1.7, 0.9]]), [50, 1])
    queries = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    metric = metrics.FactorizedTopK(dataset(corpus), ks=[1, 10, 50], metrics=["auc"])
    metric.update_state(queries, corpus[:8], np.arange(8) if by_id else None)
    np.testing.assert_allclose(list(results(metric).values()), [0.02, 0.2, 1, 0.5])


def test_a_k_above_the_number_of_candidates_is_always_a_hit():
    metric = metrics.FactorizedTopK(dataset(np.eye(3)), ks=[3, 100])
    metric.update_state(-np.eye(3), np.eye(3), np.arange(3))
    assert list(results(metric).values()) == [1.0, 1.0]


def test_exclusions_make_room_for_others_and_hide_the_own_positive():
    corpus = np.diag(np.arange(1.0, 6.0)).astype("float32")  # item 4 scores highest
    metric = metrics.FactorizedTopK(dataset(corpus), ks=[1, 3])
    metric.update_state(
        tf.ones([3, 5]),
        corpus[:3],
        tf.constant([2, 1, 2]),
        exclude=tf.constant([[4, 3, 2], [4, 4, 4], [4, 3, 3]]),  # dense
    )
    np.testing.assert_allclose(list(results(metric).values()), [1 / 3, 2 / 3])


def test_rows_whose_positive_is_hidden_can_be_left_out_and_are_counted():
    corpus = np.diag(np.arange(1.0, 6.0)).astype("float32")
    metric = metrics.FactorizedTopK(dataset(corpus), ks=[1], hidden="leave-out")
    metric.update_state(
        tf.ones([4, 5]),
        corpus[:4],
        tf.constant([2, 4, 1, 4]),
        tf.constant([3.0, 1.0, 2.0, 2.0]),
        exclude=ragged([[4, 3, 2], [], [3, 4], [0, 4]]),
    )
    # The first and the last row are left out: 5 of 8 by weight. One of the others hits.
    assert results(metric) == pytest.approx(
        {"top_1_categorical_accuracy": 1 / 3, "hidden_rate": 5 / 8}
    )


@pytest.mark.parametrize("hidden", ["miss", "leave-out"])
def test_an_evaluation_of_repeats_only_has_no_hit(hidden):
    metric = metrics.FactorizedTopK(
        dataset(np.eye(4)), ks=[1, 4, 9], metrics=["mrr", "auc"], hidden=hidden
    )
    metric.update_state(
        tf.ones([2, 4]),
        tf.ones([2, 4]),
        tf.constant([0, 3]),
        exclude=ragged([[0, 1, 2, 3], [3, 1]]),  # all items; more than one is left
    )
    assert list(results(metric).values())[:5] == [0.0] * 5


def test_the_table_of_exclusions_is_read_by_query_id_and_joins_those_of_the_row():
    rng = np.random.default_rng(8)
    corpus, queries = whole_numbers(rng, 12, 3), whole_numbers(rng, 4, 3)
    positives, users = rng.integers(12, size=4), [2, 0, 2, 1]
    table = [[1, 5], [], [0, 3, 7, 9]]
    of_row = [[2], [2, 4], [], [11]]
    metric = metrics.FactorizedTopK(
        dataset(corpus), ks=KS, metrics=EXTRA, exclude=ragged(table)
    )
    metric.update_state(
        queries,
        queries,
        positives,
        query_ids=tf.constant(users),
        exclude=ragged(of_row),
    )
    excluded = [table[user] + row for user, row in zip(users, of_row, strict=True)]
    assert_results(metric, oracle(queries, corpus, positives, excluded=excluded))


def test_exclusion_works_at_any_magnitude_of_the_scores():
    corpus = np.diag([3e30, 2e30, 1e30, -1e30]).astype("float32")
    metric = metrics.FactorizedTopK(dataset(corpus), ks=[1])
    metric.update_state(
        tf.ones([1, 4]), corpus[2:3], tf.constant([2]), exclude=tf.constant([[0, 1]])
    )
    assert list(results(metric).values()) == [1.0]


def test_auc_leaves_out_queries_without_a_rival_and_counts_misses():
    metric = metrics.FactorizedTopK(
        dataset(np.diag([2.0, 1.0])), ks=[1], metrics=["auc"]
    )
    metric.update_state(
        tf.ones([3, 2]),
        tf.ones([3, 2]),
        tf.constant([0, 0, 9]),  # beats one rival; has none; is no candidate
        exclude=ragged([[], [1], []]),
    )
    np.testing.assert_allclose(results(metric)["auc"], 0.5)


@pytest.mark.parametrize("ties", ["expected", "pessimistic", "optimistic"])
def test_a_miss_is_a_miss_whatever_is_excluded(ties):
    metric = metrics.FactorizedTopK(
        dataset(np.eye(4)), ks=[1, 4], ties=ties, metrics=["mrr", "ndcg_at_2", "auc"]
    )
    metric.update_state(
        tf.ones([2, 4]),
        tf.ones([2, 4]),
        tf.constant([9, 9]),
        exclude=ragged([[0, 3], [0, 1, 2, 3]]),
    )
    assert list(results(metric).values()) == [0.0] * 5


def recommended(scores, excluded, k):
    order = [j for j in np.argsort(-scores, kind="stable") if j not in excluded]
    return order[:k]


@pytest.mark.parametrize("most_excluded", [4, 9])
@pytest.mark.parametrize("num_heads", [None, 2])
def test_coverage_and_novelty_look_at_what_serving_would_show(most_excluded, num_heads):
    rng = np.random.default_rng(6)
    shape = (5, 3) if num_heads is None else (5, num_heads, 3)
    corpus, queries = rng.normal(size=(10, 3)), rng.normal(size=shape)
    probability = rng.dirichlet(np.ones(10))
    probability[3] = 0  # nobody had it yet: as surprising as the rarest
    excluded = [
        rng.choice(10, size=n, replace=False).tolist()
        for n in (0, most_excluded, 1, most_excluded, 2)
    ]
    positives = [next(j for j in range(10) if j not in e) for e in excluded]
    metric = metrics.FactorizedTopK(
        dataset(corpus.astype("float32")),
        ks=[1],
        metrics=["coverage_at_3", "novelty_at_3"],
        candidate_probabilities=tf.constant(probability, tf.float32),
    )
    seen, surprise = set(), []
    for rows in (slice(0, 2), slice(2, 5)):
        metric.update_state(
            tf.constant(queries[rows], tf.float32),
            tf.zeros([rows.stop - rows.start, 3]),
            tf.constant(positives[rows]),
            exclude=ragged(excluded[rows]),
        )
    floor = min(p for p in probability if p > 0)
    for row, e in zip(oracles.scores(queries, corpus), excluded, strict=True):
        for item in recommended(row, e, 3):
            seen.add(item)
            surprise.append(-np.log2(max(probability[item], floor)))
    assert results(metric)["coverage_at_3"] == pytest.approx(len(seen) / 10)
    assert results(metric)["novelty_at_3"] == pytest.approx(np.mean(surprise), rel=1e-5)


@pytest.mark.parametrize("hidden", ["miss", "leave-out"])
def test_an_approximate_index_is_judged_by_id(hidden):
    rng = np.random.default_rng(1)
    corpus = rng.normal(size=(300, 8)).astype("float32")
    queries = rng.normal(size=(20, 8)).astype("float32")
    ids = np.array([f"i{i}" for i in range(300)])
    positives = np.argsort(-queries @ corpus.T)[np.arange(20), rng.integers(8, size=20)]
    index = layers.ScaNN(
        num_leaves=1, num_leaves_to_search=1, num_reordering_candidates=300
    ).index(corpus, ids)
    metric = metrics.FactorizedTopK(index, ks=KS, hidden=hidden)
    excluded = [rng.choice(300, size=n, replace=False).tolist() for n in range(20)]
    for row in (0, 3, 17):
        excluded[row].append(positives[row])
    weights = rng.uniform(size=20)
    metric.update_state(
        queries,
        queries,
        tf.constant(ids[positives]),
        tf.constant(weights, tf.float32),
        exclude=ragged([ids[e] for e in excluded], "str"),
    )
    expected = oracle(
        queries,
        corpus,
        positives,
        weights=weights,
        excluded=excluded,
        leave_out=hidden == "leave-out",
    )
    assert ("hidden_rate" in results(metric)) == (hidden == "leave-out")
    assert_results(metric, {name: expected[name] for name in results(metric)})


@pytest.mark.parametrize(
    "index",
    [
        lambda: layers.IVF(),
        lambda: layers.ScaNN(
            num_leaves=1, num_leaves_to_search=1, num_reordering_candidates=40
        ),
    ],
)
def test_an_approximate_index_smaller_than_the_largest_k_still_answers(index):
    rng = np.random.default_rng(1)
    corpus = rng.normal(size=(40, 8)).astype("float32")
    index = index().index(corpus)
    metric = metrics.FactorizedTopK(index, ks=[40, 100])
    metric.update_state(corpus[:3], corpus[:3], tf.range(3))
    assert list(results(metric).values()) == [1.0, 1.0]


def test_a_place_that_scann_could_not_fill_is_nobodys_hit():
    rng = np.random.default_rng(1)
    corpus = rng.normal(size=(300, 8)).astype("float32")
    index = layers.ScaNN(num_leaves=100, num_leaves_to_search=1)
    scores, _ = index.index(corpus)(corpus[:20], k=10)
    row = int(np.argmax(np.isneginf(scores).sum(axis=1)))
    assert np.isneginf(scores[row]).any()
    metric = metrics.FactorizedTopK(index, ks=[10])  # a free place is called -1
    metric.update_state(corpus[row : row + 1], corpus[:1], tf.constant([-1]))
    assert list(results(metric).values()) == [0.0]


def test_graph_and_eager_agree():
    rng = np.random.default_rng(9)
    corpus, queries = whole_numbers(rng, 12, 3), whole_numbers(rng, 7, 3)
    positives = rng.integers(-1, 12, size=7)
    excluded = ragged([rng.integers(12, size=n).tolist() for n in range(7)])
    extra = (*EXTRA, "coverage_at_2")
    eager = metrics.FactorizedTopK(dataset(corpus), ks=KS, metrics=extra)
    graph = metrics.FactorizedTopK(dataset(corpus), ks=KS, metrics=extra)

    @tf.function
    def update(queries, positives, excluded):
        graph.update_state(queries, queries, positives, exclude=excluded)

    for rows in (slice(0, 4), slice(4, 7)):  # another batch size
        update(tf.constant(queries[rows]), tf.constant(positives[rows]), excluded[rows])
        eager.update_state(
            queries[rows], queries[rows], positives[rows], exclude=excluded[rows]
        )
    assert results(graph) == pytest.approx(results(eager))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_embeddings_of_any_float_dtype_are_ranked_in_float32(dtype):
    rng = np.random.default_rng(9)
    corpus, queries = whole_numbers(rng, 12, 3), whole_numbers(rng, 7, 3)
    positives = rng.integers(12, size=7)
    metric = metrics.FactorizedTopK(
        dataset(tf.cast(corpus, dtype)), ks=KS, metrics=EXTRA
    )
    metric.update_state(
        tf.cast(queries, dtype), tf.cast(corpus[positives], dtype), positives
    )
    assert_results(metric, oracle(queries, corpus, positives))


@pytest.mark.parametrize("shape", [(7,), (7, 1)])
def test_ids_and_weights_may_be_columns(shape):
    rng = np.random.default_rng(9)
    corpus, queries = whole_numbers(rng, 12, 3), whole_numbers(rng, 7, 3)
    positives, weights = rng.integers(12, size=7), rng.uniform(size=7)
    metric = metrics.FactorizedTopK(dataset(corpus), ks=KS, metrics=EXTRA)
    metric.update_state(
        queries,
        queries,
        positives.reshape(shape),
        tf.constant(weights.reshape(shape), tf.float32),
    )
    assert_results(metric, oracle(queries, corpus, positives, weights=weights))


def test_reset_states_forgets_everything():
    metric = metrics.FactorizedTopK(
        dataset(np.eye(3)), ks=[1], metrics=["mrr", "coverage_at_1"]
    )
    metric.update_state(np.eye(3), np.eye(3), tf.range(3))
    assert [float(value) for value in metric.result()] == [1.0, 1.0, 1.0]
    metric.reset_states()
    assert [float(value) for value in metric.result()] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ks": [5, 0]}, r"`k` of `ks` must be at least 1. Got 0"),
        ({"ks": [2.5]}, r"`k` of `ks` must be a whole number from 1. Got 2.5"),
        ({"hidden": "hit"}, r"`hidden` must be 'miss' or 'leave-out'.*Got 'hit'"),
        ({"ties": "lucky"}, r"`ties` must be one of .*Got 'lucky'"),
        ({"metrics": ["ndcg"]}, r"`metrics` must be .*Got 'ndcg'"),
        ({"metrics": ["recall_at_3"]}, r"`metrics` must be .*Got 'recall_at_3'"),
        ({"metrics": ["novelty_at_3"]}, r"Novelty needs `candidate_probabilities`"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.FactorizedTopK(dataset(np.eye(3)), **arguments)


def test_candidates_must_be_a_dataset_or_an_index_that_holds_some():
    with pytest.raises(ValueError, match=r"`candidates` must be .*Got ndarray"):
        metrics.FactorizedTopK(np.eye(3))
    with pytest.raises(ValueError, match=r"call its `index`"):
        metrics.FactorizedTopK(layers.BruteForce())


def test_what_an_approximate_index_cannot_do_is_said():
    index = layers.ScaNN(num_leaves=1, num_leaves_to_search=1).index(
        np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    )
    with pytest.raises(ValueError, match=r"approximate index.*\(ScaNN\).*'mrr'"):
        metrics.FactorizedTopK(index, metrics=["mrr"])
    metric = metrics.FactorizedTopK(index, ks=[1])
    with pytest.raises(ValueError, match="`true_candidate_ids` must be given"):
        metric.update_state(tf.ones([1, 4]), tf.ones([1, 4]))


def test_missing_ids_are_asked_for():
    one = tf.ones([1, 3])
    metric = metrics.FactorizedTopK(dataset(np.eye(3)), ks=[1])
    with pytest.raises(ValueError, match="`true_candidate_ids` must be given"):
        metric.update_state(one, one, exclude=tf.constant([[1]]))
    with pytest.raises(ValueError, match="`true_candidate_ids` must be given"):
        metric.update_state(one[:, None], one)  # several heads
    metric = metrics.FactorizedTopK(dataset(np.eye(3)), ks=[1], exclude=ragged([[1]]))
    with pytest.raises(ValueError, match="`query_ids` must be given"):
        metric.update_state(one, one, tf.constant([0]))


def test_widths_that_differ_are_told():
    metric = metrics.FactorizedTopK(dataset(np.eye(3)), ks=[1])
    with pytest.raises(ValueError, match=r"same width.*queries of 2.*candidates of 3"):
        metric.update_state(tf.ones([1, 2]), tf.ones([1, 2]), tf.constant([0]))


def test_an_empty_corpus_is_told():
    metric = metrics.FactorizedTopK(dataset(np.zeros([0, 3], "float32")), ks=[1])
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match="no candidate"
    ):
        metric.update_state(tf.ones([1, 3]), tf.ones([1, 3]), tf.constant([0]))


def test_embeddings_that_are_not_finite_name_the_tower():
    bad = np.float32([[1, np.nan, 0]])
    metric = metrics.FactorizedTopK(dataset(np.eye(3)), ks=[1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="query tower"):
        metric.update_state(bad, bad, tf.constant([0]))
    metric = metrics.FactorizedTopK(dataset(np.vstack([np.eye(3), bad])), ks=[1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="candidate tower"):
        metric.update_state(tf.ones([1, 3]), tf.ones([1, 3]), tf.constant([0]))
