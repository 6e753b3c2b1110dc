"""Keras metrics, and tables of ranks to cut and compare.

Keras metrics are imported when they are first used: tables of ranks need no Keras.
"""

from typing import TYPE_CHECKING

from tfrs_models import _autograph  # noqa: F401  isort: skip  before anything is traced

from tfrs_models._lazy import lookup as _lookup
from tfrs_models.metrics.accumulator import metrics_accumulator
from tfrs_models.metrics.auc import grouped_auc
from tfrs_models.metrics.beyond_accuracy import (
    average_popularity,
    beyond_accuracy,
    novelty,
)
from tfrs_models.metrics.bootstrap import bootstrap_interval, bootstrap_intervals
from tfrs_models.metrics.exposure import exposure
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
from tfrs_models.metrics.score_ranks import rank_scores
from tfrs_models.metrics.serendipity import serendipity
from tfrs_models.metrics.trend_scores import rank_with_trends, trend_scores

if TYPE_CHECKING:
    from tfrs_models.metrics.calibration import ExpectedCalibrationError
    from tfrs_models.metrics.distance_shifts import DistanceShift, distance_shift
    from tfrs_models.metrics.factorized_top_k import FactorizedTopK
    from tfrs_models.metrics.ranking_means import (
        NDCG,
        MeanAveragePrecision,
        MeanReciprocalRank,
        PrecisionAtK,
        RecallAtK,
    )
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

_KERAS_METRICS = {
    "calibration": "ExpectedCalibrationError",
    "distance_shifts": "DistanceShift distance_shift",
    "factorized_top_k": "FactorizedTopK",
    "ranking_means": (
        "MeanAveragePrecision MeanReciprocalRank NDCG PrecisionAtK RecallAtK"
    ),
    "usage": "GateEntropy",
}
__getattr__ = _lookup(
    __name__,
    {
        name: f"{__name__}.{module}"
        for module, names in _KERAS_METRICS.items()
        for name in (module, *names.split())
    },
)


def __dir__() -> list[str]:
    """Lists the metrics that have not been imported yet, too."""
    return sorted({*globals(), *__all__})
