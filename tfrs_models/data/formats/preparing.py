"""Columns that known formats derive from those in their files."""

import pandas as pd

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
