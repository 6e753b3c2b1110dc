"""Approximate retrieval with ScaNN."""

import uuid
import weakref
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from tensorflow.python.eager.context import eager_mode
from tensorflow.python.saved_model.save_context import in_save_context

from tfrs_models._keras import FromConfig, register
from tfrs_models.layers.index.candidate_file import write_candidates
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
from tfrs_models.layers.index.hooks import refuse_own_scores
from tfrs_models.layers.index.live import Snapshot, Update
from tfrs_models.layers.index.requests import blank_missing, is_missing
from tfrs_models.layers.index.restrictions import (
    Restrictions,
    passing,
    read_restrictions,
)
from tfrs_models.layers.index.slot_table import SlotTable, attribute_kinds
from tfrs_models.layers.index.table_index import TableIndex
from tfrs_models.types import Features, Tensor

_LONGEST = 1e15  # its training adds the squares of all rows, and aborts beyond float32
_FEWEST = 16  # centres of a quantised block
_PARTS = [
    "dataset",
    "scann_config",
    "serialized_partitioner",
    "datapoint_to_token",
    "ah_codebook",
    "hashed_dataset",
    "int8_dataset",
    "int8_multipliers",
    "dp_norms",
]
_GROWTH = 4  # factor of candidates and partitions when too few candidates pass


@register
class ScaNN(TableIndex, FromConfig, tfrs.layers.factorized_top_k.ScaNN):
    """Finds candidates approximately, far faster than brute force on a large corpus.

    `tfrs.layers.factorized_top_k.ScaNN` with checked candidates, exact exclusions and a
    config. It needs the extra `scann` (Linux, TensorFlow 2.20). A SavedModel of it
    loads only after its operations are loaded, so not in stock TensorFlow Serving.

    Example:
      >>> items = np.random.default_rng(0).normal(size=(500, 8)).astype("float32")
      >>> index = tm.layers.ScaNN(k=3, num_leaves=10, num_reordering_candidates=50)
      >>> _ = index.index(items, [f"item {i}" for i in range(500)])
      >>> index(3 * items[:1], exclusions=[["item 7"]])[1].shape
      TensorShape([1, 3])

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
          query_model: model from raw features to query embeddings; None if the layer
            is called with embeddings.
          k: number of candidates to return if `call` is given none.
          distance_measure: `"dot_product"` or `"squared_l2"`.
          num_leaves: number of partitions of the corpus.
          num_leaves_to_search: number of partitions that a query looks into.
          training_iterations: number of iterations that train the partitions.
          dimensions_per_block: width of a quantised block; wider is smaller, faster and
            less exact.
          num_reordering_candidates: number of the best candidates that are scored again
            exactly; None for none, which stores no exact embeddings.
          parallelize_batch_searches: whether several threads share a batch.
          name: name of the layer.
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
        try:
            super().__init__(query_model=query_model, name=name, **self._settings)
        except ImportError as error:
            raise ImportError(
                "`layers.ScaNN` needs the package `scann`, which is not installed. On "
                "Linux run `pip install 'tfrs-models[scann]'`; elsewhere and with "
                "TensorFlow 2.21 take `layers.IVF`, which searches approximately too."
            ) from error
        refuse_own_scores(self, "quantised distances")
        self._width = None
        self._duplicates = check_duplicates(duplicates)

    @property
    def num_leaves_to_search(self) -> int:
        """Number of partitions that a query looks into; it can be set at any time."""
        return self._settings["num_leaves_to_search"]

    @num_leaves_to_search.setter
    def num_leaves_to_search(self, value: int) -> None:
        self._set("num_leaves_to_search", value)

    @property
    def num_reordering_candidates(self) -> int | None:
        """Number of candidates scored again exactly; it can be set if not None."""
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
        """Trains partitions and quantiser for candidates, and drops all earlier ones.

        Args:
          candidates: `[num_candidates, embedding_dim]` embeddings.
          identifiers: `[num_candidates]` ids of any dtype except -1 and "", which mean
            "none" in answers; the row numbers if None. Integers are stored and
            answered as int64.
          attributes: values that `filters` can ask for, by attribute:
            `[num_candidates]` or `[num_candidates, None]` strings, integers or
            booleans, dense or ragged. "" and -1 are padding.

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
            searcher = _shared(self._build_searcher(candidates))
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
                # Keras lets go of a layer that is replaced, and of no other module.
                old, parts = self._serialized_searcher, self._self_tracked_trackables
                parts = [part for part in parts if part is not old]
                object.__setattr__(self, "_self_tracked_trackables", parts)
                self._serialized_searcher, self._table = searcher, table
                self._width = width
            self._reset_tf_function_cache()
        return self

    def index_from_dataset(self, candidates: tf.data.Dataset) -> "ScaNN":
        """Indexes the candidates of a dataset, and drops all earlier ones.

        Args:
          candidates: batches of embeddings, of (identifiers, embeddings), or of
            (identifiers, embeddings, attributes).

        Raises:
          ValueError: as `index` does.
        """
        with write_candidates(candidates) as rows:
            # A subclass's `index` may be upstream's, which takes no attributes.
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
        """Finds the best candidates of each query, approximately.

        If exclusions, allowed ids or filters leave fewer than `k` of the candidates
        that were found, more are searched for, in the end all of them.

        Args:
          queries: `[batch, embedding_dim]` or `[embedding_dim]` embeddings, or the
            input of `query_model`.
          k: number of candidates to return; the constructor's `k` if None.
          exclusions: `[batch, None]` ids, dense or ragged, that a query must not be
            answered with; repeats and unknown ids are harmless.
          allowed: `[batch, None]` ids, dense or ragged: the only ones that a query may
            be answered with; a row without ids gets no candidate.
          filters: `[batch, None]` values by attribute, of which a candidate must have
            one; a row without values is not filtered by that attribute.

        Returns:
          Scores and identifiers `[batch, k]`, best first. A position without a
          candidate has the score `-inf` and the id -1, or "". With `"squared_l2"` a
          score is a squared distance, of which smaller is better, and `inf` at a
          position without a candidate.

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
            scores, rows = _fetch_enough(
                lambda number, leaves: self._fetch(searcher, queries, number, leaves),
                snapshot,
                read_restrictions(
                    snapshot,
                    queries,
                    exclusions=exclusions,
                    allowed=allowed,
                    filters=filters,
                ),
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
        """Finds the first candidates of each query.

        Args:
          searcher: trained searcher of ScaNN, as a module.
          queries: `[batch, embedding_dim]` float32 embeddings.
          number: number of candidates to return.
          leaves: number of partitions that a query looks into.

        Returns:
          Scores, `-inf` at positions without a candidate, and rows `[batch, number]`.
        """
        from scann.scann_ops.py import scann_ops

        searcher = scann_ops.searcher_from_module(searcher)
        search = (
            searcher.search_batched_parallel
            if self._parallelize_batch_searches
            else searcher.search_batched
        )
        reordered = self.num_reordering_candidates
        found = search(
            queries,
            final_num_neighbors=number,
            pre_reorder_num_neighbors=(
                None if reordered is None else tf.maximum(reordered, number)
            ),
            leaves_to_search=leaves,
        )
        scores = tf.ensure_shape(found.distances, [queries.shape[0], None])
        rows = tf.ensure_shape(found.indices, [queries.shape[0], None])
        missing = [[0, 0], [0, tf.maximum(number - tf.shape(scores)[1], 0)]]
        scores = tf.pad(scores, missing, constant_values=-float("inf"))
        scores = tf.where(tf.math.is_nan(scores), -float("inf"), scores)
        rows = tf.where(is_missing(scores), 0, tf.pad(rows, missing))
        return scores, rows


def _shared(searcher: object) -> tf.Module:
    """Makes a module of a trained searcher that all graphs of a process share.

    A graph makes its own searcher, a copy of the whole index, unless it finds one by
    name. What has a name stays until it is destroyed: that is when neither the index
    nor a graph holds the module's variables.
    """
    from scann.scann_ops.py import scann_ops

    module = searcher.serialize_to_module()
    name = f"scann/{uuid.uuid4()}"
    parts = [getattr(module, part) for part in _PARTS]

    @tf.function(input_signature=[])
    def recreate_handle() -> tf.Tensor:
        # A SavedModel that is loaded here must not ask for this index's searcher.
        shared = "" if in_save_context() else name
        return scann_ops.tensors_to_scann(*parts, shared_name=shared)

    module.recreate_handle = recreate_handle
    _destroy(searcher.searcher_handle)  # the one that was trained
    release = weakref.finalize(module.dataset.handle, _destroy, recreate_handle())
    release.atexit = False
    return module


def _destroy(handle: tf.Tensor) -> None:
    with eager_mode():  # garbage is collected while graphs are traced, too
        tf.raw_ops.DestroyResourceOp(resource=handle, ignore_lookup_error=True)


def _fetch_enough(
    fetch: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    snapshot: Snapshot,
    restrictions: Restrictions,
    *,
    k: int | tf.Tensor,
    leaves: tuple[int, int],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Fetches more and more candidates until `k` of them pass the restrictions.

    Args:
      fetch: function from a number of candidates and of partitions to scores, `-inf` at
        positions without a candidate, and slots `[batch, number]`, best first.
      snapshot: state of the index.
      restrictions: restrictions of the queries.
      k: number of slots to return.
      leaves: number of partitions to begin with, and of all partitions.

    Returns:
      Scores and slots `[batch, k]`; the score is `-inf` at positions without any.
    """
    size = tf.maximum(snapshot.num_candidates, k)

    def search(number: tf.Tensor, leaves: tf.Tensor) -> tuple[tf.Tensor, ...]:
        scores, slots = fetch(number, leaves)
        valid = tf.math.is_finite(scores) & passing(snapshot, restrictions, slots)
        found = tf.math.count_nonzero(valid, axis=1, dtype=tf.int32)
        done = tf.reduce_all(found >= k) | (number >= size)
        # In the order of the fetch, whatever its measure.
        order = -tf.cast(tf.range(number), tf.float32)
        _, columns = tf.math.top_k(tf.where(valid, order, -float("inf")), k=k)
        passed = tf.gather(valid, columns, batch_dims=1)
        scores = tf.where(
            passed, tf.gather(scores, columns, batch_dims=1), -float("inf")
        )
        return done, scores, tf.gather(slots, columns, batch_dims=1)

    def search_on(number: tf.Tensor, leaves: tf.Tensor, *_: tf.Tensor) -> tuple:
        # Compared before they are multiplied: they might not fit into their type.
        number = tf.where(number > size // _GROWTH, size, number * _GROWTH)
        leaves = tf.minimum(leaves * _GROWTH, most_leaves)
        return number, leaves, *search(number, leaves)

    excluded = restrictions.exclusions
    widest = 0 if excluded is None else tf.shape(excluded)[1]
    number = tf.minimum(k + widest, size)
    first_leaves, most_leaves = leaves
    state = (number, tf.constant(first_leaves), *search(number, first_leaves))
    *_, scores, slots = tf.while_loop(
        lambda _, __, done, *___: ~done,
        search_on,
        state,
        shape_invariants=tuple(value.shape for value in state),
    )
    return scores, slots
