"""Where negatives come from, and what each combination of sources means."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests import oracles
from tfrs_models import layers, tasks

BATCH, EXTRA, WIDTH, NUM_ITEMS = 4, 3, 2, 50


@pytest.fixture
def inputs():
    rng = np.random.default_rng(5)
    return {
        "queries": rng.normal(size=(BATCH, WIDTH)).astype("float32"),
        "candidates": rng.normal(size=(BATCH + EXTRA, WIDTH)).astype("float32"),
        "probability": rng.uniform(0.01, 0.3, size=BATCH + EXTRA).astype("float32"),
        "ids": np.array([7, 3, 7, 9, 3, 4, 9]),
        "earlier": rng.normal(size=(5, WIDTH)).astype("float32"),
        "earlier_ids": np.array([1, 7, 2, 3, 11]),
        "earlier_probability": rng.uniform(0.01, 0.3, size=5).astype("float32"),
    }


def loss_of(scores, own, correction):
    """One row: `scores` of the valid negatives, with the expected copies of each."""
    mass = sum(math.exp(s) / e for s, e in scores)
    score, count = own
    if correction == "logq":
        return math.log(1 + mass / (math.exp(score) / count))
    surprise = mass / (mass + math.exp(score))
    return -surprise * (score - math.log(mass))


@pytest.mark.parametrize("correction", ["logq", "corrected_logq"])
@pytest.mark.parametrize("extra", ["uniform", "as the positives", "none"])
@pytest.mark.parametrize("queued", [True, False])
def test_every_column_is_corrected_by_all_sources(inputs, correction, extra, queued):
    size = BATCH if extra == "none" else BATCH + EXTRA
    candidates, ids = inputs["candidates"][:size], inputs["ids"][:size]
    probability = inputs["probability"][:size]
    queue = layers.CandidateQueue(8, WIDTH)
    queue.enqueue(
        *(tf.constant(inputs[n]) for n in ("earlier", "earlier_ids")),
        tf.constant(inputs["earlier_probability"]),
    )
    task = tasks.Retrieval(
        temperature=0.5,
        correction=correction,
        remove_accidental_hits=True,
        num_items=NUM_ITEMS if extra == "uniform" else None,
        queue=queue if queued else None,
    )
    loss = task(
        inputs["queries"],
        candidates,
        candidate_ids=tf.constant(ids),
        candidate_sampling_probability=tf.constant(probability),
    )
    num_queued = 5 if queued else 0
    if queued:
        candidates = np.concatenate([candidates, inputs["earlier"]])
        ids = np.concatenate([ids, inputs["earlier_ids"]])
        probability = np.concatenate([probability, inputs["earlier_probability"]])
    draws = BATCH - 1 + num_queued + (EXTRA if extra == "as the positives" else 0)
    uniform = EXTRA / NUM_ITEMS if extra == "uniform" else 0.0
    expected = [draws * q + uniform for q in probability]
    table = oracles.scores(inputs["queries"], candidates) / 0.5
    total = 0.0
    for i in range(BATCH):
        negatives = [
            (table[i, j], expected[j]) for j in range(len(ids)) if ids[j] != ids[i]
        ]
        total += loss_of(negatives, (table[i, i], expected[i]), correction)
    np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_the_queue_gives_what_was_there_before_and_takes_the_positives(inputs):
    queue = layers.CandidateQueue(8, WIDTH)
    task = tasks.Retrieval(queue=queue)
    alone = tasks.Retrieval()
    sides = inputs["queries"], inputs["candidates"]
    assert float(task(*sides)) == pytest.approx(float(alone(*sides)), rel=1e-6)
    assert len(queue(None)[0]) == BATCH  # the extra candidates are drawn otherwise
    both = np.concatenate([inputs["candidates"], inputs["candidates"][:BATCH]])
    expected = float(alone(inputs["queries"], both))
    assert float(task(*sides)) == pytest.approx(expected, rel=1e-6)


def test_evaluation_neither_reads_nor_fills_the_queue(inputs):
    queue = layers.CandidateQueue(8, WIDTH)
    task = tasks.Retrieval(queue=queue)
    sides = inputs["queries"], inputs["candidates"]
    before = float(task(*sides, training=False))
    assert len(queue(None)[0]) == 0
    task(*sides, training=True)
    assert float(task(*sides, training=False)) == pytest.approx(before, rel=1e-6)


@pytest.mark.parametrize("ragged", [True, False])
def test_further_positives_are_found_by_id(inputs, ragged):
    positive_ids = tf.constant([[3, 4], [7, 7], [100, 9], [9, 9]], tf.int64)
    if ragged:
        positive_ids = tf.RaggedTensor.from_tensor(positive_ids)
    loss = tasks.Retrieval(remove_accidental_hits=True)(
        inputs["queries"],
        inputs["candidates"],
        candidate_ids=tf.constant(inputs["ids"]),
        positive_ids=positive_ids,
    )
    table = oracles.scores(inputs["queries"], inputs["candidates"])
    total = 0.0
    for i, further in enumerate([{3, 4}, {7}, {9}, {9}]):
        ids = inputs["ids"]
        positives = {i} | {j for j in range(len(ids)) if ids[j] in further}
        out = {j for j in range(len(ids)) if ids[j] == ids[i]} - positives
        valid = [j for j in range(len(ids)) if j not in out]
        mass = math.log(sum(math.exp(table[i, j]) for j in valid))
        total += np.mean([mass - table[i, j] for j in positives])
    np.testing.assert_allclose(loss, total, rtol=1e-5)


@pytest.mark.parametrize("heads", [True, False])
def test_the_full_softmax_takes_positives_anywhere_in_the_corpus(inputs, heads):
    queries = inputs["queries"]
    if heads:
        queries = np.stack([queries, -queries[::-1]], axis=1)
    positives = [6, 0, 0, 5]
    loss = tasks.Retrieval(temperature=2.0)(
        queries,
        inputs["candidates"],
        positive_columns=tf.constant(positives),
    )
    table = oracles.scores(queries, inputs["candidates"]) / 2
    mass = np.log(np.exp(table).sum(axis=1))
    expected = (mass - table[np.arange(BATCH), positives]).sum()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_impressions_are_negatives_of_their_own_row(inputs):
    shown = np.random.default_rng(1).normal(size=(BATCH, 2, WIDTH)).astype("float32")
    mask = np.array([[True, True], [True, False], [False, False], [False, True]])
    loss = tasks.Retrieval(temperature=0.5)(
        inputs["queries"],
        inputs["candidates"],
        negative_embeddings=shown,
        negative_mask=mask,
    )
    table = oracles.scores(inputs["queries"], inputs["candidates"]) / 0.5
    total = 0.0
    for i in range(BATCH):
        own = [inputs["queries"][i] @ shown[i, n] / 0.5 for n in range(2) if mask[i, n]]
        total += math.log(sum(map(math.exp, [*table[i], *own]))) - table[i, i]
    np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_rows_without_negatives_are_counted(inputs):
    task = tasks.Retrieval()
    mask = np.ones((BATCH, BATCH + EXTRA), bool)
    mask[[0, 3]] = False
    loss = task(inputs["queries"], inputs["candidates"], score_mask=mask)
    assert np.isfinite(loss)
    assert float(task.queries_without_negatives.result()) == 2


IDS = {"candidate_ids": tf.constant([7, 3, 7, 9, 3, 4, 9])}
CE = tf.keras.losses.CategoricalCrossentropy(from_logits=True)
COLUMNS = {"positive_columns": tf.constant([0, 1, 2, 3])}
SHOWN = {"negative_embeddings": tf.zeros([BATCH, 1, WIDTH])}
PROBABILITY = {"candidate_sampling_probability": tf.fill([BATCH + EXTRA], 0.1)}
FURTHER = {"positive_ids": tf.zeros([BATCH, 1], tf.int64)}


@pytest.mark.parametrize(
    ("constructor", "arguments", "message"),
    [
        ({"loss": CE}, SHOWN, "`loss` cannot be used with `negative_embeddings`"),
        ({"loss": CE}, IDS | FURTHER, "`loss` cannot be used with `positive_ids`"),
        ({"gather_candidates": True}, COLUMNS, "cannot be used with `gather_candid"),
        ({"num_items": 9}, COLUMNS, "`positive_columns` cannot be used with `num_it"),
        ({"queue": layers.CandidateQueue(4, WIDTH)}, COLUMNS, "with `queue`: the cand"),
        ({}, COLUMNS | PROBABILITY, "the whole corpus and not a sample"),
        (
            {"correction": "corrected_logq"},
            IDS | FURTHER | PROBABILITY,
            "`positive_ids` cannot be used with the correction 'corrected_logq'",
        ),
        (
            {"correction": "corrected_logq"},
            {},
            "`candidate_sampling_probability` must be given for the correction",
        ),
        ({}, FURTHER, "`candidate_ids` must be given for positive_ids"),
        (
            {"queue": layers.CandidateQueue(4, WIDTH + 1)},
            {},
            "must have the queue's width, 3. Got 2",
        ),
    ],
)
def test_what_has_no_meaning_together_is_an_error(
    inputs, constructor, arguments, message
):
    task = tasks.Retrieval(**constructor)
    with pytest.raises(ValueError, match=message):
        task(inputs["queries"], inputs["candidates"], **arguments)


@pytest.mark.parametrize(
    ("constructor", "message"),
    [
        ({"correction": "corrected_logq", "loss": CE}, "`loss` must be None"),
        ({"block_size": 0}, "`block_size` must be 'auto' or at least 1. Got 0"),
        ({"num_items": 0}, "`num_items` must be at least 1. Got 0"),
        ({"temperature": 0.0}, "`temperature` must be above 0. Got 0.0"),
        ({"temperature": -1}, "`temperature` must be above 0. Got -1"),
    ],
)
def test_wrong_options_are_named(constructor, message):
    with pytest.raises(ValueError, match=message):
        tasks.Retrieval(**constructor)
