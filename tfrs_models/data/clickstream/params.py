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
    """Codes of the pairs that a step may be made of; only `all_examples` has an effect.

    Example:
      >>> tm.data.clickstream.ExamplesType(11)
      <ExamplesType.all_examples: 11>
    """

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
    """Checked hyper-parameters of a run, with an id that equal runs share.

    Args:
      num_fixed_layers: number of first layers of each tower that are not trained.
      query_lr: learning rate of the query tower.
      items_lr: learning rate of the item tower, and of a shared tower.
      query_weight_decay: weight decay of the query tower.
      items_weight_decay: weight decay of the item tower.
      margin: margin of the loss, above 0.
      not_irrelevant_only: whether training ignores searches without a click.
      negative_downsampling: share of the unclicked objects that a step uses, in (0, 1].
      min_abs_difference_threshold: lower bound of the difference of the scores of a
        pair; a pair at or below it is dropped.
      max_abs_difference_threshold: upper bound of the difference of the scores of a
        pair; a pair at or above it is dropped.
      examples_order: codes of `ExamplesType`: "11", "1,4", or a sequence of numbers.

    Raises:
      ValueError: a number out of range, or an unknown code.

    Example:
      >>> params = tm.data.clickstream.FineTuningParams(margin=0.1)
      >>> params.id == tm.data.clickstream.FineTuningParams(margin=0.1).id
      True
      >>> params.id == tm.data.clickstream.FineTuningParams(margin=0.2).id
      False
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
        """Converts the numbers to their types and checks their ranges."""
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
        """All hyper-parameters in one line, sorted by name."""
        values = dataclasses.asdict(self)
        values["examples_order"] = ", ".join(map(str, self.examples_order))
        return " / ".join(f"{name}: {values[name]}" for name in sorted(values))

    @property
    def id(self) -> str:
        """SHA-256 of `text` in hexadecimal, the same in every process."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def fine_tuning_params(choice: Mapping[str, object]) -> FineTuningParams:
    """Makes the parameters that a hyper-parameter tuning has chosen.

    Args:
      choice: name -> value; a missing name has its default.

    Raises:
      ValueError: an unknown name, or a value out of range.

    Example:
      >>> params = tm.data.clickstream.fine_tuning_params({"margin": 0.1})
      >>> params.margin, params.query_lr
      (0.1, 1e-05)
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
