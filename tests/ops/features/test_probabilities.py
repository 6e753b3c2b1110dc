import re

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.ops.features.probabilities import ProbabilityFloor, check_probability


@pytest.mark.parametrize("wrong", [-0.25, 1.5, np.nan, np.inf])
@pytest.mark.parametrize("ids", [None, ["ann", "bob", "cy", "dee"]])
def test_the_first_value_that_is_no_probability_is_named(wrong, ids):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        check_probability(
            tf.constant([1.0, 0.3, wrong, wrong]),
            None if ids is None else tf.constant(ids),
        )
    message = str(error.value)
    assert "candidate_sampling_probability" in message
    assert re.search(r"(?s)position and value.*2", message)
    assert ("cy" in message) == (ids is not None)


def test_probabilities_pass_unchanged():
    values = [1.0, 0.5, 1e-30]
    np.testing.assert_array_equal(
        check_probability(tf.constant(values)), np.float32(values)
    )


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("ids", [None, [7, 8, 9], ["ann", "bob", "cy"]])
def test_zero_counts_as_a_millionth_and_is_told_once(graph, ids):
    floor = ProbabilityFloor(None)
    ids = None if ids is None else tf.constant(ids)
    run = tf.function(lambda p: floor(p, ids)) if graph else lambda p: floor(p, ids)
    values = tf.constant([0.5, 0.0, 1e-9])
    name = {None: "", tf.int32: ", the id 8", tf.string: ", the id 'bob'"}
    name = name[None if ids is None else ids.dtype]
    with pytest.warns(
        UserWarning, match=f"1 of 3 cand.*probability` of 0{name}"
    ) as told:
        raised = [run(values), run(tf.constant([0.0, 0.0, 1.0]))]
    assert len(told) == 1
    np.testing.assert_allclose(raised[0], [0.5, 1e-6, 1e-9], rtol=1e-6)
    np.testing.assert_allclose(raised[1], [1e-6, 1e-6, 1.0], rtol=1e-6)


def test_zero_passes_where_xla_compiles():
    floor = tf.function(ProbabilityFloor(None), jit_compile=True)
    np.testing.assert_allclose(floor(tf.constant([0.0, 1.0])), [1e-6, 1.0])
