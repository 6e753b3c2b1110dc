import re

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.ops.probabilities import check_probability


@pytest.mark.parametrize("wrong", [0.0, -0.25, 1.5, np.nan, np.inf])
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
