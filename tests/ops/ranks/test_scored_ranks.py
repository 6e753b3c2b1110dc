import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.ops.ranks.scored_ranks import (
    ranks_by_scorer,
    ranks_of_columns,
    scores_in_blocks,
)

rng = np.random.default_rng(5)
SCORES = rng.integers(0, 6, [4, 11]).astype(np.float32)  # many ties
POSITIVES = [3, 10, -1, 0]
EXCLUDED = [[3, 4, 4, -1], [], [1], [9, 2]]


def counted_one_by_one(scores, positives, excluded):
    for row, own, others in zip(scores, positives, excluded, strict=True):
        rivals = [row[c] for c in range(len(row)) if c != own and c not in others]
        hidden = own >= 0 and own in others
        if own < 0 or hidden:
            yield 0, 0, len(rivals), False, hidden
            continue
        above = sum(score > row[own] for score in rivals)
        tied = sum(score == row[own] for score in rivals)
        yield above, tied, len(rivals), True, False


def score(candidates):
    return tf.gather(SCORES, candidates, axis=1)


@pytest.mark.parametrize("block_size", [1, 3, 11, 100])
def test_ranks_by_any_scorer_are_those_counted_one_by_one(block_size):
    @tf.function
    def ranks():
        return ranks_by_scorer(
            score,
            11,
            tf.constant(POSITIVES),
            excluded=tf.ragged.constant(EXCLUDED, tf.int32),
            block_size=block_size,
        )

    expected = zip(*counted_one_by_one(SCORES, POSITIVES, EXCLUDED), strict=True)
    for found, values in zip(ranks(), expected, strict=True):
        np.testing.assert_array_equal(found, values)


def test_the_scorer_never_sees_more_candidates_than_a_block():
    seen = []

    def recorded(candidates):
        seen.append(len(candidates))
        return score(candidates)

    np.testing.assert_array_equal(scores_in_blocks(recorded, 11, block_size=4), SCORES)
    assert seen == [4, 4, 4]


def test_scores_that_are_not_numbers_never_help():
    scores = tf.constant([[1.0, np.nan, 0.0], [1.0, np.nan, 0.0]])
    ranks = ranks_of_columns(scores, tf.constant([0, 1]))
    np.testing.assert_array_equal(ranks.above, [1, 2])
    np.testing.assert_array_equal(ranks.tied, [0, 0])


def test_a_block_size_below_one_is_refused():
    with pytest.raises(ValueError, match="`block_size` must be positive"):
        scores_in_blocks(score, 11, block_size=0)
