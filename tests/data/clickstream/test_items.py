import numpy as np
import pytest

from tests.click_searches import short_search
from tfrs_models.data.clickstream import ItemSet
from tfrs_models.data.clickstream.items import ranking_data


def test_results_that_are_no_items_leave_and_searches_of_one_result_too():
    inputs = [
        short_search(),
        short_search(results=("b", "y")),
        short_search(results=("b", "c", "x")),
    ]
    found, removed = ItemSet(["a", "b", "c"]).known_results(inputs)
    assert [s.results for s in found] == [["a", "b", "c"], ["b", "c"]]
    assert removed == 2


def test_an_id_may_own_several_rows_and_an_unknown_one_is_named():
    items = ItemSet(["a", "b", "a"], {"x": np.array([1, 2, 3])})
    assert items.rows(["b", "a"]) == [1, 0, 2]
    features, names = items.items_by_ids(["a", "b"])
    assert features["x"].tolist() == [1, 3, 2]
    assert names == ["a", "a", "b"]
    assert items.rows(["y"], ignore_missing=True) == []
    with pytest.raises(IndexError, match="Item 'y' is not among the 2 items"):
        items.rows(["y"])


def test_the_items_of_a_split_are_those_that_it_shows():
    items = ItemSet(["a", "b", "c", "d"], rows=[4, 3, 2, 1])
    train, test = [(short_search(), None)], [(short_search(results=("b", "d")), None)]
    data = ranking_data(train, test, items)
    assert data.items["train"].ids == ["a", "b", "c"]
    assert data.items["test"].rows(["d", "b"]) == [1, 3]
    with pytest.raises(ValueError, match="The test split must show a known item"):
        ranking_data(train, [], items)
