"""Models: towers or layers with a task, one paper or pattern a module."""

from tfrs_models import _keras  # noqa: F401  isort: skip  `tf.keras` must be Keras 2

from tfrs_models._advice import advise as _advise
from tfrs_models.models import automtn, fine_tuning, unisar
from tfrs_models.models.automtn import AutoMTN
from tfrs_models.models.candidate_features import CandidateFeatures
from tfrs_models.models.cascade import Cascade
from tfrs_models.models.dcn import DCN
from tfrs_models.models.deep_fm import DeepFM
from tfrs_models.models.fine_tuning import FineTuningModel, fine_tuning_train_step
from tfrs_models.models.joint_ranking_ctr import JointRankingCTR
from tfrs_models.models.list_ranker import ListRanker
from tfrs_models.models.multi_task_ranker import MultiTaskRanker
from tfrs_models.models.next_item import NextItem
from tfrs_models.models.two_tower import TwoTower
from tfrs_models.models.unisar import UniSAR

__all__ = [
    "AutoMTN",
    "CandidateFeatures",
    "Cascade",
    "DCN",
    "DeepFM",
    "FineTuningModel",
    "JointRankingCTR",
    "ListRanker",
    "MultiTaskRanker",
    "NextItem",
    "TwoTower",
    "UniSAR",
    "automtn",
    "fine_tuning",
    "fine_tuning_train_step",
    "unisar",
]

__getattr__ = _advise(__name__)
