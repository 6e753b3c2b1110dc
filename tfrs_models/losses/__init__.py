"""Losses that models are trained to lower."""

from tfrs_models import _keras  # noqa: F401  isort: skip  `tf.keras` must be Keras 2

from tfrs_models._advice import advise as _advise
from tfrs_models.losses.approx_ndcg import ApproxNDCGLoss, approx_ndcg_loss
from tfrs_models.losses.distillation import (
    ListwiseDistillationLoss,
    PairwiseDistillationLoss,
    listwise_distillation_loss,
    pairwise_distillation_loss,
)
from tfrs_models.losses.list_mle import ListMLELoss, list_mle_loss
from tfrs_models.losses.listwise_softmax import (
    ListwiseSoftmaxLoss,
    listwise_softmax_loss,
)
from tfrs_models.losses.margin_ranking import margin_ranking_loss
from tfrs_models.losses.n_pair import n_pair_loss
from tfrs_models.losses.pairwise import (
    PairwiseHingeLoss,
    PairwiseLogisticLoss,
    pairwise_hinge_loss,
    pairwise_logistic_loss,
)
from tfrs_models.losses.prob_margin_ranking import prob_margin_ranking_loss
from tfrs_models.losses.regression_compatible import (
    RegressionCompatibleLoss,
    regression_compatible_loss,
)
from tfrs_models.losses.sampled_cross_entropy import sampled_softmax
from tfrs_models.losses.sampled_pairwise import (
    SampledPairwiseLoss,
    sampled_pairwise_loss,
)
from tfrs_models.losses.smooth_ap import SmoothAPLoss, smooth_ap_loss
from tfrs_models.losses.triplet import batch_triplet_loss, triplet_loss

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
    "SmoothAPLoss",
    "approx_ndcg_loss",
    "batch_triplet_loss",
    "list_mle_loss",
    "listwise_distillation_loss",
    "listwise_softmax_loss",
    "margin_ranking_loss",
    "n_pair_loss",
    "pairwise_distillation_loss",
    "pairwise_hinge_loss",
    "pairwise_logistic_loss",
    "prob_margin_ranking_loss",
    "regression_compatible_loss",
    "sampled_pairwise_loss",
    "sampled_softmax",
    "smooth_ap_loss",
    "triplet_loss",
]

__getattr__ = _advise(__name__)
