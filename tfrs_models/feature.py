"""What a tower needs to know about one feature."""

import dataclasses
import math
import numbers

KINDS = ("id", "bag", "number")


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature of a user or an item, declared once and read by the towers.

    An `"id"` is an index `[batch]` whose 0 means unknown; a `"bag"` is a row of
    indices `[batch, length]` whose 0 is padding; a `"number"` is a float `[batch]`
    that the tower standardises with `mean` and `scale`.

    Args:
      name: the key of the feature in a batch.
      kind: `"id"`, `"bag"` or `"number"`.
      num_values: of an id or a bag, the known values: indices 1 to `num_values`.
      mean: of a number, its mean over the training rows.
      scale: of a number, its standard deviation over the training rows.

    Raises:
      ValueError: an argument that no tower could use.
    """

    name: str
    kind: str
    num_values: int = 0
    mean: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuses what no tower could use."""
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
