"""Layers that score the results of searches and extract pairs to learn from."""

from tfrs_models.layers.clickstream.features_extractor import (
    FeaturesExtractor,
    make_features_extractor,
)

__all__ = ["FeaturesExtractor", "make_features_extractor"]
