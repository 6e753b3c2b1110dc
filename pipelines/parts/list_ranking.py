"""A ranker of the lists of a retrieval model: its lists, its training, its order.

The ranker learns from lists of training rows that are held back from a first retrieval
model; the model itself, trained on all training rows, hands over the lists of
validation and test rows, and those of requests.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.data.batching import without_autotuning
from tfrs_models.data.interactions import EARLIER

from . import query_towers, training
from .flags import Count, Range, Rate, Width
from .indexes import index_items
from .progress import EpochLines, step
from .ranks import embeddings_of, queries_of
from .resuming import Fit, fit_once

MONITOR = "val_ndcg_at_10"
_ROWS_AT_ONCE = 512
_LEAST_COUNT = 0.1  # in the logarithm of counts
_REQUEST = ("history", "history_timestamp", "timestamp")


@dataclasses.dataclass(frozen=True)
class ListRankerConfig:
    """Flags of the ranker of lists."""

    held_back: Annotated[float, Range(0, 1, open_low=True, open_high=True)] = 0.15
    """Share of each user's training rows, the newest, that the ranker learns from: the
    retrieval model of their lists is trained on the earlier rows."""
    most_held_back: Count = 30
    """Largest number of these rows of a user."""
    attended: Width = 20
    """Number of items of a history, the newest, that candidates are compared with."""
    heads: Width = 4
    """Number of learned weightings of the history."""
    hidden_units: tuple[Width, ...] = (32,)
    """Widths of the layers before the score."""
    batch_size: Count = 64
    """Lists in a batch."""
    learning_rate: Rate = 0.003
    """Learning rate of Adam."""
    epochs: Count = 15
    """Largest number of epochs over the lists."""
    patience: Count = 4
    """Epochs without a better validation NDCG@10 after which training stops."""


@dataclasses.dataclass(frozen=True, eq=False)
class Lists:
    """Lists that a retrieval model hands over for rows of a split.

    Args:
      rows: `[num_lists]` row numbers of the split.
      items: `[num_lists, num_retrieved]` items in the order of retrieval, 0 for none.
      scores: `[num_lists, num_retrieved]` retrieval scores, `-inf` for none.
      labels: `[num_lists, num_retrieved]` float32, 1 for the item of the row.
      request: features of the request of each row: history, its times, and its time.
    """

    rows: np.ndarray
    items: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    request: dict[str, np.ndarray]

    def take(self, chosen: np.ndarray) -> "Lists":
        """Returns some of the lists.

        Args:
          chosen: positions of lists, or a mask.
        """
        request = {name: values[chosen] for name, values in self.request.items()}
        arrays = {
            field.name: getattr(self, field.name)[chosen]
            for field in dataclasses.fields(self)
            if field.name != "request"
        }
        return Lists(**arrays, request=request)


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A trained ranker of lists.

    Args:
      ranker: the ranker with the weights of its best epoch.
      validation: NDCG@10 of the validation rows in the order of `"retrieval"` and of
        the `"cascade"`.
      is_better: False if no epoch was better than the order of retrieval, which the
        ranker then keeps.
      num_lists: number of lists that it learned from.
    """

    ranker: tm.models.ListRanker
    validation: dict[str, float]
    is_better: bool
    num_lists: int


def train(
    config: ListRankerConfig,
    flags: query_towers.QueryTowerConfig,
    data: tm.data.Interactions,
    model: tm.models.TwoTower,
    *,
    num_retrieved: int,
    seed: int,
    fit_of: Callable[[str], Fit] = lambda _: fit_once,
) -> Trained:
    """Trains a ranker of the lists of a retrieval model.

    Args:
      config: flags of the ranker.
      flags: flags of the retrieval model, resolved.
      data: interactions with what the query tower reads.
      model: retrieval model, trained on all training rows.
      num_retrieved: number of candidates of a list.
      seed: seed of the weights and the order of the lists.
      fit_of: function that returns how a training of a name is done: that of
        `"retrieval before the rows held back"`, and that of the `"ranker"`.

    Raises:
      SystemExit: the retrieval model reads no histories, no user has rows to hold back,
        or there are no validation rows.
    """
    _check(flags, data)
    validation = lists_of(model, data, "validation", num_retrieved=num_retrieved)
    try:
        held_back = tm.data.with_held_back(
            data, fraction=config.held_back, most=config.most_held_back
        )
    except ValueError as error:
        raise SystemExit(f"Cannot train a ranker of lists: {error}") from error
    earlier = query_towers.with_user_features(flags, held_back)
    with step("Retrieval before the rows held back"):
        run = fit_of("retrieval before the rows held back")
        first = train_retrieval(flags, earlier, seed=seed, run=run)
    with step("Lists and their features") as making:
        lists = lists_of(
            first,
            earlier,
            "validation",
            num_retrieved=num_retrieved,
            exclusions=tm.data.earlier_items(earlier, "validation"),
        )
        found = lists.take(lists.labels.any(axis=1))
        making.note = f"{len(found.rows):,} of {len(lists.rows):,} have the next item"
        batches = list_batches(found, first, earlier, "validation", config.attended)
        held_out = list_batches(validation, model, data, "validation", config.attended)
    if not len(found.rows):
        raise SystemExit(
            "Cannot train a ranker of lists: no list has the next item among its "
            f"{num_retrieved} candidates. Retrieve more of them with --num-retrieved."
        )
    tf.keras.utils.set_random_seed(seed)
    ranker = build(config, flags)
    run = fit_of("ranker")
    return fit(config, ranker, batches, held_out, seed=seed, run=run)


def fit(
    config: ListRankerConfig,
    ranker: tm.models.ListRanker,
    batches: tf.data.Dataset,
    held_out: tf.data.Dataset,
    *,
    seed: int,
    run: Fit = fit_once,
) -> Trained:
    """Trains a ranker and keeps its best epoch, or the order of retrieval.

    Args:
      config: flags of the ranker.
      ranker: ranker without training.
      batches: training lists with features and labels, one by one.
      held_out: lists of validation rows, likewise.
      seed: seed of the order of the lists.
      run: function that trains the compiled ranker.
    """
    ranker.set_statistics(batches.batch(config.batch_size))
    ranker.compile(tf.keras.optimizers.Adam(config.learning_rate))
    held_out = held_out.batch(256)
    before = ranker.evaluate(held_out, return_dict=True, verbose=0)["ndcg_at_10"]
    start = ranker.get_weights()
    stop = tm.training.StopOnMetric(
        MONITOR, patience=config.patience, restore_best_weights=True, baseline=before
    )
    number = sum(1 for _ in batches)
    history = run(
        ranker,
        batches.shuffle(number, seed=seed).batch(config.batch_size),
        validation_data=held_out,
        epochs=config.epochs,
        callbacks=[
            stop,
            EpochLines(
                {"loss per list": "loss_per_example", "validation NDCG@10": MONITOR}
            ),
        ],
    )
    best = max(history[MONITOR])
    if best <= before:
        ranker.set_weights(start)
    return Trained(
        ranker,
        {"retrieval": before, "cascade": max(best, before)},
        is_better=best > before,
        num_lists=number,
    )


def build(
    config: ListRankerConfig, flags: query_towers.QueryTowerConfig
) -> tm.models.ListRanker:
    """Builds a ranker, whose scores are logits like those of the retrieval model.

    Args:
      config: flags of the ranker.
      flags: flags of the retrieval model, resolved.
    """
    return tm.models.ListRanker(
        num_heads=config.heads,
        hidden_units=config.hidden_units,
        initial_scale=1 / flags.temperature,
    )


def train_retrieval(
    flags: query_towers.QueryTowerConfig,
    data: tm.data.Interactions,
    *,
    seed: int,
    run: Fit = fit_once,
) -> tm.models.TwoTower:
    """Trains a retrieval model with the flags of another, on earlier rows.

    Args:
      flags: flags of the retrieval model, resolved.
      data: interactions whose validation rows are held back from training.
      seed: seed of the weights and the order of the windows.
      run: function that trains the compiled model.

    Raises:
      SystemExit: no user has a history to learn from.
    """
    tf.keras.utils.set_random_seed(seed)
    model = query_towers.build_model(flags, data)
    training.create_weights(model, data)
    training.add_corpus_metrics(model, data)
    stop = tm.training.StopOnMetric(
        training.MONITOR, patience=4, restore_best_weights=True
    )
    training.fit(flags, data, model, [stop], seed=seed, run=run)
    return model


def lists_of(
    model: tm.models.TwoTower,
    data: tm.data.Interactions,
    split: str,
    *,
    num_retrieved: int,
    exclusions: tf.RaggedTensor | None = None,
) -> Lists:
    """Retrieves candidates for the rows of a split, each at its time.

    Rows of users without a history are left out, and so are those whose item is
    excluded.

    Args:
      model: retrieval model over histories.
      data: interactions with histories.
      split: "validation" or "test".
      num_retrieved: number of candidates.
      exclusions: `[num_rows, None]` items that a row does not get; None takes those of
        the evaluation, what the user had before the split. The rule "allow" for repeats
        excludes nothing.
    """
    columns = data.splits[split]
    rows = np.flatnonzero(np.any(columns["history"] > 0, axis=1))
    if data.repeats != "allow":
        rows = rows[~tm.data.repeated_rows(data, split)[rows]]
    num_retrieved = min(num_retrieved, data.num_items)
    if exclusions is None:
        users = tf.constant(columns["user_id"])
        exclusions = tf.gather(data.exclusions(split), users)
    if data.repeats == "allow":
        exclusions = tf.RaggedTensor.from_row_splits(
            np.zeros(0, np.int64), np.zeros(len(columns["user_id"]) + 1, np.int64)
        )
    retrieve = _retrieval(model, data, split, num_retrieved)
    queries = queries_of(model, data, split)
    times = columns["timestamp"][rows]
    in_time = rows[np.argsort(times, kind="stable")]  # rows of an hour share trends
    scores = np.empty((len(columns["timestamp"]), num_retrieved), np.float32)
    items = np.empty(scores.shape, np.int64)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = in_time[start : start + _ROWS_AT_ONCE]
        scores[block], items[block] = retrieve(
            tf.gather(queries, block),
            columns["timestamp"][block],
            tf.gather(exclusions, block),
        )
    scores, items = scores[rows], items[rows]
    items = np.where(np.isfinite(scores), items, 0)
    wanted = columns["item_id"][rows]
    return Lists(
        rows=rows,
        items=items,
        scores=scores,
        labels=(items == wanted[:, None]).astype(np.float32),
        request={name: columns[name][rows] for name in _REQUEST},
    )


Retrieve = Callable[
    [tf.Tensor, np.ndarray, tf.RaggedTensor], tuple[tf.Tensor, tf.Tensor]
]


def _retrieval(
    model: tm.models.TwoTower, data: tm.data.Interactions, split: str, k: int
) -> Retrieve:
    """Makes a function from queries, times and exclusions to scores and items."""
    if not model.num_trends:
        index = index_items(tm.layers.BruteForce(k=k), model, data)
        return lambda queries, _, out: index.query_with_exclusions(queries, out, k=k)
    # The items are those of each query's time, which no index is.
    table = tm.data.trend_table(data, split)
    embeddings = embeddings_of(model, data)

    def retrieve(
        queries: tf.Tensor, times: np.ndarray, out: tf.RaggedTensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        scores = tm.metrics.trend_scores(queries, embeddings, table, times)
        scores[out.value_rowids().numpy(), out.values.numpy() - 1] = -np.inf
        best = tf.math.top_k(scores, k=k)
        return best.values, best.indices + 1

    return retrieve


def candidate_features(
    model: tm.models.TwoTower, data: tm.data.Interactions, split: str, seq_len: int
) -> tm.models.CandidateFeatures:
    """Makes features of candidates from what is known before a split.

    Args:
      model: retrieval model.
      data: interactions.
      split: "validation", "test" or "serving", which is after all rows.
      seq_len: number of items of a history that candidates are compared with.
    """
    similarities = {
        "item_knn": tm.baselines.ItemKNN().fit(data, split=split).item_similarities,
        "transitions": tm.baselines.transitions(data, split=split),
    }
    counts = np.zeros(data.num_items + 1)
    for part in EARLIER[split]:
        np.add.at(counts, data.splits[part]["item_id"], 1)
    table = tm.data.trend_table(data, split)
    return tm.models.CandidateFeatures(
        np.pad(embeddings_of(model, data), ((1, 0), (0, 0))),  # row 0 is no item
        similarities,
        item_features=np.log(counts + _LEAST_COUNT)[:, None],
        trends=table.at(table.next_period(table.newest_time)),
        seq_len=seq_len,
    )


def list_batches(
    lists: Lists,
    model: tm.models.TwoTower,
    data: tm.data.Interactions,
    split: str,
    seq_len: int,
) -> tf.data.Dataset:
    """Makes a dataset of lists with features and labels, one by one, kept in memory.

    The features are of what is known before the split, and trends before each row.

    Args:
      lists: lists of the model for rows of the split.
      model: retrieval model.
      data: interactions.
      split: "validation" or "test".
      seq_len: number of items of a history that candidates are compared with.
    """
    features = candidate_features(model, data, split, seq_len)
    table = tm.data.trend_table(data, split)
    columns = {
        "items": lists.items,
        "scores": lists.scores,
        "labels": lists.labels,
        "request": lists.request,
    }

    def make(batch: Mapping) -> dict[str, tf.Tensor]:
        times = batch["request"]["timestamp"][:, None]
        trends = table.features(batch["items"], times)
        made = features(
            batch["items"], batch["scores"], batch["request"], trends=trends
        )
        return made | {"labels": batch["labels"]}

    rows = without_autotuning(tf.data.Dataset.from_tensor_slices(columns)).batch(64)
    return rows.map(make).unbatch().cache()


def reordered(ranker: tm.models.ListRanker, batches: tf.data.Dataset) -> np.ndarray:
    """Puts the labels of lists into the order of a ranker.

    Args:
      ranker: ranker of lists.
      batches: lists with features and labels, one by one.

    Returns:
      `[num_lists, num_retrieved]` bool, True for the item of the row.
    """
    found = []
    for batch in batches.batch(256):
        order = np.argsort(-ranker.rank(batch)["score"].numpy(), axis=1, kind="stable")
        found.append(np.take_along_axis(batch["labels"].numpy() > 0, order, axis=1))
    return np.concatenate(found)


def _check(flags: query_towers.QueryTowerConfig, data: tm.data.Interactions) -> None:
    if flags.query_tower == "id":
        raise SystemExit(
            "`--ranker list` reads the history of a user: train the retrieval model "
            "with a query tower over histories, or say `--ranker multi-task`. Got "
            "`--query-tower id`."
        )
    if not len(data.splits["validation"]["user_id"]):
        raise SystemExit(
            "`--ranker list` must have validation rows, which choose its best epoch. "
            "Got none: use a `--validation-fraction` above 0, or another split."
        )
