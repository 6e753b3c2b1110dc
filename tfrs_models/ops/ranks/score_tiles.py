"""Scores of a large corpus in tiles, for which memory need not hold them all."""

import tensorflow as tf

from tfrs_models.ops.ranks.scores import dot_scores

_TILE = 256  # candidates per product: a tile of scores stays in the processor's cache


def count_tiles_unless(
    small: tf.Tensor,
    queries: tf.Tensor,
    corpus: tf.Tensor,
    lower: tf.Tensor,
    upper: tf.Tensor,
    counts: tuple[tf.Tensor, tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Per query, the candidates of a large problem above `upper` and from `lower` on.

    Args:
      small: scalar bool, whether `counts` are there already.
      queries: `[batch, embedding_dim]`, or with heads.
      corpus: `[num_candidates, embedding_dim]`.
      lower: `[batch]` scores.
      upper: `[batch]` scores, not below `lower`.
      counts: two times `[batch]` int32, of a small problem.

    Returns:
      Two times `[batch]` int32.
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
    """The counts in memory for one tile, at nearly the speed of the bare product.

    Both counts of a tile share one sum, 16 bits each.
    """
    size, width = tf.unstack(tf.shape(corpus))  # a width of -1 would copy the corpus
    num_tiles, num_rest = size // _TILE, size % _TILE
    # A corpus smaller than a tile is padded in front, where the rest does not look.
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
    # The last tile reaches back over rows that are counted already: every product has
    # one shape, and one shape has one order of summation.
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
    """Scores of (query, corpus row) pairs, from products of the tiles' shape.

    Args:
      small: scalar bool, whether `pair_scores` are there already.
      queries: `[batch, embedding_dim]`.
      corpus: `[num_candidates, embedding_dim]`.
      owners: `[num_pairs]` int32 rows of `queries`.
      rows: `[num_pairs]` int32 rows of `corpus`.
      pair_scores: `[num_pairs]` of a small problem.

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
        places = tf.stack(
            [tf.gather(owners, here), tf.gather(column, here) - tile * _TILE], axis=1
        )
        return tile + 1, tf.tensor_scatter_nd_update(
            pair_scores, tf.gather(order, here)[:, None], tf.gather_nd(scores, places)
        )

    _, pair_scores = tf.while_loop(
        lambda tile, *_: tile < num_tiles,
        fill,
        (tf.where(small, num_tiles, 0), pair_scores),
        parallel_iterations=1,
    )
    return pair_scores
