"""The data in a dozen lines."""

import dataclasses

from tfrs_models.data.audit import Audit


@dataclasses.dataclass(frozen=True)
class Summary:
    """Sizes of the data and of its splits, and the leakage audit; `str` for people.

    Args:
      name: of the data.
      split: how it was split.
      min_rating: rating from which a row is a positive, or None for all rows.
      num_users: users with a train row.
      num_items: items of the catalogue.
      num_train_items: items with a train row; the others are cold.
      rows: rows of each split.
      dropped_rows: rows below `min_rating`.
      density: share of the user-item pairs of the data that have a row or several.
      audit: what the split lets in.
      notes: what else a reader must know of the table, a sentence each.
    """

    name: str
    split: str
    min_rating: float | None
    num_users: int
    num_items: int
    num_train_items: int
    rows: dict[str, int]
    dropped_rows: int
    density: float
    audit: Audit
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The summary as aligned lines."""
        positives = "all rows are positives"
        if self.min_rating is not None:
            positives = (
                f"ratings from {self.min_rating:g} are positives "
                f"({self.dropped_rows:,} rows dropped)"
            )
        cold_items = self.num_items - self.num_train_items
        rows = "  ".join(f"{name} {count:,}" for name, count in self.rows.items())
        lines = [
            f"{self.name}: split {self.split}, {positives}",
            f"  users  {self.num_users:,} in train, {self.audit.cold_users:,} more in "
            "test",
            f"  items  {self.num_items:,}, of which {cold_items:,} never in train",
            f"  rows   {rows}  (density {self.density:.2%})",
            str(self.audit),
            *(f"  warning: {note}" for note in self.notes),
        ]
        return "\n".join(lines)
