"""What a model is trained to lower."""

from tfrs_models.losses.approx_ndcg import ApproxNDCGLoss, approx_ndcg_loss
from tfrs_models.losses.batch_triplet import batch_triplet_loss
from tfrs_models.losses.list_mle import ListMLELoss, list_mle_loss
from tfrs_models.losses.listwise_distillation import (
    ListwiseDistillationLoss,
    listwise_distillation_loss,
)
from tfrs_models.losses.listwise_softmax import (
    ListwiseSoftmaxLoss,
    listwise_softmax_loss,
)
from tfrs_models.losses.margin_ranking import margin_ranking_loss
from tfrs_models.losses.n_pair import n_pair_loss
from tfrs_models.losses.pairwise_distillation import (
    PairwiseDistillationLoss,
    pairwise_distillation_loss,
)
from tfrs_models.losses.pairwise_hinge import PairwiseHingeLoss, pairwise_hinge_loss
from tfrs_models.losses.pairwise_logistic import (
    PairwiseLogisticLoss,
    pairwise_logistic_loss,
)
from tfrs_models.losses.prob_margin_ranking import prob_margin_ranking_loss
from tfrs_models.losses.regression_compatible import (
    RegressionCompatibleLoss,
    regression_compatible_loss,
)
from tfrs_models.losses.sampled_pairwise import (
    SampledPairwiseLoss,
    sampled_pairwise_loss,
)
from tfrs_models.losses.sampled_softmax import SampledSoftmax, sampled_softmax
from tfrs_models.losses.smooth_ap import SmoothAPLoss, smooth_ap_loss
from tfrs_models.losses.triplet import triplet_loss
from tfrs_models.ops.softmax.pair_info_nce import pair_info_nce
from tfrs_models.ops.transition_contrast import transition_contrast

__all__ = [
    "ApproxNDCGLoss",
    "ListMLELoss",
    "ListwiseDistillationLoss",
    "ListwiseSoftmaxLoss",
    "PairwiseDistillationLoss",
    "PairwiseHingeLoss",
    "PairwiseLogisticLoss",
    "RegressionCompatibleLoss",
    "SampledPairwiseLoss",
    "SampledSoftmax",
    "SmoothAPLoss",
    "approx_ndcg_loss",
    "batch_triplet_loss",
    "list_mle_loss",
    "listwise_distillation_loss",
    "listwise_softmax_loss",
    "margin_ranking_loss",
    "n_pair_loss",
    "pair_info_nce",
    "pairwise_distillation_loss",
    "pairwise_hinge_loss",
    "pairwise_logistic_loss",
    "prob_margin_ranking_loss",
    "regression_compatible_loss",
    "sampled_pairwise_loss",
    "sampled_softmax",
    "smooth_ap_loss",
    "transition_contrast",
    "triplet_loss",
]
