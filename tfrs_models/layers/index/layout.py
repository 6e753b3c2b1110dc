"""Where the candidates of an index lie, and the shapes that this gives its weights."""

import dataclasses
from typing import NamedTuple

import numpy as np


class Layout(NamedTuple):
    """Where an index puts its candidates.

    Attributes:
      slots: `[num_candidates]`, the slot of each.
      num_slots: slots of the index, free ones included.
      weights: Name -> what else the index holds.
    """

    slots: np.ndarray
    num_slots: int
    weights: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Shapes:
    """What a built index must be made with, before its weights can be loaded."""

    num_slots: int
    embedding_dim: int
    dtype: str
    id_dtype: str
    attributes: dict[str, list]
    weights: dict[str, list]
    num_copies: int = 1
