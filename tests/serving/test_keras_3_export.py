"""A program of Keras 3, without this package, asks an export."""

import json
import os
import subprocess
import sys

import numpy as np
import tensorflow as tf

PROGRAM = """
import json, sys
import keras, tensorflow as tf

class Export(keras.layers.Layer):
    def __init__(self, directory, signature="serving_default"):
        super().__init__()
        self.export = tf.saved_model.load(directory)
        self.answer = self.export.signatures[signature]

    def call(self, request):
        return self.answer(**request)

request = {
    "user_id": tf.constant(["u1", "nobody"]),
    "k": tf.constant([4, 2]),
    "exclude_seen": tf.constant([True, False]),
}
export = Export(sys.argv[1])
answer = export(request)
inputs = {n: keras.Input((), dtype=v.dtype.name, name=n) for n, v in request.items()}
again = keras.Model(inputs, export(inputs))(request)
assert tf.keras.__version__.startswith("3") and "tf_keras" not in sys.modules
for name, values in answer.items():
    assert (values.numpy() == again[name].numpy()).all(), name
print(json.dumps({n: v.numpy().astype(str).tolist() for n, v in answer.items()}))
"""


def test_a_layer_of_keras_3_around_an_export_answers_as_the_export_does(
    exported, recommender
):
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(exported)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    expected = recommender.recommend(
        user_id=tf.constant(["u1", "nobody"]),
        k=tf.constant([4, 2]),
        exclude_seen=tf.constant([True, False]),
    )
    for name in ("item_id", "title", "known_user"):
        np.testing.assert_array_equal(answer[name], expected[name].numpy().astype(str))
    np.testing.assert_allclose(
        np.array(answer["score"], float), expected["score"], rtol=1e-5
    )
