import numpy as np
import pytest
import tensorflow as tf

import tfrs_models
from tfrs_models.training import StopOnMetric


class Follows(tfrs_models.Model):
    """A model with one weight, which grows by one each epoch."""

    def __init__(self, figures, name):
        super().__init__()
        self.weight = tf.Variable(0.0)
        self.figures = tf.constant(figures)
        self.figure = tf.keras.metrics.Mean(name)

    def compute_loss(self, features, training=False):
        if not training:
            self.figure.update_state(self.figures[int(self.weight) - 1])
        return -self.weight * tf.reduce_sum(features["x"])


@pytest.mark.parametrize(
    ("name", "figures", "best"),
    [
        ("factorized_top_k/ndcg_at_10", [0.32, 0.38, 0.35, 0.33], 2),
        ("like/auc", [0.5, 0.6, 0.9, 0.7], 3),
        ("rating/rmse", [0.9, 0.7, 0.8, 0.95], 2),
    ],
)
def test_the_weights_of_the_best_epoch_are_restored(name, figures, best):
    model = Follows(figures, name)
    model.compile(tf.keras.optimizers.SGD(1.0), run_eagerly=True)
    data = {"x": np.ones([1, 1], "float32")}
    stop = StopOnMetric(f"val_{name}", patience=5)
    model.fit(data, validation_data=data, epochs=4, verbose=0, callbacks=[stop])
    assert float(model.weight) == best
    assert stop.best == pytest.approx(figures[best - 1])


def test_training_ends_after_its_patience():
    model = Follows([0.3, 0.2, 0.1, 0.4], "ndcg")
    model.compile(tf.keras.optimizers.SGD(1.0), run_eagerly=True)
    data = {"x": np.ones([1, 1], "float32")}
    history = model.fit(
        data,
        validation_data=data,
        epochs=4,
        verbose=0,
        callbacks=[StopOnMetric("val_ndcg", patience=2)],
    )
    assert len(history.epoch) == 3
    assert float(model.weight) == 1


def test_a_metric_of_ones_own_needs_its_direction():
    with pytest.raises(ValueError, match="`mode` must be given for `val_joy`"):
        StopOnMetric("val_joy")
    assert StopOnMetric("val_joy", mode="max").monitor_op is np.greater
    assert StopOnMetric("val_ndcg", mode="min").monitor_op is np.less  # who asks for it
    with pytest.raises(ValueError, match='must be "max", "min" or None. Got \'auto\''):
        StopOnMetric("val_ndcg", mode="auto")
