"""The cascade with a ranker of lists beside its parts, and its export."""

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

import tfrs_models as tm

USERS, ITEMS, SHOWN = 5, 12, 6
RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(ITEMS + 1, 4)).astype("float32")
EMBEDDINGS[0] = 0
HISTORY = np.array([[0, 0, 0], [1, 2, 0], [3, 0, 0], [9, 4, 5], [6, 7, 8], [2, 9, 1]])
TIMES = np.where(HISTORY > 0, 10**9 + 100 * np.arange(3) + HISTORY, 0)


class Query(tf.keras.layers.Layer):
    def call(self, features):
        return tf.reduce_sum(tf.gather(EMBEDDINGS, features["history"]), axis=1)


@pytest.fixture(scope="module")
def cascade():
    tf.keras.utils.set_random_seed(0)
    index = tm.layers.BruteForce(k=SHOWN).index(EMBEDDINGS[1:], np.arange(1, ITEMS + 1))
    retriever = tm.serving.Recommender(
        Query(),
        index,
        user_ids=[f"u{n}" for n in range(1, USERS + 1)],
        user_features={"history": HISTORY, "history_timestamp": TIMES},
        item_ids=[f"i{n}" for n in range(1, ITEMS + 1)],
        titles=["", *(f"Title {n}" for n in range(1, ITEMS + 1))],
        known_items=tf.ragged.constant(
            [[i for i in row if i] for row in HISTORY.tolist()], dtype=tf.int64
        ),
        candidate_probabilities=np.append(0, RNG.dirichlet(np.ones(ITEMS))),
    )
    similar = RNG.random((ITEMS + 1, ITEMS + 1)) * (RNG.random((ITEMS + 1,) * 2) < 0.5)
    features = tm.models.CandidateFeatures(
        EMBEDDINGS,
        {"knn": scipy.sparse.csr_array(similar)},
        item_features=RNG.normal(size=(ITEMS + 1, 1)),
        trends=RNG.normal(size=(ITEMS + 1, 2)),
        seq_len=2,
    )
    ranker = tm.models.ListRanker(num_heads=2, hidden_units=[5])
    items, scores = np.ones([1, SHOWN], int), np.ones([1, SHOWN])
    ranker.rank(features(items, scores, {"history": HISTORY[1:2]}))  # makes weights
    for weight in ranker.trainable_weights:
        weight.assign(tf.random.normal(weight.shape))
    return tm.models.Cascade(
        retriever, ranker, candidate_features=features, num_retrieved=SHOWN
    )


def request(users, **more):
    blank = np.full([len(users), 1], "", object)
    return {
        "user_id": np.array(users, object),
        "k": np.full(len(users), SHOWN, np.int32),
        "exclude_seen": np.full(len(users), True),
        "exclusions": blank,
        "filters": {},
    } | more


def live(history, **more):
    history = np.array(history, object)
    times = np.where(history == "", 0, 10**9 + 500)
    values = {
        "history": history,
        "history_time": times,
        "time": np.full(len(history), 0),
    }
    return values | {"append": np.full(len(history), True)} | more


def test_lists_are_in_the_order_of_the_ranker(cascade):
    """Retrieval, features and ranker, one after the other."""
    answer = cascade.recommend(**request(["u1", "u3", "u5"]))
    changed = False
    for row, user in enumerate([1, 3, 5]):
        past = {"history": HISTORY[[user]], "history_timestamp": TIMES[[user]]}
        scores = EMBEDDINGS @ EMBEDDINGS[HISTORY[user]].sum(axis=0)
        scores[[0, *HISTORY[user]]] = -np.inf
        items = np.argsort(-scores)[:SHOWN]
        lists = cascade.candidate_features(items[None], scores[items][None], past)
        ranked = cascade.ranker.rank(lists)["score"].numpy()[0]
        order = np.argsort(-ranked)
        found = [int(i[1:]) for i in answer["item_id"][row].numpy().astype(str)]
        assert found == items[order].tolist()
        changed |= found != items.tolist()
        np.testing.assert_allclose(answer["score"][row], ranked[order], rtol=1e-4)
        np.testing.assert_allclose(
            answer["retrieval_score"][row], scores[items][order], rtol=1e-4
        )
    assert changed


def test_a_user_without_a_history_gets_what_is_popular_in_its_order(cascade):
    answer = cascade.recommend(**request(["nobody"]))
    assert (np.diff(answer["retrieval_score"].numpy()[0]) <= 0).all()


def test_a_history_of_a_request_counts_like_one_that_is_known(cascade):
    known = cascade.recommend(**request(["u1"]))
    times = TIMES[[1], :2]
    shown = live([["i1", "i2"]], history_time=times)
    visitor = cascade.recommend_history(**request([""]), live=shown)
    for name in ("item_id", "score", "retrieval_score"):
        np.testing.assert_array_equal(visitor[name], known[name])
    assert visitor["personal"].numpy().all()
    added = cascade.recommend_history(**request(["u1"]), live=live([["i9", "?"]]))
    assert added["num_unknown"].numpy().tolist() == [1]
    assert "i9" not in added["item_id"].numpy().astype(str)
    assert (added["score"].numpy() != known["score"].numpy()).any()


def test_the_export_answers_the_same(cascade, tmp_path):
    path = tm.serving.export(cascade, tmp_path)
    tm.serving.contract.verify(path)
    loaded = tf.saved_model.load(str(path))
    asked = request(["u2", "nobody", "u4"])
    asked.pop("filters")
    more = live([["i1", ""], ["i3", "i2"], ["", ""]])
    for name, function, values in (
        ("serving_default", cascade.recommend, {}),
        ("history", cascade.recommend_history, {"live": more}),
    ):
        flat = {k: tf.constant(v) for k, v in (asked | values.get("live", {})).items()}
        answer = loaded.signatures[name](**flat)
        for output, expected in function(**asked, filters={}, **values).items():
            np.testing.assert_array_equal(answer[output], expected)


def test_features_of_rows_beside_those_of_lists_are_refused(cascade):
    with pytest.raises(ValueError, match="leave out `user_features`"):
        tm.models.Cascade(
            cascade.retriever,
            cascade.ranker,
            candidate_features=cascade.candidate_features,
            num_retrieved=SHOWN,
            user_features={"x": np.zeros(USERS + 1)},
        )


class TrendQuery(tf.keras.layers.Layer):
    """Popularity alone ranks: weights of 4 dimensions and 3 trend features."""

    def call(self, features):
        users = tf.shape(features["history"])[0]
        return tf.repeat(tf.constant([[0.0] * 4 + [1.0, 0.0, 0.0]]), users, axis=0)


def with_trends(columns=3):
    """A cascade whose ranker is the trend feature of a candidate, negated."""

    class Ranker(tf.Module):
        def rank(self, features):
            return {"score": -features["candidate_features"][:, :, 3]}

    item, time = RNG.integers(1, ITEMS + 1, 40), 10**9 + RNG.integers(1, 10**6, 40)
    table = tm.data.TrendTable(item, time, num_items=ITEMS, half_lives_days=[2.0])
    now = table.next_period(table.newest_time)
    known = np.concatenate([EMBEDDINGS[1:], table.at(now)[1:]], axis=1)
    retriever = tm.serving.Recommender(
        TrendQuery(),
        tm.layers.BruteForce(capacity=20).index(known, np.arange(1, ITEMS + 1)),
        user_ids=["u1"],
        user_features={"history": HISTORY[:2], "history_timestamp": TIMES[:2]},
        item_ids=[f"i{n}" for n in range(1, ITEMS + 1)],
        titles=[""] * (ITEMS + 1),
        known_items=tf.ragged.constant([[], []], dtype=tf.int64),
        candidate_probabilities=np.zeros(ITEMS + 1),
        trends=tm.serving.LiveTrends.of(table, now),
    )
    features = tm.models.CandidateFeatures(
        EMBEDDINGS, trends=table.at(now)[:, :columns], seq_len=2
    )
    made = tm.models.Cascade(
        retriever, Ranker(), candidate_features=features, num_retrieved=ITEMS
    )
    return made, item, time, now


def answered(function):
    """Item -> retrieval score and score of one request that excludes nothing."""
    blank = tf.constant([[""]])
    found = function(tf.constant(["u1"]), [ITEMS], [False], blank, {})
    columns = (found[n][0].numpy() for n in ("item_id", "retrieval_score", "score"))
    return {i.decode(): (a, b) for i, a, b in zip(*columns, strict=True)}


def test_one_update_of_trends_reaches_retrieval_the_ranker_and_the_export(tmp_path):
    cascade, item, time, now = with_trends()
    cascade.retriever.upsert_items(["new"], embeddings=np.zeros([1, 4], "float32"))
    later, events = now + 50_000, [now + 7, now + 9_000, now + 9_001]
    cascade.update_trends(["i3", "i9", "i3"], later, event_times=events)
    table = tm.data.TrendTable(
        np.append(item, [3, 9, 3]),
        np.append(time, events),
        num_items=ITEMS,
        half_lives_days=[2.0],
        resolution_seconds=1,
    )
    expected = table.at(later)[:, 0]
    tf.saved_model.save(cascade, str(tmp_path), {"now": cascade.recommend})
    loaded = tf.saved_model.load(str(tmp_path)).signatures["now"]

    def call(user_id, k, exclude_seen, exclusions, _):
        return loaded(
            user_id=user_id,
            k=tf.constant(k),
            exclude_seen=tf.constant(exclude_seen),
            exclusions=exclusions,
        )

    for function in (cascade.recommend, call):
        found = answered(function)
        assert len(found) == ITEMS
        for name, (retrieval_score, score) in found.items():
            row = int(name[1:]) if name != "new" else 0
            np.testing.assert_allclose(retrieval_score, expected[row], rtol=1e-4)
            np.testing.assert_allclose(score, -expected[row], rtol=1e-4)


def test_trends_of_another_width_are_refused_before_anything_changes():
    cascade, *_, now = with_trends(columns=2)
    before = cascade.retriever.trends.columns(np.arange(ITEMS + 1))
    with pytest.raises(ValueError, match="as the retriever, 3: .* Got 2"):
        cascade.update_trends({"i1": 9}, now + 100)
    np.testing.assert_array_equal(
        cascade.retriever.trends.columns(np.arange(ITEMS + 1)), before
    )


def test_a_cascade_over_a_retriever_without_trends_has_none_to_update(cascade):
    with pytest.raises(ValueError, match="`update_trends` needs a recommender with"):
        cascade.update_trends({"i1": 9}, 2 * 10**9)
