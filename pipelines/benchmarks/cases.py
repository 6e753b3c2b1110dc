"""What a benchmark of quality compares."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from tfrs_models.data import Interactions

Embeddings = tuple[np.ndarray, np.ndarray]


class Case(NamedTuple):
    """A model or a peer.

    Attributes:
      make: From data, the split it is to predict and a seed to the embeddings of users
        and items.
      is_random: Whether the seed matters.
    """

    make: Callable[[Interactions, str, int], Embeddings]
    is_random: bool = False

    def turns(self, data: Interactions, *, seeds: int) -> Iterator[Embeddings]:
        """Its embeddings before the test rows, for every seed that matters."""
        for seed in range(seeds if self.is_random else 1):
            yield self.make(data, "test", seed)
