"""What holds of every tower over histories."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import towers
from tfrs_models.data import Feature
from tfrs_models.towers.sequence.history_tower import newest, newest_steps

NUM_ITEMS, DIM = 30, 4
MAKE = {
    "recency": lambda items: towers.RecencyPooling(items, DIM),
    "recency with times": lambda items: towers.RecencyPooling(
        items, DIM, timestamp="history_timestamp"
    ),
    "gru": lambda items: towers.GRU4Rec(items, DIM, hidden_units=5),
    "auto-correlation": lambda items: towers.AutoCorrelationTower(
        items, DIM, seq_len=12, num_heads=2
    ),
    "sasrec": lambda items: towers.SASRec(items, DIM, seq_len=12, num_heads=2),
}
ALL = {
    "timestamp": "history_timestamp",
    "query_time": "timestamp",
    "clock": True,
    "utc_offset": "utc_offset",
    "event": Feature("history_event", "id", 3),
    "weight": "history_weight",
}
MAKE |= {
    "recency with all": lambda items: towers.RecencyPooling(items, DIM, **ALL),
    "gru with all": lambda items: towers.GRU4Rec(items, DIM, **ALL),
    "auto-correlation with all": lambda items: towers.AutoCorrelationTower(
        items, DIM, seq_len=12, **ALL
    ),
    "sasrec with all": lambda items: towers.SASRec(items, DIM, seq_len=12, **ALL),
}
every = pytest.mark.parametrize("kind", MAKE)


def make(kind):
    """A tower with weights drawn at random, so that nothing cancels."""
    tf.keras.utils.set_random_seed(0)
    tower = MAKE[kind](towers.FeatureTower([Feature("item_id", "id", NUM_ITEMS)], DIM))
    tower(inputs(tf.ones([1, 3], tf.int64)))
    rng = np.random.default_rng(1)
    tower.set_weights([rng.normal(size=w.shape) for w in tower.get_weights()])
    return tower


def inputs(history, return_sequences=False):
    """With times, the later the further they lie apart; padding has some too."""
    count = tf.cumsum(tf.cast(history != 0, tf.int64), axis=1)
    requests = 40 * count**3 + 7_919 * count
    return {
        "history": history,
        "history_timestamp": 40 * count**3,
        "timestamp": requests if return_sequences else requests[:, -1],
        "utc_offset": tf.zeros_like(history[:, 0]) - 3_600,
        "history_event": (7 * history + 2) % 5,
        "history_weight": tf.cast(history % 5, tf.float32) + 0.5,
    }


def embed(tower, *rows, return_sequences=False, **options):
    features = inputs(tf.constant(rows, tf.int64), return_sequences)
    return tower(features, return_sequences=return_sequences, **options).numpy()


@every
def test_padding_changes_nothing_wherever_it_stands(kind):
    tower = make(kind)
    bare = embed(tower, [3, 9, 9, 1])
    padded = embed(
        tower, [3, 9, 9, 1, 0, 0, 0], [0, 0, 0, 3, 9, 9, 1], [0, 3, 9, 0, 0, 9, 1]
    )
    np.testing.assert_allclose(padded, np.tile(bare, [3, 1]), rtol=1e-5, atol=1e-6)


@every
def test_a_row_does_not_depend_on_its_neighbours(kind):
    tower = make(kind)
    alone = embed(tower, [3, 9, 2, 0])
    together = embed(tower, [8, 0, 0, 0], [3, 9, 2, 0], [1, 1, 5, 7])
    np.testing.assert_allclose(together[1], alone[0], rtol=1e-5, atol=1e-6)


@every
def test_every_position_is_the_embedding_of_what_came_up_to_it(kind):
    tower = make(kind)
    row = [7, 2, 30, 2, 11, 5]
    positions = embed(tower, row, return_sequences=True)[0]
    for end in range(1, len(row) + 1):
        np.testing.assert_allclose(
            positions[end - 1], embed(tower, row[:end])[0], rtol=1e-4, atol=1e-5
        )


@every
def test_what_comes_later_changes_no_earlier_position(kind):
    tower = make(kind)
    one = embed(tower, [7, 2, 30, 2, 11, 5], return_sequences=True)
    two = embed(tower, [7, 2, 30, 9, 0, 1], return_sequences=True)
    np.testing.assert_allclose(one[:, :3], two[:, :3], rtol=1e-5, atol=1e-6)
    assert not np.allclose(one[:, 3:], two[:, 3:])


@every
def test_the_order_of_the_items_matters(kind):
    tower = make(kind)
    assert not np.allclose(embed(tower, [3, 9, 4]), embed(tower, [4, 9, 3]), atol=1e-3)


@every
@pytest.mark.parametrize("seq_len", [1, 5])
def test_an_empty_history_is_the_zero_vector(kind, seq_len):
    tower = make(kind)
    empty = tower(inputs(tf.zeros([2, seq_len], tf.int64)))
    np.testing.assert_array_equal(empty, np.zeros((2, DIM)))
    positions = embed(tower, [0, 0, 3, 4], return_sequences=True)
    assert np.isfinite(positions).all()


@every
def test_gradients_are_finite_beside_an_empty_history(kind):
    tower = make(kind)
    with tf.GradientTape() as tape:
        output = tower(
            inputs(tf.constant([[0, 0, 0], [0, 4, 0], [1, 2, 3]], tf.int64), True),
            training=True,
            return_sequences=True,
        )
        loss = tf.reduce_sum(tf.math.l2_normalize(output, axis=-1) ** 2 * [1, 2, 3, 4])
    for gradient in tape.gradient(loss, tower.trainable_weights):
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()


@every
def test_items_have_the_embedding_of_the_candidate_tower(kind):
    tower = make(kind)
    embeddings, real = tower.embed(tf.constant([[4, 4, 0], [9, 4, 1]], tf.int64))
    table = tower.item_tower({"item_id": np.arange(NUM_ITEMS + 1)}).numpy()
    np.testing.assert_allclose(embeddings, table[[[4, 4, 0], [9, 4, 1]]])
    np.testing.assert_array_equal(real, [[1, 1, 0], [1, 1, 1]])
    names = [w.name for w in tower.trainable_weights]
    assert sum("item_id" in name for name in names) == 1


def test_training_reaches_the_tower_of_the_items():
    fields = [Feature("item_id", "id", NUM_ITEMS)]
    items = towers.FeatureTower(fields, DIM, id_dropout=0.5)
    tower = towers.GRU4Rec(items, DIM, dropout=0.0)
    rows = tf.range(1, NUM_ITEMS + 1, dtype=tf.int64)[None]
    still, dropped = tower.embed(rows)[0][0], tower.embed(rows, training=True)[0][0]
    unknown = np.all(dropped == items({"item_id": [0]}), axis=1)
    assert 0 < unknown.sum() < NUM_ITEMS
    np.testing.assert_array_equal(dropped[~unknown], still[~unknown])
    for options in ({}, {"return_sequences": True}):
        calm = tower({"history": rows}, **options)
        assert np.any(tower({"history": rows}, training=True, **options) != calm)


@every
def test_lengths_unknown_to_the_graph_are_welcome(kind):
    tower = make(kind)
    function = tf.function(
        lambda history: tower(inputs(history)),
        input_signature=[tf.TensorSpec([None, None], tf.int64)],
    )
    for row in ([5], [5, 6, 0, 8], list(range(1, 21))):
        np.testing.assert_allclose(
            function(tf.constant([row], tf.int64)), embed(tower, row), rtol=1e-5
        )


@pytest.mark.parametrize(
    "kind", [kind for kind in MAKE if kind.startswith(("auto", "sasrec"))]
)
def test_too_long_a_history_counts_by_its_newest_items(kind):
    tower = make(kind)
    long = list(range(1, 20))

    def of(*rows):
        history = tf.constant(rows, tf.int64)
        times = {
            "history_timestamp": 900 * history**2,
            "timestamp": [10**6] * len(rows),
        }
        return tower(inputs(history) | times).numpy()

    np.testing.assert_allclose(
        of(long, [*long[-12:], *[0] * 7], [*[0] * 7, *long[-12:]]),
        np.tile(of(long[-12:]), [3, 1]),
        rtol=1e-5,
    )
    with pytest.raises(ValueError, match="`history` must have at most 12 positions"):
        embed(tower, long, return_sequences=True)


WITH_ALL = pytest.mark.parametrize("kind", [k for k in MAKE if k.endswith("all")])


@WITH_ALL
def test_every_position_has_its_own_request_and_the_last_is_that_of_the_row(kind):
    tower = make(kind)
    history = tf.constant([[7, 2, 30, 0, 11], [4, 4, 1, 9, 2]], tf.int64)
    features = inputs(history, True)
    before = tower(features, return_sequences=True).numpy()
    requests = features["timestamp"].numpy()
    row = features | {"timestamp": requests[:, -1]}
    np.testing.assert_allclose(before[:, -1], tower(row), rtol=1e-4, atol=1e-5)
    for position in range(5):
        changed = requests.copy()
        changed[:, position] += 50_000
        changed = features | {"timestamp": changed}
        after = tower(changed, return_sequences=True).numpy()
        others = np.arange(5) != position
        np.testing.assert_array_equal(before[:, others], after[:, others])
        assert np.abs(before[:, position] - after[:, position]).max(axis=1).min() > 1e-3


@WITH_ALL
def test_a_request_of_unknown_or_earlier_time_is_made_at_the_newest_item(kind):
    tower = make(kind)
    features = inputs(tf.constant([[0, 7, 2, 30], [4, 4, 1, 0]], tf.int64))
    newest = tf.reduce_max(features["history_timestamp"], axis=1)
    expected = tower(features | {"timestamp": newest})
    assert not np.allclose(tower(features), expected, atol=1e-3)
    for times in (tf.zeros_like(newest), newest - 100, -newest):
        found = tower(features | {"timestamp": times})
        np.testing.assert_array_equal(found, expected)


@WITH_ALL
@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("history_timestamp", [[100, 200, 5_000, 90_000]]),
        ("timestamp", [10**6]),
        ("utc_offset", [7_200]),
        ("history_event", [[1, 3, 2, 0]]),
        ("history_weight", [[9.0, 0.0, 2.0, 5.0]]),
    ],
)
def test_each_declared_feature_is_read(kind, name, other):
    tower = make(kind)
    features = inputs(tf.constant([[7, 2, 30, 1]], tf.int64))
    changed = features | {name: tf.constant(other, features[name].dtype)}
    assert not np.allclose(tower(features), tower(changed), atol=1e-3)


@WITH_ALL
def test_what_is_declared_starts_without_effect(kind):
    tower = MAKE[kind](towers.FeatureTower([Feature("item_id", "id", NUM_ITEMS)], DIM))
    features = inputs(tf.constant([[7, 2, 30, 1], [4, 0, 0, 0]], tf.int64))
    others = {k: v + 1 for k, v in features.items() if k != "history"}
    found = tower(features)
    assert np.abs(found).max() > 0
    np.testing.assert_array_equal(found, tower(features | others))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query_time": "t"}, "`query_time` needs `timestamp` too"),
        ({"clock": True}, "`clock` needs `timestamp` too"),
        ({"timestamp": "t", "utc_offset": "o"}, "`utc_offset` needs `clock` too"),
        ({"event": Feature("e", "number")}, '`event` must be.*of kind "id"'),
        ({"event": "e"}, "`event` must be.*Got 'e'"),
    ],
)
def test_options_that_need_others_say_so(options, message):
    items = towers.FeatureTower([Feature("item_id", "id", 3)], DIM)
    with pytest.raises(ValueError, match=message):
        towers.GRU4Rec(items, DIM, **options)


@WITH_ALL
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "timestamp",
            None,
            "`timestamp`, the time of the request, is missing.*value 0",
        ),
        ("timestamp", np.ones([1]), "`timestamp` must be whole seconds.*float64"),
        ("timestamp", np.ones([2], "int64"), r"one for each row, \(1,\).*\(2,\)"),
        ("timestamp", np.ones([1, 3], "int64"), "one for each row"),
        ("utc_offset", None, "`utc_offset`, the seconds that local.*is missing"),
        ("history_event", None, "`history_event` is missing"),
        ("history_event", np.ones([1, 3]), "`history_event` must hold integer ids"),
        ("history_event", np.ones([1, 2], int), "one id for each item of `history`"),
        ("history_weight", np.array([["a"] * 3]), "`history_weight` must hold numbers"),
        ("history_weight", np.ones([2, 3]), "one for each item of `history`"),
    ],
)
def test_wrong_declared_features_are_named(kind, name, value, message):
    if kind != "gru with all" and name != "timestamp":
        return  # one class reads them for all towers
    tower = MAKE[kind](towers.FeatureTower([Feature("item_id", "id", 9)], DIM))
    features = inputs(tf.constant([[1, 2, 3]], tf.int64))
    features.pop(name)
    with pytest.raises(ValueError, match=message):
        tower(features if value is None else features | {name: value})


def test_all_positions_need_a_time_of_the_request_each():
    tower = make("gru with all")
    features = inputs(tf.constant([[1, 2, 3]], tf.int64))
    with pytest.raises(ValueError, match="one for each position where all are embed"):
        tower(features, return_sequences=True)


@pytest.mark.parametrize("length", [1, 3, 9])
def test_the_newest_items_of_a_row(length):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 4, size=(8, 6))
    found = newest(tf.constant(rows), length).numpy()
    for row, kept in zip(rows, found, strict=True):
        items = [item for item in row if item][-length:]
        assert kept.tolist() == items + [0] * (min(length, 6) - len(items))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "`history` is missing.*with_histories"),
        ({"history": np.array([1, 2])}, r"`history` must be \[batch, seq_len\]"),
        ({"history": np.ones([2, 0], "int64")}, "seq_len 1 or more"),
        ({"history": np.ones([2, 3])}, "`history` must be.*integer.*float64"),
    ],
)
@every
def test_a_wrong_history_is_named(kind, features, message):
    with pytest.raises(ValueError, match=message):
        MAKE[kind](towers.FeatureTower([Feature("item_id", "id", 3)], DIM))(features)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (towers.RecencyPooling, {"half_lives": []}, "`half_lives` must hold at least"),
        (towers.RecencyPooling, {"half_lives": [-1.0]}, "none negative"),
        (towers.RecencyPooling, {"half_lives": [np.nan]}, "none negative"),
        (towers.RecencyPooling, {"dropout": 1.0}, r"`dropout` must be in \[0, 1\)"),
        (towers.GRU4Rec, {"dropout": -0.1}, r"`dropout` must be in \[0, 1\)"),
        (towers.AutoCorrelationTower, {"seq_len": 0}, "`seq_len` must be at le"),
        (towers.AutoCorrelationTower, {"num_layers": 0}, "`num_layers` must be at le"),
        (towers.SASRec, {"seq_len": 0}, "`seq_len` must be at least 1. Got 0"),
        (towers.SASRec, {"num_layers": 0}, "`num_layers` must be at least 1. Got 0"),
        (towers.SASRec, {"num_heads": 3}, "`num_heads` must be at least 1 and divide"),
    ],
)
def test_wrong_arguments_are_named(cls, options, message):
    items = towers.FeatureTower([Feature("item_id", "id", 3)], DIM)
    with pytest.raises(ValueError, match=message):
        cls(items, DIM, **options)


@pytest.mark.parametrize("length", [1, 3, 9])
def test_the_newest_real_steps_stand_at_the_end_of_the_window(length):
    rng = np.random.default_rng(0)
    real = rng.random((8, 6)) < 0.6
    real[0] = False
    places, mask = newest_steps(tf.constant(real), length)
    for row in range(len(real)):
        newest = np.flatnonzero(real[row])[-length:]
        empty = length - len(newest)
        assert mask[row].numpy().tolist() == [False] * empty + [True] * len(newest)
        assert places[row].numpy().tolist() == [0] * empty + newest.tolist()


@pytest.mark.parametrize("kind", [towers.GRU4Rec, towers.SASRec])
def test_a_prefix_without_items_has_the_embedding_of_a_row_without_items(kind):
    items = towers.FeatureTower([Feature("item_id", "id", 5)], 4)
    options = {"seq_len": 3} if kind is towers.SASRec else {}
    tower = kind(items, 4, **options)
    history = {"history": tf.constant([[0, 0, 3], [2, 0, 1]])}
    prefixes = tower(history, return_sequences=True)
    np.testing.assert_array_equal(prefixes[0, :2], np.zeros([2, 4]))
    assert np.abs(prefixes.numpy()[[0, 1, 1, 1], [2, 0, 1, 2]]).min() > 0
