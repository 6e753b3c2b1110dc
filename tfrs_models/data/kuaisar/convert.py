"""Conversion of the raw log to samples with histories."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from tfrs_models.data.kuaisar.checks import Histories
from tfrs_models.data.kuaisar.parsing import pad_words
from tfrs_models.data.kuaisar.raw_log import (
    CATEGORIES,
    RawLog,
    keyword_words,
    read_items,
    read_log,
    read_users,
)
from tfrs_models.data.kuaisar.samples import Options, make_samples
from tfrs_models.data.kuaisar.search_and_recommendation import SearchAndRecommendation
from tfrs_models.data.ties import drawn_order


def convert(
    directory: str | Path,
    options: Options | None = None,
    *,
    chunk_rows: int = 250_000,
) -> SearchAndRecommendation:
    """Makes samples from the raw KuaiSAR files of either release.

    It needs `rec_inter.csv`, `src_inter.csv`, `user_features.csv` and
    `item_features.csv`. Users, items, words and categories get new numbers in the order
    of their ids, sessions in the order of the file. Sessions without a click stay in
    the histories; their time and words are those of their first row. The log is sorted
    by time, and a click is one sample. The manifest counts the rows that were out of
    order, and the clicks that repeat one of the same moment or of the same search.

    Args:
      directory: path of the folder with the csv files.
      options: options of the conversion; None stands for the defaults.
      chunk_rows: number of rows of a file in memory at a time.

    Returns:
      The data; their `manifest` has the options and counts.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a column is missing or a value is wrong (the message has file and
        row), or nothing remains after filtering.
    """
    options = options or Options()
    log = read_log(directory, chunk_rows=chunk_rows)
    counts = {
        "rows": log.num_rows,
        "repeated": log.num_repeated,
        "out_of_order": _out_of_order(log),
    }
    log, users, items = _renumbered(_filtered(log, options), options)
    attributes = read_users(directory, users)
    captions, categories = read_items(directory, items, chunk_rows=chunk_rows)
    keywords = keyword_words(log.searches)
    captions, keywords = _renumbered_words(captions, keywords)
    padded = pad_words(keywords, options.max_words)
    lists = log.search_clicks.groupby("session", sort=True)["item"].agg(list)
    pos_items = [[] for _ in range(len(log.searches))]
    for session, found in zip(lists.index, lists, strict=True):
        pos_items[session - 1] = found
    queries = list(dict.fromkeys(tuple(words) for words in keywords if words))
    item_histories = _histories(log.clicks, "item", len(users))
    searches = _in_drawn_order(log.searches, "session", options)
    session_histories = _histories(searches, "session", len(users))
    samples, sample_counts = make_samples(
        log, item_histories, session_histories, padded, options
    )
    kept = {
        "users": len(users),
        "items": len(items),
        "sessions": len(log.searches),
        "sessions_without_clicks": sum(not found for found in pos_items),
        "clicks": len(log.clicks),
        "search_clicks": len(log.search_clicks),
        "queries": len(queries),
        "items_without_caption": sum(not caption for caption in captions),
    }
    return SearchAndRecommendation(
        users=attributes,
        items={
            "caption": _with_padding(pad_words(captions, options.max_words)),
            **{name: _categories(categories[name]) for name in CATEGORIES},
        },
        num_items=len(items),
        sessions={
            "keyword": _with_padding(padded),
            "pos_items": _with_padding(pad_words(pos_items, options.max_clicks)),
        },
        queries=pad_words(queries, options.max_words),
        item_histories=item_histories,
        session_histories=session_histories,
        samples=samples,
        manifest={
            "options": dataclasses.asdict(options),
            **counts,
            "kept": kept,
            **sample_counts,
        },
    )


def _out_of_order(log: RawLog) -> dict[str, int]:
    """Counts the events that come after a later event of the same user."""
    return {
        name: int((frame["time"] < frame.groupby("user")["time"].cummax()).sum())
        for name, frame in [("clicks", log.clicks), ("searches", log.searches)]
    }


def _filtered(log: RawLog, options: Options) -> RawLog:
    clicks, searches, search_clicks = log.clicks, log.searches, log.search_clicks
    owner = searches.set_index("session")["user"]
    search_clicks = search_clicks.assign(
        user=owner.loc[search_clicks["session"]].to_numpy()
    )
    if options.both_services:
        both = np.intersect1d(clicks["user"], searches["user"])
        clicks = clicks[clicks["user"].isin(both)]
        search_clicks = search_clicks[search_clicks["user"].isin(both)]
        searches = searches[searches["user"].isin(both)]
    from_clicks = np.arange(len(clicks) + len(search_clicks)) < len(clicks)
    columns = [
        pd.factorize(np.concatenate([clicks[name], search_clicks[name]]))[0]
        for name in ("user", "item")
    ]
    required = from_clicks if options.both_services else None
    keep = k_core(*columns, options.k_core, required)
    clicks = clicks[keep[from_clicks]]
    search_clicks = search_clicks[keep[~from_clicks]]
    left = np.union1d(clicks["user"], search_clicks["user"])
    if options.k_core > 1 or options.both_services:
        searches = searches[searches["user"].isin(left)]
    if not len(clicks) or not len(searches):
        raise ValueError(
            f"Nothing is left of the log after `k_core={options.k_core}` and "
            f"`both_services={options.both_services}`: lower the first, or keep users "
            "of one service."
        )
    return log._replace(clicks=clicks, searches=searches, search_clicks=search_clicks)


def _in_drawn_order(frame: pd.DataFrame, item: str, options: Options) -> pd.DataFrame:
    """Rows of equal times in the order that is drawn, if the file's does not count."""
    if options.ties == "in_order":
        return frame
    ids = [frame[name].to_numpy() for name in ("user", item)]
    return frame.iloc[drawn_order(frame["time"].to_numpy(), ids, seed=options.seed)]


def _renumbered(log: RawLog, options: Options) -> tuple[RawLog, np.ndarray, np.ndarray]:
    """The log in the order of time with new ids, and the old ids of users and items."""
    owner = log.searches.set_index("session")["time"]
    times = owner.loc[log.search_clicks["session"]].to_numpy()
    log = log._replace(
        clicks=_in_drawn_order(log.clicks, "item", options),
        search_clicks=_in_drawn_order(
            log.search_clicks.assign(time=times), "item", options
        ),
    )
    users = np.union1d(log.clicks["user"], log.searches["user"])
    items = np.union1d(log.clicks["item"], log.search_clicks["item"])
    sessions = pd.Index(log.searches["session"])
    searches = log.searches.assign(
        user=np.searchsorted(users, log.searches["user"]),
        session=np.arange(1, len(sessions) + 1),
    )
    clicks = log.clicks.assign(
        user=np.searchsorted(users, log.clicks["user"]),
        item=np.searchsorted(items, log.clicks["item"]) + 1,
    )
    session = sessions.get_indexer(log.search_clicks["session"]) + 1
    search_clicks = log.search_clicks.assign(
        session=session,
        user=np.searchsorted(users, log.search_clicks["user"]),
        item=np.searchsorted(items, log.search_clicks["item"]) + 1,
        time=searches["time"].to_numpy()[session - 1],
    )
    log = log._replace(
        clicks=clicks.sort_values(["user", "time"], kind="stable", ignore_index=True),
        searches=searches,
        search_clicks=search_clicks.sort_values(
            ["user", "time"], kind="stable", ignore_index=True
        ),
    )
    return log, users, items


def _renumbered_words(*parts: list[list[int]]) -> list[list[list[int]]]:
    """Words numbered from 1 in the order of their ids, in one vocabulary for all."""
    flat = [
        np.fromiter((w for words in lists for w in words), np.int64) for lists in parts
    ]
    known = np.unique(np.concatenate(flat))
    found = []
    for lists, words in zip(parts, flat, strict=True):
        numbers = (np.searchsorted(known, words) + 1).tolist()
        ends = np.cumsum([len(words) for words in lists], dtype=np.int64).tolist()
        starts = [0, *ends[:-1]]
        found.append([numbers[a:b] for a, b in zip(starts, ends, strict=False)])
    return found


def _histories(frame: pd.DataFrame, name: str, num_users: int) -> Histories:
    frame = frame.sort_values(["user", "time"], kind="stable")
    counts = np.bincount(frame["user"], minlength=num_users)
    return Histories(
        frame[name].to_numpy(np.int64),
        frame["time"].to_numpy(np.int64),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def _categories(raw: np.ndarray) -> np.ndarray:
    """Categories numbered from 1 after a row of padding; 0 for unknown ones."""
    known = np.unique(raw[raw > 0])
    numbers = np.where(raw > 0, np.searchsorted(known, raw) + 1, 0)
    return _with_padding(numbers.astype(np.int32))


def _with_padding(table: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(table, shape=(1, *table.shape[1:])), table])


def k_core(
    user: np.ndarray, item: np.ndarray, k: int, required: np.ndarray | None = None
) -> np.ndarray:
    """Drops users and items with fewer than `k` interactions until all have `k`.

    Args:
      user: `[num_interactions]` users, ints from 0.
      item: `[num_interactions]` items, ints from 0.
      k: number of interactions, repeated ones included, that each user and item needs.
      required: `[num_interactions]` bool or None; each user also needs an interaction
        for which it is True.

    Returns:
      `[num_interactions]` bool, True for the interactions that remain.
    """
    keep = np.ones(len(user), bool)
    while keep.any():
        users, items = user[keep], item[keep]
        num_users, num_items = user.max() + 1, item.max() + 1
        good = np.bincount(users, minlength=num_users) >= k
        if required is not None:
            good &= np.bincount(users[required[keep]], minlength=num_users) > 0
        good_item = np.bincount(items, minlength=num_items) >= k
        stay = keep & good[user] & good_item[item]
        if stay.sum() == keep.sum():
            break
        keep = stay
    return keep
