"""Features of users that come with a request, against the same users in the table."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm

ITEMS, CITIES, TAGS = 9, ["Rome", "Oslo", "Lima"], ["new", "loud"]
RNG = np.random.default_rng(1)
WEIGHTS = {
    "history": RNG.normal(size=(ITEMS + 1, 4)).astype("float32"),
    "city": RNG.normal(size=(len(CITIES) + 1, 4)).astype("float32"),
    "tags": RNG.normal(size=(len(TAGS) + 1, 4)).astype("float32"),
    "looks": RNG.normal(size=(2, 4)).astype("float32"),
}
for table in ("history", "tags"):
    WEIGHTS[table][0] = 0
# Row 0 is a visitor; row 2 is what the visitor of the tests sends.
USERS = {
    "history": np.array([[0, 0], [3, 0], [4, 7]]),
    "city": np.array([0, 1, 2]),
    "tags": np.array([[0, 0], [1, 0], [2, 1]]),
    "age": np.float32([np.nan, 20, 61]),
    "looks": np.float32([[0, 0], [1, 2], [-2, 5]]),
}


class Query(tf.keras.layers.Layer):
    def call(self, features):
        def total(name):
            return tf.reduce_sum(tf.gather(WEIGHTS[name], features[name]), axis=1)

        age = features["age"]
        age = tf.where(tf.math.is_nan(age), 0.5, age / 50)[:, None]
        city = tf.gather(WEIGHTS["city"], features["city"])
        looks = tf.linalg.matmul(features["looks"], WEIGHTS["looks"])
        return total("history") + total("tags") + age * city + looks


def make(**options):
    settings = {
        "request_features": {"city": CITIES, "tags": TAGS, "age": None, "looks": None}
    }
    return tm.serving.Recommender(
        Query(),
        tm.layers.BruteForce().index(
            RNG.normal(size=(ITEMS, 4)).astype("float32"), np.arange(1, ITEMS + 1)
        ),
        **{
            "user_ids": ["ann", "bob"],
            "user_features": USERS,
            "item_ids": [f"i{n}" for n in range(1, ITEMS + 1)],
            "titles": [""] * (ITEMS + 1),
            "known_items": tf.ragged.constant([[], [], []], dtype=tf.int64),
            "candidate_probabilities": np.arange(ITEMS + 1) / 45,
            **settings,
            **options,
        },
    )


@pytest.fixture(scope="module")
def module():
    return make()


ALL = {"city": "Oslo", "tags": ["loud", "new"], "age": 61, "looks": [-2, 5]}


def test_a_visitor_who_sends_what_a_user_has_gets_what_that_user_gets(module):
    (bob,) = module.ask("bob", k=ITEMS)
    (visitor,) = module.ask(
        user_features=ALL, history=["i4", "i7"], k=ITEMS, exclude_seen=False
    )
    assert visitor["item_id"] == bob["item_id"]
    np.testing.assert_allclose(visitor["score"], bob["score"], rtol=1e-6)
    (sent,) = module.ask("bob", history=[], k=ITEMS)
    assert sent["item_id"] == bob["item_id"]  # nothing is sent: what is known
    (popular,) = module.ask("", history=[], k=ITEMS)
    assert not popular["personal"]
    (features,) = module.ask(user_features={"city": "Oslo"}, k=ITEMS)
    assert features["personal"]


def test_each_row_sends_its_own_and_unknown_texts_are_the_unknown_value(module):
    nan = float("nan")
    answers = module.ask(
        ["ann", "ann", ""],
        user_features={
            "city": ["Rome", "", "Atlantis"],
            "tags": [["new"], [], ["loud", "new", "new"]],
            "age": [20, nan, 61],
        },
        k=ITEMS,
        exclude_seen=False,
    )
    (ann,) = module.ask("ann", k=ITEMS, exclude_seen=False)
    for answer in answers[:2]:
        np.testing.assert_allclose(answer["score"], ann["score"], rtol=1e-6)
    features = {
        "history": [[0, 0]],
        "city": [0],
        "tags": [[2, 1]],  # the third does not fit
        "age": [61.0],
        "looks": [[0.0, 0.0]],
    }
    query = module.query_model({k: tf.constant(v) for k, v in features.items()})
    scores, _ = module.index(query, k=ITEMS)
    np.testing.assert_allclose(answers[2]["score"], scores[0], rtol=1e-6)


def test_the_contract_has_the_inputs_and_its_samples_answer(module):
    sample = module.samples["history"][1]
    assert {"user_city", "user_tags", "user_age", "user_looks"} < sample.keys()
    signature = module.signatures["history"]
    specs = tf.nest.flatten(signature.input_signature)
    assert {spec.name for spec in specs} == sample.keys()
    assert np.isnan(sample["user_looks"]).all()
    assert sample["user_looks"].shape == (3, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"request_features": {"job": ["x"]}}, r"among `user_features`.*\['job'\]"),
        ({"request_features": {"age": ["x"]}}, "must be of a feature of whole numb"),
        ({"request_features": {"city": None}}, "must be of a feature of floats"),
        (
            {"user_features": {"age": USERS["age"]}, "request_features": {"age": None}},
            "come with the signature `history`",
        ),
    ],
)
def test_features_that_no_request_can_send_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_features_that_the_module_does_not_take_are_named(module):
    with pytest.raises(ValueError, match=r"`request_features` .*Got \['job'\]"):
        module.ask(user_features={"job": "clown"})
    with pytest.raises(ValueError, match=r"user_features\['city'\]` must have a value"):
        module.ask(["", "", ""], user_features={"city": ["Rome", "Oslo"]})
