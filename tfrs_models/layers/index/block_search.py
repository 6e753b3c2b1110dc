"""Looks into the most promising blocks of candidates."""

import tensorflow as tf

from tfrs_models.layers.index.blocks import hide, rows_of
from tfrs_models.layers.index.exact_search import search_all
from tfrs_models.layers.index.restrictions import Restrictions, passes
from tfrs_models.layers.index.snapshot import Snapshot
from tfrs_models.ops.ranks.block_top_k import block_top_k

_GROWTH = 4  # times as many probes where too few candidates pass
_SHARE = 8  # of all blocks; above one in so many, scoring all of them is faster


class BlockSearch:
    """Looks into more and more blocks until every query has enough candidates."""

    def __init__(self, snapshot: Snapshot, num_probes: int, block_size: int) -> None:
        """Initializes the search.

        Args:
          snapshot: what an `IVF` holds.
          num_probes: blocks that a query looks into at first.
          block_size: candidates of a block.
        """
        self._snapshot = snapshot
        self._num_probes = num_probes
        self._block_size = block_size
        self._num_blocks = snapshot["in_slot"].shape[0]

    def __call__(
        self, queries: tf.Tensor, k: int | tf.Tensor, restrictions: Restrictions
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and slots `[batch, k]`, the score `-inf` where nothing is left."""
        probes = self._num_probes
        if isinstance(k, int):  # else `_probe` pads, and the search goes on
            probes = max(probes, -(-k // self._block_size))
        probes = min(probes, self._num_blocks)
        scores, slots, found = self._probe(queries, k, restrictions, probes)
        enough = k
        if restrictions.excluded is not None or restrictions.wanted:
            # Half as many as a plain search looks at, or a filter would cost recall.
            enough = tf.maximum(k, probes * self._block_size // 2)
        enough = tf.minimum(enough, self._snapshot.num_candidates)

        def search_on(
            probes: tf.Tensor, open_rows: tf.Tensor, scores: tf.Tensor, slots: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            probes = tf.minimum(probes * _GROWTH, self._num_blocks)
            query, those = tf.gather(queries, open_rows), restrictions.take(open_rows)
            more_scores, more_slots, found = tf.cond(
                probes * _SHARE < self._num_blocks,
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
        size, embeddings = self._block_size, self._snapshot["candidates"]
        blocks = self._most_promising(queries, probes)  # [batch, probes]
        width = probes * size if isinstance(probes, int) else None
        scores = tf.map_fn(  # a query at a time: its rows stay in the processor's cache
            lambda row: tf.linalg.matvec(
                tf.reshape(
                    tf.cast(rows_of(embeddings, row[1], size=size), row[0].dtype),
                    [probes * size, -1],
                ),
                row[0],
            ),
            (queries, blocks),
            fn_output_signature=tf.TensorSpec([width], queries.dtype),
        )
        slots = tf.reshape(blocks[:, :, None] * size + tf.range(size), tf.shape(scores))
        valid = tf.reshape(
            tf.gather(self._snapshot["in_slot"], blocks), tf.shape(scores)
        )
        if restrictions.wanted:
            valid &= passes(self._snapshot, restrictions.wanted, slots)
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
        promised = tf.matmul(asked, self._snapshot["promises"], transpose_b=True)
        return tf.math.top_k(promised, k=probes, sorted=False)[1]

    def _look_everywhere(
        self, queries: tf.Tensor, k: int | tf.Tensor, restrictions: Restrictions
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        scores, slots = search_all(
            queries,
            self._snapshot,
            restrictions,
            k=k,
            in_use=tf.reshape(self._snapshot["in_slot"], [-1]),
        )
        return scores, slots, tf.fill(tf.shape(scores)[:1], tf.int32.max)  # all found
