"""Approximate retrieval in stock TensorFlow operations."""

import numpy as np
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.index.blocks import hide, promises
from tfrs_models.layers.index.checks import check_sizes
from tfrs_models.layers.index.exact_search import search_all
from tfrs_models.layers.index.memory import MemoryEstimate, estimate
from tfrs_models.layers.index.partitions import (
    find_room,
    nearest_partitions,
    partition,
    work_bytes,
)
from tfrs_models.layers.index.restrictions import Restrictions, passes
from tfrs_models.layers.index.slot_index import Layout
from tfrs_models.layers.index.updatable import UpdatableIndex
from tfrs_models.ops.block_top_k import block_top_k

_GROWTH = 4  # times as many probes where too few candidates pass
_BLOCKS = 256  # whose promises are computed at a time
_SHARE = 8  # of all blocks; above one in so many, scoring all of them is faster


@register
class IVF(UpdatableIndex):
    """An inverted file: a query looks into the most promising blocks of candidates.

    Ten to thirty times as fast as brute force on a million candidates, and made of
    stock operations, so that every TensorFlow Serving loads it. `serving.tuning.tune`
    finds the `num_probes` that reach a recall on your queries.

    Candidates are partitioned by direction and ordered by length within a partition,
    and every partition is cut into blocks. A block promises `q . mean + 2 |q| sd`,
    where `sd` is how far its candidates lie from their mean per dimension; the
    candidates of the `num_probes` blocks that promise most are scored exactly. Where
    exclusions or filters leave too few of them, more blocks are looked into, in the
    end all of them.

    Reference:
      Sivic and Zisserman, Video Google: a text retrieval approach to object matching in
      videos, ICCV 2003.
    """

    def __init__(
        self,
        query_model: tf.keras.Model | None = None,
        k: int = 10,
        name: str | None = None,
        *,
        num_probes: int = 32,
        num_partitions: int | None = None,
        block_size: int = 128,
        distance_measure: str = "dot_product",
        capacity: int | None = None,
        duplicates: str = "error",
        seed: int = 0,
    ) -> None:
        """Initializes the layer.

        Args:
          query_model: Maps raw features to query embeddings; None where the layer is
            given embeddings.
          k: How many candidates to return where `call` does not say.
          name: Of the layer.
          num_probes: Blocks that a query looks into; more find more and take longer. It
            can be set at any time: what was exported keeps its own.
          num_partitions: Of the corpus; twice the square root of its size where None.
          block_size: Candidates of a block.
          distance_measure: `"dot_product"` or `"cosine"`; larger is better in both.
          capacity: How many candidates there may be after `add` and `upsert`; as many
            as fit where None.
          duplicates: As of `BruteForce`.
          seed: Of the partitions.
        """
        super().__init__(
            query_model,
            k,
            distance_measure=distance_measure,
            capacity=capacity,
            duplicates=duplicates,
            name=name,
        )
        check_sizes(
            num_probes=num_probes, num_partitions=num_partitions, block_size=block_size
        )
        self._num_probes = num_probes
        self._num_partitions = num_partitions
        self._block_size = block_size
        self._seed = seed
        self._reset_tf_function_cache()

    @property
    def num_probes(self) -> int:
        """Blocks that a query looks into."""
        return self._num_probes

    @num_probes.setter
    def num_probes(self, value: int) -> None:
        check_sizes(num_probes=value)
        self._num_probes = value
        self._reset_tf_function_cache()  # it is a constant of every traced graph

    @property
    def num_blocks(self) -> int | None:
        """How many blocks there are to look into; None before `index`."""
        return None if self._shapes is None else self._in_slot.shape[0]

    def is_exact(self) -> bool:
        return False

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_probes": self._num_probes,
            "num_partitions": self._num_partitions,
            "block_size": self._block_size,
            "seed": self._seed,
        }

    def memory_estimate(
        self, num_candidates: int, embedding_dim: int
    ) -> MemoryEstimate:
        partitions = self._partitions_of(num_candidates)
        capacity = max(self._capacity or 0, num_candidates)
        # Half of the last block of every partition is free, on average.
        num_blocks = capacity // self._block_size + partitions // 2 + 1
        return estimate(
            num_slots=num_blocks * self._block_size,
            embedding_dim=embedding_dim,
            rest=4 * (partitions + num_blocks) * (embedding_dim + 2)
            + num_blocks * self._block_size,
            work=work_bytes(partitions, embedding_dim),
        )

    def _partitions_of(self, num_candidates: int) -> int:
        number = self._num_partitions or round(2 * num_candidates**0.5)
        return max(1, min(number, num_candidates // self._block_size))

    def _lay_out(self, embeddings: np.ndarray, capacity: int) -> Layout:
        size, width = embeddings.shape
        partitions = partition(
            embeddings,
            num_partitions=self._partitions_of(size),
            block_size=self._block_size,
            capacity=capacity,
            seed=self._seed,
        )
        num_blocks = len(partitions.partition_of_block)
        weights = {
            "centroids": partitions.centroids,
            "partition_of_block": partitions.partition_of_block,
            "in_slot": np.zeros([num_blocks, self._block_size], bool),
            "promises": np.zeros([num_blocks, width + 2], np.float32),
        }
        return Layout(partitions.slots, num_blocks * self._block_size, weights)

    def _take(self, embeddings: np.ndarray) -> np.ndarray:
        slots, owners = find_room(
            nearest_partitions(np.float32(embeddings), self._centroids),
            self._partition_of_block.numpy(),
            ~self._in_slot.numpy(),
        )
        self._partition_of_block.assign(owners)
        return slots

    def _settle(self, slots: np.ndarray) -> None:
        self._mark(slots, True)

    def _free(self, slots: np.ndarray) -> None:
        self._mark(slots, False)

    def _mark(self, slots: np.ndarray, used: bool) -> None:
        """Notes which slots are in use, and what their blocks promise then."""
        in_slot = self._in_slot.numpy()
        in_slot.reshape(-1)[slots] = used
        self._in_slot.assign(in_slot)
        told = self._promises.numpy()
        blocks = np.unique(slots // self._block_size)
        for start in range(0, len(blocks), _BLOCKS):
            some = tf.constant(blocks[start : start + _BLOCKS])
            rows, used = self._rows(some, tf.float32), tf.gather(in_slot, some)
            told[some] = promises(rows, used)
        self._promises.assign(told)

    def _rows(self, blocks: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """Embeddings `[n, block_size, embedding_dim]` of blocks."""
        shape = [self.num_blocks, self._block_size, self._embeddings.shape[1]]
        return tf.cast(tf.gather(tf.reshape(self._embeddings, shape), blocks), dtype)

    def _in_use(self, slots: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.reshape(self._in_slot, [-1]), slots)

    def _reset_tf_function_cache(self) -> None:
        super()._reset_tf_function_cache()
        self._search_graph = tf.function(self._search_blocks)

    def _search(
        self, queries: tf.Tensor, k: int | tf.Tensor, restrictions: Restrictions
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return self._search_graph(queries, k, restrictions)

    def _search_blocks(
        self, queries: tf.Tensor, k: int | tf.Tensor, restrictions: Restrictions
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Looks into more and more blocks until every query has enough candidates."""
        probes = self._num_probes
        if isinstance(k, int):  # else `_probe` pads, and the search goes on
            probes = max(probes, -(-k // self._block_size))
        probes = min(probes, self.num_blocks)
        scores, slots, found = self._probe(queries, k, restrictions, probes)
        enough = k
        if restrictions.excluded is not None or restrictions.wanted:
            # Half as many as a plain search looks at, or a filter would cost recall.
            enough = tf.maximum(k, probes * self._block_size // 2)
        enough = tf.minimum(enough, self._table.num_candidates)

        def search_on(
            probes: tf.Tensor, open_rows: tf.Tensor, scores: tf.Tensor, slots: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            probes = tf.minimum(probes * _GROWTH, self.num_blocks)
            query, those = tf.gather(queries, open_rows), restrictions.take(open_rows)
            more_scores, more_slots, found = tf.cond(
                probes * _SHARE < self.num_blocks,
                lambda: self._probe(query, k, those, probes),
                lambda: self._look_everywhere(query, k, those),
            )
            places = open_rows[:, None]
            scores = tf.tensor_scatter_nd_update(scores, places, more_scores)
            slots = tf.tensor_scatter_nd_update(slots, places, more_slots)
            return probes, tf.boolean_mask(open_rows, found < enough), scores, slots

        _, _, scores, slots = tf.while_loop(
            lambda _, open_rows, *__: tf.size(open_rows) > 0,
            search_on,
            (probes, tf.where(found < enough)[:, 0], scores, slots),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None]),
                scores.shape,
                slots.shape,
            ),
        )
        return scores, slots

    def _probe(
        self,
        queries: tf.Tensor,
        k: int | tf.Tensor,
        restrictions: Restrictions,
        probes: int | tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The best of the most promising blocks, and how many of those passed."""
        size = self._block_size
        blocks = self._most_promising(queries, probes)  # [batch, probes]
        width = probes * size if isinstance(probes, int) else None
        scores = tf.map_fn(  # a query at a time: its rows stay in the processor's cache
            lambda row: tf.linalg.matvec(
                tf.reshape(self._rows(row[1], row[0].dtype), [probes * size, -1]),
                row[0],
            ),
            (queries, blocks),
            fn_output_signature=tf.TensorSpec([width], queries.dtype),
        )
        slots = tf.reshape(blocks[:, :, None] * size + tf.range(size), tf.shape(scores))
        valid = tf.reshape(tf.gather(self._in_slot, blocks), tf.shape(scores))
        if restrictions.wanted:
            valid &= passes(self._table, restrictions.wanted, slots)
        lowest = tf.constant(-float("inf"), scores.dtype)
        scores = tf.where(valid, scores, lowest)
        if restrictions.excluded is not None:
            scores = hide(scores, blocks, restrictions.excluded, size=size)
        found = tf.math.count_nonzero(scores > lowest, axis=1, dtype=tf.int32)
        if tf.is_tensor(k):
            missing = [[0, 0], [0, tf.maximum(k - tf.shape(scores)[1], 0)]]
            scores = tf.pad(scores, missing, constant_values=-float("inf"))
            slots = tf.pad(slots, missing)
        scores, places = block_top_k(scores, k)
        return scores, tf.gather(slots, places, batch_dims=1), found

    def _most_promising(self, queries: tf.Tensor, probes: int | tf.Tensor) -> tf.Tensor:
        queries = tf.cast(queries, tf.float32)
        norms = tf.norm(queries, axis=1, keepdims=True)
        asked = tf.concat([queries, norms, tf.ones_like(norms)], axis=1)
        promised = tf.matmul(asked, self._promises, transpose_b=True)
        return tf.math.top_k(promised, k=probes, sorted=False)[1]

    def _look_everywhere(
        self, queries: tf.Tensor, k: int | tf.Tensor, restrictions: Restrictions
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        scores, slots = search_all(
            queries,
            self._embeddings,
            self._table,
            restrictions,
            k=k,
            in_use=tf.reshape(self._in_slot, [-1]),
        )
        return scores, slots, tf.fill(tf.shape(scores)[:1], tf.int32.max)  # all found
