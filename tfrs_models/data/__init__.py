"""Data of users and items as `tf.data` datasets: read, split, joined and audited.

`load` and `from_frame` give `Interactions`. No Keras object is imported here.
"""

from tfrs_models import _autograph  # noqa: F401  isort: skip  before anything is traced

from tfrs_models.data import checkins, clickstream, kuaisar, synthetic
from tfrs_models.data.activity import activity_layout, activity_table, with_activity
from tfrs_models.data.files import load
from tfrs_models.data.held_back import earlier_items, with_held_back
from tfrs_models.data.interactions import Interactions
from tfrs_models.data.lists import list_batches
from tfrs_models.data.negatives import mixed_negatives
from tfrs_models.data.probabilities import (
    candidate_probabilities,
    sampling_probability_lookup,
)
from tfrs_models.data.ranking import RANKING_TASKS, ranking_batches, ranking_groups
from tfrs_models.data.repeats import repeat_share, repeated_rows, with_repeats
from tfrs_models.data.sequences import history_table, window_batches, with_histories
from tfrs_models.data.slices import row_slices
from tfrs_models.data.table import from_frame
from tfrs_models.data.trends import TrendTable, trend_table
from tfrs_models.feature import Feature

__all__ = [
    "Feature",
    "Interactions",
    "RANKING_TASKS",
    "TrendTable",
    "activity_layout",
    "activity_table",
    "candidate_probabilities",
    "checkins",
    "clickstream",
    "earlier_items",
    "from_frame",
    "history_table",
    "kuaisar",
    "list_batches",
    "load",
    "mixed_negatives",
    "ranking_batches",
    "ranking_groups",
    "repeat_share",
    "repeated_rows",
    "row_slices",
    "sampling_probability_lookup",
    "synthetic",
    "trend_table",
    "window_batches",
    "with_activity",
    "with_held_back",
    "with_histories",
    "with_repeats",
]
