"""A metric of how far training has moved the scores of results."""

from typing import Protocol

import tensorflow as tf

from tfrs_models._keras import register

RELEVANT, IRRELEVANT = "not_irrelevant_dist_shift", "irrelevant_dist_shift"


class Extractor(Protocol):
    """The part of `layers.FeaturesExtractor` that the shift reads."""

    is_similarity: bool

    def extract(self, batch: dict, items: object = None, *, training: bool) -> object:
        """Returns old and new scores of a batch, among others."""


@register
class DistanceShift(tf.keras.metrics.Metric):
    """Measures how much nearer results have come to their query, averaged by search.

    A search with a click counts its clicked results. A search without one counts all
    results, with the opposite sign: they should move away. Above 0 is better in both.

    Example:
      >>> metric = tm.metrics.DistanceShift()
      >>> metric.update_state([[0.1, 0.3]], [[0.4, 0.4]])
      >>> print(f"{metric.result():.2f}")
      0.20
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
          name: name of the metric in logs.
          irrelevant: whether the searches are those without a click.
          is_similarity: whether a larger score is nearer.
          **kwargs: arguments of `tf.keras.metrics.Metric`.
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
          old_ranks: `[batch, (num_results)]` scores before training; a search without
            results does not count.
          new_ranks: `[batch, (num_results)]` scores of the same results now.
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
        """Returns the mean shift, a scalar; 0 if there was no search."""
        return tf.math.divide_no_nan(self._total, self._count)

    def get_config(self) -> dict:
        return super().get_config() | {
            "irrelevant": self.irrelevant,
            "is_similarity": self.is_similarity,
        }


def distance_shift(
    batch: dict, model: Extractor, items: object = None
) -> dict[str, tf.Tensor]:
    """Computes the shift of both kinds of searches of a batch.

    Args:
      batch: columns of searches, as `data.clickstream.click_batches` makes them.
      model: the extractor (`layers.FeaturesExtractor`), or a model whose attribute
        `extractor` it is.
      items: input of the item tower, `[num_items, ...]`, in which `items` of the batch
        are rows. By default the tower receives the rows themselves.

    Returns:
      `not_irrelevant_dist_shift` and `irrelevant_dist_shift`, scalars.

    Example:
      >>> search = tm.data.clickstream.FineTuningInput(
      ...     [1.0, 0.0], ["a"], ["a", "b"], {"a": 0.5, "b": 0.5})
      >>> vectors = tf.constant([[2.0, 0.0], [0.0, 1.0]])
      >>> items = tm.data.clickstream.ItemSet(["a", "b"], vectors)
      >>> (batch,) = tm.data.clickstream.click_batches([(search, None)], items, 1)
      >>> extractor = tm.layers.FeaturesExtractor(tf.keras.layers.Activation("linear"))
      >>> shifts = tm.metrics.distance_shift(batch, extractor, vectors)
      >>> float(shifts["not_irrelevant_dist_shift"])
      0.5
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
