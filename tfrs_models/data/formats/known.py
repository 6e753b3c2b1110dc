"""The known formats of files with interactions."""

from tfrs_models.data.formats.description import Companion, Format, Look
from tfrs_models.data.formats.preparing import (
    U_ITEM,
    artist_ids,
    atomic_items,
    atomic_rows,
    atomic_users,
    bandit_clicks,
    bandit_items,
    movie_titles,
    news_clicks,
    read_foursquare_rows,
    read_gowalla_rows,
    times_in_session,
    u_item,
)
from tfrs_models.data.formats.sessions import of_mind, of_open_bandit, of_yoochoose

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

_WORD = r"\S+"
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?"

RETAILROCKET = Format(
    name="retailrocket",
    title="RetailRocket events",
    files=("events.csv",),
    looks=(Look(",", ("timestamp", "visitorid", "event", "itemid")),),
    options={
        "user_column": "visitorid",
        "item_column": "itemid",
        "timestamp_column": "timestamp",
        "timestamp_unit": "ms",
    },
    event_column="event",
)

_CLICKS = ("sessionId", "time", "itemId", "category")
_BUYS = ("sessionId", "time", "itemId", "price", "quantity")
YOOCHOOSE = Format(
    name="yoochoose",
    title="yoochoose clicks",
    files=("yoochoose-clicks*", "yoochoose-buys*"),
    looks=(
        Look(",", _CLICKS, (_WHOLE, _ISO, _WHOLE, r"\w*")),
        Look(",", _BUYS, (_WHOLE, _ISO, _WHOLE, _WHOLE, _WHOLE)),
    ),
    options={
        "user_column": "sessionId",
        "item_column": "itemId",
        "timestamp_column": "time",
    },
    sessions=of_yoochoose,
    notes=("sessions are the users: the file has no ids of visitors",),
)

DIGINETICA = Format(
    name="diginetica",
    title="DIGINETICA item views",
    files=("train-item-views.csv",),
    looks=(Look(";", ("sessionId", "userId", "itemId", "timeframe", "eventdate")),),
    options={
        "user_column": "sessionId",
        "item_column": "itemId",
        "timestamp_column": "time",
        "timestamp_unit": "ms",
    },
    prepare=times_in_session,
    notes=(
        "sessions are the users: most rows have no userId (`user_column` takes it)",
        "times are the day in eventdate plus the milliseconds in timeframe",
    ),
)

GRU4REC = Format(
    name="gru4rec",
    title="sessions as GRU4Rec reads them",
    files=("rsc15_train*.txt", "yoochoose-clicks*.txt"),
    looks=(Look("\t", ("SessionId", "ItemId", "Time")),),
    options={
        "user_column": "SessionId",
        "item_column": "ItemId",
        "timestamp_column": "Time",
    },
    notes=("sessions are the users",),
)

_NEWS = ("newsId", "category", "subcategory", "title", "abstract", "url")
_NEWS += ("title_entities", "abstract_entities")
MIND = Format(
    name="mind",
    title="MIND impressions",
    files=("behaviors.tsv",),
    looks=(
        Look(
            "\t",
            ("impressionId", "userId", "time", "history", "impressions"),
            (
                _WHOLE,
                _WORD,
                r"\d+/\d+/\d{4} \d+:\d\d:\d\d [AP]M",
                r"(\S+ ?)*",
                r"\S+-[01]( \S+-[01])*|\S+( \S+)*",
            ),
        ),
    ),
    options={
        "user_column": "userId",
        "item_column": "newsId",
        "timestamp_column": "time",
    },
    companions=(
        Companion(
            "item",
            ("news.tsv",),
            Look("\t", _NEWS, (_ANY,) * len(_NEWS)),
            {
                "title_column": "title",
                "item_category_columns": ("category", "subcategory"),
            },
        ),
    ),
    prepare=news_clicks,
    event_column="event",
    sessions=of_mind,
    session_events=("history",),
    notes=(
        "clicks of the histories have no times: they are the seconds before the first "
        "impression, in their order",
    ),
)

OPEN_BANDIT = Format(
    name="open-bandit",
    title="Open Bandit log",
    files=("men.csv", "women.csv", "all.csv"),
    looks=(
        Look(
            ",",
            ("timestamp", "item_id", "position", "click", "propensity_score"),
        ),
    ),
    options={
        "user_column": "user_group",
        "item_column": "item_id",
        "timestamp_column": "timestamp",
    },
    companions=(
        Companion(
            "item",
            ("item_context.csv",),
            Look(",", ("item_id", "item_feature_0", "item_feature_1")),
            prepare=bandit_items,
        ),
    ),
    prepare=bandit_clicks,
    sessions=of_open_bandit,
    notes=(
        "users are groups with equal user_feature_0, 1, ...: the log has no user ids",
        "rows are the clicks; what was shown is in the sessions of data.clickstream",
    ),
)

LASTFM = Format(
    name="lastfm",
    title="Last.fm play counts",
    files=("user_artists.dat",),
    looks=(Look("\t", ("userID", "artistID", "weight")),),
    options={"user_column": "userID", "item_column": "artistID"},
    companions=(
        Companion(
            "item",
            ("artists.dat",),
            Look("\t", ("id", "name", "url", "pictureURL")),
            {"title_column": "name"},
            artist_ids,
        ),
    ),
    notes=(
        'weight is the number of plays: `rating_column="weight"` takes it as a rating',
        'the file has no times: `split="random"`',
    ),
)

LASTFM_360K = Format(
    name="lastfm-360k",
    title="Last.fm play counts",
    files=("usersha1-artmbid-artname-plays.tsv",),
    looks=(
        Look(
            "\t",
            ("user", "artist_id", "artist", "plays"),
            (r"[0-9a-f]{40}", r"[0-9a-f-]*", _ANY, _WHOLE),
        ),
    ),
    options={"user_column": "user", "item_column": "artist"},
    notes=(
        "artists are their names, because some have no id",
        'plays are not read: `rating_column="plays"` takes them as a rating',
        'the file has no times: `split="random"`',
    ),
)

LASTFM_1K = Format(
    name="lastfm-1k",
    title="Last.fm plays",
    files=("userid-timestamp-artid-artname-traid-traname.tsv",),
    looks=(
        Look(
            "\t",
            ("user", "time", "artist_id", "artist", "track_id", "track"),
            (_WORD, _ISO, r"[0-9a-f-]*", _ANY, r"[0-9a-f-]*", _ANY),
        ),
    ),
    options={
        "user_column": "user",
        "item_column": "artist",
        "timestamp_column": "time",
    },
    notes=('items are artists: `item_column="track"` takes tracks',),
)

_VISIT = ("userId", "venueId", "venueCategoryId", "venueCategory")
_VISIT += ("latitude", "longitude", "timezoneOffset", "utcTimestamp")
_VISITS = {
    "user_column": "user",
    "item_column": "poi",
    "timestamp_column": "time",
}
FOURSQUARE = Format(
    name="foursquare",
    title="Foursquare check-ins",
    files=("dataset_TSMC2014_*", "dataset_tsmc2014_*"),
    looks=(
        Look(",", ("userId", "venueId", "latitude", "longitude", "utcTimestamp")),
        Look(
            "\t",
            _VISIT,
            (
                *(_WORD, _WORD, _WORD, _ANY, _NUMBER, _NUMBER, r"-?\d+"),
                r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d [+-]\d{4} \d{4}",
            ),
        ),
    ),
    options=_VISITS | {"item_category_columns": ("category",)},
    read=read_foursquare_rows,
)

GOWALLA = Format(
    name="gowalla",
    title="Gowalla check-ins",
    files=("*gowalla*", "*brightkite*"),
    looks=(
        Look(
            "\t",
            ("userId", "time", "latitude", "longitude", "locationId"),
            (_WHOLE, _ISO, _NUMBER, _NUMBER, _WORD),
        ),
    ),
    options=_VISITS,
    read=read_gowalla_rows,
)

FORMATS = (
    RECBOLE,
    MOVIELENS,
    MOVIELENS_CSV,
    MOVIELENS_100K,
    RETAILROCKET,
    YOOCHOOSE,
    DIGINETICA,
    GRU4REC,
    MIND,
    OPEN_BANDIT,
    LASTFM,
    LASTFM_360K,
    LASTFM_1K,
    FOURSQUARE,
    GOWALLA,
)
BY_NAME = {form.name: form for form in FORMATS}
