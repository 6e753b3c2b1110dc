"""Approximate retrieval with ScaNN."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import FromConfig, register
from tfrs_models.layers.index.checks import (
    check_candidates,
    check_duplicates,
    check_k,
    check_queries,
    check_sizes,
    finite_queries,
    most_copies,
    read_ids,
)
from tfrs_models.layers.index.exclusions import blank_missing, is_missing
from tfrs_models.layers.index.hooks import refuse_own_scores
from tfrs_models.layers.index.live import Update
from tfrs_models.layers.index.over_fetch import fetch_enough
from tfrs_models.layers.index.restrictions import (
    find_slots,
    read_restrictions,
)
from tfrs_models.layers.index.scann_search import fetch
from tfrs_models.layers.index.slot_table import SlotTable, attribute_kinds
from tfrs_models.layers.index.spool import spool
from tfrs_models.layers.index.table_index import TableIndex
from tfrs_models.types import Features, Tensor

_LONGEST = 1e15  # its training adds the squares of all rows, and aborts beyond float32
_FEWEST = 16  # centres of a quantised block


@register
class ScaNN(TableIndex, FromConfig, tfrs.layers.factorized_top_k.ScaNN):
    """An approximate index: far faster than brute force on a large corpus.

    `tfrs.layers.factorized_top_k.ScaNN` with checked candidates, exact exclusions and a
    config. It needs the `scann` package (Linux); a SavedModel of it loads only where
    ScaNN's ops are loaded first, so not in stock TensorFlow Serving.

    Reference:
      Guo et al., Accelerating large-scale inference with anisotropic vector
      quantization, ICML 2020.
    """

    def __init__(
        self,
        query_model: tf.keras.Model | None = None,
        k: int = 10,
        distance_measure: str = "dot_product",
        num_leaves: int = 100,
        num_leaves_to_search: int = 10,
        training_iterations: int = 12,
        dimensions_per_block: int = 2,
        num_reordering_candidates: int | None = None,
        parallelize_batch_searches: bool = True,
        name: str | None = None,
        *,
        duplicates: str = "warn",
    ) -> None:
        """Initializes the layer.

        Args:
          query_model: Maps raw features to query embeddings; None where the layer is
            given embeddings.
          k: How many candidates to return where `call` does not say.
          distance_measure: `"dot_product"` or `"squared_l2"`.
          num_leaves: Partitions of the corpus.
          num_leaves_to_search: Partitions that a query looks into.
          training_iterations: Of the partitioning.
          dimensions_per_block: Width of a quantised block; wider is smaller, faster and
            less exact.
          num_reordering_candidates: How many of the best to score again exactly; None
            for none, which keeps no exact embeddings.
          parallelize_batch_searches: Whether a batch is searched by several threads.
          name: Of the layer.
          duplicates: "warn" for one warning that counts repeated ids, "error" for a
            `ValueError`.

        Raises:
          ImportError: the `scann` package is not installed.
        """
        self._settings = {
            "k": check_k(k, None),
            "distance_measure": distance_measure,
            "num_leaves": num_leaves,
            "num_leaves_to_search": num_leaves_to_search,
            "training_iterations": training_iterations,
            "dimensions_per_block": dimensions_per_block,
            "num_reordering_candidates": num_reordering_candidates,
            "parallelize_batch_searches": parallelize_batch_searches,
        }
        super().__init__(query_model=query_model, name=name, **self._settings)
        refuse_own_scores(self, "quantised distances")
        self._width = None
        self._duplicates = check_duplicates(duplicates)

    @property
    def num_leaves_to_search(self) -> int:
        """Partitions that a query looks into; it can be set at any time."""
        return self._settings["num_leaves_to_search"]

    @num_leaves_to_search.setter
    def num_leaves_to_search(self, value: int) -> None:
        self._set("num_leaves_to_search", value)

    @property
    def num_reordering_candidates(self) -> int | None:
        """How many are scored again exactly; it can be set where it is not None."""
        return self._settings["num_reordering_candidates"]

    @num_reordering_candidates.setter
    def num_reordering_candidates(self, value: int) -> None:
        if self.num_reordering_candidates is None:
            raise ValueError(
                "`num_reordering_candidates` must be given to the constructor, for the "
                "index keeps exact embeddings only then. It was None."
            )
        self._set("num_reordering_candidates", value)

    def index(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor | None = None,
        *,
        attributes: Mapping[str, Tensor] | None = None,
    ) -> "ScaNN":
        """Trains the partitions and the quantiser; what was indexed is dropped.

        Args:
          candidates: `[num_candidates, embedding_dim]`.
          identifiers: as of `BruteForce.index`.
          attributes: As of `BruteForce.index`.

        Raises:
          ValueError: shapes do not match, an id is -1 or "" or repeats with
            `duplicates="error"`, an embedding is not finite or longer than 1e15, there
            are fewer than 16 candidates.
        """
        candidates = tf.cast(candidates, tf.float32)
        if identifiers is None:
            identifiers = tf.range(candidates.shape[0], dtype=tf.int64)
        identifiers = tf.convert_to_tensor(identifiers)
        check_candidates(candidates, identifiers, longest=_LONGEST)
        identifiers = read_ids(identifiers, fillers=self._duplicates == "warn")
        num_copies = most_copies(identifiers, self._duplicates)
        leaves = self._settings["num_leaves"]
        if candidates.shape[0] < leaves:
            raise ValueError(
                f"`num_leaves` must be at most the number of candidates, "
                f"{candidates.shape[0]}. Got {leaves}: so few need no ScaNN, "
                "`BruteForce` is exact."
            )
        if candidates.shape[0] < _FEWEST:
            raise ValueError(
                f"ScaNN needs at least {_FEWEST} candidates to train its quantiser. "
                f"Got {candidates.shape[0]}: so few need no ScaNN, `BruteForce` is "
                "exact."
            )
        attributes = dict(attributes or {})
        size, width = candidates.shape
        with self._turns.writing:
            searcher = self._build_searcher(candidates).serialize_to_module()
            table = SlotTable(
                num_slots=size,
                id_dtype=identifiers.dtype.name,
                attributes=attribute_kinds(attributes, size),
                num_copies=num_copies,
            )
            keys = table.keys_of(attributes, size)
            update = Update(table.variables_by_name())
            table.fill(np.arange(size), identifiers, keys, update)
            update.write()
            with self._turns.swapping:
                self._serialized_searcher, self._table = searcher, table
                self._width = width
            self._reset_tf_function_cache()
        return self

    def index_from_dataset(self, candidates: tf.data.Dataset) -> "ScaNN":
        """Takes the candidates, as `BruteForce.index_from_dataset` does."""
        with spool(candidates) as rows:
            # A subclass's `index` may be upstream's, which knows no attributes.
            attributes = {"attributes": rows.attributes} if rows.attributes else {}
            return self.index(rows.embeddings[:], rows.identifiers, **attributes)

    def call(
        self,
        queries: tf.Tensor | Features,
        k: int | None = None,
        *,
        exclusions: Tensor | None = None,
        allowed: Tensor | None = None,
        filters: Mapping[str, Tensor] | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates of each query, approximately.

        Where exclusions, allowed ids or filters leave fewer than `k` of the candidates
        that were found, more are searched for, in the end all of them.

        Args:
          queries: `[batch, embedding_dim]` or `[embedding_dim]` embeddings, or what
            `query_model` takes.
          k: How many; the constructor's `k` where None.
          exclusions: As of `BruteForce.call`.
          allowed: As of `BruteForce.call`.
          filters: As of `BruteForce.call`.

        Returns:
          Scores and identifiers `[batch, k]`, best first. Where fewer than `k`
          candidates are found, the score is `-inf` and the id -1, or "". By
          `"squared_l2"` a score is a squared distance, of which smaller is better, and
          `inf` where no candidate is found.

        Raises:
          ValueError: nothing is indexed, or `k` is above the number of candidates.
          InvalidArgumentError: a query is not finite.
        """
        with self._turns.swapping:
            snapshot = self.snapshot(
                lists=not (exclusions is None and allowed is None and not filters)
            )
            searcher = self._serialized_searcher
        k = check_k(self._k if k is None else k, self.num_candidates)
        if self.query_model is not None:
            queries = self.query_model(queries)
        queries = check_queries(tf.cast(queries, tf.float32), self._width)
        is_single = queries.shape.rank == 1
        queries = finite_queries(queries[None] if is_single else queries)
        if exclusions is None and allowed is None and not filters:
            scores, rows = self._fetch(searcher, queries, k, self.num_leaves_to_search)
        else:
            restrictions = read_restrictions(snapshot, exclusions, filters, queries)
            scores, rows = fetch_enough(
                lambda number, leaves: self._fetch(searcher, queries, number, leaves),
                snapshot,
                restrictions,
                None
                if allowed is None
                else find_slots(snapshot, "allowed", allowed, queries),
                k=k,
                leaves=(self.num_leaves_to_search, self._settings["num_leaves"]),
            )
        scores, names = blank_missing(scores, snapshot.names(rows))
        if self._settings["distance_measure"] == "squared_l2":
            scores = tf.where(is_missing(scores), float("inf"), scores)
        return (scores[0], names[0]) if is_single else (scores, names)

    @property
    def embedding_dim(self) -> int | None:
        """Width of the candidates; None before `index`."""
        return self._width

    def get_config(self) -> dict:
        query_model = self.query_model
        if query_model is not None:
            query_model = tf.keras.utils.serialize_keras_object(query_model)
        return dict(self._settings) | {
            "query_model": query_model,
            "duplicates": self._duplicates,
            "name": self.name,
            "indexed": self._table is not None,
        }

    @classmethod
    def from_config(cls, config: dict) -> "ScaNN":
        if config.get("indexed"):
            raise ValueError(
                "A built ScaNN index cannot be made from its config: its partitions "
                "are trained. Load its SavedModel, or index the candidates anew."
            )
        return super().from_config({k: v for k, v in config.items() if k != "indexed"})

    def _set(self, argument: str, value: int) -> None:
        check_sizes(**{argument: value})
        self._settings[argument] = value
        self._reset_tf_function_cache()  # it is a constant of every traced graph

    def _fetch(
        self,
        searcher: tf.Module,
        queries: tf.Tensor,
        number: int | tf.Tensor,
        leaves: int | tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return fetch(
            searcher,
            queries,
            number,
            leaves=leaves,
            reordered=self.num_reordering_candidates,
            parallel=self._parallelize_batch_searches,
        )
