"""Callbacks, optimizers and tuning for the training of any model."""

from tfrs_models import _keras  # noqa: F401  isort: skip  `tf.keras` must be Keras 2

from tfrs_models.training.accumulate_metrics import AccumulateMetrics
from tfrs_models.training.extend_vocabulary import extend_vocabulary
from tfrs_models.training.fit_resumable import fit_resumable
from tfrs_models.training.hyper_parameters import random_search
from tfrs_models.training.index_negatives import IndexNegatives
from tfrs_models.training.lazy_adam import LazyAdam
from tfrs_models.training.learning_alarms import LearningAlarms
from tfrs_models.training.step_decay import step_decay_schedule
from tfrs_models.training.stop_on_metric import StopOnMetric
from tfrs_models.training.training_states import State, read_state
from tfrs_models.training.vocabulary_growth import load_rows

__all__ = [
    "AccumulateMetrics",
    "IndexNegatives",
    "LazyAdam",
    "LearningAlarms",
    "State",
    "StopOnMetric",
    "extend_vocabulary",
    "fit_resumable",
    "load_rows",
    "random_search",
    "read_state",
    "step_decay_schedule",
]
