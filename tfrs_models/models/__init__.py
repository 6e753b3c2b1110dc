"""Whole models."""

from tfrs_models.models.multi_task_ranker import MultiTaskRanker
from tfrs_models.models.next_item import NextItem
from tfrs_models.models.two_tower import TwoTower

__all__ = ["MultiTaskRanker", "NextItem", "TwoTower"]
