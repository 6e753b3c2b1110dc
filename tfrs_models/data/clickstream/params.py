"""The hyper-parameters of one fine-tuning run."""

import dataclasses
import enum
import hashlib
from collections.abc import Mapping, Sequence

from tfrs_models.ops.numbers import real_number, true_or_false, whole_number

_BOUNDS = {
    "query_lr": {"above": 0},
    "items_lr": {"above": 0},
    "query_weight_decay": {"least": 0},
    "items_weight_decay": {"least": 0},
    "margin": {"above": 0},
    "negative_downsampling": {"above": 0, "most": 1},
    "min_abs_difference_threshold": {"least": 0},
    "max_abs_difference_threshold": {"above": 0},
}


class ExamplesType(enum.Enum):
    """Which pairs a step is made of. Only `all_examples` is used by anything."""

    medium_all = 1
    hard_all = 2
    soft_all = 3
    medium_positive = 4
    hard_positive = 5
    soft_positive = 6
    medium_negative = 7
    hard_negative = 8
    soft_negative = 9
    negative_only = 10
    all_examples = 11


@dataclasses.dataclass(frozen=True)
class FineTuningParams:
    """Hyper-parameters, checked, with an id by which equal runs are recognised.

    Args:
      num_fixed_layers: layers of the towers that do not learn.
      query_lr: learning rate of the query tower.
      items_lr: learning rate of the item tower, and of a shared one.
      query_weight_decay: of the query tower.
      items_weight_decay: of the item tower.
      margin: of the loss, above 0.
      not_irrelevant_only: whether searches without a click are left out.
      negative_downsampling: share of the unclicked objects that a step sees, in (0, 1].
      min_abs_difference_threshold: pairs whose ranks differ by less are left out.
      max_abs_difference_threshold: pairs whose ranks differ by more are left out.
      examples_order: codes of `ExamplesType`: "11", "1,4", or a sequence of numbers.

    Raises:
      ValueError: a number out of range, or an unknown code.
    """

    num_fixed_layers: int = 0
    query_lr: float = 1e-5
    items_lr: float = 1e-5
    query_weight_decay: float = 0.0
    items_weight_decay: float = 0.0
    margin: float = 0.05
    not_irrelevant_only: bool = True
    negative_downsampling: float = 0.5
    min_abs_difference_threshold: float = 0.0
    max_abs_difference_threshold: float = 1.0
    examples_order: str | Sequence[int] | Sequence[ExamplesType] = (11,)

    def __post_init__(self) -> None:
        """Brings numbers to their types and refuses those out of range."""
        values = {"examples_order": _order(self.examples_order)}
        for name, bounds in _BOUNDS.items():
            values[name] = real_number(name, getattr(self, name), **bounds)
        values["num_fixed_layers"] = whole_number(
            "num_fixed_layers", self.num_fixed_layers
        )
        values["not_irrelevant_only"] = true_or_false(
            "not_irrelevant_only", self.not_irrelevant_only
        )
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if self.min_abs_difference_threshold >= self.max_abs_difference_threshold:
            raise ValueError(
                "`min_abs_difference_threshold` must be below "
                "`max_abs_difference_threshold`. Got "
                f"{self.min_abs_difference_threshold!r}."
            )

    @property
    def text(self) -> str:
        """All of them in one line, by name."""
        values = dataclasses.asdict(self)
        values["examples_order"] = ", ".join(map(str, self.examples_order))
        return " / ".join(f"{name}: {values[name]}" for name in sorted(values))

    @property
    def id(self) -> str:
        """SHA-256 of the text: the same in every process."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def fine_tuning_params(choice: Mapping[str, object]) -> FineTuningParams:
    """The parameters that a search has chosen.

    Args:
      choice: Name -> value; what is not named has its default.

    Raises:
      ValueError: an unknown name, or a value out of range.
    """
    names = {field.name for field in dataclasses.fields(FineTuningParams)}
    unknown = sorted(choice.keys() - names)
    if unknown:
        raise ValueError(f"`choice` must be of {sorted(names)}. Got {unknown}.")
    return FineTuningParams(**choice)


def _order(given: object) -> tuple[ExamplesType, ...]:
    codes = given.split(",") if isinstance(given, str) else list(given)
    try:
        found = tuple(
            code if isinstance(code, ExamplesType) else ExamplesType(int(code))
            for code in codes
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`examples_order` must be codes of `ExamplesType`, 1 to 11. Got {given!r}."
        ) from error
    if not found:
        raise ValueError("`examples_order` must have a code. Got none.")
    return found
