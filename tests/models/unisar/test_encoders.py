"""Texts, items and users as vectors."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.models.unisar.encoders import EntityEncoder, QueryEncoder

WORDS = np.array([[3, 1, 0, 0], [0, 0, 0, 0], [2, 0, 2, 5]])
CAPTIONS = np.concatenate([[[0, 0, 0, 0]], WORDS])


def query_encoder():
    tf.keras.utils.set_random_seed(0)
    layer = QueryEncoder(5, 3, output_dim=4)
    layer(WORDS)
    layer._project.bias.assign([0.1, -0.2, 0.3, 0.4])
    return layer


def test_a_text_is_the_mean_of_its_words():
    layer = query_encoder()
    table = layer.table.numpy()
    kernel, bias = layer._project.get_weights()
    for text, found in zip(WORDS, layer(WORDS), strict=True):
        vectors = [table[word] for word in text if word > 0]
        mean = np.mean(vectors, axis=0) if vectors else np.zeros(3)
        np.testing.assert_allclose(found, np.tanh(mean @ kernel + bias), rtol=1e-5)
    nested = layer(WORDS.reshape(1, 3, 1, 4))
    assert nested.shape == (1, 3, 1, 4)
    np.testing.assert_allclose(nested[0, :, 0], layer(WORDS), rtol=1e-6)


def test_words_that_occur_learn_and_no_others():
    layer = query_encoder()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(WORDS) ** 2)
    gradient = tape.gradient(loss, layer.table)
    assert isinstance(gradient, tf.IndexedSlices)
    assert sorted(gradient.indices.numpy()) == [1, 2, 3, 5]


def entity_encoder(**options):
    tf.keras.utils.set_random_seed(1)
    layer = EntityEncoder(
        4,
        3,
        output_dim=5,
        categories={"genre": 3, "shop": 2},
        text=query_encoder(),
        text_length=4,
        **options,
    )
    layer.set_attributes(
        {"genre": [0, 2, 0, 1], "shop": [0, 1, 1, 0], "caption": CAPTIONS}
    )
    return layer


@pytest.mark.parametrize("padding", [True, False])
def test_an_entity_is_its_parts_side_by_side(padding):
    layer = entity_encoder(padding=padding)
    ids = np.array([[3, 0, 2], [2, 1, 1]])
    found = layer(ids).numpy()
    layer._project.bias.assign(np.arange(5) / 5)
    found = layer(ids).numpy()
    kernel, bias = layer._project.get_weights()
    tables = {name: table.numpy() for name, table in layer._tables.items()}
    texts = layer.text(CAPTIONS).numpy()
    genres, shops = [0, 2, 0, 1], [0, 1, 1, 0]
    for place in np.ndindex(*ids.shape):
        entity = ids[place]
        rows = [("id", entity), ("genre", genres[entity]), ("shop", shops[entity])]
        parts = [
            np.zeros(3) if padding and value == 0 else tables[name][value]
            for name, value in rows
        ]
        parts.insert(1, texts[entity])
        wanted = np.tanh(np.concatenate(parts) @ kernel + bias)
        if padding and entity == 0:
            wanted = np.zeros(5)
        np.testing.assert_allclose(found[place], wanted, rtol=1e-5, atol=1e-6)


def test_an_entity_without_attributes_is_its_id():
    layer = EntityEncoder(4, 3, output_dim=5)
    assert layer(np.array([1, 1])).shape == (2, 5)
    assert len(layer.trainable_variables) == 3


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"genre": [0]}, r"those of .*\['caption', 'genre', 'shop'\]. Got \['genre'\]"),
        ({"genre": [3], "shop": [0]}, "`genre` must be from 0 to 2.*Got 0 to 3"),
        ({"genre": [0], "shop": [-1]}, "`shop` must be from 0 to 1.*Got -1 to 0"),
        ({"genre": [0] * 5, "shop": [0]}, "`genre` must have the shape"),
        (
            {"genre": [0], "shop": [1], "caption": [[6, 0, 0, 0]]},
            "`caption` must be from 0 to 5",
        ),
    ],
)
def test_wrong_attributes_are_named_and_change_nothing(columns, message):
    layer = entity_encoder()
    before = [weight.copy() for weight in layer.get_weights()]
    if len(columns) == 2:
        columns = columns | {"caption": CAPTIONS}
    with pytest.raises(ValueError, match=message):
        layer.set_attributes(columns)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_text_needs_a_length():
    with pytest.raises(
        ValueError, match="`text_length` must be at least 1 with `text`"
    ):
        EntityEncoder(4, 3, output_dim=5, text=query_encoder())


def test_attributes_that_are_set_again_forget_the_first():
    layer, ids = entity_encoder(), np.arange(4)
    first = layer(ids).numpy()
    columns = {"genre": [1, 1], "shop": [0, 1], "caption": CAPTIONS[2:]}
    layer.set_attributes(columns)
    again = layer(ids).numpy()
    layer.set_attributes(
        {
            name: np.concatenate([values, np.zeros_like(values)])
            for name, values in columns.items()
        }
    )
    np.testing.assert_array_equal(layer(ids), again)
    assert np.all(np.any(again != first, axis=1)[2:])  # there was something to forget
