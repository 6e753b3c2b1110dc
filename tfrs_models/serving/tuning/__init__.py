"""Finds the settings of an approximate index that reach a recall."""

from tfrs_models.serving.tuning.result import Setting, Tuning
from tfrs_models.serving.tuning.tune import tune

__all__ = ["Setting", "Tuning", "tune"]
