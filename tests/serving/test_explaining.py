"""Reasons of an answer, against a loop that leaves one item out at a time."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.serving.explaining import reasons


def test_each_reason_is_the_fall_of_the_score_without_the_item(live_recommender, dated):
    names = dated.vocabularies["item_id"].tolist()
    history, times = [names[i] for i in (3, 5, 1, 8)], [10, 20, 400, 500]

    def scores(places):
        (found,) = live_recommender.ask(
            history=[history[i] for i in places],
            history_time=[times[i] for i in places],
            exclude_seen=False,
            k=len(names),
        )
        return dict(zip(found["item_id"], found["score"], strict=True))

    (found,) = live_recommender.ask(
        history=history, history_time=times, exclude_seen=False, k=5, why=True
    )
    whole = scores(range(4))
    without = [scores([i for i in range(4) if i != left]) for left in range(4)]
    for row, item in enumerate(found["item_id"]):
        falls = np.array([whole[item] - scores_[item] for scores_ in without])
        raises = np.maximum(falls, 0)
        shares = raises / raises.sum()
        order = [i for i in np.argsort(-shares)[:3] if shares[i] > 0]
        blank = [""] * (3 - len(order))
        assert found["why_item_id"][row] == [history[i] for i in order] + blank
        np.testing.assert_allclose(
            found["why_share"][row][: len(order)], shares[order], rtol=1e-3, atol=1e-5
        )


def test_the_most_popular_items_have_no_reasons(live_recommender):
    (found,) = live_recommender.ask("nobody", k=2, why=True)
    assert found["why_item_id"] == [[""] * 3] * 2
    assert found["why_share"] == [[0.0] * 3] * 2


def test_shares_are_of_what_raises_the_score():
    falls = tf.constant([[[3.0, -1.0, 1.0, 0.0]]])
    items, shares = reasons(falls, tf.constant([[7, 8, 9, 0]]))
    assert items.numpy().tolist() == [[[7, 9, 0]]]
    assert shares.numpy().tolist() == [[[pytest.approx(0.75), 0.25, 0.0]]]
