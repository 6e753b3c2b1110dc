import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.towers import UserId


def test_integers_are_taken_modulo_the_buckets():
    tower = UserId(7, 3)
    ids = np.array([0, 6, 7, 15, 2**40 + 5])
    output = tower({"user_id": ids, "ignored": np.zeros(5)})
    table = tower.weights[0].numpy()
    assert table.shape == (7, 3)
    np.testing.assert_array_equal(output, [table[int(i) % 7] for i in ids])


def test_strings_get_a_row_each_and_always_the_same():
    tower = UserId(1000, 3)
    names = np.array([f"user {i}" for i in range(50)])
    output = tower({"user_id": names}).numpy()
    np.testing.assert_array_equal(tower({"user_id": names[::-1]}), output[::-1])
    assert len(np.unique(output, axis=0)) > 45  # few collisions
    table = tower.weights[0].numpy().tolist()
    assert all(row in table for row in output.tolist())


@pytest.mark.parametrize("known", [3, "ann"])
def test_dropped_ids_and_unknown_users_share_one_vector(known):
    tf.keras.utils.set_random_seed(0)
    tower = UserId(10, 3, id_dropout=0.25)
    unknown = tower({"user_id": np.array(["" if isinstance(known, str) else -1])})[0]
    ids = {"user_id": np.full(4000, known)}
    vector = tower(ids)[0]
    assert not np.allclose(unknown, vector)
    np.testing.assert_array_equal(tower(ids), np.tile(vector, [4000, 1]))
    output = tower(ids, training=True).numpy()
    is_unknown = (output == unknown.numpy()).all(axis=1)
    assert (is_unknown | (output == vector.numpy()).all(axis=1)).all()
    assert is_unknown.mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "uint32"])
def test_ids_of_any_integer_dtype_are_looked_up(dtype):
    tower = UserId(100_000, 2, id_dropout=0.1)
    ids = np.array([0, 1, 99])
    np.testing.assert_array_equal(
        tower({"user_id": ids.astype(dtype)}), tower({"user_id": ids})
    )


def test_the_feature_may_have_another_name():
    tower = UserId(5, 2, feature="member")
    assert tower({"member": np.array([1, 2])}).shape == (2, 2)
    with pytest.raises(ValueError, match=r"Feature `member` is missing.*user_id"):
        tower({"user_id": np.array([1, 2])})


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([1.0, 2.0]), r"`user_id` must be integers or strings.*float"),
        (np.array([[1], [2]]), r"`user_id` must be .*\(2, 1\)"),
    ],
)
def test_wrong_ids_are_named(ids, message):
    with pytest.raises(ValueError, match=message):
        UserId(5, 2)({"user_id": ids})


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 3), {}, "`num_buckets` and `embedding_dim` must be at least 1.*0 and 3"),
        ((3, 0), {}, "`num_buckets` and `embedding_dim` must be at least 1.*3 and 0"),
        ((3, 3), {"id_dropout": -0.1}, r"`id_dropout` must be in \[0, 1\). Got -0.1"),
    ],
)
def test_wrong_arguments_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        UserId(*arguments, **options)
