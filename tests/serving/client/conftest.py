import pytest
import tensorflow as tf

from tfrs_models.serving import export


class Echo(tf.Module):
    """Every kind of value in, the same out; one signature with a single output."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "text"),
            tf.TensorSpec([None, 2], tf.float32, "dense"),
            tf.TensorSpec([], tf.int32, "k"),
            tf.TensorSpec([], tf.bool, "flag"),
        ]
    )
    def echo(self, text, dense, k, flag):
        tf.debugging.assert_positive(k, "`k` must be positive.")
        return {"text": text, "dense": -dense, "k": k + 1, "flag": ~flag}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "item")])
    def next_item(self, item):
        return {"item": item + 1}

    @property
    def signatures(self):
        return {"serving_default": self.echo, "next": self.next_item}

    @property
    def samples(self):
        return {}


@pytest.fixture(scope="session")
def versions(tmp_path_factory):
    """Two versions of a model."""
    directory = tmp_path_factory.mktemp("echo")
    for _ in range(2):
        export(Echo(), directory)
    return directory
