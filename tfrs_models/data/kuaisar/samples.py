"""Samples of both services: clicks, and the lengths of the histories before them."""

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
_DAY = 24 * 60 * 60 * 1000
_BEIJING = 8 * 60 * 60 * 1000  # milliseconds ahead of UTC


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the conversion of a raw log to samples.

    No rules were published for KuaiSAR; the defaults, except `ties`, are those that fit
    the published counts and frames best.

    Args:
      split: `"last_days"`: the samples of the last day of both services are test, those
        of the day before it validation (days of Beijing time); `"leave_last_out"`: each
        user's last sample of a service is test, the one before it validation. With
        `"leave_last_out"`, held-out clicks of one service are in histories of later
        training samples of the other, and clicks of one search may be in several
        splits; the manifest counts the former as `training_after_held_out`.
      k_core: number of interactions, in both services together, that every user and
        every item has after filtering; 1 keeps all.
      both_services: whether users need a click in the recommender and a search.
      keep_empty_histories: whether samples without an earlier click, or without an
        earlier search, are kept.
      history_days: number of first days of the log (Beijing time) that are history
        only: their clicks make no samples.
      min_samples: number of samples of a service that a user needs; a user with fewer
        has none of that service.
      ties: rule of the history of a sample: events `"strictly_earlier"` in time, or
        events before it `"in_order"`, where a click in the recommender comes before a
        search of the same time, and other ties keep the order of the file; with the
        first rule they have an order drawn with the seed. In order, a click in a list
        that is shown at once has the other clicks in that list in its history; a search
        whose first click is the item clicked just before it does not
        count that click.
      negatives: rule of the draw: by `"popularity"`, from the list of all interactions,
        or `"uniform"` over the items.
      num_train_negatives: number of negatives of each training sample.
      num_eval_negatives: number of negatives of each validation and test sample.
      avoid: items that are never negatives: those that the user met `"earlier"`, by the
        rule of `ties`, so that a later click may be drawn; or those that the user met
        in `"all"` the log, which leaks validation and test to training. Items clicked
        in the same search are never its negatives.
      max_words: number of words of a caption or a query that are kept.
      max_clicks: number of clicked items of a search session that are kept, the first
        ones.
      seed: seed of the draw of negatives and of the order of equal times.

    Raises:
      ValueError: a choice is unknown or a number is out of range.

    Example:
      >>> tm.data.synthetic.write_search_and_recommendation_log(".", 0, num_users=20)
      >>> options = tm.data.kuaisar.Options(k_core=1, min_samples=1, history_days=1)
      >>> data = tm.data.kuaisar.load(".", options)
      >>> data.manifest["samples"]["search"]
      {'train': ..., 'validation': ..., 'test': ...}
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


def make_samples(
    log: RawLog,
    item_histories: Histories,
    session_histories: Histories,
    keywords: np.ndarray,
    options: Options,
) -> tuple[dict, dict]:
    """Makes one sample for each click in either service.

    Args:
      log: renumbered and filtered log, in the order of time.
      item_histories: clicks in the recommender.
      session_histories: searches.
      keywords: `[num_sessions, num_words]` queries of sessions 1, 2, ...
      options: options of the conversion.

    Returns:
      The samples in the form of `SearchAndRecommendation`, and counts for the manifest.
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
        position = np.empty(len(session_histories.ids) + 1, np.int64)
        position[session_histories.ids] = np.arange(len(session_histories.ids))
        before = position[session] - session_histories.row_splits[user]
        searched["num_sessions"] = before
        recommended["moment"] = moments[: len(clicks)]
        searched["moment"] = moments[len(clicks) + position[session]]
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
    for service, columns in kept.items():
        kept[service], counts["dropped"][service] = _kept(columns, first_day, options)
    moments = np.concatenate([columns["timestamp"] for columns in kept.values()])
    if not len(moments):
        raise ValueError(
            "Nothing is left after `history_days`, `keep_empty_histories` and "
            f"`min_samples`. Dropped were {counts['dropped']}."
        )
    last_day = _day(moments.max())
    for service, columns in kept.items():
        part = _split(columns, last_day, options)
        samples[service] = {}
        for number, name in enumerate(SPLIT_NAMES):
            rows = {key: values[part == number] for key, values in columns.items()}
            rows["negatives"] = _negatives(rows, name, pool, met, options, rng)
            del rows["moment"]
            samples[service][name] = rows
        counts["samples"][service] = {
            name: len(rows["user_id"]) for name, rows in samples[service].items()
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
    """Counts the events of each user that are earlier than a time.

    Args:
      histories: events of all users.
      user: `[num_samples]` users.
      time: `[num_samples]` times.
      or_at_once: whether events at exactly that time count.

    Returns:
      `[num_samples]` counts.
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
    """Ranks in time of all clicks, then of all searches."""
    times = np.append(item_histories.times, session_histories.times)
    is_search = np.arange(len(times)) >= len(item_histories.times)
    ranks = np.empty(len(times), np.int64)
    ranks[np.lexsort([is_search, times])] = np.arange(len(times))
    return ranks


def _events(columns: dict) -> Events:
    user = columns["user_id"]
    session = columns.get("search_session_id", np.zeros_like(user))
    return Events(user, columns["item_id"], columns["moment"], session)


def _made_of_last_click(searched: dict, item_histories: Histories) -> np.ndarray:
    """1 if the first click of a search is the item clicked just before the search."""
    sessions, first = np.unique(searched["search_session_id"], return_index=True)
    first_item = searched["item_id"][first]
    position = np.searchsorted(sessions, searched["search_session_id"])
    before, user = searched["num_items"], searched["user_id"]
    last = np.maximum(item_histories.row_splits[user] + before - 1, 0)
    same = item_histories.ids[last] == first_item[position]
    return ((before > 0) & same).astype(np.int64)


def _day(time: np.ndarray) -> np.ndarray:
    """Days since 1970 in Beijing time."""
    return (time + _BEIJING) // _DAY


def _kept(columns: dict, first_day: int, options: Options) -> tuple[dict, dict]:
    """The samples that remain, and the number of dropped ones by reason."""
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
    """Counts the training samples with a held-out click in the history, by service."""
    never = np.iinfo(np.int64).max
    first = np.full(num_users, never)
    for splits in samples.values():
        for name in SPLIT_NAMES[1:]:
            np.minimum.at(first, splits[name]["user_id"], splits[name]["timestamp"])
    return {
        service: int((first[rows["user_id"]] < rows["timestamp"]).sum())
        for service, rows in (
            (service, splits["train"]) for service, splits in samples.items()
        )
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
