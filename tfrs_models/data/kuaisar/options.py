"""How a raw log becomes samples."""

import dataclasses

from tfrs_models.ops.numbers import true_or_false, whole_number

_LEAST = {
    "k_core": 1,
    "max_words": 1,
    "max_clicks": 1,
    "min_samples": 1,
    "num_train_negatives": 1,
    "num_eval_negatives": 1,
    "history_days": 0,
    "seed": 0,
}
_CHOICES = {
    "split": ("last_days", "leave_last_out"),
    "ties": ("strictly_earlier", "in_order"),
    "negatives": ("popularity", "uniform"),
    "avoid": ("earlier", "all"),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """How a raw log becomes samples.

    No rules were published for KuaiSAR; the defaults are what the published counts and
    frames fit best, but for `ties`.

    Args:
      split: `"last_days"`: the samples of the last day of both tasks are test, those of
        the day before it validation (days of Beijing); `"leave_last_out"`: each user's
        last sample of a task is test, the one before it validation. What is held out of
        one task is then in histories of the other's later training samples, and clicks
        of one search may be in several splits; the manifest counts the first as
        `training_after_held_out`.
      k_core: Interactions that every user and every item has after filtering, those of
        both services together; 1 keeps all.
      both_services: Whether users need a click in the recommender and a search.
      keep_empty_histories: Whether samples without an earlier click, or without an
        earlier search, stay.
      history_days: First days of the log (of Beijing) that are history only: what was
        clicked then makes no samples.
      min_samples: Samples of a task that a user needs, or loses all of that task.
      ties: What is history of a sample: events `"strictly_earlier"` in time, or those
        before it `"in_order"`, where a click of the recommender comes before a search
        of the same time, and other ties keep the order of the file. In order, a click
        of a list that is shown at once knows the other clicks of that list; a search
        whose first click is the item clicked just before it does not count that one.
      negatives: Drawn by `"popularity"`, from the list of all interactions, or
        `"uniform"` from the items.
      num_train_negatives: Of each training sample.
      num_eval_negatives: Of each validation and test sample.
      avoid: Negatives are never what the user met `"earlier"`, by the rule of `ties`,
        so that a later click may be drawn, or never what the user met at `"all"`, which
        tells training what validation and test are about. Those of a search are never
        what else was clicked in that search.
      max_words: Words of a caption or a query that are kept.
      max_clicks: Clicked items of a search session that are kept, the first ones.
      seed: Of the negatives.

    Raises:
      ValueError: an unknown choice or a number out of range.
    """

    split: str = "last_days"
    k_core: int = 5
    both_services: bool = True
    keep_empty_histories: bool = False
    history_days: int = 0
    min_samples: int = 3
    ties: str = "strictly_earlier"
    negatives: str = "popularity"
    num_train_negatives: int = 4
    num_eval_negatives: int = 99
    avoid: str = "earlier"
    max_words: int = 50
    max_clicks: int = 5
    seed: int = 42

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"`{name}` must be one of {choices}. Got {getattr(self, name)!r}."
                )
        for name in ("both_services", "keep_empty_histories"):
            true_or_false(name, getattr(self, name))
        for name, least in _LEAST.items():
            value = whole_number(name, getattr(self, name), least=least)
            object.__setattr__(self, name, value)
