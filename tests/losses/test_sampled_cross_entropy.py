import math

import numpy as np
import pytest
import tensorflow as tf

from tests import oracles
from tfrs_models.losses import sampled_softmax

BATCH, NUM_CANDIDATES, WIDTH, OWN = 5, 8, 3, 2


@pytest.fixture
def inputs():
    rng = np.random.default_rng(29)
    return {
        "queries": rng.normal(size=(BATCH, WIDTH)).astype("float32"),
        "heads": rng.normal(size=(BATCH, 4, WIDTH)).astype("float32"),
        "candidates": rng.normal(size=(NUM_CANDIDATES, WIDTH)).astype("float32"),
        "negatives": rng.normal(size=(BATCH, OWN, WIDTH)).astype("float32"),
        "negatives_mask": np.array([[1, 1], [1, 0], [0, 0], [0, 1], [1, 1]], bool),
        "columns": np.array([6, 0, 3, 3, 7], "int32"),
        "counts": rng.uniform(0.1, 3, size=NUM_CANDIDATES).astype("float32"),
        "ids": np.array([7, 3, 7, 9, 3, 7, 4, 9]),
        "mask": rng.uniform(size=(BATCH, NUM_CANDIDATES)) < 0.3,
        "further": rng.uniform(size=(BATCH, NUM_CANDIDATES)) < 0.3,
        "weights": rng.uniform(0.1, 2, size=BATCH).astype("float32"),
    }


def logsumexp(values):
    if not values:
        return -math.inf
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def oracle(
    queries,
    candidates,
    *,
    columns=None,
    counts=None,
    correction="logq",
    ids=None,
    mask=None,
    further=None,
    num_hard=None,
    negatives=None,
    negatives_mask=None,
    weights=None,
    surprise=None,
):
    """The definition in loops; `surprise` fixes the factor without a gradient."""
    table, total, surprises = oracles.scores(queries, candidates), 0.0, []
    columns = range(len(table)) if columns is None else columns
    for i, own in enumerate(columns):
        corrected = [
            s - (math.log(counts[j]) if counts is not None else 0)
            for j, s in enumerate(table[i])
        ]
        positives, sampled = {own}, []
        if further is not None:
            positives |= {j for j in range(len(candidates)) if further[i][j]}
        for j, score in enumerate(corrected):
            if j in positives or (mask is not None and mask[i][j]):
                continue
            if ids is None or ids[j] != ids[own]:
                sampled.append(score)
        mined = sampled if num_hard is None else sorted(sampled)[-num_hard:]
        mined = list(mined)
        for n in range(0 if negatives is None else negatives.shape[1]):
            if negatives_mask is None or negatives_mask[i][n]:
                mined.append(oracles.scores(queries[i : i + 1], negatives[i])[0][n])
        weight = 1.0 if weights is None else weights[i]
        if correction == "corrected_logq":
            score = table[i][own]
            surprises.append(1 / (1 + math.exp(score - logsumexp(sampled))))
            factor = surprises[i] if surprise is None else surprise[i]
            if factor > 0:
                total -= weight * factor * (score - logsumexp(mined))
            continue
        mass = logsumexp(mined + [corrected[j] for j in sorted(positives)])
        own_losses = [mass - corrected[j] for j in positives]
        total += weight * sum(own_losses) / len(own_losses)
    return (total, surprises) if surprise is None else total


NAMES = {
    "columns": "positive_columns",
    "counts": "expected_counts",
    "ids": "candidate_ids",
    "mask": "mask_block",
    "further": "positives_block",
    "weights": "sample_weight",
    "num_hard": "num_hard_negatives",
}
CASES = {
    "plain": [],
    "columns": ["columns"],
    "counts": ["counts"],
    "hits": ["ids", "weights"],
    "masks": ["mask", "counts"],
    "hard": ["num_hard", "counts"],
    "own negatives": ["negatives", "negatives_mask", "counts"],
    "own negatives, hard": ["negatives", "num_hard"],
    "everything": [
        *("columns", "counts", "ids", "mask", "num_hard", "negatives"),
        *("negatives_mask", "weights"),
    ],
}
SEVERAL = {
    "several positives": ["further"],
    "several positives, everything": ["further", *CASES["everything"]],
}
CORRECTED = [(case, "corrected_logq") for case in CASES]
ALL = [(case, "logq") for case in (*CASES, *SEVERAL)] + CORRECTED


def options_of(inputs, case, correction):
    names = (CASES | SEVERAL)[case]
    options = {n: 2 if n == "num_hard" else inputs[n] for n in names}
    return options | {"correction": correction}


def call(queries, candidates, options, **extra):
    arguments = {}
    for name, value in options.items():
        if name in ("mask", "further"):
            value = tf.constant(value).__getitem__
        elif isinstance(value, np.ndarray):
            value = tf.constant(value)
        arguments[NAMES.get(name, name)] = value
    return sampled_softmax(queries, candidates, **arguments, **extra)


@pytest.mark.parametrize("block_size", [2, "auto"])
@pytest.mark.parametrize("queries", ["queries", "heads"])
@pytest.mark.parametrize(("case", "correction"), ALL)
def test_loss_and_gradients_are_those_of_the_loops(
    inputs, case, correction, queries, block_size
):
    options = options_of(inputs, case, correction)
    sides = [inputs[queries], inputs["candidates"]]
    expected, surprise = oracle(*sides, **options)
    tensors = [tf.constant(side) for side in sides]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = call(*tensors, options, block_size=block_size).loss
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    of_queries, of_candidates = tape.gradient(loss, tensors)
    options |= {"surprise": surprise}
    np.testing.assert_allclose(
        of_queries,
        oracles.gradient(lambda q: oracle(q, sides[1], **options), sides[0]),
        atol=2e-4,
    )
    np.testing.assert_allclose(
        of_candidates,
        oracles.gradient(lambda c: oracle(sides[0], c, **options), sides[1]),
        atol=2e-4,
    )


@pytest.mark.parametrize("correction", ["logq", "corrected_logq"])
def test_own_negatives_and_weights_get_their_gradients(inputs, correction):
    names = ["counts", "negatives", "negatives_mask", "weights"]
    options = {n: inputs[n] for n in names} | {"correction": correction}
    sides = inputs["queries"], inputs["candidates"]
    _, surprise = oracle(*sides, **options)
    watched = [tf.constant(inputs["negatives"]), tf.constant(inputs["weights"])]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        given = options | {"negatives": watched[0], "weights": watched[1]}
        loss = call(*map(tf.constant, sides), given, block_size=2).loss
    found = tape.gradient(loss, watched)
    for name, slope in zip(["negatives", "weights"], found, strict=True):
        expected = oracles.gradient(
            lambda v, name=name: oracle(
                *sides, **options | {name: v, "surprise": surprise}
            ),
            inputs[name],
        )
        np.testing.assert_allclose(slope, expected, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("case", "correction"), [*CORRECTED[-1:], *ALL[:1], *ALL[-1:]])
def test_the_gradient_of_a_scaled_loss_is_scaled(inputs, case, correction, training):
    """As a loss-scaling optimizer and a sum of weighted losses need it."""
    options = options_of(inputs, case, correction)
    sides = [tf.constant(inputs["queries"]), tf.constant(inputs["candidates"])]

    def slopes(scale):
        with tf.GradientTape() as tape:
            tape.watch(sides)
            loss = scale * call(*sides, options, block_size=2, training=training).loss
        return tape.gradient(loss, sides)

    for scaled, slope in zip(slopes(1000.0), slopes(1.0), strict=True):
        np.testing.assert_allclose(scaled, 1000 * slope, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("correction", ["logq", "corrected_logq"])
def test_graph_and_eager_agree_for_batches_of_every_size(inputs, correction, training):
    @tf.function(input_signature=[tf.TensorSpec([None, WIDTH])] * 2)
    def graph(queries, candidates):
        with tf.GradientTape() as tape:
            tape.watch([queries, candidates])
            loss = sampled_softmax(
                queries,
                candidates,
                expected_counts=tf.range(1.0, tf.shape(candidates)[0] + 1),
                correction=correction,
                block_size=2,
                training=training,
            ).loss
        return loss, *tape.gradient(loss, [queries, candidates])

    for batch in (5, 1, 4):
        sides = [inputs["queries"][:batch], inputs["candidates"][: batch + 2]]
        counts = np.arange(1.0, batch + 3)
        expected, _ = oracle(*sides, counts=counts, correction=correction)
        values = graph(*sides)
        np.testing.assert_allclose(values[0], expected, rtol=1e-5)
        eager = graph.python_function(*map(tf.constant, sides))
        for one, other in zip(values, eager, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("correction", ["logq", "corrected_logq"])
def test_a_query_without_a_negative_loses_nothing_and_is_counted(inputs, correction):
    mask = np.zeros((BATCH, NUM_CANDIDATES), bool)
    mask[[1, 4]] = True
    queries = tf.constant(inputs["queries"])
    options = {"mask": mask, "counts": inputs["counts"], "correction": correction}
    with tf.GradientTape() as tape:
        tape.watch(queries)
        outcome = call(queries, inputs["candidates"], options, block_size=2)
    slope = tape.gradient(outcome.loss, queries).numpy()
    assert int(outcome.num_without_negatives) == 2
    assert np.isfinite(outcome.loss)
    np.testing.assert_array_equal(slope[[1, 4]], 0)
    assert np.abs(slope[[0, 2, 3]]).min() > 0
    alone = call(queries[1:2], inputs["candidates"][:1], {"correction": correction})
    assert float(alone.loss) == 0


@pytest.mark.parametrize("correction", ["logq", "corrected_logq"])
@pytest.mark.parametrize("training", [True, False])
def test_queries_with_negatives_of_their_own_are_not_without(
    inputs, correction, training
):
    mask = np.zeros((BATCH, NUM_CANDIDATES), bool)
    mask[[1, 2, 4]] = True  # of these, row 2 has no negative of its own either
    options = {
        "mask": mask,
        "counts": inputs["counts"],
        "correction": correction,
        "negatives": inputs["negatives"],
        "negatives_mask": inputs["negatives_mask"],
    }
    sides = inputs["queries"], inputs["candidates"]
    outcome = call(*sides, options, block_size=2, training=training)
    assert int(outcome.num_without_negatives) == 1
    del options["negatives_mask"]
    outcome = call(*sides, options, block_size=2, training=training)
    assert int(outcome.num_without_negatives) == 0
    options["mask"] = np.ones_like(mask)
    assert int(call(*sides, options).num_without_negatives) == 0


def test_all_other_items_once_each_are_the_full_softmax(inputs):
    sides = [tf.constant(inputs["queries"]), tf.constant(inputs["candidates"])]
    slopes = []
    for correction in (None, "corrected_logq"):
        with tf.GradientTape() as tape:
            tape.watch(sides)
            loss = sampled_softmax(
                *sides,
                positive_columns=tf.constant(inputs["columns"]),
                expected_counts=tf.ones(NUM_CANDIDATES),
                correction=correction,
            ).loss
        slopes.append(tape.gradient(loss, sides))
    for exact, corrected in zip(*slopes, strict=True):
        np.testing.assert_allclose(corrected, exact, atol=1e-6)


def test_scores_of_any_size_stay_finite():
    queries = tf.constant([[1e4], [-1e4]])
    candidates = tf.constant([[1.0], [2.0], [-3.0]])
    for correction in (None, "logq", "corrected_logq"):
        with tf.GradientTape() as tape:
            tape.watch(queries)
            loss = sampled_softmax(
                queries,
                candidates,
                expected_counts=tf.constant([1e-30, 1e3, 1.0]),
                correction=correction,
            ).loss
        assert np.isfinite(loss)
        assert np.isfinite(tape.gradient(loss, queries)).all()


def test_a_second_derivative_is_refused(inputs):
    queries = tf.constant(inputs["queries"])
    with tf.GradientTape() as outer:
        outer.watch(queries)
        with tf.GradientTape() as inner:
            inner.watch(queries)
            loss = sampled_softmax(queries, inputs["candidates"]).loss
        slope = inner.gradient(loss, queries)
    with pytest.raises(LookupError, match="once, not twice"):
        outer.gradient(slope, queries)


def test_wrong_corrections_are_named(inputs):
    sides = inputs["queries"], inputs["candidates"]
    with pytest.raises(ValueError, match=r"`correction` must be one of .* Got 'logp'"):
        sampled_softmax(*sides, correction="logp")
    with pytest.raises(ValueError, match="`positives_block` must be None"):
        call(*sides, {"further": inputs["further"], "correction": "corrected_logq"})


def test_the_correction_takes_the_bias_out_of_the_gradient():
    num_items, sample, groups, calls = 30, 32, 16, 1280
    rng = np.random.default_rng(7)
    share = 1 / np.arange(1, num_items + 1)
    share = (share / share.sum()).astype("float32")
    # Popular items score high, as they come to do in training. (With scores that have
    # nothing to do with popularity the two corrections are equally biased.)
    scores = -np.sort(-rng.normal(scale=1.5, size=(num_items, 1)), axis=0)
    scores = scores.astype("float32")
    softmax = np.exp(scores[:, 0]) / np.exp(scores).sum()
    exact = softmax - share  # the mean over positives that are drawn by share
    # Several batches at once: columns of other groups are masked.
    group = tf.repeat(tf.range(groups), sample)

    def gradient(seed, correction):
        items = tf.random.stateless_categorical(
            tf.math.log(share)[None], groups * sample, [seed, 3], dtype=tf.int32
        )[0]
        embeddings = tf.constant(scores)
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            loss = sampled_softmax(
                tf.ones([groups * sample, 1]),
                tf.gather(embeddings, items),
                expected_counts=(sample - 1) * tf.gather(share, items),
                correction=correction,
                candidate_ids=items,
                mask_block=lambda place: group[place][:, None] != group[None],
            ).loss
        slope = tf.convert_to_tensor(tape.gradient(loss, embeddings))
        return tf.squeeze(slope, axis=1) / (groups * sample)

    @tf.function
    def mean_gradient(correction):
        total = tf.zeros([num_items])
        for seed in tf.range(calls):
            total += gradient(seed, correction)
        return total / calls

    bias = {}
    for correction in ("logq", "corrected_logq"):
        bias[correction] = np.linalg.norm(mean_gradient(correction) - exact)
    assert groups * calls >= 20_000
    assert bias["corrected_logq"] <= 0.6 * bias["logq"]
    assert bias["corrected_logq"] < 0.1 * np.linalg.norm(exact)
