"""The differences between two versions, and the rules that allow them."""

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
    """Limits that a new version must observe to be promoted.

    Attributes:
      minimum_queries: number of rows that must be compared; fewer are no evidence.
      minimum_overlap: mean share of the old answer that the new one must contain.
      maximum_fall: largest fall of a metric; the lower end of the interval of the
        difference must be above its negative.
      minimum_shown: number of different items shown, relative to the old version.
      maximum_unanswered: largest fall of the share of ranks that have an item.
      maximum_latency: largest median latency, relative to the old version's.

    Raises:
      ValueError: a limit is negative or not finite.

    Example:
      >>> tm.serving.gate.Rules(maximum_latency=2.0).maximum_latency
      2.0
    """

    minimum_queries: int = 100
    minimum_overlap: float = 0.5
    maximum_fall: float = 0.01
    minimum_shown: float = 0.9
    maximum_unanswered: float = 0.001
    maximum_latency: float = 1.5

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"`{name}` must be finite, at least 0. Got {value}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """The differences between two versions on the same queries; pairs are (old, new).

    Attributes:
      k: number of ranks that are compared.
      num_queries: number of rows that are compared.
      overlap: share of items that both answers contain, with its interval over rows.
      rank_biased_overlap: overlap that weighs the first ranks most, with its interval.
      shown: number of different items in all answers.
      num_items: size of the catalogue, or None.
      answered: share of ranks that have an item.
      metrics: name -> metric against the relevant items; empty if none were given.
      hidden: number of relevant items that are among the exclusions of their own query,
        and are left out.
      seconds: median seconds of a request.
      latency_ratio: median of new over old seconds, request by request.
      rules: limits for promoting the new version.
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
    hidden: int = 0

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons to refuse the new version; empty if it is promoted."""
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
        """Whether the new version observes all rules."""
        return not self.reasons

    @property
    def exit_code(self) -> int:
        """Exit code of a program: 0 to promote, 1 to refuse."""
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
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )
        verdict = "PROMOTE" if self.promote else "REFUSE"
        reasons = "".join(f"\n- {reason}" for reason in self.reasons)
        queries = f"{self.num_queries:,} queries"
        if self.hidden:
            queries += f"; {self.hidden:,} relevant items are excluded and left out"
        return f"{queries}\n{table}\n{verdict}{reasons}"


def _interval(interval: Interval, sign: str = "") -> str:
    mean, low, high = (format(value, f"{sign}.4f") for value in interval)
    return f"{mean} [{low}, {high}]"


def _ratio(old: float, new: float) -> float:
    return new / old if old else float("nan")
