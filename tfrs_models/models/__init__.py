"""Whole models."""

from tfrs_models.models.two_tower import TwoTower

__all__ = ["TwoTower"]
