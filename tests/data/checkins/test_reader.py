"""The files of Foursquare and Gowalla, and what is wrong with them."""

import datetime
import gzip
import zoneinfo

import numpy as np
import pytest

from tfrs_models.data.checkins import (
    CheckIns,
    make_traces,
    read_foursquare,
    read_gowalla,
)

FOURSQUARE = [
    "470\t49bb\t4bf1\tArts & Crafts\t40.7\t-74\t-240\tTue Apr 03 18:00:09 +0000 2012",
    "979\t4a43\t4bf2\tCafé\t40.6068\t-74.0442\t-240\tTue Apr 03 02:00:25 +0000 2012",
    "69\t4c5c\t4bf2\tCafé\t35.7051\t139.6196\t540\tSun Apr 08 23:30:00 +0000 2012",
]
GOWALLA = [
    "0\t2010-10-19T23:55:27Z\t30.2359\t-97.7951\t22847",
    "0\t2010-10-18T22:17:43Z\t30.2691\t-97.7494\t420315",
    "5\t2010-10-12T00:21:28Z\t-33.8688\t151.2093\t316637",
]


def write(tmp_path, lines, encoding="latin-1"):
    path = tmp_path / "check_ins.txt"
    path.write_bytes("\n".join([*lines, ""]).encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_foursquare_is_read_with_its_local_hours(tmp_path, encoding):
    found = read_foursquare(write(tmp_path, FOURSQUARE, encoding))
    assert found.user.tolist() == ["470", "979", "69"]
    assert found.poi.tolist() == ["49bb", "4a43", "4c5c"]
    assert found.category.tolist() == ["Arts & Crafts", "Café", "Café"]
    np.testing.assert_array_equal(found.coordinates[2], [35.7051, 139.6196])
    for row, (zone, year_to_second) in enumerate(
        [
            ("America/New_York", (2012, 4, 3, 18, 0, 9)),
            ("America/New_York", (2012, 4, 3, 2, 0, 25)),
            ("Asia/Tokyo", (2012, 4, 8, 23, 30, 0)),
        ]
    ):
        utc = datetime.datetime(*year_to_second, tzinfo=datetime.UTC)
        local = utc.astimezone(zoneinfo.ZoneInfo(zone))
        assert found.timestamp[row] == utc.timestamp()
        assert (found.hour[row], found.weekday[row]) == (local.hour, local.weekday())
    assert found.num_skipped == 0


def test_gowalla_has_the_time_of_the_sun_where_no_zone_is_given(tmp_path):
    path = write(tmp_path, GOWALLA)
    found = read_gowalla(path)
    assert found.poi.tolist() == ["22847", "420315", "316637"]
    assert set(found.category.tolist()) == {"place"}
    assert found.offset.tolist() == [-420, -420, 600]  # -97.8 and 151.2 degrees / 15
    assert found.hour.tolist() == [16, 15, 10]
    assert found.weekday.tolist() == [1, 0, 1]
    given = read_gowalla(path, offset=-300)
    assert given.hour.tolist() == [18, 17, 19]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (4, "nan", "latitude or longitude is missing or out of range"),
        (5, "181.5", "latitude or longitude is missing or out of range"),
        (7, "yesterday", "the time cannot be read"),
        *(
            (6, zone, "the time zone is no whole number of minutes of a day")
            for zone in ("", "inf", "1e300", "99999999", "1441", "-1441", "-240.9")
        ),
        (3, "", "a user, POI or category is missing"),
    ],
)
def test_a_line_that_cannot_be_used_is_counted_or_an_error(
    tmp_path, column, value, reason
):
    parts = FOURSQUARE[1].split("\t")
    parts[column] = value
    path = write(tmp_path, [FOURSQUARE[0], "\t".join(parts), FOURSQUARE[2]])
    found = read_foursquare(path)
    assert found.user.tolist() == ["470", "69"]
    assert found.num_skipped == 1
    assert found.problems == (f"{path}, line 2: {reason}",)
    with pytest.raises(ValueError, match=f"line 2: {reason}"):
        read_foursquare(path, strict=True)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("columns", [2, 7, 9, 10, 12])
def test_a_line_of_another_number_of_columns_is_a_problem(tmp_path, columns, number):
    lines = list(FOURSQUARE)
    parts = [*lines[number].split("\t"), *"abcd"]
    lines[number] = "\t".join(parts[:columns])
    path = write(tmp_path, lines)
    found = read_foursquare(path)
    expected = [user for i, user in enumerate(["470", "979", "69"]) if i != number]
    assert found.user.tolist() == expected
    reason = "columns are missing" if columns < 8 else "there are columns too many"
    assert found.problems == (f"{path}, line {number + 1}: {reason}",)
    with pytest.raises(ValueError, match=f"line {number + 1}: {reason}"):
        read_foursquare(path, strict=True)


def test_lines_are_counted_as_they_stand(tmp_path):
    lines = [FOURSQUARE[0] + "\r", "", FOURSQUARE[1] + "\textra", "", FOURSQUARE[2]]
    path = write(tmp_path, lines)
    found = read_foursquare(path)
    assert found.user.tolist() == ["470", "69"]
    places = [problem.split(": ")[0] for problem in found.problems]
    assert places == [f"{path}, line {line}" for line in (2, 3, 4)]


@pytest.mark.parametrize(
    ("read", "lines", "message"),
    [
        (read_gowalla, FOURSQUARE, "5 columns, separated by tabs. Got 8 in line 1"),
        (read_foursquare, GOWALLA, "8 columns, separated by tabs. Got 5 in line 1"),
        (
            read_foursquare,
            [line.replace("\t", ",") for line in FOURSQUARE],
            "8 columns, separated by tabs. Got 1 in line 1.*try the other format",
        ),
        (
            read_gowalla,
            [line.rpartition("\t")[0] for line in GOWALLA],
            "5 columns, separated by tabs. Got 4 in line 1",
        ),
        (
            read_gowalla,
            [f"{line}\t1" for line in GOWALLA],
            "5 columns, separated by tabs. Got 6 in line 1",
        ),
    ],
)
def test_a_file_of_other_columns_is_refused_with_their_number(
    tmp_path, read, lines, message
):
    path = write(tmp_path, lines)
    with pytest.raises(ValueError, match=f"{path} must have {message}"):
        read(path)


def test_files_without_check_ins_are_refused(tmp_path):
    path = tmp_path / "empty.txt"
    path.touch()
    with pytest.raises(ValueError, match=f"{path} must hold check-ins. Got none"):
        read_gowalla(path)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_foursquare(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_foursquare(tmp_path / "none.txt")


def test_zones_of_both_ends_of_the_world_are_read(tmp_path):
    zones = [-720, 840, 345]  # Baker Island, Kiritimati, Nepal
    lines = []
    for line, zone in zip(FOURSQUARE, zones, strict=True):
        parts = line.split("\t")
        parts[6] = f"{zone:.1f}" if zone == 345 else str(zone)
        lines.append("\t".join(parts))
    found = read_foursquare(write(tmp_path, lines), strict=True)
    assert found.offset.tolist() == zones


def test_coordinates_that_are_no_place_are_refused():
    columns = {name: np.array(["a", "b"]) for name in ("user", "poi", "category")}
    times = {name: np.zeros(2, np.int64) for name in ("timestamp", "offset")}
    with pytest.raises(ValueError, match=r"`coordinates` must be.*in row 1"):
        CheckIns("bad", coordinates=np.array([[1, 2], [np.nan, 3]]), **columns, **times)
    with pytest.raises(ValueError, match="as many rows"):
        CheckIns("bad", coordinates=np.zeros((3, 2)), **columns, **times)


KAGGLE = [
    "userId,venueId,venueCategoryId,venueCategory,latitude,longitude,timezoneOffset,"
    "utcTimestamp",
    *(line.replace("\t", ",") for line in FOURSQUARE),
]
GETNEXT = [
    "user_id;UTC_time;POI_id;POI_catname;longitude;latitude;timezone;local_time",
    "470;2012-04-03 18:00:09+00:00;49bb;Arts & Crafts;-74;40.7;-240;2012-04-03 14:00",
    "979;2012-04-03T02:00:25Z;4a43;Café;-74.0442;40.6068;-240;2012-04-02 22:00",
    "69;2012-04-08 23:30:00;4c5c;Café;139.6196;35.7051;540;2012-04-09 08:30",
]


@pytest.mark.parametrize("lines", [KAGGLE, GETNEXT])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig"])
def test_a_file_with_a_header_is_read_by_its_names(tmp_path, lines, encoding):
    found = read_foursquare(write(tmp_path, lines, encoding), strict=True)
    expected = read_foursquare(write(tmp_path, FOURSQUARE))
    for name in ("user", "poi", "category", "coordinates", "timestamp", "offset"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_gowalla_with_a_header_needs_neither_category_nor_zone(tmp_path):
    header = "user,check-in_time,latitude,longitude,location_id"
    lines = [header, *(line.replace("\t", ",") for line in GOWALLA)]
    found = read_gowalla(write(tmp_path, lines), strict=True)
    expected = read_gowalla(write(tmp_path, GOWALLA))
    for name in ("user", "poi", "category", "coordinates", "timestamp", "offset"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_lines_below_a_header_are_counted_as_they_stand(tmp_path):
    lines = [*KAGGLE[:2], KAGGLE[2].replace("-74.0442", "-740"), KAGGLE[3]]
    path = write(tmp_path, lines)
    found = read_foursquare(path)
    assert found.user.tolist() == ["470", "69"]
    reason = f"{path}, line 3: latitude or longitude is missing or out of range"
    assert found.problems == (reason,)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [KAGGLE[0].replace("utcTimestamp", "when"), *KAGGLE[1:]],
            r"must have columns of \['time'\]. Got .*'when'",
        ),
        (GETNEXT[:1], "must hold check-ins"),
        (
            [KAGGLE[0], *(f"{line},1" for line in KAGGLE[1:])],
            "header for all columns",
        ),
        ([*KAGGLE, f"{KAGGLE[1]},1"], "a header for all columns.*line 5, saw 9"),
        (KAGGLE[1:], "no line that fits.*or give a file with commas .* a header"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        read_foursquare(write(tmp_path, lines))


MARK = b"\xef\xbb\xbf"
formats = pytest.mark.parametrize(
    ("read", "lines", "users"),
    [
        (read_foursquare, FOURSQUARE, ["470", "979", "69"]),
        (read_gowalla, GOWALLA, ["0", "0", "5"]),
    ],
)


def write_bytes(tmp_path, content, name="check_ins.txt"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@formats
@pytest.mark.parametrize("name", ["made.txt.gz", "made.txt"])
@pytest.mark.parametrize("mark", [b"", MARK])
def test_compressed_files_are_read_whatever_their_name(
    tmp_path, read, lines, users, name, mark
):
    content = gzip.compress(mark + "\n".join(lines).encode("latin-1"))
    found = read(write_bytes(tmp_path, content, name), strict=True)
    assert found.user.tolist() == users
    assert found.name == "made"


def test_a_compressed_file_without_its_end_is_refused(tmp_path):
    content = gzip.compress("\n".join(GOWALLA).encode())
    for broken in (content[:-12], content[:20] + bytes(20) + content[40:]):
        path = write_bytes(tmp_path, broken, "made.txt.gz")
        with pytest.raises(ValueError, match=f"{path} must be a whole gzip file"):
            read_gowalla(path)


@formats
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_a_mark_before_the_first_line_is_no_part_of_it(
    tmp_path, read, lines, users, encoding
):
    content = MARK + "\n".join(lines).encode(encoding)
    assert read(write_bytes(tmp_path, content)).user.tolist() == users


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_two_bytes_a_letter_are_refused(tmp_path, encoding, pack):
    content = "\n".join(["\ufeff" + FOURSQUARE[0], *FOURSQUARE[1:]])
    path = write_bytes(tmp_path, pack(content.encode(encoding)))
    message = f"{path} must be UTF-8 or Latin-1. Got UTF-16"
    with pytest.raises(ValueError, match=message):
        read_foursquare(path)


@formats
@pytest.mark.parametrize("year", ["9999", "1600", "0001", "0000", "1969", "2100"])
def test_a_year_of_no_check_in_is_a_time_that_cannot_be_read(
    tmp_path, read, lines, users, year
):
    wrong = lines[1].replace("2012", year).replace("2010", year)
    path = write_bytes(tmp_path, "\n".join([lines[0], wrong, lines[2]]).encode())
    found = read(path)
    np.testing.assert_array_equal(found.user, [users[0], users[2]])
    assert found.problems == (f"{path}, line 2: the time cannot be read",)
    with pytest.raises(ValueError, match="line 2: the time cannot be read"):
        read(path, strict=True)


@pytest.mark.parametrize("offset", [1440, -1440])
def test_a_zone_of_a_whole_day_is_read(tmp_path, offset):
    lines = [FOURSQUARE[0].replace("-240", str(offset)), *FOURSQUARE[1:]]
    assert read_foursquare(write(tmp_path, lines), strict=True).offset[0] == offset


def test_the_first_and_the_last_second_are_read(tmp_path):
    moments = ["1970-01-01T00:00:00Z", "2099-12-31T23:59:59Z", "2100-01-01T00:00:00Z"]
    lines = [f"0\t{moment}\t30.2\t-97.8\t1" for moment in moments]
    found = read_gowalla(write(tmp_path, lines))
    assert found.timestamp.tolist() == [0, 4_102_444_799]
    assert found.num_skipped == 1


def test_a_hundred_problems_are_told_and_all_are_counted(tmp_path):
    wrong = FOURSQUARE[0].replace("40.7", "north")
    found = read_foursquare(write(tmp_path, [*[wrong] * 101, FOURSQUARE[1]]))
    assert len(found.problems) == 100
    assert "line 100: " in found.problems[-1]
    assert (found.num_skipped, len(found)) == (101, 1)


def newest_first(times):
    """Check-ins of one user in a file with a header."""
    names = "user_id,venue_id,category,latitude,longitude,timezone_offset,utc_time"
    return [names, *(f"ann,p{n},bar,1,2,0,{time}" for n, time in enumerate(times))]


@pytest.mark.parametrize("read", [read_foursquare, read_gowalla])
@pytest.mark.parametrize("fraction", ["{}", "00{}"])
def test_check_ins_within_a_second_are_in_the_order_of_their_times(
    tmp_path, read, fraction
):
    times = [f"2012-04-03T18:00:09.{fraction.format(n)}Z" for n in range(9, 0, -1)]
    found = read(write(tmp_path, newest_first(times)))
    assert found.poi.tolist() == [f"p{n}" for n in range(8, -1, -1)]
    assert set(found.timestamp.tolist()) == {1_333_476_009}
    traces = make_traces(found, length=5, test_fraction=0.3)
    pois = np.append("", traces.vocabularies["poi_id"])
    known = pois[traces.columns["poi_id"]]
    assert [poi for poi in known if poi] == found.poi[: (known != "").sum()].tolist()


@pytest.mark.parametrize("seed", [1, 2])
def test_check_ins_of_one_time_are_in_an_order_of_the_seed(tmp_path, seed):
    lines = newest_first(["2012-04-03 18:00:09"] * 9 + ["2012-04-03 18:00:08"])
    path, in_file = write(tmp_path, lines), [f"p{n}" for n in range(10)]
    assert read_foursquare(path, ties="file").poi.tolist() == in_file
    found = read_foursquare(path, seed=seed).poi.tolist()
    assert sorted(found) == in_file
    assert found[-1] == "p9"
    assert found != in_file
    assert found == read_foursquare(path, seed=seed).poi.tolist()
    assert found != read_foursquare(path, seed=3).poi.tolist()
    shuffled = write(tmp_path, [lines[0], *lines[:0:-1]])
    assert read_foursquare(shuffled, seed=seed).poi.tolist()[1:] == found[:-1]
    with pytest.raises(ValueError, match="`ties` must be one of .* Got 'ids'"):
        read_gowalla(path, ties="ids")
