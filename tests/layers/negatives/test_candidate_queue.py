import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.layers import CandidateQueue


def rows(start, stop):
    values = np.arange(start, stop)
    return (
        tf.constant(values[:, None] + [0.0, 0.5], tf.float32),
        tf.constant(values * 2**40),
        tf.constant(values / 100, tf.float32),
    )


def held(queue):
    embeddings, ids, probability = (part.numpy() for part in queue(None))
    order = np.argsort(ids)
    return embeddings[order], ids[order], probability[order]


@pytest.mark.parametrize(
    "sizes", [[2], [3, 1], [3, 3], [2, 2, 2, 2, 2], [9], [4, 7, 1]]
)
def test_the_newest_candidates_are_kept(sizes):
    queue = CandidateQueue(5, 2)
    start = 1
    for size in sizes:
        queue.enqueue(*rows(start, start + size))
        start += size
    expected = rows(max(1, start - 5), start)
    for part, values in zip(held(queue), expected, strict=True):
        np.testing.assert_allclose(part, values)


def test_nothing_comes_out_before_the_warm_up_is_over():
    queue = CandidateQueue(4, 2, warmup=2)
    for batch in range(2):
        assert len(queue(None)[0]) == 0
        queue.enqueue(*rows(batch, batch + 1))
    assert len(queue(None)[0]) == 2


def test_text_ids_have_keys_that_are_equal_where_they_are():
    queue = CandidateQueue(3, 1)
    queue.enqueue(tf.ones([3, 1]), tf.constant(["a", "b", "a"]))
    keys = queue(None)[1].numpy()
    assert keys[0] == keys[2] != keys[1]


def test_no_gradient_flows_into_the_queue():
    queue = CandidateQueue(3, 2)
    embeddings = tf.Variable(tf.ones([2, 2]))
    with tf.GradientTape() as tape:
        queue.enqueue(embeddings * 2)
        loss = tf.reduce_sum(queue(None)[0])
    assert float(loss) == 8
    assert tape.gradient(loss, embeddings) is None


def test_the_queue_is_saved_with_its_place(tmp_path):
    queue, restored = CandidateQueue(3, 2), CandidateQueue(3, 2)
    queue.enqueue(*rows(1, 3))
    path = tf.train.Checkpoint(queue=queue).save(tmp_path / "queue")
    tf.train.Checkpoint(queue=restored).restore(path).assert_consumed()
    for one in (queue, restored):
        one.enqueue(*rows(3, 5))
    for part, other in zip(held(queue), held(restored), strict=True):
        np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 2), "`capacity` and `embedding_dim` must be at least 1. Got 0 and 2"),
        ((2, 0), "Got 2 and 0"),
        ((2, 2, -1), "`warmup` must not be negative. Got -1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        CandidateQueue(
            *arguments[:2], **dict(zip(["warmup"], arguments[2:], strict=False))
        )


@pytest.mark.parametrize("width", [1, 3])
def test_another_width_is_refused(width):
    message = rf"must have the queue's width, 2\. Got {width}"
    with pytest.raises(ValueError, match=message):
        CandidateQueue(4, 2).enqueue(tf.ones([1, width]))


def test_a_candidate_without_probability_has_not_that_of_the_one_before():
    queue = CandidateQueue(3, 2)
    queue.enqueue(tf.ones([3, 2]), tf.constant([1, 2, 3]), tf.constant([0.5, 0.3, 0.2]))
    queue.enqueue(tf.zeros([2, 2]), tf.constant([4, 5]))
    _, ids, probability = queue(None)
    found = dict(zip(ids.numpy().tolist(), probability.numpy().tolist(), strict=True))
    assert found == {4: 0.0, 5: 0.0, 3: pytest.approx(0.2)}
