"""Both machines against loops over all pairs of active values."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.oracles import gradient
from tfrs_models.feature import Feature
from tfrs_models.layers import FactorizationMachine, FieldAwareFactorizationMachine
from tfrs_models.layers.interaction.field_embedding import FieldEmbedding

FIELDS = [
    Feature("user_id", "id", 5),
    Feature("genres", "bag", 4),
    Feature("text", "vector", dim=2),
    Feature("year", "number", mean=1990.0, scale=12.5),
    Feature("words", "bag", 3),
    Feature("decade", "id", 3),
]
BATCH = {
    # 0 and what is beyond the known values are unknown
    "user_id": np.array([1, 5, 0, 6, 99]),
    "genres": np.array([[1, 2, 3], [0, 0, 0], [4, 4, 0], [5, 1, 0], [2, 0, 3]]),
    # the third is missing
    "text": np.array([[3, -4], [0.1, 0], [0, 0], [-7, 1], [1e-30, 2e-30]], "float32"),
    "year": np.array([1990.0, 2002.5, 1950, 2020, 1999], "float32"),
    "words": np.array([[3, 1], [2, 0], [0, 0], [9, 9], [1, 2]]),
    "decade": np.array([3, 2, 1, 0, 4]),
}
MACHINES = [FactorizationMachine, FieldAwareFactorizationMachine]
machines = pytest.mark.parametrize("cls", MACHINES, ids=lambda cls: cls.__name__)
DIM = 3


def make(cls, fields=FIELDS, **options):
    """A machine whose weights are all of the order of one."""
    layer = cls(fields, DIM, **options)
    rng = np.random.default_rng(3)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer


def active(batch, row):
    """(field, {row of the table: weight}, value) of everything that is not zero."""
    found, offset = [], 0
    for place, field in enumerate(FIELDS):
        value = batch[field.name][row]
        if field.kind == "number":
            x = (float(value) - field.mean) / field.scale
            found.append((place, {offset: 1.0}, x))
            offset += 1
            continue
        if field.kind == "vector":
            length = math.hypot(*map(float, value))
            parts = {
                offset + 1 + d: float(x) / length for d, x in enumerate(value) if x
            }
            found.append((place, parts or {offset: 1.0}, 1.0))
            offset += 1 + field.dim
            continue
        known = [int(v) for v in np.atleast_1d(value) if 0 < v <= field.num_values]
        if field.kind == "id":
            found.append((place, {offset + (known[0] if known else 0): 1.0}, 1.0))
        else:
            x = 1 / math.sqrt(len(known) or 1)
            found += [(place, {offset + v: 1.0}, x) for v in known]
        offset += field.num_values + 1
    return found


def weights_of(table, rows):
    return sum(weight * table[row] for row, weight in rows.items())


def loops(cls, batch, bias, table):
    out = []
    for row in range(len(batch["user_id"])):
        values = active(batch, row)
        total = float(bias)
        values = [(f, weights_of(table, rows), x) for f, rows, x in values]
        for _, weights, x in values:
            total += weights[0] * x
        for one, (f, weights, x) in enumerate(values):
            for g, others, y in values[:one]:
                left, right = weights[1:], others[1:]
                if cls is FieldAwareFactorizationMachine:
                    left = left[g * DIM : (g + 1) * DIM]
                    right = right[f * DIM : (f + 1) * DIM]
                total += sum(a * b for a, b in zip(left, right, strict=True)) * x * y
        out.append(total)
    return np.array(out)


@machines
def test_the_logit_is_bias_linear_part_and_every_pair_once(cls):
    layer = make(cls)
    expected = loops(cls, BATCH, *layer.get_weights())
    np.testing.assert_allclose(layer(BATCH), expected, rtol=1e-5)


@machines
def test_gradients_are_those_of_the_definition(cls):
    layer = make(cls, dtype="float64")
    upstream = np.array([0.3, -1.2, 0.7, 2.0, -0.4])
    with tf.GradientTape() as tape:
        logits = layer(BATCH)
        total = tf.reduce_sum(upstream * logits)
    assert logits.dtype == tf.float64
    bias, table = map(tf.convert_to_tensor, tape.gradient(total, layer.weights))
    values = [w.astype("float64") for w in layer.get_weights()]
    assert float(bias) == pytest.approx(sum(upstream))
    expected = gradient(lambda t: upstream @ loops(cls, BATCH, values[0], t), values[1])
    np.testing.assert_allclose(table, expected, rtol=1e-5, atol=1e-7)


def test_values_of_one_bag_meet_each_other():
    genres = [Feature("genres", "bag", 4)]
    for cls in MACHINES:
        layer = make(cls, genres)
        bias, table = layer.get_weights()
        linear = bias + (table[1, 0] + table[3, 0]) / math.sqrt(2)
        pair = table[1, 1:] @ table[3, 1:] / 2
        found = layer({"genres": np.array([[3, 1, 0]])})
        assert float(found[0]) == pytest.approx(linear + pair, rel=1e-5)


def test_a_machine_starts_without_an_opinion_and_learns_pairs_only_it_can_see():
    """XOR of two ids: no sum of weights of single values can tell."""
    users, items = np.arange(400) % 2 + 1, np.arange(400) // 2 % 2 + 1
    batch = {"user": users, "item": items}
    labels = (users == items).astype("float32")
    for cls in MACHINES:
        tf.keras.utils.set_random_seed(0)
        layer = cls([Feature("user", "id", 2), Feature("item", "id", 2)], 4)
        assert np.abs(layer(batch)).max() < 0.1
        optimizer = tf.keras.optimizers.Adam(0.1)
        for _ in range(60):
            with tf.GradientTape() as tape:
                losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, layer(batch))
                loss = tf.reduce_mean(losses)
            optimizer.minimize(loss, layer.trainable_variables, tape=tape)
        assert float(loss) < 0.05


def test_fields_may_be_vectors_only():
    for cls in MACHINES:
        layer = make(cls, [Feature("text", "vector", dim=2)])
        bias, table = layer.get_weights()
        found = layer({"text": np.array([[3.0, -4], [0, 0]])})
        expected = bias + np.array([[0, 0.6, -0.8], [1, 0, 0]]) @ table[:, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("cls", [*MACHINES, FieldEmbedding])
def test_only_missing_vectors_have_no_say_at_first(cls):
    fields = [Feature("user_id", "id", 5), Feature("text", "vector", dim=2)]
    table = cls(fields, DIM).weights[-1].numpy()  # the rows: 6 of the id, 3 of the text
    assert np.flatnonzero(~table.any(axis=1)).tolist() == [6]


def test_embeddings_are_the_sums_of_each_fields_values():
    machine = make(FactorizationMachine)
    embedding = FieldEmbedding(FIELDS, DIM)
    _, table = machine.get_weights()
    embedding.set_weights([table[:, 1:]])
    expected = np.zeros((5, len(FIELDS), DIM))
    for row in range(5):
        for field, rows, x in active(BATCH, row):
            expected[row, field] += x * weights_of(table, rows)[1:]
    np.testing.assert_allclose(embedding(BATCH), expected, rtol=1e-5, atol=1e-6)
    logits, embeddings = machine.with_embeddings(BATCH)
    np.testing.assert_allclose(embeddings, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(logits, machine(BATCH))


@machines
@pytest.mark.parametrize("wide", [1, 2, 7])
def test_padding_changes_nothing(cls, wide):
    layer = make(cls)
    padded = BATCH | {"genres": np.pad(BATCH["genres"], [(0, 0), (wide, 2 * wide)])}
    np.testing.assert_allclose(layer(padded), layer(BATCH), rtol=1e-5)


@machines
@pytest.mark.parametrize(
    "mixed_policy", ["mixed_float16", "mixed_bfloat16"], indirect=True
)
@pytest.mark.usefixtures("mixed_policy")
def test_mixed_precision_loses_nothing(cls):
    layer = make(cls)
    logits = layer(BATCH)
    assert logits.dtype == tf.float32
    expected = loops(cls, BATCH, *layer.get_weights())
    np.testing.assert_allclose(logits, expected, rtol=1e-5)


@machines
@pytest.mark.parametrize("rows", [0, 1])
def test_batches_may_be_small_and_bags_of_any_length_in_a_graph(cls, rows):
    layer = make(cls)
    signature = {
        name: tf.TensorSpec([None] * np.ndim(value), tf.as_dtype(value.dtype))
        for name, value in BATCH.items()
    }
    function = tf.function(layer.__call__, input_signature=[signature])
    part = {name: value[:rows] for name, value in BATCH.items()}
    np.testing.assert_allclose(
        function(part), loops(cls, part, *layer.get_weights()), rtol=1e-5
    )


@pytest.mark.parametrize("cls", [*MACHINES, FieldEmbedding])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"genres": None}, "Feature `genres` is missing"),
        ({"age": np.ones(5)}, "Feature `age` is not declared"),
        ({"year": np.array(["x"] * 5)}, "`year` must hold numbers. Got string"),
        ({"user_id": np.ones(5)}, "`user_id`, a id, must hold integer"),
        ({"genres": np.ones(5, int)}, "`genres`, a bag, must have rank 2"),
        ({"text": np.ones(5)}, "`text`, a vector, must have rank 2"),
        ({"text": np.ones((5, 3))}, r"`text`, a vector, must have 2 comp.*\(5, 3\)"),
    ],
)
def test_a_wrong_feature_is_named(cls, change, message):
    batch = {k: v for k, v in (BATCH | change).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        cls(FIELDS, DIM)(batch)


@pytest.mark.parametrize("cls", [*MACHINES, FieldEmbedding])
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("year", 3, np.nan, r"`year` is not finite.*Rows\W+3\D+nan"),
        ("year", 2, -np.inf, r"`year` is not finite.*Rows\W+2\D+-inf"),
        ("text", (1, 0), np.nan, r"`text` is not finite.*Rows\W+1\D+nan"),
        ("user_id", 4, -1, r"`user_id` has negative indices.*Rows\W+4\D+-1"),
        ("genres", (1, 2), -7, r"`genres` has negative indices.*Rows\W+1\D+-7"),
    ],
)
def test_a_value_that_cannot_be_names_feature_and_row(
    cls, graph, name, place, value, message
):
    batch = {k: v.copy() for k, v in BATCH.items()}
    batch[name][place] = value
    layer = cls(FIELDS, DIM)
    call = tf.function(layer.__call__) if graph else layer
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s){message}"):
        call({name: tf.constant(value) for name, value in batch.items()})


@pytest.mark.parametrize("cls", [*MACHINES, FieldEmbedding])
@pytest.mark.parametrize(
    ("fields", "dim", "message"),
    [
        ([], 3, "`fields` must hold at least one"),
        (FIELDS + FIELDS[:1], 3, "`fields` must not repeat a feature.*user_id"),
        (FIELDS, 0, "`embedding_dim` must be at least 1. Got 0"),
    ],
)
def test_wrong_arguments_are_named(cls, fields, dim, message):
    with pytest.raises(ValueError, match=message):
        cls(fields, dim)
