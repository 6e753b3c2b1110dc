"""Interactions for two towers: splits, features, audit. Imports no Keras object."""

from tfrs_models.data import checkins, clickstream, kuaisar, synthetic
from tfrs_models.data.activity import activity_table, with_activity
from tfrs_models.data.activity_layout import ActivityLayout, activity_layout
from tfrs_models.data.audit import Audit, audit
from tfrs_models.data.files import from_table, is_table
from tfrs_models.data.interactions import Interactions
from tfrs_models.data.lists import list_batches
from tfrs_models.data.load import load
from tfrs_models.data.movielens import latest_small, recbole_ml_100k, tfds
from tfrs_models.data.negatives import mixed_negatives
from tfrs_models.data.probabilities import (
    candidate_probabilities,
    sampling_probability_lookup,
)
from tfrs_models.data.ranking import RANKING_TASKS, ranking_batches, ranking_groups
from tfrs_models.data.sequences import (
    Windows,
    histories,
    history_table,
    training_windows,
    window_batches,
    with_histories,
)
from tfrs_models.data.splits import (
    split_global_time,
    split_leave_last_out,
    split_new_items,
    split_per_user_time,
    split_random,
)
from tfrs_models.data.summary import Summary
from tfrs_models.data.table import from_frame
from tfrs_models.feature import Feature

__all__ = [
    "ActivityLayout",
    "Audit",
    "Feature",
    "Interactions",
    "RANKING_TASKS",
    "Summary",
    "Windows",
    "activity_layout",
    "activity_table",
    "audit",
    "candidate_probabilities",
    "checkins",
    "clickstream",
    "from_frame",
    "from_table",
    "histories",
    "history_table",
    "is_table",
    "kuaisar",
    "latest_small",
    "list_batches",
    "load",
    "mixed_negatives",
    "ranking_batches",
    "ranking_groups",
    "recbole_ml_100k",
    "sampling_probability_lookup",
    "split_global_time",
    "split_leave_last_out",
    "split_new_items",
    "split_per_user_time",
    "split_random",
    "synthetic",
    "tfds",
    "training_windows",
    "window_batches",
    "with_activity",
    "with_histories",
]
