"""Keras metrics over whole corpora."""

from tfrs_models.metrics.coverage import Coverage
from tfrs_models.metrics.factorized_top_k import FactorizedTopK

__all__ = ["Coverage", "FactorizedTopK"]
