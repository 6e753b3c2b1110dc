"""One rule for the weights of rows, wherever they come in."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import losses, metrics, tasks
from tfrs_models.metrics.rank_metrics import RankMetrics
from tfrs_models.ops.ranks.corpus_ranks import CorpusRanks

RNG = np.random.default_rng(0)
SIDE = RNG.normal(size=(3, 4)).astype("float32")
BINARY = RNG.integers(2, size=(3, 1)).astype("float32")
LISTS = np.array([[1.0, 0, 2], [0, 1, 0], [2, 0, -1]], "float32")
CORPUS = tf.data.Dataset.from_tensor_slices((np.arange(3), SIDE)).batch(2)
RANKS = CorpusRanks(
    *(tf.constant([0, 1, 2]),) * 3, tf.ones([3], tf.bool), tf.zeros([3], tf.bool)
)

TAKERS = {
    "MultiTask": lambda w: tasks.MultiTask(1)(BINARY, SIDE[:, :1], sample_weight=w),
    "Regression": lambda w: tasks.Regression("r")(BINARY, BINARY, sample_weight=w),
    "Retrieval": lambda w: tasks.Retrieval()(SIDE, SIDE, sample_weight=w),
    "Retrieval with a loss": lambda w: tasks.Retrieval(
        loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True)
    )(SIDE, SIDE, sample_weight=w),
    "sampled_softmax": lambda w: losses.sampled_softmax(
        tf.constant(SIDE), tf.constant(SIDE), sample_weight=w
    ),
    "FactorizedTopK": lambda w: metrics.FactorizedTopK(CORPUS, ks=(1,)).update_state(
        SIDE, SIDE, sample_weight=w
    ),
    "RankMetrics": lambda w: RankMetrics(["mrr"]).update_state(RANKS, w),
    "GateEntropy": lambda w: metrics.GateEntropy("e").update_state(abs(SIDE), w),
    "calibration": lambda w: metrics.ExpectedCalibrationError().update_state(
        BINARY[:, 0], BINARY[:, 0], w
    ),
    "NDCG": lambda w: metrics.NDCG(2).update_state(LISTS, SIDE[:, :3], w),
    **{
        cls.__name__: lambda w, cls=cls: cls()(LISTS, SIDE[:, :3], w)
        for cls in vars(losses).values()
        if isinstance(cls, type) and issubclass(cls, tf.keras.losses.Loss)
    },
}


@pytest.mark.parametrize("taker", TAKERS)
def test_weights_that_are_negative_or_not_finite_are_refused(taker):
    TAKERS[taker](tf.constant([0.0, 1.0, 2.5]))
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="`sample_weight` must not be negative"
        ):
            TAKERS[taker](tf.constant([1.0, 1.0, wrong]))


def test_weights_of_metrics_have_their_own_name():
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="`metric_weight` must not be negative"
    ):
        tasks.Retrieval()(SIDE, SIDE, metric_weight=tf.constant([1.0, -2.0, 0.0]))


ONE_A_ROW = [
    "MultiTask",
    "Regression",
    "Retrieval",
    "Retrieval with a loss",
    "sampled_softmax",
    "FactorizedTopK",
    "calibration",
    "NDCG",
]


@pytest.mark.parametrize("taker", ONE_A_ROW)
def test_weights_that_are_not_one_a_row_are_refused(taker):
    TAKERS[taker](tf.ones([3, 1]))
    for rows in (1, 2, 4):  # a single one would be spread over all
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="`sample_weight` must .*one weight"
        ):
            TAKERS[taker](tf.ones([rows]))
    for shape in ([1, 3], [3, 3]):
        with pytest.raises(ValueError, match=r"`sample_weight` must be \[batch\]"):
            TAKERS[taker](tf.ones(shape))


@pytest.mark.parametrize("taker", ["Retrieval", "Retrieval with a loss"])
def test_one_number_weighs_all_rows_alike(taker):
    one, two = (float(TAKERS[taker](weight)) for weight in (tf.ones([3]), 2.0))
    assert two == pytest.approx(2 * one)


LIST_LOSSES = [
    cls
    for cls in vars(losses).values()
    if isinstance(cls, type) and "ListLoss" in {base.__name__ for base in cls.__mro__}
]


@pytest.mark.parametrize("cls", LIST_LOSSES)
def test_losses_of_lists_take_one_weight_for_each_list_and_no_others(cls):
    labels, scores = LISTS[:, :2], SIDE[:, :2]  # one pair each: nothing to draw
    weights = np.array([0.5, 3.0, 2.0])
    single = [float(cls()(labels[[i]], scores[[i]])) for i in range(3)]
    expected = np.dot(weights, single) / 3
    for shape in ([3], [3, 1]):
        value = float(cls()(labels, scores, weights.reshape(shape)))
        assert value == pytest.approx(expected, rel=1e-5)
    assert float(cls()(labels, scores, 2.0)) == pytest.approx(2 * np.mean(single), 1e-5)
    rule = r"`sample_weight` must be \[batch\], one weight for each list"
    for shape in ([3, 3], [1, 3], [3, 1, 1]):
        with pytest.raises(ValueError, match=rule):
            cls()(labels, scores, np.ones(shape))
    for rows in (0, 1, 2, 4):
        with pytest.raises(tf.errors.InvalidArgumentError, match=rule):
            cls()(labels, scores, np.ones(rows))
