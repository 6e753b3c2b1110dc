"""The cascade beside its parts, asked one after the other."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm

USERS, ITEMS, SHOWN = 6, 20, 8
RNG = np.random.default_rng(0)
KINDS = np.resize(["a", "b", "c"], ITEMS)
PROBABILITIES = np.append(0, RNG.dirichlet(np.ones(ITEMS))).astype("float32")
FEATURES = {
    "user": RNG.normal(size=(USERS + 1, 3)).astype("float32"),
    "item": RNG.normal(size=(ITEMS + 1, 3)).astype("float32"),
}
EMBEDDINGS = RNG.normal(size=(ITEMS, 4)).astype("float32")
KNOWN = tf.ragged.constant([[], [1, 2], [3], [], [4, 5, 6], [], [7]], dtype=tf.int64)
WEIGHTS = RNG.normal(size=(USERS + 1, 4)).astype("float32")


class Query(tf.keras.layers.Layer):
    def call(self, features):
        return features["weights"]


class Ranked(tf.Module):
    """Two outputs that can be computed by hand."""

    def rank(self, features):
        affinity = tf.reduce_sum(features["user"] * features["item"], axis=1)
        return {"click": tf.sigmoid(affinity), "score": affinity + features["joint"]}


def joint(user, item):
    return {"joint": 3 * user["user"][:, 0] * item["item"][:, 1] ** 2}


def make(kind="BruteForce", **options):
    options = {"num_retrieved": SHOWN} | options
    index = getattr(tm.layers, kind)(k=SHOWN).index(
        EMBEDDINGS, np.arange(1, ITEMS + 1), attributes={"kind": KINDS}
    )
    recommender = tm.serving.Recommender(
        Query(),
        index,
        user_ids=[f"u{n}" for n in range(1, USERS + 1)],
        user_features={"weights": WEIGHTS},
        item_ids=[f"i{n}" for n in range(1, ITEMS + 1)],
        titles=["", *(f"Title {n}" for n in range(1, ITEMS + 1))],
        known_items=KNOWN,
        candidate_probabilities=PROBABILITIES,
    )
    settings = {
        "user_features": {"user": FEATURES["user"]},
        "item_features": {"item": FEATURES["item"]},
        "joint_features": joint,
    }
    return tm.models.Cascade(recommender, Ranked(), **{**settings, **options})


@pytest.fixture(scope="module")
def cascade():
    """Over IVF; tests/serving exports one over BruteForce."""
    return make("IVF")


REQUEST = {
    "user_id": np.array(["u2", "nobody", "u4", "u1"], object),
    "k": np.int32([3, 8, 5, 1]),
    "exclude_seen": np.array([True, True, False, True]),
    "exclusions": np.array([["i9", "i3"], ["i1", ""], ["", ""], ["i20", "?"]], object),
    "filters": {
        "kind": np.array([["a", "b"], ["c", ""], ["", ""], ["b", "c"]], object)
    },
}


def by_hand(row, weight=0.0):
    """Items, scores and retrieval scores of one row of the request."""
    name = REQUEST["user_id"][row]
    user = int(name[1:]) if name != "nobody" else 0
    out = {int(i[1:]) for i in REQUEST["exclusions"][row] if i[1:].isdigit()}
    if REQUEST["exclude_seen"][row]:
        out |= {*KNOWN[user].numpy()}
    kinds = {*REQUEST["filters"]["kind"][row]} - {""}
    scores = EMBEDDINGS @ WEIGHTS[user] if user else PROBABILITIES[1:]
    found = [
        item
        for item in np.argsort(-scores) + 1
        if item not in out and (not kinds or KINDS[item - 1] in kinds)
    ][:SHOWN]
    user, items = FEATURES["user"][user], FEATURES["item"]
    ranks = {
        i: user @ items[i] + 3 * user[0] * items[i, 1] ** 2 + weight * scores[i - 1]
        for i in found
    }
    best = sorted(found, key=lambda i: -ranks[i])[: REQUEST["k"][row]]
    return best, [ranks[i] for i in best], [scores[i - 1] for i in best]


@pytest.mark.parametrize("weight", [0.0, 2.5])
def test_it_is_retrieval_then_filters_then_the_ranker(cascade, weight):
    if weight:
        cascade = make("BruteForce", retrieval_weight=weight)
    answer = {k: v.numpy() for k, v in cascade.recommend(**REQUEST).items()}
    assert answer["item_id"].shape == (4, 8)
    for row in range(4):
        items, scores, retrieval_scores = by_hand(row, weight)
        found = [i.decode() for i in answer["item_id"][row] if i]
        assert found == [f"i{item}" for item in items]
        titles = [t.decode() for t in answer["title"][row] if t]
        assert titles == [f"Title {item}" for item in items]
        number = len(items)
        np.testing.assert_allclose(answer["score"][row, :number], scores, rtol=1e-5)
        np.testing.assert_allclose(
            answer["retrieval_score"][row, :number], retrieval_scores, rtol=1e-5
        )
        assert np.isneginf(answer["score"][row, number:]).all()
        assert (answer["click"][row, :number] < 1).all()
    assert answer["known_user"].tolist() == [True, False, True, True]


def test_the_export_answers_the_same_and_is_batchable(cascade, tmp_path):
    path = tm.serving.export(cascade, tmp_path)
    tm.serving.contract.verify(path)
    loaded = tf.saved_model.load(str(path))
    request = {k: tf.constant(v) for k, v in REQUEST.items() if k != "filters"}
    kinds = tf.constant(REQUEST["filters"]["kind"])
    answer = loaded.signatures["serving_default"](**request, filter_kind=kinds)
    for name, values in cascade.recommend(**REQUEST).items():
        np.testing.assert_array_equal(answer[name], values)
    signature = tm.serving.contract.read(path)["signatures"]["serving_default"]
    assert signature["batchable"]


@pytest.mark.parametrize("k", [0, 9])
def test_a_k_beyond_what_was_retrieved_is_refused(cascade, k):
    with pytest.raises(tf.errors.InvalidArgumentError, match="`k` must be from 1 to"):
        cascade.recommend(**REQUEST | {"k": np.int32([1, k, 1, 1])})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"num_retrieved": ITEMS + 1},
            "`num_retrieved` must be from 1 to .* 20. Got 21",
        ),
        ({"num_retrieved": 0}, "`num_retrieved` must be from 1"),
        (
            {"user_features": {"item": FEATURES["user"]}},
            r"share a name. Got \['item'\]",
        ),
    ],
)
def test_what_cannot_be_put_together_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
