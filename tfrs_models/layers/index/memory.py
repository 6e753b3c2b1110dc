"""How much memory an index takes."""

from typing import NamedTuple

_ID_BYTES = 8 + 8 + 4  # an int64 id, its key and its slot


class MemoryEstimate(NamedTuple):
    """Bytes of an index.

    Attributes:
      index: Of the finished index. Strings as ids and attributes take more.
      build: The most at any time while it is built from a dataset.
    """

    index: int
    build: int


def estimate(
    *, num_slots: int, embedding_dim: int, rest: int, work: int
) -> MemoryEstimate:
    """The memory of slots of float32 embeddings.

    Args:
      num_slots: With and without a candidate.
      embedding_dim: Width of an embedding.
      rest: Bytes of what else the index holds.
      work: Bytes that building needs beside two copies of the embeddings.
    """
    embeddings = 4 * num_slots * embedding_dim
    index = embeddings + _ID_BYTES * num_slots + rest
    return MemoryEstimate(index, index + embeddings + work)
