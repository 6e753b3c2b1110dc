"""Query towers of the retrieval pipeline: their flags, models, batches and features."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.data.interactions import EARLIER
from tfrs_models.data.sequences import Windows, history_columns, training_windows
from tfrs_models.feature import Feature
from tfrs_models.towers.unit_norm import UnitNorm

from .flags import (
    CountOrNone,
    Rate,
    ShareBelowOne,
    Temperature,
    Width,
)
from .user_towers import (
    READ_ACTIVITY,
    UserTower,
    build_user_tower,
    without_some_ids,
)

QueryTower = Literal["history", "gru", "sasrec", "autocorrelation", "id"]
Negatives = Literal["batch", "corpus"]


@dataclasses.dataclass(frozen=True)
class QueryTowerConfig:
    """Flags of the two towers and of their training."""

    query_tower: QueryTower | None = None
    """What represents a user: their items, pooled by recency and by the time between
    them (history, the default), read by a GRU or by a causal transformer (sasrec,
    autocorrelation); or the user's id and features (id)."""
    user_tower: UserTower | None = None
    """A tower over the user in place of the features with `--query-tower id`, which it
    implies: a table of ids, a deep hash of the id, cohorts that the model finds in the
    user's past activity, or a mixture of id and cohort."""
    features: Literal["id", "all"] = "all"
    """Input of the towers: ids only, or all features."""
    embedding_dim: Width = 64
    """Number of dimensions of both towers' embeddings."""
    history_length: Width = 50
    """Number of items of a history; the newest ones are used."""
    query_time: bool | None = None
    """Whether a tower over histories reads the time of the request, and so how long ago
    each item was, and not only their order; by default with `--query-tower history`."""
    clock: bool = False
    """Whether a tower over histories reads the hour of the day and the weekday, of the
    items and, with --query-time, of the request."""
    utc_offset: str | None = None
    """With --clock: one of --user-number-columns, the seconds that a user's local time
    is ahead of UTC; by default hours are those of UTC."""
    sample_weights: bool = False
    """Whether each row counts in the loss by its --weight-column."""
    temperature: Temperature | None = None
    """Temperature of the softmax over unit-length embeddings; by default 0.1, 0.2 with
    `--query-tower id` alone."""
    negatives: Negatives = "batch"
    """Negatives of the softmax: the other positives of the batch, corrected for their
    popularity, or, with histories, all items of the catalogue (the full softmax)."""
    trends: Literal["auto", "yes", "no"] = "auto"
    """Whether how popular an item was lately, and how old it is, enter the score, each
    time as it was at the time of the request: `auto` with histories."""
    id_dropout: ShareBelowOne | None = None
    """Share of ids that training replaces by the unknown id, so that unknown ids get a
    useful embedding; by default 0, with a user tower 0.1."""
    batch_size: int | None = None
    """Windows per batch with histories (by default as many as have about 400 positives,
    at least 16), rows with ids (default 1,024). The positives of a batch are each
    other's negatives."""
    learning_rate: Rate | None = None
    """Highest learning rate of Adam. With histories (default 0.005, sasrec and
    autocorrelation 0.002) it is warmed up and falls to 0 along a cosine; with ids it is
    constant (default 0.001; user towers deep-hash, cohort and mixture 0.003)."""
    epochs: CountOrNone | None = None
    """Largest number of epochs: validation NDCG@10 stops the training earlier; by
    default 5 with histories (sasrec and autocorrelation 10), 30 with ids."""


_HISTORY = {
    "query_time": False,
    "temperature": 0.1,
    "id_dropout": 0.0,
    "batch_size": None,
    "learning_rate": 0.005,
    "epochs": 5,
}
_ID = {
    "query_time": False,
    "temperature": 0.2,
    "id_dropout": 0.0,
    "batch_size": 1024,
    "learning_rate": 0.001,
    "epochs": 30,
}
_SLOWER = _HISTORY | {"learning_rate": 0.002, "epochs": 10}
DEFAULTS = {
    "history": _HISTORY | {"query_time": True},
    "gru": _HISTORY,
    "sasrec": _SLOWER,
    "autocorrelation": _SLOWER,
    "id": _ID,
}
_USER = _ID | {"temperature": 0.1, "id_dropout": 0.1}
_FASTER = _USER | {"learning_rate": 0.003}
USER_DEFAULTS = {
    "id": _USER,
    "deep-hash": _FASTER,
    "cohort": _FASTER,
    "mixture": _FASTER,
}
WARMUP = 50  # steps
POSITIVES = 400  # of a batch of windows, which are each other's negatives
WINDOWS = (16, 512)  # smallest and largest number of windows of a batch
# Features in which 0 is the unknown id; in windows an item of 0 is padding.
ID_FEATURES = dict.fromkeys(DEFAULTS, ("user_id",)) | {"id": ("user_id", "item_id")}


def resolved(config: QueryTowerConfig) -> QueryTowerConfig:
    """Fills the flags that are not given with the defaults of the query tower.

    Raises:
      SystemExit: two flags contradict each other.
    """
    query_tower = config.query_tower or ("id" if config.user_tower else "history")
    if config.user_tower and query_tower != "id":
        raise SystemExit(
            f"`--user-tower {config.user_tower}` takes the place of a tower over "
            f"histories: leave one of the two out. Got `--query-tower {query_tower}`."
        )
    if query_tower == "id" and config.negatives != "batch":
        raise SystemExit(
            f"`--negatives {config.negatives}` needs a query tower over histories. Got "
            "`--query-tower id`."
        )
    for flag in ("query_time", "clock"):
        if query_tower == "id" and getattr(config, flag):
            raise SystemExit(
                f"`--{flag.replace('_', '-')}` needs a query tower over histories. Got "
                "`--query-tower id`."
            )
    if config.utc_offset is not None and not config.clock:
        raise SystemExit(
            "`--utc-offset` must come with --clock, which reads it. Got "
            f"--utc-offset {config.utc_offset} alone."
        )
    defaults = DEFAULTS[query_tower]
    if config.user_tower:
        defaults = USER_DEFAULTS[config.user_tower]
    given = {name: getattr(config, name) for name in defaults}
    filled = {name: defaults[name] if v is None else v for name, v in given.items()}
    if config.trends == "auto":
        filled["trends"] = "no" if query_tower == "id" else "yes"
    return dataclasses.replace(config, query_tower=query_tower, **filled)


def with_user_features(
    config: QueryTowerConfig, data: tm.data.Interactions
) -> tm.data.Interactions:
    """Adds histories or activity to the batches if the query tower reads them.

    Raises:
      SystemExit: the data has no weights for `--sample-weights`, or no numbers for
        `--utc-offset`.
      ValueError: the data has no times.
    """
    if config.sample_weights and "weight" not in data.splits["train"]:
        raise SystemExit(
            "`--sample-weights` needs weights: name their column with --weight-column. "
            f"Got data with {sorted(data.splits['train'])}."
        )
    numbers = [f.name for f in data.user_features if f.kind == "number"]
    if config.utc_offset is not None and config.utc_offset not in numbers:
        raise SystemExit(
            "`--utc-offset` must be one of --user-number-columns. Got "
            f"{config.utc_offset}, and the numbers {', '.join(numbers) or '(none)'}."
        )
    if config.query_tower != "id":
        return tm.data.with_histories(data, config.history_length)
    if config.user_tower in READ_ACTIVITY:
        return tm.data.with_activity(data)
    return data


def build_model(
    config: QueryTowerConfig, data: tm.data.Interactions, *, times: bool = True
) -> tm.models.TwoTower:
    """Builds both towers without metrics; `NextItem` for a tower over histories.

    Args:
      config: flags, resolved.
      data: interactions whose features the towers read.
      times: whether the tower reads times too: recency pooling those of the history,
        each with `query_time` those of the history and of the request, and with
        `clock` their hours and weekdays.
    """
    dim, length = config.embedding_dim, config.history_length
    trends = {}
    if config.trends == "yes":
        table = tm.data.trend_table(data, "train")
        trends = {"num_trends": table.num_trends, "trend_table": table}
    last = 1 if config.features == "id" else None
    users, items = (
        tm.towers.FeatureTower(declared[:last], dim, id_dropout=config.id_dropout)
        for declared in (data.user_features, data.item_features)
    )
    if config.query_tower == "id":
        if config.user_tower is not None:
            users = build_user_tower(config.user_tower, dim, data.num_train_users)
        return tm.models.TwoTower(
            users, items, temperature=config.temperature, **trends
        )
    items = tm.towers.FeatureLookup(items, data.items)
    read = {}
    reads_times = config.query_tower == "history" or config.query_time or config.clock
    if times and reads_times:
        read = {"timestamp": "history_timestamp"}
        read |= {"clock": config.clock, "utc_offset": config.utc_offset}
    if times and config.query_time:
        read["query_time"] = "timestamp"
    if "event" in data.vocabularies:
        kinds = len(data.vocabularies["event"])
        read["event"] = Feature("history_event", "id", num_values=kinds)
    if "weight" in data.splits["train"]:
        read["weight"] = "history_weight"
    if config.query_tower == "history":
        query = tm.towers.RecencyPooling(items, dim, **read)
    elif config.query_tower == "gru":
        query = tm.towers.GRU4Rec(items, dim, **read)
    elif config.query_tower == "autocorrelation":
        query = tm.towers.AutoCorrelationTower(items, dim, seq_len=length, **read)
    else:
        query = tm.towers.SASRec(items, dim, seq_len=length, **read)
    return tm.models.NextItem(
        query,
        temperature=config.temperature,
        corpus_size=data.num_train_items if config.negatives == "corpus" else None,
        **trends,
    )


def without_trends(
    model: tm.models.TwoTower, tower: tf.keras.layers.Layer
) -> tf.keras.layers.Layer:
    """Returns the part of a tower of a model that knows no trends.

    Args:
      model: model.
      tower: its query tower or its candidate tower.
    """
    return tower.tower if model.num_trends else tower


def new_item_tower(model: tm.models.TwoTower) -> tf.keras.layers.Layer:
    """Returns the tower from features of items, not looked up, to their embeddings.

    Args:
      model: model of `build_model`.
    """
    tower = without_trends(model, model.candidate_tower)
    if isinstance(tower.tower, tm.towers.FeatureLookup):
        return UnitNorm(tower.tower.tower)
    return tower


def training_batches(
    config: QueryTowerConfig,
    data: tm.data.Interactions,
    *,
    seed: int,
    drop_ids: bool = True,
    rows: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Shuffled batches: rows with `--query-tower id`, else windows of histories.

    Args:
      config: flags, resolved.
      data: interactions with what the query tower reads.
      seed: seed of the order of the rows and of the dropped ids.
      drop_ids: whether, with a user tower, a share of the rows gets the unknown user.
      rows: numbers of the train rows, or of the windows of `windows_of`, that the
        batches have; None for all.
    """
    if config.query_tower != "id":
        return tm.data.window_batches(
            data,
            windows_of_batch(config, data),
            length=config.history_length,
            stride=_stride(config),
            first_items=config.trends == "yes",
            seed=seed,
            sample_weight=config.sample_weights,
            rows=rows,
        )
    batches = data.batches(
        "train",
        config.batch_size,
        shuffle=True,
        seed=seed,
        known_items=True,
        sample_weight=config.sample_weights,
        rows=rows,
    )
    if drop_ids and config.user_tower and config.id_dropout:
        return without_some_ids(batches, config.id_dropout, seed=seed)
    return batches


def windows_of(config: QueryTowerConfig, data: tm.data.Interactions) -> Windows:
    """Cuts the training rows into the windows of the batches.

    Args:
      config: flags, resolved, with a query tower over histories.
      data: interactions with times.
    """
    return training_windows(
        data,
        config.history_length,
        stride=_stride(config),
        first_items=config.trends == "yes",
    )


def windows_of_batch(config: QueryTowerConfig, data: tm.data.Interactions) -> int:
    """Returns the number of windows of a batch: more where histories are short.

    Args:
      config: flags, resolved, with a query tower over histories.
      data: interactions that windows are cut from.
    """
    if config.batch_size is not None:
        return config.batch_size
    rows = np.bincount(data.splits["train"]["user_id"])[1:]
    targets = rows[rows > 0] - (config.trends != "yes")  # the first item, or not
    overhang = np.maximum(targets - config.history_length, 0)
    windows = (targets > 0) + -(-overhang // _stride(config))
    mean = targets.sum() / max(1, windows.sum())
    return int(np.clip(round(POSITIVES / max(1.0, mean)), *WINDOWS))


def _stride(config: QueryTowerConfig) -> int:
    return max(1, config.history_length // 2)


def user_features(
    config: QueryTowerConfig, data: tm.data.Interactions, split: str
) -> dict[str, np.ndarray]:
    """Input of the query tower for every user before a split, row 0 for the unknown.

    Returns:
      Feature -> `[num_users + 1, ...]`.
    """
    if config.query_tower != "id":
        table = data.users | {
            name: tm.data.history_table(
                data, split, config.history_length, column=column
            )
            for name, column in history_columns(data).items()
        }
        if config.query_time:  # unknown until there is a request
            table["timestamp"] = np.zeros(data.num_users + 1, np.int64)
        return table
    if config.user_tower in READ_ACTIVITY:
        table, _ = tm.data.activity_table(data, split)
        return data.users | {"user_features": table}
    return data.users


def served_users(
    config: QueryTowerConfig, data: tm.data.Interactions, split: str
) -> dict[str, object]:
    """Arguments of `serving.Recommender` about users, as they are before a split.

    The query tower knows all users with a row before the split if it reads histories,
    else those with a train row. The recommender gives all others the most popular items
    of the rows before the split.

    Args:
      config: flags, resolved.
      data: interactions with what the query tower reads.
      split: "validation", "test" or "serving", which is after all rows.
    """
    splits = EARLIER[split] if config.query_tower != "id" else ("train",)
    count = max([0, *(data.splits[s]["user_id"].max(initial=0) for s in splits)])
    features = user_features(config, data, split)
    return {
        "candidate_probabilities": data.popularity(split),
        "user_ids": data.vocabularies["user_id"][:count],
        "user_features": {k: values[: count + 1] for k, values in features.items()},
        "known_items": data.known_items(split)[: count + 1],
    }


def learning_rate(
    config: QueryTowerConfig, *, num_steps: int
) -> float | tf.keras.optimizers.schedules.LearningRateSchedule:
    """Constant with ids; with histories warmed up, then along a cosine to 0.

    Args:
      config: flags, resolved.
      num_steps: number of batches of the whole training.
    """
    if config.query_tower == "id":
        return config.learning_rate
    warmup = min(WARMUP, num_steps // 2)
    return tf.keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, num_steps - warmup),
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )


_POOLED = {
    "history": "pooled by recency and by the time between them",
    "gru": "read by a GRU",
    "sasrec": "read by a causal transformer",
    "autocorrelation": "read by an auto-correlation transformer",
}
_READ = {
    "history_event": "kinds of the events",
    "history_weight": "weights of the events",
}


def description(
    config: QueryTowerConfig, data: tm.data.Interactions, model: tm.models.TwoTower
) -> str:
    """Describes a model in a sentence: towers, size and negatives.

    Args:
      config: flags, resolved.
      data: interactions whose features the towers read.
      model: model whose weights exist.
    """
    if config.query_tower != "id":
        user = (
            f"a user is the newest {config.history_length} items, "
            f"{_POOLED[config.query_tower]}"
        )
        if config.query_time:
            user += " and up to the request"
        if config.clock:
            user += ", with hours and weekdays"
        read = [name for name in history_columns(data) if name in _READ]
        user += "".join(f", with the {_READ[name]}" for name in read)
        windows = windows_of_batch(config, data)
        rows = f"batch of {windows:,} windows of histories"
    else:
        user = "a user is a row of a table of ids"
        if config.user_tower:
            user = f"a user is a user tower, {config.user_tower}"
        elif config.features == "all" and data.user_features[1:]:
            user += f" and {_names(data.user_features[1:])}"
        rows = f"batch of {config.batch_size:,} rows"
    features = data.item_features[: 1 if config.features == "id" else None]
    trends = ""
    if config.trends == "yes":
        trends = " How popular an item was before the request enters the score."
    negatives = "all items of the catalogue"
    if config.negatives == "batch":
        negatives = f"the other positives of a {rows}, corrected for their popularity"
    size = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return (
        f"Two towers: {user}; an item is {_names(features)}. {config.embedding_dim} "
        f"dimensions, {size:,} parameters. Negatives: {negatives}.{trends}"
    )


def _names(features: Sequence[Feature]) -> str:
    *first, last = (feature.name.replace("item_id", "its id") for feature in features)
    return f"{', '.join(first)} and {last}" if first else last
