import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.serving.client import InvalidRequest
from tfrs_models.serving.client.arrays import to_arrays


def to_array(values, dtype):
    return to_arrays({"x": values}, {"x": {"dtype": dtype, "shape": [None]}})["x"]


@pytest.mark.parametrize(
    ("values", "dtype", "first"),
    [
        ([5, 2**32 + 3, 2**33], "int32", "4294967299"),
        (2**40, "int32", "1099511627776"),
        (np.array([5, 2**63 + 3], "uint64"), "int64", "9223372036854775811"),
        ([[0, 255], [-1, 256]], "uint8", "-1"),
        ([1.5, 1e6, 1e7], "float16", "1000000.0"),
        ([70_000], "float16", "70000"),
        ([-1e40], "float32", r"-1e\+40"),
    ],
)
def test_the_first_value_that_does_not_fit_is_named(values, dtype, first):
    with pytest.raises(InvalidRequest, match=f"`x` is {dtype} and {first} does not"):
        to_array(values, dtype)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([2**31 - 1, -(2**31)], "int32"),
        (np.array([0, 2**63 - 1], "uint64"), "int64"),
        ([0, 255], "uint8"),
        ([np.inf, -np.inf, np.nan, 65_504.0], "float16"),
        ([3.4e38, 0.1], "float32"),
        ([True, False], "bool"),
        (7, "int32"),
        ([], "int32"),
        (np.empty([2, 0], object), "float32"),
        (np.empty([0], "U1"), "int64"),
    ],
)
def test_values_that_fit_pass(values, dtype):
    array = to_array(values, dtype)
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, np.array(values, dtype))


def test_bfloat16_is_a_float_too():
    array = to_array([0.5, np.inf], "bfloat16")
    assert array.dtype == ml_dtypes.bfloat16
    assert array.tolist() == [0.5, np.inf]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([[1], [2, 3]], "int64"),
        ([[1], 2], "float32"),
        (np.array([[1], [2, 3]], object), "int32"),
        ([["a"], ["b", "c"]], "string"),
        ([["é"], [b"\xff", "c"]], "string"),
        ([np.full([2, 2], "a"), np.full([2, 3], "b")], "string"),
    ],
)
def test_ragged_lists_are_to_be_padded(values, dtype):
    words = 'of the input `x` .* Pad the lists to one width with "" or -1'
    with pytest.raises(InvalidRequest, match=words):
        to_array(values, dtype)


@pytest.mark.parametrize(
    ("values", "dtype", "words"),
    [
        ([1], "bool", "must be bool. Got int64"),
        ([0.5], "int32", "must be int32. Got float64"),
        (["a"], "float32", "must be float32. Got <U1"),
        (["é", b"\xff", None], "string", "must be string. Got NoneType"),
        (tf.ragged.constant([[1], [2, 3]]), "int32", "must be int32. Got object"),
    ],
)
def test_another_kind_is_refused(values, dtype, words):
    with pytest.raises(InvalidRequest, match=f"`x` {words}"):
        to_array(values, dtype)
