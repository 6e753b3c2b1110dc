"""Ranks and scores of the rows of a split by a two-tower model."""

import numpy as np

import tfrs_models as tm

from .query_towers import without_trends


def model_ranks(
    model: tm.models.TwoTower,
    data: tm.data.Interactions,
    split: str,
    *,
    table: tm.data.TrendTable | None = None,
) -> tm.metrics.RankTable:
    """Ranks the items of rows by a model, with the trends at the time of each row.

    Args:
      model: model whose weights exist.
      data: interactions with what the query tower reads.
      split: "validation" or "test".
      table: trends that the split may know, which a caller may have; None to make them.
    """
    if not model.num_trends:
        return tm.metrics.rank_table(
            lambda features: model.query_tower(features, training=False),
            model.embed_candidates(data.candidate_batches()),
            data.batches(split, 4096),
        )
    return tm.metrics.rank_with_trends(
        queries_of(model, data, split),
        embeddings_of(model, data),
        tm.data.trend_table(data, split) if table is None else table,
        data.splits[split],
        exclusions=data.exclusions(split),
    )


def queries_of(
    model: tm.models.TwoTower, data: tm.data.Interactions, split: str
) -> np.ndarray:
    """Embeds the rows of a split, `[num_rows, embedding_dim + num_trends]`.

    Args:
      model: model whose weights exist.
      data: interactions with what the query tower reads.
      split: "validation" or "test".
    """
    batches = data.batches(split, 4096, known_items=False)
    return np.concatenate([model.query_tower(batch).numpy() for batch in batches])


def embeddings_of(model: tm.models.TwoTower, data: tm.data.Interactions) -> np.ndarray:
    """Embeds all items without trends, `[num_items, embedding_dim]`.

    Args:
      model: model whose weights exist.
      data: interactions.
    """
    tower = without_trends(model, model.candidate_tower)
    return np.concatenate([tower(batch).numpy() for batch in data.candidate_batches()])


def validation_metrics(
    model: tm.models.TwoTower, data: tm.data.Interactions, table: tm.data.TrendTable
) -> dict[str, float]:
    """Computes the metrics by which training stops, of a model with trends.

    Metrics inside the model rank over one state of the items, but each row has the
    trends of its own time.

    Args:
      model: model with trends.
      data: interactions with what the query tower reads.
      table: trends that validation may know, the same for all epochs.

    Returns:
      Name of a metric in Keras's logs -> its mean over the validation rows.
    """
    ranks = model_ranks(model, data, "validation", table=table)
    ranks = ranks.take(~ranks.hidden)
    metrics = {
        f"top_{k}_categorical_accuracy": ranks.values(f"hit_rate_at_{k}")
        for k in (10, 100)
    } | {"ndcg_at_10": ranks.values("ndcg_at_10")}
    return {
        f"val_factorized_top_k/{name}": float(values.mean())
        for name, values in metrics.items()
    }
