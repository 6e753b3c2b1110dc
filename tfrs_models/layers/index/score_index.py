"""An index that is queried with scores instead of embeddings."""

from collections.abc import Mapping

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.index.brute_force import BruteForce
from tfrs_models.layers.index.live import Snapshot
from tfrs_models.types import Features, Tensor


@register
class ScoreIndex(BruteForce):
    """Returns the items with the largest of the scores that a query holds.

    For models that score all items at once, such as `towers.ScoreTower`. A query is a
    row of scores; candidates are integer ids from 1 on, and id `i` has column `i - 1`.
    The embeddings of the candidates have no effect. Exclusions, allow-lists and filters
    work as in `BruteForce`.

    Example:
      >>> unused, ids = np.zeros([3, 1], "float32"), [1, 2, 3]
      >>> index = tm.layers.ScoreIndex(k=2).index(unused, ids)
      >>> scores, ids = index(tf.constant([[0.5, 0.1, 0.7]]), exclusions=[[3]])
      >>> ids.numpy(), scores.numpy()
      (array([[1, 2]]), array([[0.5, 0.1]], dtype=float32))
    """

    def call(
        self,
        queries: tf.Tensor | Features,
        k: int | None = None,
        *,
        exclusions: Tensor | None = None,
        allowed: Tensor | None = None,
        filters: Mapping[str, Tensor] | None = None,
        snapshot: Snapshot | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the items with the largest scores.

        Args:
          queries: `[batch, num_items]` scores, or the input of `query_model`.
          k: number of candidates to return; the constructor's `k` if None.
          exclusions: `[batch, None]` ids that a query must not be answered with.
          allowed: `[batch, None]` ids, the only ones that a query may be answered with.
          filters: `[batch, None]` values by attribute, of which a candidate must have
            one.
          snapshot: state of the index to answer from; the present one if None.

        Returns:
          Scores and identifiers `[batch, k]`, best first, as `BruteForce` returns them.
        """
        if self.query_model is not None:
            queries = self.query_model(queries)
        return self.largest(
            tf.pad(tf.convert_to_tensor(queries), [[0, 0], [1, 0]]),  # no item has id 0
            self._k if k is None else k,
            exclusions=exclusions,
            allowed=allowed,
            filters=filters,
            snapshot=snapshot,
        )
