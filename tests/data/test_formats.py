"""Files that people have, as a few made-up lines in their formats."""

import numpy as np
import pytest

from tfrs_models import data
from tfrs_models.data.formats.known import FORMATS
from tfrs_models.data.formats.recognition import recognise

SPLIT = {"validation_fraction": 0}


def write(folder, **files):
    """Writes files; the last underscore of a name stands for its dot."""
    for name, content in files.items():
        name = ".".join(name.rsplit("_", 1))
        encoded = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(encoded)
    return folder


def rows(made):
    """Set of (user, item, seconds) over all splits, as the file names them."""
    train_users = np.array(["?", *made.vocabularies["user_id"]])
    items = np.array(["?", *made.vocabularies["item_id"]])
    found = set()
    for columns in made.splits.values():
        times = columns.get("timestamp", np.zeros(len(columns["user_id"]), int))
        pairs = (train_users[columns["user_id"]], items[columns["item_id"]], times)
        found |= {(str(u), str(i), int(t)) for u, i, t in zip(*pairs, strict=True)}
    return found


def values(made, side, name):
    """Id of each user or item -> its strings or its number of a feature."""
    table = getattr(made, f"{side}s")[name][1:]
    ids = made.vocabularies[f"{side}_id"].tolist()
    if name not in made.vocabularies:
        return dict(zip(ids, table.tolist(), strict=True))
    words = np.array(["", *made.vocabularies[name]])
    found = [
        sorted(words[np.atleast_1d(row)][np.atleast_1d(row) > 0].tolist())
        for row in table
    ]
    return dict(zip(ids, found, strict=True))


RATINGS = "1::10::5::978300760\n1::20::3::978302109\n2::20::4::978301968\n"
RATINGS += "2::10::2.5::978300275\n"
RATING_ROWS = {
    ("1", "10", 978300760),
    ("1", "20", 978302109),
    ("2", "20", 978301968),
    ("2", "10", 978300275),
}


def test_movielens_with_colons_and_its_movies_and_users(tmp_path):
    write(
        tmp_path,
        ratings_dat=RATINGS,
        movies_dat='10::Café "Noir" (1995)::Drama|Crime\n20::"Heat: 2 (1996)::\n'
        "30::No year::Drama\n".encode("latin-1"),
        users_dat="1::F::1::10::48067\n2::M::56::16::70072\n",
    )
    made = data.load(tmp_path / "ratings.dat", **SPLIT)
    assert rows(made) == RATING_ROWS
    assert values(made, "item", "genres") == {
        "10": ["Crime", "Drama"],
        "20": [],
        "30": ["Drama"],
    }
    assert values(made, "item", "year")["20"] == 1996
    assert set(made.titles) >= {'Café "Noir" (1995)', '"Heat: 2 (1996)', "No year"}
    assert values(made, "user", "age") == {"1": 1, "2": 56}
    assert values(made, "user", "occupation") == {"1": ["10"], "2": ["16"]}
    text = str(made)
    assert "read as MovieLens ratings (movielens): users userId, items movieId" in text
    assert "movies.dat is read as Latin-1" in text


def test_movietweetings_users_have_no_features(tmp_path):
    write(tmp_path, ratings_dat=RATINGS, users_dat="1::177651718\n2::139564917\n")
    made = data.load(tmp_path, **SPLIT)  # the folder is enough
    assert rows(made) == RATING_ROWS
    assert list(made.users) == ["user_id"]
    assert "no movies.dat beside it: items have no features" in str(made)


def test_a_line_with_another_number_of_fields_is_named(tmp_path):
    lines = RATINGS * 30
    write(tmp_path, ratings_dat=f"{lines}1::7\n")
    with pytest.raises(
        ValueError, match=r"ratings\.dat' cannot .* 4 fields.*Got 2 in line 121: '1::7'"
    ):
        data.load(tmp_path / "ratings.dat", **SPLIT)


ATOMIC = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
ATOMIC += "a\t007\t4\t978300760\nb\t007\t1\t978300761\na\t8\t2\t978300762.5\n"


def test_recbole_atomic_files_have_features_by_their_types(tmp_path):
    write(
        tmp_path,
        mini_inter=ATOMIC,
        mini_item="item_id:token\tmovie_title:token_seq\trelease_year:token"
        "\tclass:token_seq\tprice:float\tshelf:token\n"
        '007\tGold "Finger\t1964\tAction Spy\t2.5\tx\n8\tEight\tV\tDrama\t1\tx\n',
        mini_user="user_id:token\tage:float\tgender:token\nb\t30\tM\na\t20\tM\n",
    )
    made = data.load(tmp_path / "mini.inter", **SPLIT)
    assert rows(made) == {
        ("a", "007", 978300760),
        ("b", "007", 978300761),
        ("a", "8", 978300762),
    }
    assert made.name == "mini"
    assert values(made, "item", "class")["007"] == ["Action", "Spy"]
    assert values(made, "item", "price") == {"007": 2.5, "8": 1}
    assert values(made, "user", "age") == {"a": 20, "b": 30}
    assert values(made, "user", "gender") == {"a": ["M"], "b": ["M"]}
    assert 'Gold "Finger (1964)' in made.titles
    assert "read as RecBole atomic file (recbole)" in str(made)


def test_an_atomic_file_with_two_possible_items_names_the_choices(tmp_path):
    header = "user_id:token\tartist_id:token\ttrack_id:token\ttimestamp:float\n"
    lines = "".join(f"u{n % 2}\ta{n % 3}\tt{n}\t{n}\n" for n in range(8))
    write(tmp_path, plays_inter=header + lines)
    with pytest.raises(ValueError, match="`item_column` must be .*artist_id.*track_id"):
        data.load(tmp_path / "plays.inter")
    made = data.load(tmp_path / "plays.inter", item_column="artist_id", **SPLIT)
    assert set(made.vocabularies["item_id"]) == {"a0", "a1", "a2"}


def test_given_columns_and_tables_win_over_those_of_the_format(tmp_path):
    write(
        tmp_path,
        mini_inter=ATOMIC,
        mini_item="item_id:token\tshelf:token\n007\tx\n8\tx\n",
        own_csv="item_id,shelf\n007,y\n8,y\n",
    )
    made = data.load(
        tmp_path / "mini.inter",
        item_table=tmp_path / "own.csv",
        item_category_columns=["shelf"],
        timestamp_column=None,
        rating_column=None,
        split="random",
        test_fraction=0.4,
    )
    assert set(made.splits["train"]) == {"user_id", "item_id"}
    assert made.vocabularies["shelf"].tolist() == ["y"]


def test_a_wrong_line_near_the_top_is_named_too(tmp_path):
    write(tmp_path, ratings_dat=RATINGS + "1::7\n")
    with pytest.raises(ValueError, match="Got 2 in line 5: '1::7'"):
        data.load(tmp_path / "ratings.dat")
    write(tmp_path, ratings_dat=RATINGS + "1::7::3::yesterday\n")
    with pytest.raises(ValueError, match="`timestamp` must be .*row 4.*'yesterday'"):
        data.load(tmp_path / "ratings.dat")
    write(tmp_path, ratings_dat="1::7\n2::7\n", behaviors_tsv="a\tb\nc\td\n")
    with pytest.raises(ValueError, match="'::' between userId, movieId, rating, time"):
        data.load(tmp_path / "ratings.dat")
    with pytest.raises(ValueError, match="between impressionId, userId, time, history"):
        data.load(tmp_path / "behaviors.tsv")


def test_a_text_of_no_known_format_is_refused_with_those_there_are(tmp_path):
    write(tmp_path, strange_dat="1;2;3\n4;5;6\n")
    with pytest.raises(ValueError, match=r"first line is '1;2;3'.*movielens \(ratings"):
        data.load(tmp_path / "strange.dat")


def test_a_format_that_the_file_does_not_have_is_refused(tmp_path):
    write(tmp_path, ratings_dat=RATINGS)
    path = tmp_path / "ratings.dat"
    with pytest.raises(ValueError, match="does not look like recbole .*'1::10::5::97"):
        data.load(path, file_format="recbole")
    with pytest.raises(ValueError, match="`file_format` must be one of .*'movielens'"):
        data.load(path, file_format="movielense")


def test_a_format_is_recognised_whatever_the_name_of_the_file(tmp_path):
    write(tmp_path, mine_txt=RATINGS, own_txt=ATOMIC, none_txt="a::b\n")
    names = [recognise(tmp_path / f"{n}.txt") for n in ("mine", "own", "none")]
    assert [found and found.form.name for found in names] == [
        "movielens",
        "recbole",
        None,
    ]
    assert len({form.name for form in FORMATS}) == len(FORMATS)


def test_a_folder_without_one_known_file_names_what_it_has(tmp_path):
    write(tmp_path, notes_md="none")
    with pytest.raises(ValueError, match=r"with 0 of them: .* files notes\.md"):
        data.load(tmp_path)
    write(tmp_path, a_inter=ATOMIC, ratings_dat=RATINGS)
    with pytest.raises(ValueError, match=r"2 of them.*a\.inter, ratings\.dat"):
        data.load(tmp_path)


def test_events_of_an_own_table_are_counted_and_chosen(tmp_path):
    lines = [f"u{n % 3},i{n % 4},{n},{('view', 'buy')[n % 5 == 0]}" for n in range(20)]
    text = "\n".join(["user_id,item_id,timestamp,kind", *lines])
    write(tmp_path, log_csv=text)
    path = tmp_path / "log.csv"
    made = data.load(path, event_column="kind", **SPLIT)
    assert "events: view 16, buy 4; all are kept" in str(made)
    assert sorted(made.vocabularies["event"]) == ["buy", "view"]
    made = data.load(path, event_column="kind", events=["buy"], **SPLIT)
    assert rows(made) == {(f"u{n % 3}", f"i{n % 4}", n) for n in range(0, 20, 5)}
    with pytest.raises(ValueError, match=r"kinds in the column 'kind': view 16, buy 4"):
        data.load(path, event_column="kind", events=["sale"], **SPLIT)
    with pytest.raises(ValueError, match="`events` needs the column"):
        data.load(path, events=["buy"], **SPLIT)


def test_movielens_as_csv_and_as_tab_separated(tmp_path):
    write(
        tmp_path,
        ratings_csv="userId,movieId,rating,timestamp\n1,10,4.5,978300760\n"
        "2,20,3,978300761\n1,20,1,978300762\n",
        movies_csv='movieId,title,genres\n10,"Up, and ""Away"" (1995)",Drama|War\n'
        "20,Heat (1996),(no genres listed)\n",
    )
    made = data.load(tmp_path / "ratings.csv", **SPLIT)
    expected = {
        ("1", "10", 978300760),
        ("2", "20", 978300761),
        ("1", "20", 978300762),
    }
    assert rows(made) == expected
    assert values(made, "item", "genres") == {"10": ["Drama", "War"], "20": []}
    assert 'Up, and "Away" (1995)' in made.titles
    less = data.load(tmp_path / "ratings.csv", bag_columns=(), **SPLIT)
    assert list(less.items) == ["item_id", "title", "year", "decade"]
    own = {"user_column": "userId", "item_column": "movieId"}
    made = data.load(tmp_path / "ratings.csv", **own, **SPLIT)
    assert rows(made) == expected
    assert list(made.items) == ["item_id"]  # a table of one's own has no companion
    assert "read as" not in str(made)
    flags = "|".join("1" if n in (1, 8) else "0" for n in range(19))
    write(
        tmp_path,
        u_data="1\t10\t4\t978300760\n2\t20\t3\t978300761\n1\t20\t1\t978300762\n",
        u_item=f"10|Toys (1995)|01-Jan-1995||http://x|{flags}\n",
        u_user="1|24|M|writer|00501\n2|53|F|other|94043\n",
    )
    made = data.load(tmp_path / "u.data", **SPLIT)
    assert rows(made) == expected
    assert values(made, "item", "genres")["10"] == ["Action", "Drama"]
    assert values(made, "user", "age") == {"1": 24, "2": 53}


def test_retailrocket_has_milliseconds_and_kinds_of_events(tmp_path):
    write(
        tmp_path,
        events_csv="timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,7,view,35,\n1433221332900,7,addtocart,36,\n"
        "1433221332950,8,view,35,\n1433221333100,7,transaction,36,4000\n",
    )
    made = data.load(tmp_path / "events.csv", **SPLIT)
    assert rows(made) == {
        ("7", "35", 1433221332),
        ("7", "36", 1433221332),
        ("8", "35", 1433221332),
        ("7", "36", 1433221333),
    }
    assert "read as RetailRocket events" in str(made)
    assert "events: view 2, addtocart 1, transaction 1; all are kept" in str(made)
    made = data.load(tmp_path, events=["view", "transaction"], **SPLIT)
    assert ("7", "36", 1433221332) not in rows(made)
    assert sum(made.summary.rows.values()) == 3


def test_yoochoose_clicks_and_purchases_are_of_sessions(tmp_path):
    write(
        tmp_path,
        **{
            "yoochoose-clicks_dat": "1,2014-04-07T10:51:09.277Z,214,0\n"
            "1,2014-04-07T10:54:09.868Z,215,S\n2,2014-04-07T13:56:37.614Z,214,0\n",
            "yoochoose-buys_dat": "1,2014-04-07T10:55:00.000Z,215,1046,1\n"
            "1,2014-04-07T10:56:00.000Z,217,100,2\n",
        },
    )
    made = data.load(tmp_path / "yoochoose-clicks.dat", **SPLIT)
    assert rows(made) == {
        ("1", "214", 1396867869),
        ("1", "215", 1396868049),
        ("2", "214", 1396878997),
    }
    assert "sessions are the users" in str(made)
    made = data.load(tmp_path / "yoochoose-buys.dat", **SPLIT)
    assert {row[:2] for row in rows(made)} == {("1", "215"), ("1", "217")}


def test_diginetica_adds_milliseconds_to_days(tmp_path):
    write(
        tmp_path,
        **{
            "train-item-views_csv": "sessionId;userId;itemId;timeframe;eventdate\n"
            "1;NA;81766;526309;2016-05-09\n1;NA;31331;1031018;2016-05-09\n"
            "2;5;81766;243569;2016-05-10\n"
        },
    )
    made = data.load(tmp_path / "train-item-views.csv", **SPLIT)
    assert rows(made) == {
        ("1", "81766", 1462752526),
        ("1", "31331", 1462753031),
        ("2", "81766", 1462838643),
    }
    users = data.load(tmp_path, user_column="userId", **SPLIT)
    assert set(users.vocabularies["user_id"]) == {"NA", "5"}


def test_sessions_for_gru4rec_have_seconds_with_fractions(tmp_path):
    write(
        tmp_path,
        clicks_txt="SessionId\tItemId\tTime\n3\t214\t1396437466.94\n"
        "3\t215\t1396437466.95\n6\t214\t1396796300.848\n",
    )
    made = data.load(tmp_path / "clicks.txt", **SPLIT)
    assert made.splits["test"]["timestamp_us"].tolist() == [1396437466950000]


BEHAVIORS = (
    "1\tU7\t11/11/2019 9:05:58 AM\tN1 N2\tN5-0 N3-1 N9-0\n"
    "2\tU8\t11/11/2019 1:05:58 PM\t\tN5-1 N3-0 N6-1\n"
    "3\tU7\t11/12/2019 9:05:58 PM\tN1 N2 N4\tN6-0 N5-1\n"
)


def test_mind_gives_clicks_of_impressions_and_of_histories(tmp_path):
    write(
        tmp_path,
        behaviors_tsv=BEHAVIORS,
        news_tsv='N5\tsport\tgolf\tA "great" day\tText\thttp://x\t[]\t[{"a": "b"}]\n'
        "N3\tfood\tpie\tPie\t\thttp://y\t[]\t[]\n"
        "N1\tfood\tpie\tOld pie\t\thttp://y\t[]\t[]\n",
    )
    made = data.load(tmp_path / "behaviors.tsv", **SPLIT)
    first = 1573463158  # 11 November 2019, 9:05:58
    assert rows(made) == {
        ("U7", "N1", first - 3),
        ("U7", "N2", first - 2),
        ("U7", "N4", first - 1),
        ("U7", "N3", first),
        ("U8", "N5", first + 4 * 3600),
        ("U8", "N6", first + 4 * 3600),
        ("U7", "N5", first + 36 * 3600),
    }
    assert values(made, "item", "category")["N3"] == ["food"]
    assert "N9" in made.vocabularies["item_id"]  # shown, never clicked
    assert 'A "great" day' in made.titles
    history = data.load(tmp_path, events=["history"], **SPLIT)
    assert {row[:2] for row in rows(history)} == {("U7", f"N{n}") for n in (1, 2, 4)}
    write(tmp_path, behaviors_tsv=BEHAVIORS.replace("-0", "").replace("-1", ""))
    with pytest.raises(ValueError, match=r"labels, such as N1-1.*Got 'N5'"):
        data.load(tmp_path / "behaviors.tsv")


BANDIT = (
    ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1\n"
    "0,2019-11-24 00:00:13.442536+00:00,14,3,0,0.03,a,x\n"
    "1,2019-11-24 00:00:13.442537+00:00,10,1,1,0.03,a,x\n"
    "2,2019-11-24 00:20:13+00:00,14,2,1,0.03,a,x\n"
    "3,2019-11-24 00:20:14+00:00,11,2,1,0.03,a,y\n"
    "4,2019-11-24 09:20:13+00:00,10,2,0,0.03,a,x\n"
    "5,2019-11-24 00:21:13+00:00,10,3,0,0.03,a,x\n"
)


def test_an_open_bandit_log_gives_clicks_of_user_groups(tmp_path):
    items = "item_id,item_feature_0,item_feature_1\n10,-0.6,p\n14,0.5,p\n11,2,q\n"
    write(tmp_path, men_csv=BANDIT, item_context_csv=items + "12,3,q\n")
    made = data.load(tmp_path / "men.csv", **SPLIT)
    assert rows(made) == {
        ("0", "10", 1574553613),
        ("0", "14", 1574554813),
        ("1", "11", 1574554814),
    }
    assert "3 clicks of 6 shown items" in str(made)
    features = values(made, "item", "item_feature_0")
    assert features == pytest.approx({"10": -0.6, "14": 0.5, "11": 2, "12": 3})
    assert values(made, "user", "user_feature_1") == {"0": ["x"], "1": ["y"]}


def test_play_counts_of_lastfm_in_three_files(tmp_path):
    columns = {"split": "random", "test_fraction": 0.4, "validation_fraction": 0}
    write(
        tmp_path,
        user_artists_dat="userID\tartistID\tweight\n2\t51\t13883\n2\t52\t11690\n"
        "3\t51\t11\n",
        artists_dat="id\tname\turl\tpictureURL\n51\tDuran Duran\th\tp\n",
    )
    made = data.load(tmp_path / "user_artists.dat", **columns)
    assert {row[1] for row in rows(made)} == {"51", "52"}
    assert "Duran Duran" in made.titles
    assert '`rating_column="weight"`' in str(made)
    with pytest.raises(ValueError, match=r'split="random"'):
        data.load(tmp_path / "user_artists.dat")
    sha = ["00000c289a1829a808ac09c00daf10bc3c4e223b", "0" * 40]
    (tmp_path / "plays.tsv").write_text(
        f"{sha[0]}\t3bd73256-3905\tbetty blowtorch\t2137\n{sha[0]}\t\tdie Ärzte\t1\n"
        f"{sha[1]}\t3bd73256-3905\tbetty blowtorch\t7\n"
    )
    made = data.load(tmp_path / "plays.tsv", rating_column="plays", **columns)
    assert {row[1] for row in rows(made)} == {"betty blowtorch", "die Ärzte"}
    assert sum(c["rating"].sum() for c in made.splits.values()) == 2145
    (tmp_path / "log.tsv").write_text(
        "user_000001\t2009-05-04T23:08:57Z\tf1b1\tDeep Dish\t\tFlashdance\n"
        "user_000001\t2009-05-04T13:54:10Z\ta7f7\tSakamoto\t\tMinamata\n"
        "user_000002\t2009-05-04T13:52:04Z\ta7f7\tSakamoto\tf2f2\tComposition\n"
    )
    made = data.load(tmp_path / "log.tsv", **SPLIT)
    assert ("user_000001", "Deep Dish", 1241478537) in rows(made)
    tracks = data.load(tmp_path / "log.tsv", item_column="track", **SPLIT)
    assert "Minamata" in tracks.vocabularies["item_id"]


def test_check_ins_are_interactions_too(tmp_path):
    write(
        tmp_path,
        nyc_csv="userId,venueId,venueCategoryId,venueCategory,latitude,longitude,"
        "timezoneOffset,utcTimestamp\n"
        "470,49bb,4bf1,Museum,40.7,-74,-240,Tue Apr 03 18:00:09 +0000 2012\n"
        "470,4a43,4bf2,Bar,40.6,-74,-240,Tue Apr 03 19:00:09 +0000 2012\n",
        nyc_txt="470\t49bb\t4bf1\tCafé\t40.7\t-74.0\t-240\t"
        "Tue Apr 03 18:00:09 +0000 2012\n".encode("latin-1")
        * 2
        + b"470\tbad\t4bf1\tBar\t99.7\t-74.0\t-240\tTue Apr 03 18:00:09 +0000 2012"
        b"\n",
        **{
            "loc-gowalla_txt": "0\t2010-10-19T23:55:27Z\t30.23\t-97.79\t22847\n"
            "0\t2010-10-18T22:17:43Z\t30.26\t-97.76\t420315\n"
        },
    )
    made = data.load(tmp_path / "nyc.csv", **SPLIT)
    assert rows(made) == {("470", "49bb", 1333476009), ("470", "4a43", 1333479609)}
    assert values(made, "item", "category") == {"49bb": ["Museum"], "4a43": []}
    made = data.load(tmp_path / "nyc.txt", **SPLIT)
    assert rows(made) == {("470", "49bb", 1333476009)}
    assert values(made, "item", "category") == {"49bb": ["Café"]}
    assert "1 lines skipped, such as" in str(made)
    made = data.load(tmp_path / "loc-gowalla.txt", **SPLIT)
    assert rows(made) == {("0", "22847", 1287532527), ("0", "420315", 1287440263)}


def searches(path):
    """(query, results, clicks, seconds) of each session of a log."""
    return [
        (s.query, s.results, s.events, s.timestamp)
        for s in data.clickstream.read_sessions(path)
    ]


def test_impressions_of_mind_are_sessions_in_the_order_of_time(tmp_path):
    lines = BEHAVIORS.splitlines(keepends=True)
    write(tmp_path, behaviors_tsv="".join(reversed(lines)))
    first = 1573463158
    assert searches(tmp_path / "behaviors.tsv") == [
        ("U7", ["N5", "N3", "N9"], ["N3"], first),
        ("U8", ["N5", "N3", "N6"], ["N5", "N6"], first + 4 * 3600),
        ("U7", ["N6", "N5"], ["N5"], first + 36 * 3600),
    ]


def test_items_shown_to_a_group_of_equal_users_are_a_session(tmp_path):
    write(tmp_path, men_csv=BANDIT)
    assert searches(tmp_path / "men.csv") == [
        ("0", ["10", "14"], ["10", "14"], 1574553613),
        ("1", ["11"], ["11"], 1574554814),
        ("0", ["10"], [], 1574587213),
    ]


def test_bought_items_of_yoochoose_are_the_clicks_of_a_session(tmp_path):
    clicks = "2,2014-04-07T13:56:37.614Z,214,0\n1,2014-04-07T10:54:09.868Z,215,0\n"
    clicks += "1,2014-04-07T10:51:09.277Z,214,0\n1,2014-04-07T10:55:09.277Z,215,0\n"
    write(tmp_path, **{"yoochoose-clicks_dat": clicks})
    path = tmp_path / "yoochoose-clicks.dat"
    with pytest.raises(ValueError, match=r"yoochoose-buys\.dat beside it"):
        data.clickstream.read_sessions(path)
    buys = "1,2014-04-07T10:55:00.000Z,215,1046,1\n"
    write(tmp_path, **{"yoochoose-buys_dat": buys})
    assert searches(path) == [
        ("1", ["214", "215"], ["215"], 1396867869),
        ("2", ["214"], [], 1396878997),
    ]
    write(tmp_path, ratings_dat=RATINGS)
    with pytest.raises(ValueError, match="shown results: .*Got MovieLens ratings"):
        data.clickstream.read_sessions(tmp_path / "ratings.dat")
