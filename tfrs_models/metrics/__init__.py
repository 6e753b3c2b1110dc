"""Keras metrics, and tables of ranks to cut and compare."""

from tfrs_models.metrics.accumulator import metrics_accumulator
from tfrs_models.metrics.bootstrap import Interval, bootstrap_interval
from tfrs_models.metrics.calibration import ExpectedCalibrationError
from tfrs_models.metrics.cohort_usage import CohortEntropy, DeadCohorts
from tfrs_models.metrics.coverage import Coverage
from tfrs_models.metrics.distance_shift import DistanceShift, distance_shift
from tfrs_models.metrics.factorized_top_k import FactorizedTopK
from tfrs_models.metrics.gate_entropy import GateEntropy
from tfrs_models.metrics.grouped_auc import grouped_auc
from tfrs_models.metrics.macro_mean import MacroMean
from tfrs_models.metrics.rank_metrics import RankMetrics
from tfrs_models.metrics.rank_table import RankTable, rank_table
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
from tfrs_models.metrics.slices import popularity_slices

__all__ = [
    "CohortEntropy",
    "Coverage",
    "DeadCohorts",
    "DistanceShift",
    "ExpectedCalibrationError",
    "FactorizedTopK",
    "GateEntropy",
    "Interval",
    "MacroMean",
    "MeanAveragePrecision",
    "MeanReciprocalRank",
    "NDCG",
    "PrecisionAtK",
    "RankMetrics",
    "RankTable",
    "RecallAtK",
    "average_precision",
    "bootstrap_interval",
    "distance_shift",
    "grouped_auc",
    "metrics_accumulator",
    "ndcg",
    "popularity_slices",
    "precision",
    "rank_table",
    "recall",
    "reciprocal_rank",
]
