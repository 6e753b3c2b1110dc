"""Ranks as an export would answer: by popularity for users whom it does not know."""

import dataclasses

import numpy as np

import tfrs_models as tm
from tfrs_models.metrics import RankTable

from ..parts.ranks import embeddings_of, model_ranks, queries_of
from ..parts.top_k_lists import baseline_lists, model_lists, score_lists


def baseline_ranks(
    fitted: tm.baselines.Baseline, data: tm.data.Interactions, split: str
) -> RankTable:
    """Ranks the items of the rows of a split by a baseline.

    Users for whom the baseline has no score get the most popular items.

    Args:
      fitted: baseline, fitted on the split.
      data: interactions.
      split: "validation" or "test".
    """
    popular = tm.baselines.Popularity().fit(data, split=split)
    popularity = popular.score(np.zeros(1, np.int64))

    def score(users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        scores = fitted.score(users, times)
        return np.where(scores.any(axis=1, keepdims=True), scores, popularity)

    return tm.metrics.rank_scores(
        score,
        data.splits[split],
        exclusions=data.exclusions(split),
    )


def served_ranks(
    model: tm.models.TwoTower, data: tm.data.Interactions, split: str
) -> RankTable:
    """Ranks the items of rows as the export would: by popularity for unknown users.

    A model with trends gives these users what trends at the time of the row.

    Args:
      model: trained model.
      data: interactions with what the query tower reads.
      split: "validation" or "test".
    """
    by_model = model_ranks(model, data, split)
    known = known_to_towers(data, split)
    if known.all() or model.num_trends:
        return by_model
    popularity = tm.baselines.Popularity().fit(data, split=split)
    by_popularity = baseline_ranks(popularity, data, split)
    columns = (field.name for field in dataclasses.fields(RankTable))
    return RankTable(
        *(
            np.where(known, getattr(by_model, name), getattr(by_popularity, name))
            for name in columns
        )
    )


def served_lists(
    model: tm.models.TwoTower,
    index: tm.layers.BruteForce,
    data: tm.data.Interactions,
    rows: np.ndarray,
    *,
    k: int = 10,
) -> np.ndarray:
    """Returns the lists that an export would answer at some test rows.

    Args:
      model: trained model.
      index: exact index of all items.
      data: interactions with what the query tower reads.
      rows: `[num_lists]` row numbers of the test split.
      k: length of a list.

    Returns:
      `[num_lists, k]` int64 item indices, below 1 where there are no more.
    """
    exclude = data.repeats != "allow"
    if model.num_trends:
        queries, embeddings = (
            queries_of(model, data, "test"),
            embeddings_of(model, data),
        )
        table = tm.data.trend_table(data, "test")
        times = data.splits["test"]["timestamp"]
        return score_lists(
            lambda some: tm.metrics.trend_scores(
                queries[some], embeddings, table, times[some]
            ),
            data,
            rows,
            k=k,
            exclude=exclude,
        )
    lists = model_lists(model.query_tower, index, data, rows, k=k, exclude=exclude)
    unknown = ~known_to_towers(data, "test")[rows]
    if not unknown.any():
        return lists
    popular = tm.baselines.Popularity().fit(data, split="test")
    others = baseline_lists(popular, data, rows, k=k, exclude=exclude)
    return np.where(unknown[:, None], others, lists)


def known_to_towers(data: tm.data.Interactions, split: str) -> np.ndarray:
    """Tells of each row whether the query tower knows anything of its user.

    Args:
      data: interactions with what the query tower reads.
      split: "validation" or "test".

    Returns:
      `[num_rows]` bool: the user has a history before the row, or a training row if
      the tower reads no histories.
    """
    rows = data.splits[split]
    if "history" in rows:
        return np.any(rows["history"] > 0, axis=1)
    return with_train_rows(data, split)


def with_train_rows(data: tm.data.Interactions, split: str) -> np.ndarray:
    """Tells of each row of a split whether its user has a training row.

    Args:
      data: interactions.
      split: "validation" or "test".
    """
    users = data.splits[split]["user_id"]
    return (users > 0) & (users <= data.num_train_users)
