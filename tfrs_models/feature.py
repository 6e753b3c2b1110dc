"""Declarations of the features that towers read."""

import dataclasses
import math
import numbers

KINDS = ("id", "bag", "number", "vector")


@dataclasses.dataclass(frozen=True)
class Feature:
    """Declares one feature of a user or an item for the towers that read it.

    An `"id"` is an index `[batch]` whose 0 means unknown; a `"bag"` is a row of
    indices `[batch, length]` whose 0 is padding; a `"number"` is a float `[batch]`
    that the tower standardises with `mean` and `scale`; a `"vector"` is a row of `dim`
    numbers `[batch, dim]`, such as the embedding of a text or an image by a model of
    its own. Readers scale each vector to unit length, because the direction is what
    embeddings of texts and images mean: a vector of zeros has none and is unknown.

    Args:
      name: key of the feature in a batch.
      kind: `"id"`, `"bag"`, `"number"` or `"vector"`.
      num_values: number of known values of an id or a bag, which have the indices 1 to
        `num_values`.
      mean: mean of a number over the training rows.
      scale: standard deviation of a number over the training rows.
      dim: number of components of a vector, at least 1; 0 for all other kinds.

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
    dim: int = dataclasses.field(default=0, kw_only=True)

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
        if self.kind in ("number", "vector") and self.num_values:
            raise ValueError(
                f"`num_values` of feature `{self.name}` must be 0: a {self.kind} has "
                f"no vocabulary. Got {self.num_values}."
            )
        is_whole = isinstance(self.dim, numbers.Integral)
        if not is_whole or (self.dim < 1 if self.kind == "vector" else self.dim != 0):
            rule = "a whole number of at least 1: the number of components"
            if self.kind != "vector":
                rule = f"0: a {self.kind} has no components"
            raise ValueError(
                f"`dim` of feature `{self.name}` must be {rule}. Got {self.dim!r}."
            )
        if self.kind == "vector" and (self.mean, self.scale) != (0.0, 1.0):
            raise ValueError(
                f"`mean` and `scale` of feature `{self.name}` must be 0 and 1: a "
                f"vector is scaled to unit length. Got {self.mean} and {self.scale}."
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
