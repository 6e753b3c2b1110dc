import pytest

from tfrs_models.data import kuaisar, synthetic


@pytest.fixture(scope="session")
def data():
    return synthetic.make_search_and_recommendation(3, num_users=40)


@pytest.fixture(scope="session")
def raw_directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("raw")
    synthetic.write_search_and_recommendation_log(directory, 3, num_users=40)
    return directory


@pytest.fixture
def pickles(data, tmp_path):
    kuaisar.write_pickles(data, tmp_path)
    return tmp_path
