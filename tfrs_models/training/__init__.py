"""What watches over the training of any model."""

from tfrs_models.training.learning_alarms import LearningAlarms, LearningWarning

__all__ = ["LearningAlarms", "LearningWarning"]
