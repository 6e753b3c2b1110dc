"""Scores the blocks of candidates that bounds of their scores select."""

import tensorflow as tf

from tfrs_models.layers.index.exact_search import search_all
from tfrs_models.layers.index.live import Snapshot
from tfrs_models.layers.index.restrictions import Restrictions, pass_filters
from tfrs_models.ops.ranks.block_top_k import block_top_k

_GROWTH = 4  # factor of the number of probes when too few candidates pass
_SHARE = 8  # of all blocks; above one in so many, scoring all of them is faster
_SPREAD = 2.0  # standard deviations that a block's best may score above its mean


def block_bounds(rows: tf.Tensor, in_slot: tf.Tensor) -> tf.Tensor:
    """Computes what a product with (query, its length, 1) turns into a block's bound.

    Args:
      rows: `[num_blocks, block_size, embedding_dim]` embeddings.
      in_slot: `[num_blocks, block_size]` bool, True for slots that hold a candidate.

    Returns:
      `[num_blocks, embedding_dim + 2]` float32: the mean, two standard deviations per
      dimension, and 0, or `-inf` for an empty block.
    """
    rows = tf.cast(rows, tf.float32)
    used = tf.cast(in_slot, tf.float32)[:, :, None]
    count = tf.reduce_sum(used, axis=1)
    mean = tf.math.divide_no_nan(tf.reduce_sum(rows * used, axis=1), count)
    apart = (rows - mean[:, None]) * used
    # Squares of shares of the largest entry fit into their type.
    largest = tf.reduce_max(tf.abs(apart), axis=[1, 2])
    shares = tf.math.divide_no_nan(apart, largest[:, None, None])
    squares = tf.reduce_sum(shares**2, axis=[1, 2])
    entries = count[:, 0] * rows.shape[2]
    spread = _SPREAD * largest * tf.sqrt(tf.math.divide_no_nan(squares, entries))
    empty = tf.where(count > 0, 0.0, -float("inf"))
    return tf.concat([mean, spread[:, None], empty], axis=1)


def rows_of(embeddings: tf.Tensor, blocks: tf.Tensor, *, size: int) -> tf.Tensor:
    """Gathers the embeddings of blocks.

    Args:
      embeddings: `[num_slots, embedding_dim]` embeddings of all slots.
      blocks: `[n]` indices of blocks.
      size: number of slots of a block.

    Returns:
      `[n, size, embedding_dim]`.
    """
    return tf.gather(tf.reshape(embeddings, [-1, size, embeddings.shape[1]]), blocks)


class BlockSearch:
    """Scores more and more blocks until every query has enough candidates."""

    def __init__(self, snapshot: Snapshot, num_probes: int, block_size: int) -> None:
        """Initializes the search.

        Args:
          snapshot: state of an `IVF`.
          num_probes: number of blocks that are scored for a query at first.
          block_size: number of slots of a block.
        """
        self._snapshot = snapshot
        self._num_probes = num_probes
        self._block_size = block_size
        self._num_blocks = snapshot["in_slot"].shape[0]

    def __call__(
        self, queries: tf.Tensor, k: int | tf.Tensor, restrictions: Restrictions
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the best slots of each query in the blocks that are scored.

        Args:
          queries: `[batch, embedding_dim]` embeddings.
          k: number of slots to return.
          restrictions: restrictions of the queries, without `allowed`.

        Returns:
          Scores and slots `[batch, k]`; the score is `-inf` at positions without any.
        """
        probes = self._num_probes
        if isinstance(k, int):  # else `_probe` pads, and the search goes on
            probes = max(probes, -(-k // self._block_size))
        probes = min(probes, self._num_blocks)
        scores, slots, found = self._probe(queries, k, restrictions, probes)
        enough = k
        if restrictions.exclusions is not None or restrictions.filters:
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
                lambda: self._score_all(query, k, those),
            )
            indices = open_rows[:, None]
            scores = tf.tensor_scatter_nd_update(scores, indices, more_scores)
            slots = tf.tensor_scatter_nd_update(slots, indices, more_slots)
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
        """Scores the blocks with the highest bounds.

        Returns:
          Scores and slots `[batch, k]`, and the number of candidates `[batch]` that
          pass the restrictions in these blocks.
        """
        size, embeddings = self._block_size, self._snapshot["candidates"]
        blocks = self._highest_bounds(queries, probes)  # [batch, probes]
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
        if restrictions.filters:
            valid &= pass_filters(self._snapshot, restrictions, slots)
        lowest = tf.constant(-float("inf"), scores.dtype)
        scores = tf.where(valid, scores, lowest)
        if restrictions.exclusions is not None:
            scores = _hide(scores, blocks, restrictions.exclusions, size=size)
        found = tf.math.count_nonzero(scores > lowest, axis=1, dtype=tf.int32)
        if tf.is_tensor(k):
            missing = [[0, 0], [0, tf.maximum(k - tf.shape(scores)[1], 0)]]
            scores = tf.pad(scores, missing, constant_values=-float("inf"))
            slots = tf.pad(slots, missing)
        scores, columns = block_top_k(scores, k)
        return scores, tf.gather(slots, columns, batch_dims=1), found

    def _highest_bounds(self, queries: tf.Tensor, probes: int | tf.Tensor) -> tf.Tensor:
        queries = tf.cast(queries, tf.float32)
        norms = tf.norm(queries, axis=1, keepdims=True)
        queries = tf.concat([queries, norms, tf.ones_like(norms)], axis=1)
        bounds = tf.matmul(queries, self._snapshot["bounds"], transpose_b=True)
        return tf.math.top_k(bounds, k=probes, sorted=False)[1]

    def _score_all(
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


def _hide(
    scores: tf.Tensor, blocks: tf.Tensor, slots: tf.Tensor, *, size: int
) -> tf.Tensor:
    """Gives excluded slots the score `-inf` if their block was scored.

    Args:
      scores: `[batch, probes * size]` scores of the slots of the blocks.
      blocks: `[batch, probes]` indices of the blocks that were scored.
      slots: `[batch, width]` excluded slots, -1 for none.
      size: number of slots of a block.
    """
    owner = tf.where(slots >= 0, slots // size, -1)
    same = owner[:, :, None] == blocks[:, None, :]  # [batch, width, probes]
    here = tf.where(tf.reduce_any(same, axis=2))
    probe = tf.argmax(tf.cast(same, tf.int32), axis=2, output_type=tf.int32)
    probe = tf.gather_nd(probe, here)
    columns = probe * size + tf.gather_nd(slots, here) % size
    indices = tf.stack([tf.cast(here[:, 0], tf.int32), columns], axis=1)
    lows = tf.fill(tf.shape(columns), tf.constant(-float("inf"), scores.dtype))
    return tf.tensor_scatter_nd_update(scores, indices, lows)
