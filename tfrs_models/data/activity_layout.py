"""Which column of the activity features is which, and how user meets item."""

import dataclasses

import tensorflow as tf

from tfrs_models.data.interactions import Interactions
from tfrs_models.feature import Feature

MAX_VALUES = 64


@dataclasses.dataclass(frozen=True)
class ActivityLayout:
    """The columns of `user_features`, `item_features` and `cross_features`.

    Args:
      categories: what an item can have, as "genres=Drama".
      numbers: the numbers of an item, as "year".
      has_ratings: whether users rate: without ratings there is no liking.
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
        """What the user had and liked so far of what this item is.

        Made of stock TensorFlow operations: it runs in `tf.data` and in a graph that
        serves. Leading dimensions broadcast: one user `[1, U]` meets many items.

        Args:
          user_features: `[batch, U]`, columns as in `user_columns`.
          item_features: `[batch, I]`, columns as in `item_columns`.

        Returns:
          `[batch, C]`: the share of each category of the item, 0 for the categories
          that it has not, and their sum; where there are ratings, the liking of each of
          its categories, and their mean.

        Raises:
          ValueError: another number of columns than the layout has.
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
    """The layout of the activity features of some data.

    Categories are the values of the item features of kind "id" or "bag" with at most 64
    values: genres and decades, but no words of titles, and not the item itself.

    Args:
      data: with or without activity.

    Returns:
      The layout.
    """
    return ActivityLayout(
        categories=tuple(
            f"{feature.name}={value}"
            for feature in category_features(data)
            for value in data.vocabularies[feature.name]
        ),
        numbers=tuple(feature.name for feature in number_features(data)),
        has_ratings="rating" in data.splits["train"],
    )


def category_features(data: Interactions) -> list[Feature]:
    """The item features whose values are categories."""
    _, *features = data.item_features  # the first is the item itself
    return [f for f in features if f.kind != "number" and f.num_values <= MAX_VALUES]


def number_features(data: Interactions) -> list[Feature]:
    """The item features that are numbers."""
    return [feature for feature in data.item_features if feature.kind == "number"]


def _check_width(name: str, values: tf.Tensor, columns: tuple[str, ...]) -> None:
    width = values.shape[-1]
    if width is not None and width != len(columns):
        raise ValueError(
            f"`{name}` must have the {len(columns)} columns of the layout. Got {width}."
        )
