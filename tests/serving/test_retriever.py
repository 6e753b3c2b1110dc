"""An index behind named inputs and outputs, beside loops over all scores."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm

RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(150, 4)).astype("float32")
NAMES = np.array([f"n{i}" for i in range(150)])
SHOPS = RNG.integers(1, 4, size=150)
QUERIES = RNG.normal(size=(5, 4)).astype("float32")
KS = [3, 150, 1, 7, 40]


def made(**options):
    index = tm.layers.BruteForce(capacity=200, **options).index(
        CANDIDATES, NAMES, attributes={"shop": SHOPS}
    )
    return tm.serving.Retriever(index), index


def ask(retriever, name="serving_default", queries=QUERIES, k=KS, **inputs):
    function = retriever.signatures[name].get_concrete_function()
    tensors = {"query": queries, "k": np.array(k, np.int32)} | inputs
    answer = function(**{key: tf.constant(value) for key, value in tensors.items()})
    return {key: value.numpy() for key, value in answer.items()}


def best(scores, rows, k):
    """Names and scores of the best rows, by sorting."""
    order = sorted(rows, key=lambda row: -scores[row])[:k]
    return [NAMES[row].encode() for row in order], [scores[row] for row in order]


LISTS = {
    "exclusions": [["n3", "n5"], ["", ""], ["n9", "unheard"], ["", ""], ["n1", "n1"]],
    "filter_shop": np.array([[1, -1], [1, 2], [-1, -1], [3, -1], [2, -1]]),
}
ALLOWED = [[f"n{i}" for i in range(row, 100, row + 1)][:20] for row in range(5)]


@pytest.mark.parametrize("name", ["serving_default", "filtered", "among"])
def test_every_row_gets_its_own_k_best_under_its_own_lists(name):
    inputs = {} if name == "serving_default" else dict(LISTS)
    if name == "among":
        inputs["allowed"] = ALLOWED
    answer = ask(made()[0], name, **inputs)
    assert answer["id"].shape == answer["score"].shape == (5, 150)
    for row, k in enumerate(KS):
        shops = {*inputs.get("filter_shop", [[-1]] * 5)[row]} - {-1}
        rows = [
            item
            for item in range(150)
            if NAMES[item] not in inputs.get("exclusions", [[]] * 5)[row]
            and (not shops or SHOPS[item] in shops)
            and ("allowed" not in inputs or NAMES[item] in ALLOWED[row])
        ]
        names, scores = best(CANDIDATES @ QUERIES[row], rows, k)
        missing = 150 - len(names)
        assert answer["id"][row].tolist() == names + [b""] * missing
        np.testing.assert_allclose(
            answer["score"][row], scores + [-np.inf] * missing, rtol=1e-5
        )


def test_k_follows_the_candidates_that_are_there_now():
    retriever, index = made()
    function = retriever.signatures["serving_default"]
    added = [f"new {i}" for i in range(61)]
    shops = {"shop": SHOPS[:61]}
    for change, most in (
        (lambda: None, 150),
        (lambda: index.remove(NAMES[:60]), 90),
        (lambda: index.add(CANDIDATES[:61], added, attributes=shops), 151),
    ):
        change()
        assert all(ask(retriever, k=[most] * 5)["id"].ravel())
        with pytest.raises(tf.errors.InvalidArgumentError, match="`k` must be from 1"):
            ask(retriever, k=[1, 1, most + 1, 1, 1])
        assert retriever.signatures["serving_default"] is function
    with pytest.raises(tf.errors.InvalidArgumentError, match="`k` must be from 1 to"):
        ask(retriever, k=[1, 0, 1, 1, 1])


def test_an_index_that_is_filled_again_has_new_signatures():
    retriever, index = made()
    ask(retriever)
    index.index(CANDIDATES[:9], np.arange(9), attributes={"colour": [*"rgbrgbrgb"]})
    answer = ask(retriever, k=[9] * 5)
    assert {*answer["id"].ravel()} == {*range(9)}
    specs = retriever.signatures["filtered"].get_concrete_function()
    names = specs.structured_input_signature[0][2]["filters"]
    assert names.keys() == {"colour"}
    assert (ask(retriever, k=[2] * 5)["id"][:, :2] >= 0).all()


def test_features_of_the_query_model_are_inputs_and_examples_are_samples():
    table = tf.constant(QUERIES)
    tower = tf.keras.layers.Lambda(lambda features: tf.gather(table, features["user"]))
    index = tm.layers.BruteForce(tower).index(CANDIDATES, NAMES)
    users = np.array([4, 0, 2])
    retriever = tm.serving.Retriever(index, features={"user": users})
    function = retriever.signatures["serving_default"].get_concrete_function()
    answer = function(user=tf.constant(users), k=tf.constant([1, 1, 1]))
    top = NAMES[np.argmax(QUERIES[users] @ CANDIDATES.T, axis=1)]
    assert answer["id"].numpy()[:, 0].tolist() == [name.encode() for name in top]
    one, several = retriever.samples["serving_default"]
    assert (one["user"].tolist(), one["k"].tolist()) == ([4], [10])
    assert (several["user"].tolist(), several["k"].tolist()) == ([4, 0, 2], [10] * 3)
    spec = tm.serving.Retriever(
        index, features={"user": tf.TensorSpec([None], "int64")}
    )
    assert spec.samples is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_query_that_is_not_finite_is_refused_by_name(value):
    queries = QUERIES.copy()
    queries[3, 1] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match="`query` must be finite"):
        ask(made()[0], queries=queries)


def test_what_cannot_be_served_is_an_error():
    with pytest.raises(ValueError, match="`index` must be filled"):
        tm.serving.Retriever(tm.layers.BruteForce())
    with pytest.raises(ValueError, match="`features` must be given where"):
        tm.serving.Retriever(made()[1], features={"user": np.arange(3)})
    tower = tf.keras.layers.Lambda(lambda features: features["user"])
    with pytest.raises(ValueError, match="`features` must be given where"):
        tm.serving.Retriever(made(query_model=tower)[1])
