import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.models import MultiTaskRanker
from tfrs_models.serving import Ranker, export
from tfrs_models.tasks import MultiTask
from tfrs_models.towers import PositionBias, UserId

RNG = np.random.default_rng(0)
FEATURES = {
    "user_id": np.array([1, 3, -1]),
    "item_id": np.array([2, 1, 1]),
    "user_features": RNG.normal(size=(3, 2)).astype("float32"),
    "item_features": RNG.normal(size=(3, 4)).astype("float32"),
    "cross_features": RNG.normal(size=(3, 1)).astype("float32"),
}
VOCABULARIES = {"user_id": ["ann", "bob", "cem"], "item_id": ["x", "y"]}


@pytest.fixture
def model():
    model = MultiTaskRanker(
        UserId(9, 4, id_dropout=0.2),
        num_tasks=2,
        item_id_hash_size=5,
        item_id_embedding_dim=3,
        user_value_weights=[1.0, 3.0],
        position_bias=PositionBias(4, 2),
        task=MultiTask(["click", "buy"]),
    )
    model(FEATURES)
    return model


def test_the_export_answers_named_features_with_probabilities_and_score(
    model, tmp_path
):
    ranker = Ranker(
        model,
        FEATURES,
        vocabularies=VOCABULARIES,
        unknown_id={"user_id": -1, "item_id": 0},
    )
    path = export(ranker, tmp_path, signatures={"serving_default": ranker.rank})
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    assert specs.keys() == FEATURES.keys()  # no position, no label
    assert specs["user_id"].dtype == specs["item_id"].dtype == tf.string
    assert specs["user_features"].shape.as_list() == [None, 2]
    text = {
        "user_id": tf.constant(["ann", "cem", "nobody"]),
        "item_id": tf.constant(["y", "x", "x"]),
    }
    rest = {k: tf.constant(v) for k, v in FEATURES.items() if k not in text}
    answer = signature(**text, **rest)
    assert answer.keys() == {"click", "buy", "score"}
    for name, values in model.rank(FEATURES).items():
        np.testing.assert_allclose(answer[name], values, rtol=1e-5)
    one = signature(**{k: v[:1] for k, v in (text | rest).items()})
    np.testing.assert_allclose(one["score"], answer["score"][:1], rtol=1e-5)


def test_without_vocabularies_ids_are_what_the_model_takes(model):
    ranker = Ranker(model, FEATURES)
    answer = ranker.rank({k: tf.constant(v) for k, v in FEATURES.items()})
    np.testing.assert_allclose(
        answer["score"], model.rank(FEATURES)["score"], rtol=1e-5
    )


@pytest.mark.parametrize("features", [{}, {"item_id": np.array([1])}])
def test_a_vocabulary_without_its_feature_is_named(model, features):
    with pytest.raises(ValueError, match=r"`features` must name.*\['user_id'\]"):
        Ranker(model, features, vocabularies={"user_id": ["a"]})


class NextItem(tf.Module):
    """Answers with the item after the one that it is asked about."""

    def rank(self, features):
        return {"next": features["item_id"] + 1, "score": features["item_id"]}


def test_ids_in_the_answer_come_as_strings():
    vocabularies = {"item_id": ["x", "y"]}
    ranker = Ranker(
        NextItem(),
        {"item_id": np.array([[1, 2]])},
        vocabularies=vocabularies,
        decoded={"next": "item_id"},
    )
    answer = ranker.rank({"item_id": tf.constant([["x", "nobody"]])})
    assert answer["next"].numpy().tolist() == [[b"y", b"x"]]
    assert answer["score"].numpy().tolist() == [[1, 0]]
    with pytest.raises(ValueError, match=r"`decoded` must name.*Got \['user_id'\]"):
        Ranker(
            NextItem(),
            {"item_id": np.array([1])},
            vocabularies=vocabularies,
            decoded={"next": "user_id"},
        )
