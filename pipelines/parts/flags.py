"""Types of the commands' flags and the check of their values.

A flag of type `int` must be at least 1, of type `float` positive, and of type `str` not
empty; the types below have other rules. All numbers have an upper end: larger ones
would give NaN or need all of the memory.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclasses.dataclass(frozen=True)
class Range:
    """A range of numbers, which contains its ends unless they are open."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def problem(self, value: object) -> str | None:
        """Returns the rule that a value breaks, in words, or None."""
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return "be a number"
        is_above = value > self.low if self.open_low else value >= self.low
        is_below = value < self.high if self.open_high else value <= self.high
        if is_above and is_below:  # NaN is neither
            return None
        if (self.low, self.high) in ((0, 1), (-1, 1)):
            edges = "[("[self.open_low], "])"[self.open_high]
            return f"be in {edges[0]}{self.low}, {self.high}{edges[1]}"
        if is_above and not math.isnan(value):
            return f"be at most {self.high:,}"
        if self.open_low:
            return "be positive" if self.low == 0 else f"be above {self.low}"
        if isinstance(value, float) and not math.isfinite(value):
            return f"be finite, at least {self.low}"
        return f"be at least {self.low}"


@dataclasses.dataclass(frozen=True)
class NotEmpty:
    """Text that is not empty, such as names of files and columns."""

    def problem(self, value: object) -> str | None:
        """Returns the rule that a value breaks, in words, or None."""
        if not isinstance(value, str):
            return "be text"
        return None if value and "\0" not in value else "not be empty"


@dataclasses.dataclass(frozen=True)
class AnyText:
    """Text that may be empty."""

    def problem(self, value: object) -> str | None:
        """Returns the rule that a value breaks, in words, or None."""
        return None if isinstance(value, str) else "be text"


_MANY = 2**31 - 1
Count = Annotated[int, Range(1, _MANY)]
CountOrNone = Annotated[int, Range(0, _MANY)]  # 0 is allowed
Width = Annotated[int, Range(1, 65_536)]
WidthOrNone = Annotated[int, Range(0, 65_536)]
Depth = Annotated[int, Range(0, 1000)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Positive = Annotated[float, Range(0, 1e9, open_low=True)]
Weight = Annotated[float, Range(0, 1e9)]
Number = Annotated[float, Range(-1e9, 1e9)]
Rate = Annotated[float, Range(0, 100, open_low=True)]
Temperature = Annotated[float, Range(0.0001, 10_000)]
Share = Annotated[float, Range(0, 1)]
ShareBelowOne = Annotated[float, Range(0, 1, open_high=True)]
ShareAboveNone = Annotated[float, Range(0, 1, open_low=True)]
Text = Annotated[str, AnyText()]
_OF_PLAIN = {
    int: Range(1, _MANY),
    float: Range(0, 1e9, open_low=True),
    str: NotEmpty(),
}


def first_problem(config: object) -> str | None:
    """Returns a sentence on the first invalid flag, or None if all are valid.

    Args:
      config: dataclass of flags, which may contain dataclasses of flags.
    """
    return next(_problems(config, ""), None)


def _problems(config: object, prefix: str) -> Iterator[str]:
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        value, hint = getattr(config, field.name), hints[field.name]
        flag = prefix + field.name.replace("_", "-")
        if type(value).__module__.startswith("tfrs_models"):
            continue  # its own constructor has checked it
        if dataclasses.is_dataclass(value):
            is_flat = tyro.conf.OmitArgPrefixes in getattr(hint, "__metadata__", ())
            yield from _problems(value, prefix if is_flat else f"{flag}.")
        elif rule := _broken(hint, value):
            yield f"`--{flag}` must {rule}. Got {value!r}."


def _broken(hint: object, value: object) -> str | None:
    """Returns the rule of a field's type that a value breaks, or None."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        rules = [rule for rule in hint.__metadata__ if hasattr(rule, "problem")]
        return rules[0].problem(value) if rules else _broken(inner[0], value)
    if origin in (typing.Union, types.UnionType):
        found = [_broken(one, value) for one in inner]
        return None if None in found else found[0]
    if origin is Literal:
        return None if value in inner else f"be one of {list(inner)}"
    if origin is tuple:
        if not isinstance(value, tuple):
            return "be several values"
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        pairs = zip(kinds, value, strict=True)
        return next((rule for rule in (_broken(*pair) for pair in pairs) if rule), None)
    if hint is type(None):
        return None if value is None else "be none"
    if hint is bool:
        return None if isinstance(value, bool) else "be True or False"
    if hint is Path:
        is_path = isinstance(value, Path) and "\0" not in str(value)
        return None if is_path else "be a path"
    return _OF_PLAIN[hint].problem(value)
