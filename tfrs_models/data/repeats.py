"""Rows whose user had the item before, and the rule of evaluation for them."""

import dataclasses

import numpy as np

from tfrs_models.data.interactions import EARLIER, Interactions
from tfrs_models.data.summary import Repeats

REPEATS = ("auto", "allow", "leave-out")
MANY = 0.05  # share of the rows above which recommending again is part of the task
_EVALUATED = ("validation", "test")


def repeated_rows(data: Interactions, split: str) -> np.ndarray:
    """Finds the rows of a split whose user has the item in an earlier split.

    These are the rows whose positive an exclusion of `data.known_items(split)` hides.

    Args:
      data: interactions.
      split: "train" (no row repeats), "validation" or "test".

    Returns:
      `[num_rows]` bool, in the order of the rows.

    Raises:
      ValueError: the split is unknown.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabbb"), "item_id": list("pqpqrr")})
      >>> data = tm.data.from_frame(
      ...     frame.assign(timestamp=range(6)), split="leave_last_out")
      >>> tm.data.repeated_rows(data, "test")
      array([ True,  True])
    """
    if split not in data.splits:
        raise ValueError(f"`split` must be one of {tuple(data.splits)}. Got {split!r}.")
    rows = data.splits[split]
    user, item = rows["user_id"], rows["item_id"]
    earlier = [data.splits[name] for name in EARLIER[split]]
    if not len(user) or not earlier:
        return np.zeros(len(user), bool)
    width = data.num_items + 1
    before = np.concatenate([r["user_id"] * width + r["item_id"] for r in earlier])
    # The unknown user stands for many, who have no items in common.
    return np.isin(user * width + item, before) & (user > 0)


def repeat_share(data: Interactions, split: str) -> float:
    """Computes the share of the rows of a split whose user had the item before it.

    Args:
      data: interactions.
      split: "train" (no row repeats), "validation" or "test".

    Returns:
      The share, 0 for a split without rows.

    Raises:
      ValueError: the split is unknown.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabbb"), "item_id": list("pqpqrs")})
      >>> data = tm.data.from_frame(
      ...     frame.assign(timestamp=range(6)), split="leave_last_out")
      >>> tm.data.repeat_share(data, "test")
      0.5
    """
    rows = repeated_rows(data, split)
    return float(rows.mean()) if len(rows) else 0.0


def with_repeats(data: Interactions, repeats: str = "auto") -> Interactions:
    """Returns interactions with a rule for rows that repeat, which `summary` explains.

    Under "allow", recommending again is part of the task: evaluation excludes nothing,
    and neither does what is served unless a request asks for it. Under "leave-out", an
    item that the user had is not recommended: evaluation excludes known items, and rows
    that repeat, which no answer could hit, are left out and counted.

    Args:
      data: interactions.
      repeats: "allow", "leave-out", or "auto": "allow" if more than 5% of the
        validation or of the test rows repeat, else "leave-out".

    Returns:
      The interactions; `exclusions` and `batches` follow the rule.

    Raises:
      ValueError: `repeats` is none of the rules.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabbb"), "item_id": list("pqpqrs")})
      >>> data = tm.data.from_frame(
      ...     frame.assign(timestamp=range(6)), split="leave_last_out")
      >>> data.repeats, tm.data.with_repeats(data, "leave-out").repeats
      ('allow', 'leave-out')
    """
    check_repeats(repeats)
    counts = {name: int(repeated_rows(data, name).sum()) for name in _EVALUATED}
    sizes = {name: len(data.splits[name]["user_id"]) for name in _EVALUATED}
    rule = repeats
    if repeats == "auto":
        many = any(counts[name] > MANY * sizes[name] for name in _EVALUATED)
        rule = "allow" if many else "leave-out"
    found = Repeats(rule=rule, requested=repeats, rows=counts, of=sizes)
    return dataclasses.replace(
        data, summary=dataclasses.replace(data.summary, repeats=found)
    )


def check_repeats(repeats: str) -> str:
    """Returns `repeats`, or raises a `ValueError` that lists the rules."""
    if repeats not in REPEATS:
        raise ValueError(f"`repeats` must be one of {REPEATS}. Got {repeats!r}.")
    return repeats
