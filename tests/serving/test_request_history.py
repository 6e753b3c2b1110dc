"""Histories of requests against loops, and the answers of a ranker to them."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from tests.models.unisar import unisar_batches as batches

SEQ_LEN, LARGEST = 3, 20
HISTORY = tm.serving.RequestHistory(
    "item", times="time", beside=("words",), seq_len=SEQ_LEN, largest={"item": LARGEST}
)


def by_hand(items, times, words):
    """The newest known items of one row, with filled times, padding last."""
    kept = [
        [i, t, w]
        for i, t, w in zip(items, times, words, strict=True)
        if 0 < i <= LARGEST
    ][-SEQ_LEN:]
    following = None
    for row in reversed(kept):
        following = row[1] = row[1] or following
    last = 1
    for row in kept:
        last = row[1] = row[1] or last
    kept += [[0, 0, [0] * len(words[0])]] * (SEQ_LEN - len(kept))
    return tuple(np.array(column) for column in zip(*kept, strict=True))


@pytest.mark.parametrize("width", [0, 1, 3, 8])
def test_the_newest_known_items_are_kept_with_their_features(width):
    rng = np.random.default_rng(width)
    items = rng.integers(-1, 30, size=(40, width))
    times = np.sort(rng.integers(5, 99, size=(40, width)), axis=1)
    times[rng.random(times.shape) < 0.3] = 0
    words = rng.integers(1, 9, size=(40, width, 2))
    given = {"item": items, "time": times, "words": words}
    found, num_unknown = HISTORY.read({k: tf.constant(v) for k, v in given.items()})
    for row in range(40 if width else 0):
        expected = by_hand(items[row], times[row], words[row])
        for name, values in zip(given, expected, strict=True):
            np.testing.assert_array_equal(found[name][row], values, err_msg=name)
    assert found["words"].shape == (40, SEQ_LEN, 2)
    unknown = ((items > LARGEST) | (items < 0)).sum(axis=1)
    np.testing.assert_array_equal(num_unknown, unknown)


def test_a_time_that_falls_and_another_number_of_times_are_refused():
    features = {"item": [[1, 2]], "time": [[9, 5]], "words": [[[1], [2]]]}
    with pytest.raises(tf.errors.InvalidArgumentError, match="`time` must not fall"):
        HISTORY.read(features)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`time` must have an el"):
        HISTORY.read(features | {"time": [[5]]})
    with pytest.raises(ValueError, match="none of the name words"):
        HISTORY.read({"item": [[1]], "time": [[5]]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seq_len": 0}, "`seq_len` must be at least 1. Got 0"),
        ({"largest": {"query": 3}}, r"features of the history, .* Got \['query'\]"),
    ],
)
def test_a_wrong_declaration_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        tm.serving.RequestHistory("item", times="time", **options)


class Services(tf.Module):
    def recommend(self, features):
        return {"score": features["item_id"]}


def test_a_service_without_the_history_is_named():
    with pytest.raises(ValueError, match=r"\['item', 'time', 'words'\].*`recommend`"):
        tm.serving.CandidateRanker(
            Services(), {"recommend": batches.example()}, histories=[HISTORY]
        )


def test_a_ranker_answers_a_live_history_as_the_same_batch():
    """Older and unknown items and padding between change nothing but the count."""
    model, example = batches.make(), batches.example(rows=5, seed=2)
    histories = [
        tm.serving.RequestHistory(
            "item_history",
            times="item_history_time",
            seq_len=batches.LENGTH,
            largest={"item_history": batches.ITEMS},
        ),
        tm.serving.RequestHistory(
            "session_time",
            times="session_time",
            beside=("session_query", "session_items"),
            seq_len=batches.SESSIONS,
            largest={"session_items": batches.ITEMS, "session_query": batches.WORDS},
        ),
    ]
    module = tm.serving.CandidateRanker(
        model, {"recommend": example}, histories=histories
    )
    sent = dict(example)
    for name, value in (("item_history", 10**6), ("item_history_time", 0)):
        column = example[name]
        first = np.full_like(column[:, :1], value)
        sent[name] = np.concatenate([column, first, column[:, :1] * 0, first], axis=1)
    for name in ("session_time", "session_query", "session_items"):
        sent[name] = np.concatenate([example[name][:, :1] * 0, example[name]], axis=1)
    serve = module.services["recommend"].python_function  # not traced
    answers = [
        serve({k: tf.constant(v) for k, v in one.items()}) for one in (example, sent)
    ]
    expected = model.recommend(example)
    for answer, number in zip(answers, (0, 2), strict=True):
        assert answer["num_unknown"].numpy().tolist() == [number] * 5
        for name, values in expected.items():
            np.testing.assert_allclose(answer[name], values, rtol=1e-5)
