import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.training import AccumulateMetrics


def fit(callback, values):
    """The logs of epochs with some values of a metric, as `fit` would make them."""
    callback.on_train_begin()
    logs = [{"loss": value, "other": 1.0} for value in values]
    for epoch, log in enumerate(logs):
        callback.on_epoch_end(epoch, log)
    return logs


def test_means_and_extremes_are_of_the_epochs_so_far():
    values = [3.0, 1.0, 2.5, 7.0]
    for epoch, log in enumerate(fit(AccumulateMetrics(["loss"], window=2), values)):
        so_far = values[: epoch + 1]
        assert log == pytest.approx(
            {
                "loss": values[epoch],
                "other": 1.0,
                "mean_loss": np.mean(so_far),
                "sliding_loss": np.mean(so_far[-2:]),
                "min_loss": min(so_far),
                "max_loss": max(so_far),
            }
        )


def test_every_name_is_accumulated_by_itself_and_one_that_is_not_there_is_left_out():
    callback = AccumulateMetrics(["nowhere", "loss", "auc"])
    callback.on_train_begin()
    for epoch, (loss, auc) in enumerate([(3.0, 0.5), (1.0, 0.75)]):
        log = {"loss": loss, "auc": auc}
        callback.on_epoch_end(epoch, log)
    assert (log["mean_loss"], log["min_loss"]) == (2.0, 1.0)
    assert (log["mean_auc"], log["max_auc"]) == (0.625, 0.75)
    assert not any("nowhere" in name for name in log)


def test_a_second_fit_begins_anew():
    callback = AccumulateMetrics(["loss"])
    fit(callback, [100.0, -100.0])
    assert fit(callback, [3.0, 1.0]) == fit(AccumulateMetrics(["loss"]), [3.0, 1.0])


def test_one_name_alone_is_refused():
    with pytest.raises(ValueError, match="`names` must be a sequence.* Got 'loss'"):
        AccumulateMetrics("loss")


def test_callbacks_after_it_may_watch_a_sliding_mean():
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    stop = tf.keras.callbacks.EarlyStopping("sliding_loss", patience=1, min_delta=9.0)
    history = model.fit(
        np.ones([4, 1]),
        np.ones([4, 1]),
        epochs=5,
        verbose=0,
        callbacks=[AccumulateMetrics(["loss"]), stop],
    )
    assert len(history.history["sliding_loss"]) == 2
