"""Partitions of a corpus by direction, cut into blocks of similar length."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.ops.ranks.scores import unit_rows

_SAMPLE = 100_000  # candidates that the directions are learned from
_ITERATIONS = 10
_ROWS = 8_192  # whose products with all centroids are held at a time
_EQUAL_NORMS = 0.05  # deviation over mean; below it the order of norms is meaningless


class Partitions(NamedTuple):
    """Slots that candidates get by their partitions.

    Attributes:
      centroids: `[num_partitions, embedding_dim]` float32 unit rows.
      slots: `[num_candidates]` slot of each candidate.
      partition_of_block: `[num_blocks]` int32, -1 for a spare block.
    """

    centroids: np.ndarray
    slots: np.ndarray
    partition_of_block: np.ndarray


def partition(
    embeddings: np.ndarray,
    *,
    num_partitions: int,
    block_size: int,
    capacity: int,
    seed: int,
) -> Partitions:
    """Groups candidates by spherical k-means and orders each group by its best scores.

    Within a partition the longest embeddings come first, for they score highest; if all
    have the same length, those nearest to the partition's direction do. Every partition
    is cut into blocks, of which the last may have free slots.

    Args:
      embeddings: `[num_candidates, embedding_dim]` embeddings.
      num_partitions: number of directions.
      block_size: number of slots of a block.
      capacity: number of candidates that there must be room for.
      seed: seed of the sample and of the first directions.
    """
    rng = np.random.default_rng(seed)
    size = len(embeddings)
    chosen = np.sort(rng.choice(size, min(size, _SAMPLE), replace=False))
    centroids = spherical_k_means(
        np.asarray(embeddings[chosen], np.float32), num_partitions, rng
    )
    nearest = np.empty(size, np.int32)
    norms, along = np.empty(size, np.float32), np.empty(size, np.float32)
    for start in range(0, size, _ROWS):
        rows = np.asarray(embeddings[start : start + _ROWS], np.float32)
        here = slice(start, start + len(rows))
        best, labels = _assign(rows, centroids)
        nearest[here], along[here] = labels.numpy(), best.numpy()
        norms[here] = tf.norm(rows, axis=1)
    by_norm = norms.std() > _EQUAL_NORMS * norms.mean()
    order = np.lexsort((-(norms if by_norm else along), nearest))
    sizes = np.bincount(nearest, minlength=num_partitions)
    num_blocks = -(-sizes // block_size)
    first_slots = (np.cumsum(num_blocks) - num_blocks) * block_size
    first_rows = np.cumsum(sizes) - sizes
    slots = np.empty(size, np.int64)
    slots[order] = np.arange(size) + np.repeat(first_slots - first_rows, sizes)
    spare = -(-(capacity - size) // block_size)
    owners = np.repeat(np.arange(num_partitions), num_blocks)
    owners = np.append(owners, np.full(spare, -1)).astype(np.int32)
    return Partitions(centroids, slots, owners)


def spherical_k_means(
    rows: np.ndarray, num_centroids: int, rng: np.random.Generator
) -> np.ndarray:
    """Finds unit centroids that maximise the sum of cosines to the nearest one.

    Args:
      rows: `[n, embedding_dim]` float32 embeddings.
      num_centroids: number of centroids, at most `n`.
      rng: generator that draws the first centroids, and those of empty groups.

    Returns:
      `[num_centroids, embedding_dim]` float32.

    Reference:
      Dhillon and Modha, Concept decompositions for large sparse text data using
      clustering, Machine Learning 2001.
    """
    rows = unit_rows(tf.convert_to_tensor(rows)).numpy()
    centroids = rows[rng.choice(len(rows), num_centroids, replace=False)]
    for _ in range(_ITERATIONS):
        chunks = range(0, len(rows), _ROWS)
        labels = [_assign(rows[i : i + _ROWS], centroids)[1] for i in chunks]
        labels = tf.concat(labels, axis=0)
        sums = tf.math.unsorted_segment_sum(rows, labels, num_centroids).numpy()
        empty = ~sums.any(axis=1)
        sums[empty] = rows[rng.choice(len(rows), empty.sum())]
        centroids = unit_rows(tf.convert_to_tensor(sums)).numpy()
    return centroids


@tf.function(reduce_retracing=True)
def _assign(rows: tf.Tensor, centroids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the largest product of each row, and the index of its centroid."""
    scores = tf.matmul(rows, centroids, transpose_b=True)
    labels = tf.argmax(scores, axis=1, output_type=tf.int32)
    return tf.gather(scores, labels, batch_dims=1), labels


def nearest_partitions(rows: np.ndarray, centroids: tf.Tensor) -> np.ndarray:
    """Returns the partition of each embedding, `[n]`."""
    return _assign(rows, centroids)[1].numpy()


def find_room(
    wanted: np.ndarray, owners: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finds free slots for candidates, if possible in blocks of their partition.

    A partition without room takes spare blocks; without those, any free slot is taken.

    Args:
      wanted: `[n]` partition of each new candidate.
      owners: `[num_blocks]` partition of each block, -1 for a spare one.
      free: `[num_blocks, block_size]` bool, True for free slots, at least `n`.

    Returns:
      `[n]` slots, and the partitions `[num_blocks]` after spare blocks were taken.
    """
    owners, free, size = owners.copy(), free.copy(), free.shape[1]
    slots = np.full(len(wanted), -1)

    def settle(rows: np.ndarray, blocks: np.ndarray) -> None:
        found = np.argwhere(free & blocks[:, None])[: len(rows)]
        slots[rows[: len(found)]] = found @ [size, 1]
        free[tuple(found.T)] = False

    for number in np.unique(wanted):
        rows = np.flatnonzero(wanted == number)
        missing = len(rows) - free[owners == number].sum()
        spare = np.flatnonzero(owners == -1)
        owners[spare[: max(0, -(-missing // size))]] = number
        settle(rows, owners == number)
    settle(np.flatnonzero(slots < 0), np.ones(len(owners), bool))
    return slots, owners


def work_bytes(num_partitions: int, embedding_dim: int) -> int:
    """Returns the bytes that `partition` needs at a time beside the embeddings."""
    sample = 4 * _SAMPLE * embedding_dim
    products = 4 * _ROWS * num_partitions
    return 4 * sample + 2 * products
