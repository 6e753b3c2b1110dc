"""Files of check-ins as they come: compressed, with marks, in other encodings."""

import gzip

import numpy as np
import pytest

from tests.data.checkins.test_reader import FOURSQUARE, GOWALLA
from tfrs_models.data.checkins import read_foursquare, read_gowalla

MARK = b"\xef\xbb\xbf"
formats = pytest.mark.parametrize(
    ("read", "lines", "users"),
    [
        (read_foursquare, FOURSQUARE, ["470", "979", "69"]),
        (read_gowalla, GOWALLA, ["0", "0", "5"]),
    ],
)


def write(tmp_path, content, name="check_ins.txt"):
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
    found = read(write(tmp_path, content, name), strict=True)
    assert found.user.tolist() == users
    assert found.name == "made"


def test_a_compressed_file_without_its_end_is_refused(tmp_path):
    content = gzip.compress("\n".join(GOWALLA).encode())
    for broken in (content[:-12], content[:20] + bytes(20) + content[40:]):
        path = write(tmp_path, broken, "made.txt.gz")
        with pytest.raises(ValueError, match=f"{path} must be a whole gzip file"):
            read_gowalla(path)


@formats
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_a_mark_before_the_first_line_is_no_part_of_it(
    tmp_path, read, lines, users, encoding
):
    content = MARK + "\n".join(lines).encode(encoding)
    assert read(write(tmp_path, content)).user.tolist() == users


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_two_bytes_a_letter_are_refused(tmp_path, encoding, pack):
    content = "\n".join(["\ufeff" + FOURSQUARE[0], *FOURSQUARE[1:]])
    path = write(tmp_path, pack(content.encode(encoding)))
    message = f"{path} must be UTF-8 or Latin-1. Got UTF-16"
    with pytest.raises(ValueError, match=message):
        read_foursquare(path)


@formats
@pytest.mark.parametrize("year", ["9999", "1600", "0001", "0000", "1969", "2100"])
def test_a_year_of_no_check_in_is_a_time_that_cannot_be_read(
    tmp_path, read, lines, users, year
):
    wrong = lines[1].replace("2012", year).replace("2010", year)
    path = write(tmp_path, "\n".join([lines[0], wrong, lines[2]]).encode())
    found = read(path)
    np.testing.assert_array_equal(found.user, [users[0], users[2]])
    assert found.problems == (f"{path}, line 2: the time cannot be read",)
    with pytest.raises(ValueError, match="line 2: the time cannot be read"):
        read(path, strict=True)
