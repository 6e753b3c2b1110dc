"""Two services out of one SavedModel."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from tests.models.unisar import unisar_batches as batches
from tfrs_models import serving


@pytest.fixture(scope="module")
def model():
    return batches.make()


@pytest.fixture(scope="module")
def signatures(model, tmp_path_factory):
    module = serving.CandidateRanker(
        model,
        {"recommend": batches.example(), "search": batches.example(search=True)},
        k=3,
    )
    warnings, handler = [], logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append(record.getMessage())
    tf.get_logger().addHandler(handler)
    folder = serving.export(module, tmp_path_factory.mktemp("export"))
    tf.get_logger().removeHandler(handler)
    loaded = tf.saved_model.load(str(folder))
    # `loaded` must live on.
    return {**loaded.signatures, "of": loaded, "warnings": warnings}


def test_an_export_does_not_warn_of_layers(signatures):
    assert not [text for text in signatures["warnings"] if "serialization" in text]


def ask(signatures, name, features):
    tensors = {key: tf.constant(value) for key, value in features.items()}
    return signatures[name](**tensors)


@pytest.mark.parametrize(
    ("name", "task"), [("recommend", "recommendation"), ("search", "search")]
)
@pytest.mark.parametrize(("rows", "candidates"), [(1, 2), (5, 9)])
def test_each_service_answers_the_best_of_what_it_is_sent(
    signatures, model, name, task, rows, candidates
):
    features = batches.example(rows, candidates, search=task == "search", seed=3)
    features["item_id"][0, 0] = 0  # padding is no candidate
    answer = ask(signatures, name, features)
    scores = batches.scores(model, features, task)
    scores[features["item_id"] == 0] = -np.inf
    for row in range(rows):
        order = np.argsort(-scores[row], kind="stable")[:3]
        found = answer["score"][row].numpy()
        wanted = np.maximum(scores[row][order], np.finfo("float32").min)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
        real = np.isfinite(scores[row][order])
        items = features["item_id"][row][order][real]
        np.testing.assert_array_equal(answer["item_id"][row][real], items)
    np.testing.assert_allclose(
        answer["probability"], tf.sigmoid(answer["score"]), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("item_history", np.s_[:1]),
        ("item_history_time", np.s_[:, :1]),
        ("item_history_time", np.s_[:1]),
        ("session_time", np.s_[:, :1]),
        ("session_items", np.s_[:, :1]),
        ("query", np.s_[:1]),
        ("item_id", np.s_[:1]),
    ],
)
def test_nothing_of_a_request_is_spread_over_other_rows_or_slots(signatures, name, cut):
    features = batches.example(5, 9, search=True)
    features[name] = features[name][cut]
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{name}`"):
        ask(signatures, "search", features)


def test_a_request_has_a_user_for_each_row(signatures):
    features = batches.example(5, 9, search=True)
    features["user_id"] = features["user_id"][:1]
    with pytest.raises(tf.errors.InvalidArgumentError, match="for each of `user_id`"):
        ask(signatures, "search", features)


def test_a_user_without_a_past_gets_an_answer(signatures):
    features = batches.example(2, 4, search=True)
    for name in features.keys() - {"user_id", "item_id", "query"}:
        features[name] = np.zeros_like(features[name])
    answer = ask(signatures, "search", features)
    assert np.isfinite(answer["score"]).all()
    short = {
        name: value[:, :1] if "session" in name or "history" in name else value
        for name, value in features.items()
    }
    again = ask(signatures, "search", short)
    np.testing.assert_allclose(again["score"], answer["score"], rtol=1e-5, atol=1e-6)


def test_an_id_that_the_model_does_not_know_is_named(signatures):
    features = batches.example(2, 4)
    features["item_history"][1, 0] = batches.ITEMS + 1
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="`item_history` must hold"
    ):
        ask(signatures, "recommend", features)


@pytest.mark.parametrize(
    ("service", "name"),
    [("recommend", "item_history_time"), ("search", "session_time")],
)
def test_a_history_out_of_order_is_named(signatures, service, name):
    features = batches.example(2, 4, search=service == "search")
    features["item_history"][1] = features["item_history"][0] = 5
    features[name][1, :3] = [3, 2, 1]
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=f"`{name}` must not go back"
    ):
        ask(signatures, service, features)


@pytest.mark.parametrize(
    ("services", "k", "message"),
    [
        ({}, None, "`services` must hold features"),
        ({"search": {}}, None, "`services` must hold features"),
        ({"buy": {"item_id": np.zeros([1, 1])}}, None, r"UniSAR has no \['buy'\]"),
        ({"search": {"item_id": np.zeros([1, 1])}}, 0, "`k` must be at least 1"),
    ],
)
def test_wrong_arguments_are_named(model, services, k, message):
    with pytest.raises(ValueError, match=message):
        serving.CandidateRanker(model, services, k=k)
