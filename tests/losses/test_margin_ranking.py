import pytest
import tensorflow as tf

from tfrs_models import losses

ROWS = tf.eye(4)
LISTS = [[1.0, 0.0]], [[0.0, 0.5]]
CALLS = {
    "margin ranking": lambda m: losses.margin_ranking_loss([1.0], [0.0], [1.0], m),
    "hinge": lambda m: losses.pairwise_hinge_loss(*LISTS, margin=m),
    "hinge class": lambda m: losses.PairwiseHingeLoss(margin=m),
    "sampled": lambda m: losses.sampled_pairwise_loss(*LISTS, margin=m),
    "sampled class": lambda m: losses.SampledPairwiseLoss(margin=m),
    "triplet": lambda m: losses.triplet_loss(ROWS, ROWS, ROWS, m),
    "batch triplet": lambda m: losses.batch_triplet_loss(ROWS, [0, 0, 1, 1], m),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("margin", [-0.1, float("nan"), float("inf")])
def test_margins_below_zero_are_refused(call, margin):
    with pytest.raises(ValueError, match="`margin` must be finite and not negative"):
        call(margin)
