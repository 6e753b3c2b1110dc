"""Serves an index: nearest candidates of queries, with named inputs and outputs."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.layers.index.requests import (
    K,
    blank_missing,
    checked_k,
    cut,
    filter_specs,
    id_lists,
)
from tfrs_models.layers.index.slot_index import SlotIndex
from tfrs_models.ops.features.checks import finite_features


class Retriever(tf.Module):
    """A module that returns the best candidates of an index for a batch of queries.

    Queries are embeddings, or the features of the index's query model. The module has
    three signatures, whose rows are independent, so that a server can batch requests:
    `serving_default` takes the query and `k`; `filtered` additionally takes
    `exclusions` and a `filter_<attribute>` for each attribute of the index; `among`
    also takes `allowed`, the only ids that a row may get. Lists are padded with "" or
    -1 to one length. An empty list of filter values does not filter.

    Example:
      >>> index = tm.layers.BruteForce().index(np.eye(3, dtype="float32"), [*"xyz"])
      >>> retriever = tm.serving.Retriever(index)
      >>> retrieve = retriever.signatures["filtered"].get_concrete_function()
      >>> answer = retrieve(query=tf.constant([[0.1, 0.3, 0.2]]), k=tf.constant([2]),
      ...                   exclusions=tf.constant([["z"]]))
      >>> answer["id"].numpy()
      array([[b'y', b'x']], dtype=object)
    """

    def __init__(
        self,
        index: SlotIndex,
        *,
        features: Mapping[str, np.ndarray | tf.Tensor | tf.TensorSpec] | None = None,
    ) -> None:
        """Initializes the module.

        Args:
          index: filled index: `layers.BruteForce`, `layers.IVF` or `layers.ScaNN`.
          features: feature name -> spec or example batch of each feature that the
            index's query model reads. None if the index has no query model: the only
            feature is then `query`, a batch of embeddings.

        Raises:
          ValueError: the index is empty, or has a query model and no `features` are
            given.
        """
        super().__init__(name="retriever")
        if not index.num_candidates:
            raise ValueError("`index` must be filled. Call its `index` first.")
        if (index.query_model is None) != (features is None):
            raise ValueError(
                "`features` must be given where, and only where, the index has a "
                f"`query_model`. Got {features} and {index.query_model}."
            )
        self.index = index
        if features is None:
            rows = np.random.default_rng(0).normal(size=(4, index.embedding_dim))
            features = {"query": rows.astype(np.float32)}
        query = {
            name: tf.TensorSpec([None, *value.shape[1:]], value.dtype, name)
            for name, value in features.items()
        }
        self._examples = features
        self._query = query
        self._made, self._made_for = {}, None

    @property
    def signatures(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """Name -> function that a server calls, for the index in its present state."""
        generation = self.index.generation  # another thread may fill it again
        if self._made_for != generation:
            ids = self.index.id_dtype
            lists = {
                "exclusions": id_lists("exclusions", ids),
                "filters": filter_specs(self.index),
            }
            allowed = {"allowed": id_lists("allowed", ids)}
            self._made = {
                name: tf.function(
                    self._retrieve, input_signature=[self._query, K, restrictions]
                )
                for name, restrictions in (
                    ("serving_default", {}),
                    ("filtered", lists),
                    ("among", lists | allowed),
                )
            }
            self._made_for = generation
        return self._made

    @property
    def samples(self) -> dict[str, list[dict[str, np.ndarray]]] | None:
        """Sample requests of one row and of several; None if `features` were specs."""
        if any(isinstance(v, tf.TensorSpec) for v in self._examples.values()):
            return None
        most = min(10, self.index.num_candidates)
        requests = [
            {name: np.asarray(values[:rows]) for name, values in self._examples.items()}
            | {"k": np.full(rows, most, np.int32)}
            for rows in (1, len(next(iter(self._examples.values()))))
        ]
        return {"serving_default": requests}

    def _retrieve(
        self,
        features: dict[str, tf.Tensor],
        k: tf.Tensor,
        restrictions: dict[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Returns the best candidates of each query.

        Args:
          features: `query` `[batch, embedding_dim]`, or the query model's features.
          k: `[batch]` number of candidates for each query.
          restrictions: `exclusions`, `filters` and `allowed` of the index's `call`.

        Returns:
          `id` and `score` `[batch, max(k)]`, best first; -1 or "" and `-inf` beyond a
          row's `k` and if too few candidates are left.

        Raises:
          InvalidArgumentError: a `k` is below 1 or above the number of candidates, or a
            feature is not finite.
        """
        features = finite_features(features)
        largest = checked_k(k, self.index.count())
        queries = features if self.index.query_model is not None else features["query"]
        scores, ids = self.index(queries, k=largest, **restrictions)
        scores, ids = blank_missing(cut(scores, k), ids)
        return {"id": ids, "score": scores}
