"""How far ranks have moved since before the training."""

from typing import Protocol

import tensorflow as tf

from tfrs_models._keras import register

RELEVANT, IRRELEVANT = "not_irrelevant_dist_shift", "irrelevant_dist_shift"


class Extracts(Protocol):
    """What the shift needs of `layers.FeaturesExtractor`."""

    is_similarity: bool

    def extract(self, batch: dict, items: object = None, *, training: bool) -> object:
        """Old and new ranks of a batch, among others."""


@register
class DistanceShift(tf.keras.metrics.Metric):
    """Mean over searches of how much nearer their results have come to the query.

    Of searches with a click it is measured on what was clicked, of the others on all
    results, which should go away instead: above 0 is better in both.
    """

    def __init__(
        self,
        name: str = RELEVANT,
        *,
        irrelevant: bool = False,
        is_similarity: bool = True,
        **kwargs,
    ) -> None:
        """Initializes the metric.

        Args:
          name: Of the metric.
          irrelevant: Whether it is of searches without a click.
          is_similarity: Whether a larger rank is nearer.
          **kwargs: Of `tf.keras.metrics.Metric`.
        """
        super().__init__(name=name, **kwargs)
        self.irrelevant = irrelevant
        self.is_similarity = is_similarity
        self._total = self.add_weight("total", initializer="zeros")
        self._count = self.add_weight("count", initializer="zeros")

    def update_state(
        self,
        old_ranks: tf.Tensor | tf.RaggedTensor,
        new_ranks: tf.Tensor | tf.RaggedTensor,
    ) -> None:
        """Adds searches.

        Args:
          old_ranks: `[batch, (num_results)]` before the training; a search without
            results does not count.
          new_ranks: Of the same results, as they are.
        """
        sign = 1.0 if self.is_similarity != self.irrelevant else -1.0
        old, new = (
            ranks
            if isinstance(ranks, tf.RaggedTensor)
            else tf.RaggedTensor.from_tensor(ranks)
            for ranks in (old_ranks, new_ranks)
        )
        moved = tf.cast(new.values, tf.float32) - tf.cast(old.values, tf.float32)
        sums = tf.reduce_sum(old.with_values(moved), axis=1)
        sizes = tf.cast(old.row_lengths(), tf.float32)
        means = sign * tf.math.divide_no_nan(sums, sizes)
        self._total.assign_add(tf.reduce_sum(means))
        self._count.assign_add(tf.reduce_sum(tf.cast(sizes > 0, tf.float32)))

    def result(self) -> tf.Tensor:
        """Scalar; 0 where there was no search of the kind."""
        return tf.math.divide_no_nan(self._total, self._count)

    def get_config(self) -> dict:
        return super().get_config() | {
            "irrelevant": self.irrelevant,
            "is_similarity": self.is_similarity,
        }


def distance_shift(
    batch: dict, model: Extracts, items: object = None
) -> dict[str, tf.Tensor]:
    """The shift of both kinds of searches of a batch.

    Args:
      batch: See `layers.FeaturesExtractor`.
      model: The extractor, or a model whose `extractor` it is.
      items: See `layers.FeaturesExtractor`.

    Returns:
      `not_irrelevant_dist_shift` and `irrelevant_dist_shift`, scalars.
    """
    extractor = getattr(model, "extractor", model)
    found = extractor.extract(batch, items, training=False)
    shifts = {RELEVANT: found.clicked, IRRELEVANT: found.irrelevant}
    results = {}
    for name, ranks in shifts.items():
        metric = DistanceShift(
            name,
            irrelevant=name == IRRELEVANT,
            is_similarity=extractor.is_similarity,
        )
        if ranks is not None:
            metric.update_state(*ranks)
        results[name] = metric.result()
    return results
