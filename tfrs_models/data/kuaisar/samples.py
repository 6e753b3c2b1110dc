"""Samples of both tasks: what was clicked, and how much came before it."""

import numpy as np

from tfrs_models.data.kuaisar.histories import Histories
from tfrs_models.data.kuaisar.negatives import (
    Events,
    Meetings,
    first_meetings,
    sample_negatives,
)
from tfrs_models.data.kuaisar.options import Options
from tfrs_models.data.kuaisar.raw_log import RawLog
from tfrs_models.data.splits import (
    SPLIT_NAMES,
    TEST,
    TRAIN,
    VALIDATION,
    split_leave_last_out,
)

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
