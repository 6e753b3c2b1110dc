"""What a new version changes, and which changes are allowed."""

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

from tfrs_models.metrics.bootstrap import Interval


class Change(NamedTuple):
    """A metric of both versions, with the interval of the paired difference."""

    old: float
    new: float
    difference: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """What a new version may change; it is promoted where it keeps all of them."""

    minimum_queries: int = 100
    """Rows that must have been asked, for fewer say too little."""
    minimum_overlap: float = 0.5
    """Share of the old answer that the new one has, in the mean."""
    maximum_fall: float = 0.01
    """By which a metric may fall: the lower end of the interval of the difference must
    lie above it."""
    minimum_shown: float = 0.9
    """How many different items are shown, relative to the old version."""
    maximum_unanswered: float = 0.001
    """By which the share of places with an item may fall."""
    maximum_latency: float = 1.5
    """Median latency relative to the old version's."""

    def __post_init__(self) -> None:
        """Refuses limits that every version or none would keep."""
        for name, value in dataclasses.asdict(self).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"`{name}` must be finite, at least 0. Got {value}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two versions on the same queries; of pairs the old one is first.

    Attributes:
      k: Places that are compared.
      num_queries: Rows that were asked.
      overlap: Share of the answers that is in both, with its interval over rows.
      rank_biased_overlap: The same, the first places counting most.
      shown: How many different items were shown to anyone.
      num_items: Of the catalogue, where it was given.
      answered: Share of places that have an item.
      metrics: Against what was relevant; empty where that was not given.
      seconds: Median of a request.
      latency_ratio: Median of new over old, request by request.
      rules: That the verdict follows.
    """

    k: int
    num_queries: int
    overlap: Interval
    rank_biased_overlap: Interval
    shown: tuple[int, int]
    num_items: int | None
    answered: tuple[float, float]
    metrics: Mapping[str, Change]
    seconds: tuple[float, float]
    latency_ratio: float
    rules: Rules

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the new version is refused; empty where it is not."""
        rules, lines = self.rules, []
        if self.num_queries < rules.minimum_queries:
            lines.append(
                f"{self.num_queries} queries are too few: at least "
                f"{rules.minimum_queries}"
            )
        if self.overlap.mean < rules.minimum_overlap:
            lines.append(
                f"the answers share {self.overlap.mean:.4f}: at least "
                f"{rules.minimum_overlap:g}"
            )
        for name, change in self.metrics.items():
            if change.difference.low < -rules.maximum_fall:
                lines.append(
                    f"{name} may have fallen by {-change.difference.low:.4f}: at most "
                    f"{rules.maximum_fall:g} (the lower end of the interval counts)"
                )
        if self.shown[1] < rules.minimum_shown * self.shown[0]:
            lines.append(
                f"{self.shown[1]:,} different items are shown, not {self.shown[0]:,}: "
                f"at least {rules.minimum_shown:g} of them"
            )
        if self.answered[0] - self.answered[1] > rules.maximum_unanswered:
            lines.append(
                f"{self.answered[1]:.4f} of the places have an item, not "
                f"{self.answered[0]:.4f}: at most {rules.maximum_unanswered:g} less"
            )
        if self.latency_ratio > rules.maximum_latency:
            lines.append(
                f"an answer takes {self.latency_ratio:.2f} times as long: at most "
                f"{rules.maximum_latency:g}"
            )
        return tuple(lines)

    @property
    def promote(self) -> bool:
        """Whether the new version keeps all rules."""
        return not self.reasons

    @property
    def exit_code(self) -> int:
        """Of a program: 0 to promote, 1 to refuse."""
        return 0 if self.promote else 1

    def __str__(self) -> str:
        shown = [f"{number:,}" for number in self.shown]
        if self.num_items:
            pairs = zip(shown, self.shown, strict=True)
            shown = [f"{text} ({n / self.num_items:.1%})" for text, n in pairs]
        old, new = self.seconds
        rows = [
            ("", "old", "new", "new against old"),
            (f"overlap at {self.k}", "", "", _interval(self.overlap)),
            ("rank-biased overlap", "", "", _interval(self.rank_biased_overlap)),
            *(
                (name, f"{c.old:.4f}", f"{c.new:.4f}", _interval(c.difference, "+"))
                for name, c in self.metrics.items()
            ),
            ("different items shown", *shown, f"x {_ratio(*self.shown):.3f}"),
            ("places answered", *(f"{share:.4f}" for share in self.answered), ""),
            (
                "latency, ms",
                f"{old * 1e3:.3f}",
                f"{new * 1e3:.3f}",
                f"x {self.latency_ratio:.2f}",
            ),
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = "\n".join(
            "  ".join(
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )
        verdict = "PROMOTE" if self.promote else "REFUSE"
        reasons = "".join(f"\n- {reason}" for reason in self.reasons)
        return f"{self.num_queries:,} queries\n{table}\n{verdict}{reasons}"


def _interval(interval: Interval, sign: str = "") -> str:
    mean, low, high = (format(value, f"{sign}.4f") for value in interval)
    return f"{mean} [{low}, {high}]"


def _ratio(old: float, new: float) -> float:
    return new / old if old else float("nan")
