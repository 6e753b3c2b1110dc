"""Features of a user's earlier activity for a ranker, without a look into the future.

The state of a user before a row is a set of sums over the user's earlier rows, whatever
their split: the number of rows, the number of rows with each category, and the same two
weighted by the ratings. Rows with equal times have the order that `from_frame` draws.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.data.interactions import EARLIER, Interactions, timeline
from tfrs_models.data.splits import SPLIT_NAMES
from tfrs_models.feature import Feature
from tfrs_models.ops.features.declared_features import vector_inputs

MAX_VALUES = 64
SHRINKAGE = 5
"""A mean rating counts as if this many average ratings had come first."""


@dataclasses.dataclass(frozen=True)
class ActivityLayout:
    """The columns of `user_features`, `item_features` and `cross_features`.

    Args:
      categories: names of the categories that an item can have, such as "genres=Drama".
      numbers: names of the numbers of an item, such as "year", and of the components of
        its vectors, such as "text[0]".
      has_ratings: whether the data have ratings. Without ratings the features have
        shares of categories only, no mean ratings ("liking").
    """

    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    has_ratings: bool

    @property
    def user_columns(self) -> tuple[str, ...]:
        """Names of the columns of `user_features`."""
        if not self.has_ratings:
            return ("activity", *self._each("share"))
        return ("activity", "rating", *self._each("share"), *self._each("liking"))

    @property
    def item_columns(self) -> tuple[str, ...]:
        """Names of the columns of `item_features`."""
        return (*self.categories, *self.numbers)

    @property
    def cross_columns(self) -> tuple[str, ...]:
        """Names of the columns of `cross_features`."""
        if not self.has_ratings:
            return (*self._each("share"), "overlap")
        return (*self._each("share"), "overlap", *self._each("liking"), "mean liking")

    def cross_features(
        self, user_features: tf.Tensor, item_features: tf.Tensor
    ) -> tf.Tensor:
        """Computes the user's earlier activity in the categories of the item.

        It uses stock TensorFlow operations only: it runs in `tf.data` and in an
        exported graph. Leading dimensions broadcast: one user `[1, U]` is joined with
        many items.

        Args:
          user_features: `[batch, U]` features with the columns `user_columns`.
          item_features: `[batch, I]` features with the columns `item_columns`.

        Returns:
          `[batch, C]`: the user's share of each category of the item, 0 for categories
          that the item does not have, and the sum of these shares; with ratings also
          the user's liking of each category of the item, and the mean of these likings.

        Raises:
          ValueError: the number of columns is not that of the layout.
        """
        _check_width("user_features", user_features, self.user_columns)
        _check_width("item_features", item_features, self.item_columns)
        num_categories = len(self.categories)
        categories = item_features[..., :num_categories]
        shares_end = len(self.user_columns) - num_categories * self.has_ratings
        share = user_features[..., shares_end - num_categories : shares_end]
        share = share * categories
        parts = [share, tf.reduce_sum(share, axis=-1, keepdims=True)]
        if self.has_ratings:
            liking = user_features[..., shares_end:] * categories
            total = tf.reduce_sum(liking, axis=-1, keepdims=True)
            count = tf.reduce_sum(categories, axis=-1, keepdims=True)
            parts += [liking, tf.math.divide_no_nan(total, count)]
        return tf.concat(parts, axis=-1)

    def _each(self, what: str) -> tuple[str, ...]:
        return tuple(f"{what} {category}" for category in self.categories)


def activity_layout(data: Interactions) -> ActivityLayout:
    """Names the columns of the activity features of some data.

    Categories are the values of the item features of kind "id" or "bag" with at most 64
    values: genres and decades, but neither words of titles nor the item itself.

    Args:
      data: interactions, with or without activity.

    Returns:
      The layout: column names, and `cross_features` of users and items.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aabb"), "item_id": list("pqqp")})
      >>> frame = frame.assign(timestamp=range(4), genre=["war", "art", "art", "war"])
      >>> options = dict(bag_columns=["genre"], split="random", test_fraction=0.5)
      >>> data = tm.data.from_frame(frame, validation_fraction=0, **options)
      >>> tm.data.activity_layout(data).user_columns
      ('activity', 'share genre=art', 'share genre=war')
    """
    return ActivityLayout(
        categories=tuple(
            f"{feature.name}={value}"
            for feature in category_features(data)
            for value in data.vocabularies[feature.name]
        ),
        numbers=tuple(
            name for feature in number_features(data) for name in _columns_of(feature)
        ),
        has_ratings="rating" in data.splits["train"],
    )


def category_features(data: Interactions) -> list[Feature]:
    """Returns the item features whose values are categories."""
    _, *features = data.item_features  # the first is the item itself
    return [
        f for f in features if f.kind in ("id", "bag") and f.num_values <= MAX_VALUES
    ]


def number_features(data: Interactions) -> list[Feature]:
    """Returns the item features that are numbers or vectors."""
    return [f for f in data.item_features if f.kind in ("number", "vector")]


def _columns_of(feature: Feature) -> list[str]:
    if feature.kind == "number":
        return [feature.name]
    return [f"{feature.name}[{number}]" for number in range(feature.dim)]


def _check_width(name: str, values: tf.Tensor, columns: tuple[str, ...]) -> None:
    width = values.shape[-1]
    if width is not None and width != len(columns):
        raise ValueError(
            f"`{name}` must have the {len(columns)} columns of the layout. Got {width}."
        )


class _Standards(NamedTuple):
    """Mean and standard deviation over the train rows."""

    log_activity: tuple[float, float]
    rating: tuple[float, float]


def with_activity(data: Interactions) -> Interactions:
    """Adds features of the user's earlier activity to rows, and features to items.

    Means and scales for standardisation come from the train rows only.
    `activity_layout` names the columns. With `n` categories there are `U = 2 + 2 n`
    user features (`1 + n` without ratings) and `I = n + number of numbers and of
    components of vectors of an item`.

    `user_features` are: the standardised `log(1 + activity)`; the user's mean
    standardised rating; for each category the share of the user's items that have it;
    for each category the mean standardised rating of those items. Both means divide a
    sum by the count plus 5, so that few ratings give a mean near 0 and no rating gives
    0.

    `item_features` are: 1 for each category of the item, else 0; the standardised
    numbers and the components of the unit vectors, 0 where missing. Cold items have the
    same features.

    Args:
      data: interactions with timestamps. The features take `4 U` bytes a row.

    Returns:
      The same data. Their `splits` also have `user_features` `[num_rows, U]` float32
      and `activity` `[num_rows]` int64, the number of the user's earlier rows; their
      `items` also have `item_features` `[num_items + 1, I]` float32, so `batches` yield
      all three. Rows of the unknown user, which stands for many users, have no
      activity.

    Raises:
      ValueError: the data have no timestamps.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("pqrqp")})
      >>> frame = frame.assign(timestamp=range(5))
      >>> data = tm.data.from_frame(frame, split="leave_last_out")
      >>> data = tm.data.with_activity(data)
      >>> data.splits["test"]["activity"]  # user a had two items before the last one
      array([2])
    """
    layout = activity_layout(data)
    sums, user, split, order = _running_sums(data, layout, SPLIT_NAMES)
    state = np.empty_like(sums[:-1])
    state[order] = sums[:-1] - sums[_first_rows(user)]
    standards = _standards(data)
    added = {}
    for code, name in enumerate(SPLIT_NAMES):
        rows = state[split == code]
        added[name] = data.splits[name] | {
            "user_features": _user_features(rows, layout, standards),
            "activity": rows[:, 0].astype(np.int64),
        }
    items = data.items | {"item_features": _item_features(data)}
    return dataclasses.replace(data, splits=data.splits | added, items=items)


def activity_table(data: Interactions, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Computes each user's activity features before a split, to retrieve and serve.

    Args:
      data: interactions with timestamps.
      split: "train", "validation", "test" or "serving", which is after all rows.

    Returns:
      `user_features` `[num_users + 1, U]` float32 and `activity` `[num_users + 1]`
      int64 as in `with_activity`. Row 0, the unknown user, has no activity.

    Raises:
      ValueError: the data have no timestamps, or the split is unknown.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("pqrqp")})
      >>> frame = frame.assign(timestamp=range(5))
      >>> data = tm.data.from_frame(frame, split="leave_last_out")
      >>> features, activity = tm.data.activity_table(data, "serving")
      >>> activity  # unknown user, a, b
      array([0, 3, 2])
    """
    if split not in EARLIER:
        raise ValueError(f"`split` must be one of {tuple(EARLIER)}. Got {split!r}.")
    layout = activity_layout(data)
    sums, user, _, _ = _running_sums(data, layout, EARLIER[split])
    edges = np.searchsorted(user, np.arange(data.num_users + 2))
    edges[0] = edges[1]  # row 0 stands for all unknown users
    state = sums[edges[1:]] - sums[edges[:-1]]
    features = _user_features(state, layout, _standards(data))
    return features, state[:, 0].astype(np.int64)


def _running_sums(
    data: Interactions, layout: ActivityLayout, splits: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sums over all earlier rows, by user and time.

    The columns are 1 and each category (`1 + n` counts), then the same times the
    rating. Ratings are summed without standardisation, because sums of half stars are
    exact.

    Returns:
      `[num_rows + 1, 1 + n]` or `[num_rows + 1, 2 + 2 n]` sums and the `[num_rows]`
      user, both in the order of users and time; the `[num_rows]` split of each row, and
      that order.
    """
    names = ("user_id", "item_id", *(["rating"] if layout.has_ratings else []))
    columns, split, order = timeline(data, splits, names)
    columns = {name: column[order] for name, column in columns.items()}
    has = _categories(data)[columns["item_id"]]
    values = np.concatenate([np.ones((len(has), 1)), has], axis=1)
    if layout.has_ratings:
        rated = values * columns["rating"][:, None].astype(np.float64)
        values = np.concatenate([values, rated], axis=1)
    sums = np.concatenate([np.zeros_like(values, shape=(1, values.shape[1])), values])
    return np.cumsum(sums, axis=0, out=sums), columns["user_id"], split, order


def _first_rows(user: np.ndarray) -> np.ndarray:
    """`[num_rows]` index of the user's first row; unknown users: the row itself."""
    return np.where(user > 0, np.searchsorted(user, user), np.arange(len(user)))


def _user_features(
    state: np.ndarray, layout: ActivityLayout, standards: _Standards
) -> np.ndarray:
    """`[rows, U]` float32 features from `[rows, ...]` sums."""
    counts, ratings = np.split(state, [1 + len(layout.categories)], axis=1)
    mean, scale = standards.log_activity
    activity = (np.log1p(counts[:, :1]) - mean) / scale
    share = counts[:, 1:] / np.maximum(counts[:, :1], 1)
    parts = [activity, share]
    if layout.has_ratings:
        mean, scale = standards.rating
        means = (ratings - mean * counts) / scale / (counts + SHRINKAGE)
        parts = [activity, means[:, :1], share, means[:, 1:]]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _standards(data: Interactions) -> _Standards:
    columns, split, order = timeline(data, SPLIT_NAMES, ("user_id",))
    user = columns["user_id"][order]
    activity = np.arange(len(user)) - _first_rows(user)
    in_train = split[order] == SPLIT_NAMES.index("train")
    return _Standards(
        log_activity=_mean_and_scale(np.log1p(activity[in_train])),
        rating=_mean_and_scale(data.splits["train"].get("rating", np.zeros(1))),
    )


def _mean_and_scale(values: np.ndarray) -> tuple[float, float]:
    values = values.astype(np.float64)
    return float(values.mean()), float(values.std()) or 1.0  # a constant needs no scale


def _categories(data: Interactions) -> np.ndarray:
    """`[num_items + 1, n]` table that is 1 for each category of an item."""
    parts = [np.zeros((data.num_items + 1, 0))]
    for feature in category_features(data):
        index = data.items[feature.name].reshape(data.num_items + 1, -1)
        has = np.zeros((data.num_items + 1, feature.num_values + 1))
        np.put_along_axis(has, index, 1, axis=1)
        parts.append(has[:, 1:])  # index 0 is missing or padding
    return np.concatenate(parts, axis=1)


def _item_features(data: Interactions) -> np.ndarray:
    numbers = [
        (data.items[feature.name][:, None] - feature.mean) / feature.scale
        if feature.kind == "number"
        else vector_inputs(tf.constant(data.items[feature.name]))[:, 1:].numpy()
        for feature in number_features(data)
    ]
    return np.concatenate([_categories(data), *numbers], axis=1, dtype=np.float32)
