"""Samples of both tasks: what was clicked, and how much came before it."""

import dataclasses

import numpy as np

from tfrs_models.data.kuaisar.checks import Histories
from tfrs_models.data.kuaisar.negatives import (
    Events,
    Meetings,
    first_meetings,
    sample_negatives,
)
from tfrs_models.data.kuaisar.raw_log import RawLog
from tfrs_models.data.splits import (
    SPLIT_NAMES,
    TEST,
    TRAIN,
    VALIDATION,
    split_leave_last_out,
)
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


_DAY = 24 * 60 * 60 * 1000
_BEIJING = 8 * 60 * 60 * 1000  # ahead of UTC


def make_samples(
    log: RawLog,
    item_histories: Histories,
    session_histories: Histories,
    keywords: np.ndarray,
    options: Options,
) -> tuple[dict, dict]:
    """One sample for each click in either service.

    Args:
      log: Renumbered and filtered, in the order of time.
      item_histories: Of the recommender's clicks.
      session_histories: Of the searches.
      keywords: `[num_sessions, num_words]` queries of sessions 1, 2, ...
      options: How.

    Returns:
      The samples as `SearchAndRecommendation` has them, and counts for the manifest.
    """
    clicks, found = log.clicks, log.search_clicks
    strictly = options.ties == "strictly_earlier"
    recommended = {
        "user_id": clicks["user"].to_numpy(np.int64),
        "item_id": clicks["item"].to_numpy(np.int64),
        "timestamp": clicks["time"].to_numpy(np.int64),
    }
    user, time = recommended["user_id"], recommended["timestamp"]
    recommended["num_items"] = (
        count_before(item_histories, user, time)
        if strictly
        else np.arange(len(user)) - item_histories.row_splits[user]
    )
    recommended["num_sessions"] = count_before(session_histories, user, time)
    searched = {
        "user_id": found["user"].to_numpy(np.int64),
        "item_id": found["item"].to_numpy(np.int64),
        "timestamp": found["time"].to_numpy(np.int64),
        "search_session_id": found["session"].to_numpy(np.int64),
    }
    user, time = searched["user_id"], searched["timestamp"]
    session = searched["search_session_id"]
    searched["num_items"] = count_before(
        item_histories, user, time, or_at_once=not strictly
    )
    if strictly:
        searched["num_sessions"] = count_before(session_histories, user, time)
        recommended["moment"], searched["moment"] = recommended["timestamp"], time
    else:
        moments = _in_order(item_histories, session_histories)
        place = np.empty(len(session_histories.ids) + 1, np.int64)
        place[session_histories.ids] = np.arange(len(session_histories.ids))
        before = place[session] - session_histories.row_splits[user]
        searched["num_sessions"] = before
        recommended["moment"] = moments[: len(clicks)]
        searched["moment"] = moments[len(clicks) + place[session]]
        searched["num_items"] -= _made_of_last_click(searched, item_histories)
    searched["query"] = keywords[session - 1]
    parts = _events(recommended), _events(searched)
    events = Events(*map(np.concatenate, zip(*parts, strict=True)))
    items = events.item
    met = first_meetings(events, int(items.max(initial=0)) + 1)
    pool = items if options.negatives == "popularity" else np.unique(items)
    rng = np.random.default_rng(options.seed)
    samples, counts = {}, {"dropped": {}, "samples": {}}
    times = np.append(recommended["timestamp"], searched["timestamp"])
    first_day = _day(times.min(initial=np.iinfo(np.int64).max))
    kept = {"recommendation": recommended, "search": searched}
    for task, columns in kept.items():
        kept[task], counts["dropped"][task] = _kept(columns, first_day, options)
    moments = np.concatenate([columns["timestamp"] for columns in kept.values()])
    if not len(moments):
        raise ValueError(
            "Nothing is left after `history_days`, `keep_empty_histories` and "
            f"`min_samples`. Dropped were {counts['dropped']}."
        )
    last_day = _day(moments.max())
    for task, columns in kept.items():
        part = _split(columns, last_day, options)
        samples[task] = {}
        for number, name in enumerate(SPLIT_NAMES):
            rows = {key: values[part == number] for key, values in columns.items()}
            rows["negatives"] = _negatives(rows, name, pool, met, options, rng)
            del rows["moment"]
            samples[task][name] = rows
        counts["samples"][task] = {
            name: len(rows["user_id"]) for name, rows in samples[task].items()
        }
    counts["training_after_held_out"] = _after_held_out(
        samples, len(item_histories.row_splits) - 1
    )
    return samples, counts


def count_before(
    histories: Histories,
    user: np.ndarray,
    time: np.ndarray,
    *,
    or_at_once: bool = False,
) -> np.ndarray:
    """How many of each user's events are earlier than a time.

    Args:
      histories: Of all users.
      user: `[num_samples]`.
      time: `[num_samples]`.
      or_at_once: Whether events of that very time count.
    """
    moments = np.unique(np.concatenate([histories.times, time]))
    width = len(moments) + 1
    owner = np.repeat(
        np.arange(len(histories.row_splits) - 1), np.diff(histories.row_splits)
    )
    events = owner * width + np.searchsorted(moments, histories.times)
    wanted = user * width + np.searchsorted(moments, time)
    side = "right" if or_at_once else "left"
    return np.searchsorted(events, wanted, side) - histories.row_splits[user]


def _in_order(item_histories: Histories, session_histories: Histories) -> np.ndarray:
    """Places of all clicks, then of all searches, in the order of what happened."""
    times = np.append(item_histories.times, session_histories.times)
    is_search = np.arange(len(times)) >= len(item_histories.times)
    places = np.empty(len(times), np.int64)
    places[np.lexsort([is_search, times])] = np.arange(len(times))
    return places


def _events(columns: dict) -> Events:
    user = columns["user_id"]
    session = columns.get("search_session_id", np.zeros_like(user))
    return Events(user, columns["item_id"], columns["moment"], session)


def _made_of_last_click(searched: dict, item_histories: Histories) -> np.ndarray:
    """1 where a search's first click is what the user clicked just before it."""
    sessions, first = np.unique(searched["search_session_id"], return_index=True)
    first_item = searched["item_id"][first]
    place = np.searchsorted(sessions, searched["search_session_id"])
    before, user = searched["num_items"], searched["user_id"]
    last = np.maximum(item_histories.row_splits[user] + before - 1, 0)
    same = item_histories.ids[last] == first_item[place]
    return ((before > 0) & same).astype(np.int64)


def _day(time: np.ndarray) -> np.ndarray:
    """Days of Beijing."""
    return (time + _BEIJING) // _DAY


def _kept(columns: dict, first_day: int, options: Options) -> tuple[dict, dict]:
    """The samples that stay, and how many were dropped why."""
    late = _day(columns["timestamp"]) >= first_day + options.history_days
    dropped = {"history_day": int((~late).sum())}
    columns = {name: values[late] for name, values in columns.items()}
    if not options.keep_empty_histories:
        full = (columns["num_items"] > 0) & (columns["num_sessions"] > 0)
        dropped["empty_history"] = int((~full).sum())
        columns = {name: values[full] for name, values in columns.items()}
    enough = np.bincount(columns["user_id"]) >= options.min_samples
    stay = enough[columns["user_id"]]
    dropped["too_few_samples"] = int((~stay).sum())
    return {name: values[stay] for name, values in columns.items()}, dropped


def _split(columns: dict, last_day: int, options: Options) -> np.ndarray:
    time = columns["timestamp"]
    if options.split == "leave_last_out":
        return split_leave_last_out(columns["user_id"], time)
    day = _day(time)
    part = np.where(day == last_day, TEST, TRAIN)
    return np.where(day == last_day - 1, VALIDATION, part)


def _after_held_out(samples: dict, num_users: int) -> dict[str, int]:
    """Training samples of each task whose history has a click that is held out."""
    never = np.iinfo(np.int64).max
    first = np.full(num_users, never)
    for splits in samples.values():
        for name in SPLIT_NAMES[1:]:
            np.minimum.at(first, splits[name]["user_id"], splits[name]["timestamp"])
    return {
        task: int((first[rows["user_id"]] < rows["timestamp"]).sum())
        for task, rows in ((task, splits["train"]) for task, splits in samples.items())
    }


def _negatives(
    rows: dict,
    split: str,
    pool: np.ndarray,
    met: Meetings,
    options: Options,
    rng: np.random.Generator,
) -> np.ndarray:
    number = (
        options.num_train_negatives if split == "train" else options.num_eval_negatives
    )
    events = _events(rows)
    if options.avoid == "all":
        never = np.full_like(events.moment, np.iinfo(np.int64).max)
        events = events._replace(moment=never)
    return sample_negatives(events, number, pool=pool, met=met, rng=rng)
