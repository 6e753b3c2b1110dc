import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from tests import oracles
from tests.losses import definitions
from tfrs_models.losses import (
    batch_triplet_loss,
    margin_ranking_loss,
    n_pair_loss,
    triplet_loss,
)

DISTANCES = ["squared_euclidean", "euclidean", "cosine"]
MINING = ["all", "hard", "semi_hard"]
BATCH, WIDTH = 9, 3
every_distance = pytest.mark.parametrize("distance", DISTANCES)
every_mining = pytest.mark.parametrize("mining", MINING)


def vectors(seed, rows=BATCH):
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype("float32")


def slope_of(function, values):
    values = tf.convert_to_tensor(values)
    with tf.GradientTape() as tape:
        tape.watch(values)
        out = function(values)
        total = tf.reduce_sum(out * tf.range(1.0, len(out) + 1, dtype=out.dtype))
    return tape.gradient(total, values).numpy()


def weighted(values):
    return sum((i + 1) * value for i, value in enumerate(values))


def test_the_worked_values_of_the_margin_loss():
    x1, x2 = tf.constant([0.5, 0.9, 0.6]), tf.constant([0.7, 0.8, 0.4])
    values = margin_ranking_loss(x1, x2, [1, -1, 1], 0.2)
    np.testing.assert_allclose(values, [0.4, 0.3, 0], atol=1e-6)
    np.testing.assert_allclose(
        slope_of(lambda x: margin_ranking_loss(x, x2, [1, -1, 1], 0.2), x1), [-1, 2, 0]
    )
    halves = [tf.cast(x, tf.float16) for x in (x1, x2)]
    values = margin_ranking_loss(*halves, tf.constant([1, -1, 1]), margin=0.2)
    assert values.dtype == tf.float32
    np.testing.assert_allclose(values, [0.4, 0.3, 0], atol=1e-3)


def test_margin_pairs_of_unequal_shape_are_named():
    with pytest.raises(ValueError, match=r"`x1`, `x2` and `y` .* Got \(2,\), \(3,\)"):
        margin_ranking_loss(np.zeros(2), np.zeros(3), np.ones(2))
    with pytest.raises(ValueError, match="one shape for all"):
        margin_ranking_loss(np.zeros(2), np.zeros(2), np.ones((2, 1)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="`y` must be 1 or -1"):
        margin_ranking_loss(np.zeros(2), np.zeros(2), [1, 0])


def n_pair(anchors, positives, labels, l2):
    out = []
    for i, anchor in enumerate(anchors):
        own = float(anchor @ positives[i])
        others = sum(
            math.exp(float(anchor @ positives[j]) - own)
            for j in range(len(anchors))
            if labels[j] != labels[i]
        )
        norms = float(anchor @ anchor + positives[i] @ positives[i])
        out.append(math.log(1 + others) + l2 * norms / 2)
    return out


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize(
    "labels", [None, [4, 1, 4, 2, 2, 4, 7, 1, 9], list("abcabcdda"), [5] * BATCH]
)
def test_an_n_pair_meets_the_positives_of_other_labels(labels, l2):
    anchors, positives = vectors(0), vectors(1)
    values = n_pair_loss(anchors, positives, labels, l2=l2)
    names = range(BATCH) if labels is None else labels
    exact = [x.astype("float64") for x in (anchors, positives)]
    np.testing.assert_allclose(values, n_pair(*exact, names, l2), rtol=1e-5, atol=1e-6)
    slope = slope_of(lambda x: n_pair_loss(x, exact[1], labels, l2=l2), exact[0])
    expected = oracles.gradient(
        lambda x: weighted(n_pair(x, exact[1], names, l2)), anchors
    )
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-6)


def test_n_pairs_of_any_size_stay_finite():
    anchors, positives = 1e2 * vectors(0), 1e2 * vectors(1)
    for labels in (None, [1] * BATCH):
        for rows in (0, 1, BATCH):
            part = labels and labels[:rows]
            if part == []:
                part = np.zeros(0)
            values = n_pair_loss(anchors[:rows], positives[:rows], part)
            assert np.isfinite(values).all()
            if rows == 1 or labels:
                np.testing.assert_array_equal(values, 0)
    assert np.isfinite(slope_of(lambda x: n_pair_loss(x, positives), anchors)).all()


def test_a_worse_negative_raises_the_n_pair_loss():
    anchors, positives = np.eye(3, dtype="f"), np.eye(3, dtype="f")
    before = n_pair_loss(anchors, positives)
    positives[1] = anchors[0]
    after = n_pair_loss(anchors, positives)
    assert after[0] > before[0]
    assert after[2] == before[2]
    same = n_pair_loss(anchors, positives, [8, 8, 9])
    assert same[0] < after[0]


@every_distance
def test_a_triplet_is_its_definition(distance):
    sides = [vectors(seed) for seed in range(3)]
    exact = [side.astype("float64") for side in sides]

    def oracle(anchors, positives, negatives):
        return [
            max(
                0.0,
                definitions.distance(a, p, distance)
                - definitions.distance(a, n, distance)
                + 0.4,
            )
            for a, p, n in zip(anchors, positives, negatives, strict=True)
        ]

    values = triplet_loss(*sides, 0.4, distance=distance)
    np.testing.assert_allclose(values, oracle(*exact), rtol=1e-4, atol=1e-6)
    assert 0 < np.count_nonzero(values) < BATCH
    for side in range(3):

        def ours(x, side=side):
            return triplet_loss(
                *exact[:side], x, *exact[side + 1 :], 0.4, distance=distance
            )

        def definition(x, side=side):
            return weighted(oracle(*exact[:side], x, *exact[side + 1 :]))

        np.testing.assert_allclose(
            slope_of(ours, exact[side]),
            oracles.gradient(definition, exact[side]),
            atol=1e-6,
        )


@every_distance
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_identical_vectors_have_finite_gradients(distance, scale):
    same = np.full((4, WIDTH), scale, "float32")
    for function in (
        lambda x: triplet_loss(x, x, x, distance=distance),
        lambda x: triplet_loss(x, tf.constant(same), -x, distance=distance),
        *(
            lambda x, m=mining: batch_triplet_loss(
                x, [0, 0, 1, 1], mining=m, distance=distance
            )
            for mining in MINING
        ),
    ):
        assert np.isfinite(function(tf.constant(same))).all()
        slope = slope_of(function, same)
        assert np.isfinite(slope).all()
        assert np.abs(slope).max() <= max(1e5, 100 * scale)


@every_distance
@every_mining
@pytest.mark.parametrize("margin", [0.0, 0.3, 50.0])
def test_mined_triplets_are_those_of_the_definition(distance, mining, margin):
    for labels in (
        [4, 1, 4, 2, 2, 4, 7, 1, 4],
        [0, 0, 0, 0, 0, 0, 0, 0, 1],
        [3] * BATCH,
        list(range(BATCH)),
    ):
        embeddings = vectors(len(set(labels)))
        exact = embeddings.astype("float64")
        options = {"mining": mining, "distance": distance}

        def definition(x, labels=labels):
            return definitions.batch_triplet(
                x, labels, margin, mining=mining, kind=distance
            )

        def ours(x, labels=labels, options=options):
            return batch_triplet_loss(x, labels, margin, **options)

        np.testing.assert_allclose(
            ours(embeddings), definition(exact), rtol=1e-4, atol=1e-5
        )
        if mining == "all":
            continue  # the number of non-zero triplets jumps
        np.testing.assert_allclose(
            slope_of(ours, exact),
            oracles.gradient(lambda x: weighted(definition(x)), exact),
            rtol=1e-4,
            atol=1e-5,
        )


@every_distance
def test_all_triplets_pull_where_they_are_not_zero(distance):
    labels = [4, 1, 4, 2, 2, 4, 7, 1, 4]
    exact = vectors(5).astype("float64")

    def definition(x):
        values = definitions.batch_triplet(x, labels, 0.3, mining="all", kind=distance)
        return weighted(values)

    slope = slope_of(
        lambda x: batch_triplet_loss(x, labels, 0.3, mining="all", distance=distance),
        exact,
    )
    np.testing.assert_allclose(
        slope, oracles.gradient(definition, exact, step=1e-6), rtol=1e-4, atol=1e-5
    )


def test_a_semi_hard_negative_is_strictly_farther_than_the_positive():
    embeddings = tf.constant([[0.0], [2.0], [-2.0], [3.0]])
    values = batch_triplet_loss(embeddings, [0, 0, 1, 2], 6.0, mining="semi_hard")
    # d(a, p) = 4; the negatives are at 4 and 9. From 2.0 they are at 16 and 1.
    np.testing.assert_allclose(values, [4 - 9 + 6, 0, 0, 0])


def test_the_mean_over_the_batch_is_that_over_the_triplets_that_are_not_zero():
    embeddings, labels, margin = vectors(11), [0, 1, 1, 0, 2, 2, 2, 0, 5], 0.5
    losses = []
    for a, p, n in itertools.permutations(range(BATCH), 3):
        if labels[a] == labels[p] != labels[n]:
            gap = definitions.distance(embeddings[a], embeddings[p], "euclidean")
            gap -= definitions.distance(embeddings[a], embeddings[n], "euclidean")
            losses.append(max(0.0, gap + margin))
    losses = [loss for loss in losses if loss > 0]
    values = batch_triplet_loss(
        embeddings, labels, margin, mining="all", distance="euclidean"
    )
    assert np.mean(values) == pytest.approx(np.mean(losses), rel=1e-5)


@every_mining
def test_the_order_of_a_batch_does_not_matter(mining):
    labels = np.array([4, 1, 4, 2, 2, 4, 7, 1, 4])
    order = np.random.default_rng(3).permutation(BATCH)
    values = batch_triplet_loss(vectors(4), labels, mining=mining).numpy()
    again = batch_triplet_loss(vectors(4)[order], labels[order], mining=mining)
    np.testing.assert_allclose(again, values[order], rtol=1e-5)


@every_mining
def test_graph_and_eager_agree_and_so_do_half_precision_and_strings(mining):
    embeddings, labels = vectors(4), np.array([4, 1, 4, 2, 2, 4, 7, 1, 4])
    graph = tf.function(
        lambda x, y: batch_triplet_loss(x, y, mining=mining),
        input_signature=[
            tf.TensorSpec([None, WIDTH]),
            tf.TensorSpec([None], tf.int64),
        ],
    )
    for rows in (BATCH, 1, 0):
        values = batch_triplet_loss(embeddings[:rows], labels[:rows], mining=mining)
        np.testing.assert_allclose(
            graph(embeddings[:rows], labels[:rows]), values, rtol=1e-6
        )
    half = tf.cast(embeddings, tf.float16)
    values = batch_triplet_loss(half, labels.astype(str), mining=mining)
    assert values.dtype == tf.float32
    expected = batch_triplet_loss(tf.cast(half, tf.float32), labels, mining=mining)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_wrong_arguments_are_named():
    x = vectors(0)
    with pytest.raises(ValueError, match="`distance` must be one of .* Got 'l1'"):
        triplet_loss(x, x, x, distance="l1")
    with pytest.raises(ValueError, match=r"`anchor`, `positive`, `negative` must be"):
        triplet_loss(x, x[:2], x)
    with pytest.raises(ValueError, match="`anchors`, `positives` must be"):
        n_pair_loss(x, x[:, :2])
    with pytest.raises(ValueError, match=r"`labels` must be \[batch\].* Got the sh"):
        n_pair_loss(x, x, [1, 2])
    with pytest.raises(ValueError, match="`mining` must be one of .* Got 'easy'"):
        batch_triplet_loss(x, [0] * BATCH, mining="easy")
    with pytest.raises(ValueError, match="a label for each of 9 embeddings"):
        batch_triplet_loss(x, [0, 1])
