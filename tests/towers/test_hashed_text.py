import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.towers.hashed_text import HashedText


def test_a_text_is_the_sum_of_its_words_over_the_root_of_their_number():
    tower = HashedText(3, num_buckets=50)
    table, kernel, bias = tower.get_weights()
    bias += [0.3, -0.2, 0.1]
    tower.set_weights([table, kernel, bias])
    texts = ["old red house", "", "red red", "boat"]
    expected = []
    for text in texts:
        words = text.split()
        rows = [int(tf.strings.to_hash_bucket_fast(word, 50)) for word in words]
        total = sum((table[row] for row in rows), np.zeros(3))
        expected.append(total / max(len(words), 1) ** 0.5 @ kernel + bias)
    np.testing.assert_allclose(tower(tf.constant(texts)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("The OLD House", "the old house"),
        ("ÉCLAIR Über", "éclair über"),
        ("old, (red) house!", "old red house"),
        ("«old» 5€ boat…", "old 5 boat"),
        ("  old\thouse ", "old house"),
    ],
)
def test_capitals_and_punctuation_do_not_make_another_word(written, plain):
    tower = HashedText(4)
    one, other = tower(tf.constant([written, plain])).numpy()
    np.testing.assert_array_equal(one, other)
    assert np.abs(one).max() > 0


def test_the_text_is_the_feature_that_was_named():
    tower = HashedText(4, hidden_units=[5], feature="title")
    text = tf.constant(["old house", "boat"])
    by_name = tower({"title": text, "other": tf.constant(["boat", "boat"])})
    plain = HashedText(4, hidden_units=[5])
    plain.set_weights(tower.get_weights())
    np.testing.assert_array_equal(by_name, plain(text))
