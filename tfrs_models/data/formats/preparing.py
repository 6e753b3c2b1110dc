"""Columns that known formats derive from those in their files."""

from pathlib import Path

import numpy as np
import pandas as pd

from tfrs_models.data.checkins.check_ins import NO_CATEGORY, CheckIns
from tfrs_models.data.checkins.reader import read_foursquare, read_gowalla
from tfrs_models.data.columns import require_column
from tfrs_models.data.formats.description import Part

NO_GENRES = ("(no genres listed)", "")
_YEAR = r"^(.*\S)\s*\((\d{4})[^)]*\)\s*$"
U_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
U_ITEM = ("movieId", "title", "released", "video_released", "url", *U_GENRES)
_TITLES = ("title", "name", "movie_title", "book_title", "venue_title", "artist_name")
_YEARS = ("year", "release_year", "publication_year")


def movie_titles(part: Part) -> Part:
    """Takes the year out of titles such as "Toy Story (1995)"."""
    found = part.frame["title"].str.extract(_YEAR)
    genres = part.frame["genres"]
    return part.plus(
        part.frame.assign(
            title=found[0].fillna(part.frame["title"]),
            year=pd.to_numeric(found[1]),
            genres=genres.mask(genres.isin(NO_GENRES)),
        )
    )


def u_item(part: Part) -> Part:
    """Collects the genres of MovieLens-100K, which has a column of 0 and 1 for each."""
    flags = part.frame[list(U_GENRES[1:])].eq("1").to_numpy()
    genres = [
        "|".join(name for name, flag in zip(U_GENRES[1:], row, strict=True) if flag)
        for row in flags
    ]
    return movie_titles(part.plus(part.frame.assign(genres=genres)))


def atomic_rows(part: Part) -> Part:
    """Finds the columns of an atomic file of interactions by their names and types."""
    kinds = dict(name.split(":") for name in part.frame.columns)
    frame = part.frame.rename(columns=lambda name: name.split(":")[0])
    tokens = [name for name, kind in kinds.items() if kind == "token"]
    given = part.options
    user = given.get("user_column") or _only(
        tokens, ("user_id", "session_id"), "user_column", frame
    )
    ids = [name for name in tokens if name.endswith("_id") and name != user]
    item = given.get("item_column") or _only(ids, ("item_id",), "item_column", frame)
    found = {"user_column": user, "item_column": item}
    for argument, name in (
        ("rating_column", "rating"),
        ("timestamp_column", "timestamp"),
    ):
        if name in kinds:
            found[argument] = name
    return part.plus(frame, **found)


def _only(
    names: list[str], usual: tuple[str, ...], argument: str, frame: pd.DataFrame
) -> str:
    """The usual one of several column names, or their only one."""
    chosen = [name for name in usual if name in names]
    if chosen or len(names) == 1:
        return (chosen or names)[0]
    raise ValueError(
        f"`{argument}` must be named: none of the columns {usual} is in the file. Got "
        f"{list(frame.columns)}, and could be {names or 'none of them'}."
    )


def atomic_items(part: Part) -> Part:
    """Reads the features of an atomic file of items by the types in its header."""
    return _atomic_features(part, "item")


def atomic_users(part: Part) -> Part:
    """Reads the features of an atomic file of users by the types in its header."""
    return _atomic_features(part, "user")


def _atomic_features(part: Part, side: str) -> Part:
    kinds = dict(name.split(":") for name in part.frame.columns)
    frame = part.frame.rename(columns=lambda name: name.split(":")[0])
    column = part.options[f"{side}_column"]
    require_column(frame, column, argument=f"{side}_column")
    kinds.pop(column)
    options, ignored = {}, []
    categories, numbers, bags = [], [], []
    for name, kind in kinds.items():
        values = frame[name]
        if side == "item" and name in _TITLES and "title_column" not in options:
            options["title_column"] = name
        elif side == "item" and name in _YEARS and "year_column" not in options:
            options["year_column"] = name
            frame[name] = pd.to_numeric(values, errors="coerce")
        elif kind == "float":
            numbers.append(name)
        elif kind == "token" and 2 * values.nunique() <= len(frame):
            categories.append(name)
        elif kind == "token_seq" and side == "item":
            frame[name] = values.fillna("").str.split()
            bags.append(name)
        else:
            ignored.append(name)
    options[f"{side}_category_columns"] = tuple(categories)
    options[f"{side}_number_columns"] = tuple(numbers)
    if bags:
        options["bag_columns"] = tuple(bags)
    notes = [f"{side}s have {', '.join(kinds)}"] if kinds else []
    if ignored:
        notes = [f"of the {side}s' columns, {', '.join(ignored)} are not read"]
    return part.plus(frame, *notes, **options)


def times_in_session(part: Part) -> Part:
    """Adds the milliseconds since the start of a session to its day."""
    days = pd.to_datetime(part.frame["eventdate"], format="ISO8601", utc=True)
    days = days.dt.tz_convert(None).to_numpy("datetime64[ms]").astype(np.int64)
    since = pd.to_numeric(part.frame["timeframe"])
    return part.plus(part.frame.assign(time=days + since))


MIND_TIMES = "%m/%d/%Y %I:%M:%S %p"


def news_clicks(part: Part) -> Part:
    """Makes a row of each clicked news of an impression and of each history.

    Histories of a user are the same in all impressions of MIND; the longest one counts.
    """
    frame = part.frame
    times = pd.to_datetime(frame["time"], format=MIND_TIMES)
    seconds = times.to_numpy("datetime64[s]").astype(np.int64)
    labels = labels_of_news(frame)
    clicked = labels[labels.str.endswith("-1")].str[:-2]
    impressions = pd.DataFrame(
        {
            "userId": frame["userId"].loc[clicked.index].to_numpy(),
            "newsId": clicked.to_numpy(),
            "time": pd.Series(seconds, frame.index).loc[clicked.index].to_numpy(),
            "event": "impression",
        }
    )
    histories = frame["history"].fillna("").str.split()
    longest = histories.groupby(frame["userId"], sort=False).agg(
        lambda h: max(h, key=len)
    )
    before = longest.explode().dropna()
    left = before.groupby(level=0).cumcount(ascending=False).to_numpy()
    history = pd.DataFrame(
        {
            "userId": before.index.to_numpy(),
            "newsId": before.to_numpy(),
            "time": seconds.min() - 1 - left,
            "event": "history",
        }
    )
    clicks = pd.concat([history, impressions], ignore_index=True)
    return part.plus(clicks)._replace(shown=tuple(pd.unique(labels.str[:-2])))


def labels_of_news(frame: pd.DataFrame) -> pd.Series:
    """Lists the shown news of MIND's impressions with their labels, such as "N1-0"."""
    labels = frame["impressions"].str.split().explode()
    if not labels.str.contains(r"-[01]$").all():
        raise ValueError(
            "the impressions must have labels, such as N1-1 N2-0. Got "
            f"{labels.iloc[0]!r}: a test set of MIND has none."
        )
    return labels


def user_groups(frame: pd.DataFrame) -> pd.Series:
    """Numbers the users of an Open Bandit log that have equal features."""
    names = _features(frame, "user")
    if not names:
        raise ValueError(
            "an Open Bandit log must have columns user_feature_0, 1, ... Got "
            f"{list(frame.columns)[:10]}."
        )
    return frame.groupby(list(names), sort=False, dropna=False).ngroup().astype(str)


def bandit_clicks(part: Part) -> Part:
    """Keeps the clicked rows of an Open Bandit log, with the group of the user."""
    frame = part.frame.assign(user_group=user_groups(part.frame))
    clicked = frame[frame["click"].astype(str).isin(("1", "1.0"))]
    if not len(clicked):
        raise ValueError(f"the log must have a click. Got {len(frame):,} rows without.")
    note = f"{len(clicked):,} clicks of {len(frame):,} shown items"
    part = part.plus(
        clicked.reset_index(drop=True),
        note,
        user_category_columns=_features(frame, "user"),
    )
    return part._replace(shown=tuple(pd.unique(frame["item_id"].astype(str))))


def bandit_items(part: Part) -> Part:
    """Declares the features of the items; the first one is a number."""
    names = _features(part.frame, "item")
    return part.plus(
        part.frame, item_number_columns=names[:1], item_category_columns=names[1:]
    )


def _features(frame: pd.DataFrame, side: str) -> tuple[str, ...]:
    return tuple(name for name in frame.columns if name.startswith(f"{side}_feature_"))


def artist_ids(part: Part) -> Part:
    """Names the id of an artist as the play counts do."""
    return part.plus(part.frame.rename(columns={"id": "artistID"}))


def read_foursquare_rows(path: Path) -> Part:
    """Reads check-ins of Foursquare as interactions of users and POIs."""
    return _check_ins(read_foursquare(path))


def read_gowalla_rows(path: Path) -> Part:
    """Reads check-ins of Gowalla as interactions of users and POIs."""
    return _check_ins(read_gowalla(path))


def _check_ins(found: CheckIns) -> Part:
    frame = pd.DataFrame(
        {
            "user": found.user,
            "poi": found.poi,
            "category": found.category,
            "latitude": found.coordinates[:, 0],
            "longitude": found.coordinates[:, 1],
            "time": found.timestamp,
        }
    )
    notes = []
    if found.num_skipped:
        notes = [f"{found.num_skipped:,} lines skipped, such as {found.problems[0]}"]
    if (found.category == NO_CATEGORY).all():
        return Part(frame.drop(columns="category"), {}, tuple(notes))
    return Part(frame, {}, tuple(notes))
