"""Files that people have, as a few made-up lines in their formats."""

import numpy as np
import pytest

from tfrs_models import data
from tfrs_models.data.formats.known import FORMATS
from tfrs_models.data.formats.recognition import recognise

SPLIT = {"validation_fraction": 0}


def write(folder, **files):
    """Writes files; the first underscore of a name stands for its dot."""
    for name, content in files.items():
        name = name.replace("_", ".", 1)
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
        movies_dat='10::Café "Noir" (1995)::Drama|Crime\n20::Heat: 2 (1996)::\n'
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
    assert set(made.titles) >= {'Café "Noir" (1995)', "Heat: 2 (1996)", "No year"}
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
    made = data.load(path, event_column="kind", events=["buy"], **SPLIT)
    assert rows(made) == {(f"u{n % 3}", f"i{n % 4}", n) for n in range(0, 20, 5)}
    with pytest.raises(ValueError, match=r"kinds in the column 'kind': view 16, buy 4"):
        data.load(path, event_column="kind", events=["sale"], **SPLIT)
    with pytest.raises(ValueError, match="`events` needs the column"):
        data.load(path, events=["buy"], **SPLIT)
