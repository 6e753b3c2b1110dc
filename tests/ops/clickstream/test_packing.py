import tensorflow as tf

from tfrs_models.ops.clickstream.packing import draw_order


def test_the_order_of_a_batch_is_a_random_order_of_the_objects_without_a_click():
    objects = tf.ragged.constant(
        [[0, 0, 1, 2, 2, 3], [], [0], [0, 1, 2]], dtype=tf.int32
    )
    clicked = tf.ragged.constant(
        [[False] * 2 + [True] + [False] * 3, [], [False], [True, False, True]]
    )
    seen = set()
    for seed in range(60):
        first, none, single, last = draw_order(objects, clicked, [seed, 1]).to_list()
        assert first[0] == first[1]
        assert first[3] == first[4]
        assert first[2] == 3  # the one with a click stands behind the others
        assert sorted({first[0], first[3], first[5]}) == [0, 1, 2]
        assert none == []
        assert single == [0]
        assert last[1] == 0
        seen.add((first[0], first[3], first[5]))
    assert len(seen) == 6
