"""A trained model with rows for new users, items and values."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.data.interactions import Interactions
from tfrs_models.feature import Feature
from tfrs_models.layers.negatives.mined_negatives import MinedNegatives
from tfrs_models.towers.feature_lookup import FeatureLookup
from tfrs_models.towers.user_id import UserId
from tfrs_models.training.vocabulary_growth import Vocabularies, load_rows

_FIELDS = {field.name for field in dataclasses.fields(Feature)}
_HISTORY = "history_"  # of the names of features that are a column of the history


def extend_vocabulary(
    model: tf.keras.Model,
    data: Interactions,
    *,
    vocabularies: Vocabularies,
    trend_table: object | None = None,
    drop_gone: bool = False,
) -> tf.keras.Model:
    """Makes a model with rows for all users, items and values of new data.

    The new model gives the answers of the old one: `load_rows` describes which rows
    keep their weights and optimizer slots, and how new ones start. Numbers are still
    standardised by the statistics of the old data. If the model is compiled, so is the
    new one, with the same optimizer and its state.

    Args:
      model: trained model, such as `models.TwoTower`, whose towers read declared
        features.
      data: interactions whose indices the new model reads, with the features that it
        reads (`data.with_histories`).
      vocabularies: vocabularies that the indices of the old model are of, those of the
        `Interactions` that it was trained on.
      trend_table: trend features of the items of `data`, for a model with trends.
      drop_gone: True to drop the rows of ids that `data` lacks.

    Returns:
      The new model.

    Raises:
      ValueError: the model has not seen a batch, `data` lack a feature that it reads,
        or rows cannot be moved (see `load_rows`).

    Example:
      >>> import pandas as pd
      >>> ids = {"user_id": [*"ab" * 5 + "c" * 10], "item_id": [*"pqrs" * 5]}
      >>> log = pd.DataFrame(ids | {"timestamp": range(20)})
      >>> old, new = (tm.data.from_frame(log[:n], split="global_time") for n in (9, 20))
      >>> towers = tm.towers.UserId(3, 4), tm.towers.FeatureTower(old.item_features, 4)
      >>> model = tm.models.TwoTower(*towers)
      >>> _ = model(next(iter(old.batches("test", 1))))
      >>> big = tm.training.extend_vocabulary(model, new, vocabularies=old.vocabularies)
    """
    if not model.get_build_config():
        raise ValueError(
            "`model` must have seen a batch: call it on one. Got a "
            f"{type(model).__name__} without weights."
        )
    declared = {f.name: f for f in (*data.user_features, *data.item_features)}
    for name, words in data.vocabularies.items():
        declared.setdefault(name, Feature(name, "id", num_values=len(words)))
    grown = type(model).from_config(_grown(model.get_config(), data, declared))
    if trend_table is not None:
        grown.trend_table = trend_table
    grown(next(iter(data.batches("test", 1))))
    for layer in grown.submodules:
        if isinstance(layer, FeatureLookup):
            layer.assign(data.items)
    if getattr(model, "optimizer", None) is not None:
        grown.compile(type(model.optimizer).from_config(model.optimizer.get_config()))
    load_rows(
        grown, model, old=vocabularies, new=data.vocabularies, drop_gone=drop_gone
    )
    return grown


def _grown(
    config: object, data: Interactions, declared: Mapping[str, Feature]
) -> object:
    """Returns the config of a model or layer with the sizes of new vocabularies."""
    if isinstance(config, (list, tuple)):
        return [_grown(value, data, declared) for value in config]
    if not isinstance(config, Mapping):
        return config
    if config.keys() == _FIELDS:
        return _grown_feature(config, declared)
    grown = {name: _grown(value, data, declared) for name, value in config.items()}
    own = grown.get("config")
    if config.get("class_name") == FeatureLookup.__name__:
        columns = data.items if own["feature"] in data.items else data.users
        own["table"] = {
            name: {**spec, "shape": list(np.shape(columns[name]))}
            for name, spec in own["table"].items()
        }
    elif config.get("class_name") == UserId.__name__ and own["feature"] in declared:
        # Row 0 stands for unknown users.
        own["num_buckets"] = 1 + declared[own["feature"]].num_values
    elif config.get("class_name") == MinedNegatives.__name__:
        own["num_queries"] = 1 + data.num_users
    if grown.get("corpus_size") is not None:  # a softmax over all items
        grown["corpus_size"] = data.num_train_items
    return grown


def _grown_feature(config: Mapping, declared: Mapping[str, Feature]) -> dict:
    name = config["name"]
    found = declared.get(name) or declared.get(name.removeprefix(_HISTORY))
    if found is None or (config["kind"], config["dim"]) != (found.kind, found.dim):
        raise ValueError(
            f"`data` must have the feature `{name}`, which the model reads as "
            f"{config['kind']}. Got {sorted(declared)}."
        )
    return {**config, "num_values": found.num_values}
