"""A state dict is taken whole or not at all."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.towers import Cohort, MixtureOfRepresentations, UserId
from tfrs_models.towers.unit_norm import UnitNorm

RNG = np.random.default_rng(0)
STACK = {
    f"dhe_stack.{place}.{kind}": RNG.normal(size=shape).astype("float32")
    for place in (0, 2, 4, 6)
    for kind, shape in (("weight", (3, 3)), ("bias", (3,)))
}
ARRAYS = STACK | {
    "cohort_embedding_matrix": RNG.normal(size=(4, 3)).astype("float32"),
    "cohort_addressing_layer.0.weight": RNG.normal(size=(4, 5)).astype("float32"),
    "cohort_addressing_layer.0.bias": RNG.normal(size=4).astype("float32"),
}


def test_layers_without_an_input_yet_take_their_width_from_the_arrays():
    tower = Cohort(4, 3)
    assert tower.load_torch_state_dict(ARRAYS) == []
    kernel, bias = tower.addressing.get_weights()
    np.testing.assert_array_equal(kernel, ARRAYS["cohort_addressing_layer.0.weight"].T)
    np.testing.assert_array_equal(bias, ARRAYS["cohort_addressing_layer.0.bias"])
    first = tower.stack.stack[0].get_weights()[0]
    np.testing.assert_array_equal(first, STACK["dhe_stack.0.weight"].T)


def test_what_is_ours_alone_keeps_its_value_and_is_listed():
    tower = UserId(7, 3, id_dropout=0.1)
    unknown = tower.unknown.numpy()
    table = RNG.normal(size=(7, 3))
    names = tower.load_torch_state_dict({"user_id_embedding_arch.weight": table})
    assert len(names) == 1
    assert "unknown" in names[0]
    np.testing.assert_array_equal(tower.unknown, unknown)
    np.testing.assert_allclose(tower.embedding.table, table, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": np.zeros(3)}, r"Missing: \[\]. Without a place here: \['extra'\]"),
        ({"dhe_stack.2.bias": None}, r"Missing: \['dhe_stack.2.bias'\]"),
        (
            {"cohort_addressing_layer.0.weight": None},
            r"Missing: \['cohort_addressing_layer.0.weight'\]",
        ),
        (
            {"dhe_stack.2.bias": np.zeros(4)},
            r"`dhe_stack.2.bias` must be \(3,\) here, got \(4,\)",
        ),
        (
            {"cohort_addressing_layer.0.weight": np.zeros(4)},
            r"`cohort_addressing_layer.0.weight` must be \[out, in\].*\(4,\)",
        ),
        (
            {"cohort_addressing_layer.0.weight": np.zeros([5, 4])},
            r"`cohort_addressing_layer.0.weight` must be \[out, in\].*\(5, 4\)",
        ),
        (
            {"cohort_embedding_matrix": np.zeros([3, 4])},
            r"`cohort_embedding_matrix` must be \(4, 3\) here, got \(3, 4\)",
        ),
    ],
)
def test_arrays_that_do_not_fit_change_nothing(change, message):
    tower = Cohort(4, 3)
    before = [w.numpy() for w in tower.stack.weights]
    arrays = {k: v for k, v in (ARRAYS | change).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        tower.load_torch_state_dict(arrays)
    for weight, value in zip(tower.stack.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert tower.load_torch_state_dict(ARRAYS) == []  # and are no hindrance


def test_two_towers_cannot_read_one_array():
    mixture = MixtureOfRepresentations([UserId(7, 3), UserId(7, 3)])
    with pytest.raises(ValueError, match=r"two towers would read \['user_id_emb"):
        mixture.load_torch_state_dict({})


def test_towers_without_an_original_are_named():
    class Ours(tf.keras.layers.Layer):
        embedding_dim = 3

    with pytest.raises(ValueError, match="`Ours` has no original"):
        MixtureOfRepresentations([Ours()]).load_torch_state_dict({})
    assert not hasattr(UnitNorm(UserId(3, 2)), "load_torch_state_dict")
