"""Declarations of the features that towers read."""

import dataclasses
import math
import numbers

KINDS = ("id", "bag", "number")


@dataclasses.dataclass(frozen=True)
class Feature:
    """Declares one feature of a user or an item for the towers that read it.

    An `"id"` is an index `[batch]` whose 0 means unknown; a `"bag"` is a row of
    indices `[batch, length]` whose 0 is padding; a `"number"` is a float `[batch]`
    that the tower standardises with `mean` and `scale`.

    Args:
      name: key of the feature in a batch.
      kind: `"id"`, `"bag"` or `"number"`.
      num_values: number of known values of an id or a bag, which have the indices 1 to
        `num_values`.
      mean: mean of a number over the training rows.
      scale: standard deviation of a number over the training rows.

    Raises:
      ValueError: an argument is out of range, or does not fit the kind.

    Example:
      >>> genres = tm.data.Feature("genres", "bag", num_values=3)
      >>> tower = tm.towers.FeatureTower([genres], embedding_dim=2)
      >>> tower({"genres": np.array([[1, 3, 0], [2, 0, 0]])}).shape
      TensorShape([2, 2])
    """

    name: str
    kind: str
    num_values: int = 0
    mean: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Checks the arguments."""
        if not self.name:
            raise ValueError("`name` must not be empty.")
        if self.kind not in KINDS:
            raise ValueError(
                f"`kind` of feature `{self.name}` must be one of {KINDS}. "
                f"Got {self.kind!r}."
            )
        is_whole = isinstance(self.num_values, numbers.Integral)
        if not is_whole or self.num_values < 0:
            raise ValueError(
                f"`num_values` of feature `{self.name}` must be a whole number that is "
                f"not negative. Got {self.num_values!r}."
            )
        if self.kind == "number" and self.num_values:
            raise ValueError(
                f"`num_values` of feature `{self.name}` must be 0: a number has no "
                f"vocabulary. Got {self.num_values}."
            )
        if not math.isfinite(self.mean):
            raise ValueError(
                f"`mean` of feature `{self.name}` must be finite. Got {self.mean}."
            )
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(
                f"`scale` of feature `{self.name}` must be finite and above 0. "
                f"Got {self.scale}."
            )
