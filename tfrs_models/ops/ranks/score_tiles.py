"""Scores of a large corpus in tiles, so that memory need not hold all of them."""

import tensorflow as tf

from tfrs_models.ops.ranks.scores import dot_scores

_TILE = 256  # candidates of a product: its scores stay in the processor's cache


def count_tiles_unless(
    small: tf.Tensor,
    queries: tf.Tensor,
    corpus: tf.Tensor,
    lower: tf.Tensor,
    upper: tf.Tensor,
    counts: tuple[tf.Tensor, tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Counts each query's candidates above `upper`, and from `lower` on, in tiles.

    Args:
      small: whether the problem is small and `counts` are its result, scalar bool.
      queries: query embeddings, `[batch, embedding_dim]`, or with heads.
      corpus: candidate embeddings, `[num_candidates, embedding_dim]`.
      lower: lower bounds of scores, `[batch]`.
      upper: upper bounds of scores, not below `lower`, `[batch]`.
      counts: both counts of a small problem, `[batch]` int32 each.

    Returns:
      Both counts, `[batch]` int32 each.
    """

    def once(*_: tf.Tensor) -> tuple[bool, tf.Tensor, tf.Tensor]:
        tiles = _count_tiles(queries, corpus, lower, upper)
        return True, *(
            tf.ensure_shape(tile, count.shape)
            for tile, count in zip(tiles, counts, strict=True)
        )

    _, above, reached = tf.while_loop(lambda done, *_: ~done, once, (small, *counts))
    return above, reached


@tf.function(jit_compile=True)
def _count_tiles(
    queries: tf.Tensor, corpus: tf.Tensor, lower: tf.Tensor, upper: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Counts with memory for one tile, at nearly the speed of the matrix product.

    Both counts of a tile share one sum, 16 bits each.
    """
    size, width = tf.unstack(tf.shape(corpus))  # a width of -1 would copy the corpus
    num_tiles, num_rest = size // _TILE, size % _TILE
    # A corpus smaller than a tile is padded in front; the last tile does not count it.
    corpus = tf.pad(corpus, [[tf.maximum(_TILE - size, 0), 0], [0, 0]])

    def count(first: tf.Tensor, columns: tf.Tensor | bool) -> tf.Tensor:
        tile = tf.slice(corpus, [first, 0], [_TILE, width])
        scores = dot_scores(queries, tile)
        above = tf.cast((scores > upper[:, None]) & columns, tf.int32)
        reached = tf.cast((scores >= lower[:, None]) & columns, tf.int32)
        return tf.reduce_sum(above * 65536 + reached, axis=1)

    def add(tile: tf.Tensor, above: tf.Tensor, reached: tf.Tensor) -> tuple:
        packed = count(tile * _TILE, columns=True)
        more_above, more_reached = _unpack(packed)
        return tile + 1, above + more_above, reached + more_reached

    zero = tf.zeros_like(lower, tf.int32)
    _, above, reached = tf.while_loop(
        lambda tile, *_: tile < num_tiles, add, (0, zero, zero)
    )
    # The last tile begins at rows that are counted already: every product has the same
    # shape, and one shape has one order of summation.
    rest = tf.range(_TILE) >= _TILE - num_rest
    packed = count(tf.shape(corpus)[0] - _TILE, columns=rest)
    more_above, more_reached = _unpack(packed)
    return above + more_above, reached + more_reached


def _unpack(packed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.bitwise.right_shift(packed, 16), tf.bitwise.bitwise_and(packed, 65535)


_score_tile = tf.function(dot_scores, jit_compile=True)


def score_pairs_unless(
    small: tf.Tensor,
    queries: tf.Tensor,
    corpus: tf.Tensor,
    owners: tf.Tensor,
    rows: tf.Tensor,
    pair_scores: tf.Tensor,
) -> tf.Tensor:
    """Scores (query, corpus row) pairs by products of the same shape as the tiles.

    Args:
      small: whether the problem is small and `pair_scores` are its result, scalar bool.
      queries: query embeddings, `[batch, embedding_dim]`.
      corpus: candidate embeddings, `[num_candidates, embedding_dim]`.
      owners: rows of `queries`, `[num_pairs]` int32.
      rows: rows of `corpus`, `[num_pairs]` int32.
      pair_scores: scores of a small problem, `[num_pairs]`.

    Returns:
      `[num_pairs]` scores.
    """
    unique, column = tf.unique(rows)
    order = tf.argsort(column, stable=True)
    owners, column = tf.gather(owners, order), tf.gather(column, order)
    num_tiles = -(-tf.size(unique) // _TILE)
    unique = tf.pad(unique, [[0, num_tiles * _TILE - tf.size(unique)]])
    edges = tf.searchsorted(column, tf.range(num_tiles + 1) * _TILE)

    def fill(tile: tf.Tensor, pair_scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        columns = tf.slice(unique, [tile * _TILE], [_TILE])
        scores = _score_tile(queries, tf.gather(corpus, columns))
        here = tf.range(edges[tile], edges[tile + 1])
        indices = tf.stack(
            [tf.gather(owners, here), tf.gather(column, here) - tile * _TILE], axis=1
        )
        return tile + 1, tf.tensor_scatter_nd_update(
            pair_scores, tf.gather(order, here)[:, None], tf.gather_nd(scores, indices)
        )

    _, pair_scores = tf.while_loop(
        lambda tile, *_: tile < num_tiles,
        fill,
        (tf.where(small, num_tiles, 0), pair_scores),
        parallel_iterations=1,
    )
    return pair_scores
