"""Serves a simple recommender where it wins."""

from collections.abc import Mapping

import numpy as np

from tfrs_models.baselines import Baseline
from tfrs_models.data.interactions import Interactions
from tfrs_models.layers.index.score_index import ScoreIndex
from tfrs_models.serving.recommender import Recommender
from tfrs_models.towers.score_tower import ScoreTower
from tfrs_models.types import Tensor


def baseline_recommender(
    baseline: Baseline,
    data: Interactions,
    *,
    split: str = "serving",
    attributes: Mapping[str, Tensor] | None = None,
) -> Recommender:
    """Makes a `Recommender` that answers with the items that a baseline scores best.

    The baseline is fitted anew. Its scores are those just after the newest row that it
    has read: refit and export as often as the trends of the data change. Unknown users
    get what the baseline scores for them or, if all these scores are 0, the most
    frequent items of the rows that it has read.

    Args:
      baseline: baseline with its parameters, such as `choose` finds them.
      data: interactions.
      split: split before which is served; "serving" is after all rows.
      attributes: values of the items that requests can filter by, by attribute:
        `[num_items]` or `[num_items, None]` strings, integers or booleans.

    Returns:
      The recommender; `serving.export` writes it for a server.

    Raises:
      ValueError: the baseline cannot be fitted on the data.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aabbc"), "item_id": list("pqpqp")})
      >>> data = tm.data.from_frame(frame.assign(timestamp=range(5)))
      >>> recommender = tm.serving.baseline_recommender(tm.baselines.ItemKNN(), data)
      >>> found = recommender.find(tf.constant(["c"]), 1, tf.constant([True]))
      >>> data.titles[found.items]  # c had p, and who had p had q
      array([['item q']], dtype='<U7')
    """
    fitted = baseline.fit(data, split=split)
    linear = fitted.as_linear()
    rows = np.arange(data.num_users + 1)
    index = ScoreIndex().index(
        np.zeros((data.num_items, 1), np.float32),
        np.arange(1, data.num_items + 1),
        attributes=attributes,
    )
    popularity = data.popularity(split)
    if (unknown := fitted.score(rows[:1])[0]).any():
        popularity = np.append(np.float32(0), unknown)
    return Recommender(
        ScoreTower.of(linear.base, linear.terms, num_rows=len(rows)),
        index,
        user_ids=data.vocabularies["user_id"],
        user_features={"user_row": rows},
        item_ids=data.vocabularies["item_id"],
        titles=data.titles,
        known_items=data.known_items(split),
        candidate_probabilities=popularity,
        exclude_seen=data.repeats != "allow",
        attribute_values=_names(attributes or {}),
    )


def _names(attributes: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Returns the values of attributes of text, which an index keeps as hashes."""
    names = {}
    for name, values in attributes.items():
        flat = values.flat_values if hasattr(values, "flat_values") else values
        flat = np.asarray(flat)
        if flat.dtype.kind in "OSU":
            texts = {v.decode() if isinstance(v, bytes) else v for v in flat.flat}
            names[name] = sorted(texts - {""})
    return names
