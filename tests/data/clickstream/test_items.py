import numpy as np
import pytest

from tests.click_searches import short_search
from tfrs_models.data.clickstream import FineTuningInput, ItemSet
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


def test_ids_of_items_are_the_same_texts_as_those_of_searches():
    items = ItemSet([318, np.int64(7), 2.0, b"b", np.str_("c")])
    assert items.ids == ["318", "7", "2", "b", "c"]
    shown = FineTuningInput("q", [], [318.0, b"b"], {318: None, "b": None})
    assert items.rows(shown.results) == [0, 3]


def test_a_subset_of_augmented_items_has_all_of_their_rows():
    items = ItemSet(["a", "b", "a", "c", "b"], rows=[9, 8, 7, 6, 5])
    some = items.subset(["b", "a"])
    assert some.ids == ["a", "b", "a", "b"]
    assert some.rows(["a", "b"]) == [9, 7, 8, 5]
    features = ItemSet(["a", "b", "a"], np.array([[1.0], [2.0], [3.0]])).subset(["a"])
    assert features.features.tolist() == [[1.0], [3.0]]
    assert features.rows(["a"]) == [0, 1]
    assert len(items) == 5  # the set itself is as it was


@pytest.mark.parametrize(("features", "rows"), [([1, 2, 3], None), (None, [1])])
def test_columns_of_another_length_are_named(features, rows):
    features = None if features is None else np.array(features)
    with pytest.raises(ValueError, match="must have a row for each of 2 ids"):
        ItemSet(["a", "b"], features, rows=rows)


def test_of_parts_the_whole_object_leaves_if_one_is_unknown():
    owners = {"o:0": "o", "o:1": "o", "p": "p", "q": "q"}
    parts = FineTuningInput(
        "q", ["p"], list(owners), dict.fromkeys(owners, 0.5), part_to_object=owners
    )
    (found,), removed = ItemSet(["o:0", "p", "q"]).known_results([parts])
    assert found.results == ["p", "q"]
    assert removed == 1
