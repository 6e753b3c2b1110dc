import pytest

from tfrs_models import data


@pytest.mark.parametrize("name", ["movielens", "recbole:ml-1m", "table.txt", ""])
def test_another_name_is_refused_with_the_names_there_are(name):
    with pytest.raises(ValueError, match="`dataset` must be one of") as error:
        data.load(name)
    for form in ("movielens-latest-small", "recbole:ml-100k", "tfds:", ".csv"):
        assert form in str(error.value)


def test_a_misspelt_name_gets_the_nearest_one():
    with pytest.raises(ValueError, match="Did you mean 'recbole:ml-100k'"):
        data.load("recbole:ml100k")
