"""Keras metrics, and tables of ranks to cut and compare."""

from tfrs_models.metrics.accumulator import metrics_accumulator
from tfrs_models.metrics.auc import grouped_auc
from tfrs_models.metrics.beyond_accuracy import (
    average_popularity,
    beyond_accuracy,
    novelty,
)
from tfrs_models.metrics.bootstrap import bootstrap_interval, bootstrap_intervals
from tfrs_models.metrics.calibration import ExpectedCalibrationError
from tfrs_models.metrics.distance_shifts import DistanceShift, distance_shift
from tfrs_models.metrics.exposure import exposure
from tfrs_models.metrics.factorized_top_k import FactorizedTopK
from tfrs_models.metrics.group_intervals import group_intervals
from tfrs_models.metrics.list_attributes import (
    calibration_divergence,
    intra_list_diversity,
)
from tfrs_models.metrics.rank_tables import RankTable, popularity_slices, rank_table
from tfrs_models.metrics.ranking import (
    average_precision,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)
from tfrs_models.metrics.ranking_means import (
    NDCG,
    MeanAveragePrecision,
    MeanReciprocalRank,
    PrecisionAtK,
    RecallAtK,
)
from tfrs_models.metrics.score_ranks import rank_scores
from tfrs_models.metrics.serendipity import serendipity
from tfrs_models.metrics.trend_scores import rank_with_trends, trend_scores
from tfrs_models.metrics.usage import GateEntropy

__all__ = [
    "DistanceShift",
    "ExpectedCalibrationError",
    "FactorizedTopK",
    "GateEntropy",
    "MeanAveragePrecision",
    "MeanReciprocalRank",
    "NDCG",
    "PrecisionAtK",
    "RankTable",
    "RecallAtK",
    "average_popularity",
    "average_precision",
    "beyond_accuracy",
    "bootstrap_interval",
    "bootstrap_intervals",
    "calibration_divergence",
    "distance_shift",
    "exposure",
    "group_intervals",
    "grouped_auc",
    "intra_list_diversity",
    "metrics_accumulator",
    "ndcg",
    "novelty",
    "popularity_slices",
    "precision",
    "rank_scores",
    "rank_table",
    "rank_with_trends",
    "recall",
    "reciprocal_rank",
    "serendipity",
    "trend_scores",
]
