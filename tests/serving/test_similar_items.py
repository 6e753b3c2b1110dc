"""Items like given ones, against a product in NumPy."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfrs_models as tm


def similar(recommender, lists, *, k, exclusions=None, kinds=None):
    count = len(lists)
    answer = recommender.similar_items(
        item_id=tf.ragged.constant(lists, tf.string, ragged_rank=1).to_tensor(""),
        k=tf.broadcast_to(tf.constant(k), [count]),
        exclusions=tf.constant(exclusions or [[""]] * count),
        filters={"kind": tf.constant(kinds or [[""]] * count)},
    )
    return {name: value.numpy() for name, value in answer.items()}


def test_they_are_the_items_nearest_to_the_mean_of_the_given_ones(
    recommender, interactions
):
    names = interactions.vocabularies["item_id"].tolist()
    embeddings = recommender.index.contents()[1].numpy()
    lists = [[2], [0, 5, 3], [1, 1]]
    answer = similar(
        recommender,
        [[names[i] for i in some] + ["unheard of"] * (1 in some) for some in lists],
        k=len(names),
    )
    for row, some in enumerate(lists):
        scores = embeddings @ embeddings[some].mean(axis=0)
        others = [i for i in np.argsort(-scores) if i not in some]
        found = [item.decode() for item in answer["item_id"][row] if item]
        assert found == [names[i] for i in others]
        np.testing.assert_allclose(
            answer["score"][row, : len(others)], scores[others], rtol=1e-5
        )
        titles = [title.decode() for title in answer["title"][row] if title]
        assert titles == list(interactions.titles[np.array(others) + 1])
    assert answer["num_unknown"].tolist() == [0, 0, 1]


def test_exclusions_filters_and_each_rows_k_hold(recommender, interactions):
    names = interactions.vocabularies["item_id"].tolist()
    kinds = np.resize(["short", "long", "long"], len(names))
    answer = similar(
        recommender,
        [names[:1], names[1:2]],
        k=[len(names), 2],
        exclusions=[names[4:6], ["unheard of", ""]],
        kinds=[["long"], [""]],
    )
    expected = {*np.array(names)[kinds == "long"]} - {*names[4:6]}
    assert {item.decode() for item in answer["item_id"][0] if item} == expected
    assert np.count_nonzero(answer["item_id"][1]) == 2
    assert np.isneginf(answer["score"][1, 2:]).all()


def test_a_row_without_known_items_gets_none(recommender):
    answer = similar(recommender, [["unheard of"], []], k=3)
    assert not answer["item_id"].any()
    assert np.isneginf(answer["score"]).all()
    assert answer["num_unknown"].tolist() == [1, 0]


def test_a_simple_recommender_has_no_such_signature():
    frame = pd.DataFrame({"user_id": list("aabbc"), "item_id": list("pqpqp")})
    data = tm.data.from_frame(frame.assign(timestamp=range(5)))
    recommender = tm.serving.baseline_recommender(tm.baselines.Popularity(), data)
    assert recommender.signatures.keys() == {"serving_default", "filtered", "among"}
    with pytest.raises(KeyError):
        _ = recommender.similar_items
