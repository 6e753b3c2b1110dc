"""The known formats of files with interactions."""

from tfrs_models.data.formats.description import Companion, Format, Look
from tfrs_models.data.formats.preparing import (
    U_ITEM,
    atomic_items,
    atomic_rows,
    atomic_users,
    movie_titles,
    u_item,
)

_ID, _ANY = r"[^\s:]+", r".*"
_WHOLE, _NUMBER = r"\d+", r"-?\d+(\.\d+)?([eE][-+]?\d+)?"
_RATINGS = ("userId", "movieId", "rating", "timestamp")
_MOVIES = {
    "title_column": "title",
    "year_column": "year",
    "bag_columns": ("genres",),
}

RECBOLE = Format(
    name="recbole",
    title="RecBole atomic file",
    files=("*.inter",),
    looks=(Look("\t", cells=r"[^:]+:(token|float)(_seq)?"),),
    options={},
    companions=tuple(
        Companion(
            side,
            (f"{{stem}}.{side}",),
            Look("\t", cells=r"[^:]+:(token|float)(_seq)?"),
            prepare=prepare,
        )
        for side, prepare in (
            ("item", atomic_items),
            ("user", atomic_users),
        )
    ),
    prepare=atomic_rows,
)

_RATING_COLUMNS = {
    "user_column": "userId",
    "item_column": "movieId",
    "rating_column": "rating",
    "timestamp_column": "timestamp",
}
_PEOPLE = {
    "user_category_columns": ("gender", "occupation"),
    "user_number_columns": ("age",),
}

MOVIELENS = Format(
    name="movielens",
    title="MovieLens ratings",
    files=("ratings.dat",),
    looks=(Look("::", _RATINGS, (_ID, _ID, _NUMBER, _WHOLE)),),
    options=_RATING_COLUMNS,
    companions=(
        Companion(
            "item",
            ("movies.dat",),
            Look("::", ("movieId", "title", "genres"), (_ID, _ANY, _ANY)),
            _MOVIES,
            movie_titles,
        ),
        Companion(
            "user",
            ("users.dat",),
            Look("::", ("userId", "gender", "age", "occupation", "zip"), (_ANY,) * 5),
            _PEOPLE,
        ),
        Companion(  # MovieTweetings: ids of Twitter, which are no feature
            "user", ("users.dat",), Look("::", ("userId", "twitter_id"), (_ANY,) * 2)
        ),
    ),
)

MOVIELENS_CSV = Format(
    name="movielens-csv",
    title="MovieLens ratings",
    files=("ratings.csv",),
    looks=(Look(",", _RATINGS),),
    options=_RATING_COLUMNS,
    companions=(
        Companion(
            "item",
            ("movies.csv",),
            Look(",", ("movieId", "title", "genres")),
            _MOVIES,
            movie_titles,
        ),
    ),
)

MOVIELENS_100K = Format(
    name="movielens-100k",
    title="MovieLens-100K ratings",
    files=("u.data", "u?.base", "u?.test"),
    looks=(Look("\t", _RATINGS, (_WHOLE, _WHOLE, _NUMBER, r"\d{8,}")),),
    options=_RATING_COLUMNS,
    companions=(
        Companion(
            "item",
            ("u.item",),
            Look("|", U_ITEM, (_ANY,) * len(U_ITEM)),
            _MOVIES,
            u_item,
        ),
        Companion(
            "user",
            ("u.user",),
            Look("|", ("userId", "age", "gender", "occupation", "zip"), (_ANY,) * 5),
            _PEOPLE,
        ),
    ),
)

FORMATS = (RECBOLE, MOVIELENS, MOVIELENS_CSV, MOVIELENS_100K)
BY_NAME = {form.name: form for form in FORMATS}
