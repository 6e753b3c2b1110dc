"""A training on two replicas goes on as if it had not been interrupted."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm


class StopError(Exception):
    """A training is interrupted."""


@pytest.mark.parametrize(("method", "call"), [("train", 5), ("test", 2)])
def test_two_replicas_go_on_with_the_next_batch(strategy, tmp_path, method, call):
    rng = np.random.default_rng(0)
    rows, held_out = (
        {name: rng.integers(1, 9, size=size) for name in ("user_id", "item_id")}
        for size in (22, 7)
    )

    def train(folder, *, stop=None, resume=False):
        left = [stop]

        class StopAt(tf.keras.callbacks.Callback):
            def reached(self, kind):
                if left[0] is not None and kind == method:
                    left[0] -= 1
                    if not left[0]:
                        raise StopError

            def on_train_batch_begin(self, *_):
                self.reached("train")

            def on_test_batch_begin(self, *_):
                self.reached("test")

        tf.keras.utils.set_random_seed(2)
        with strategy.scope():
            model = tm.models.TwoTower(
                tm.towers.UserId(9, 2), tm.towers.UserId(9, 2, feature="item_id")
            )
            model.compile(tf.keras.optimizers.Adam(0.1))
        data = tf.data.Dataset.from_tensor_slices(rows)
        try:
            history = tm.training.fit_resumable(
                model,
                data.shuffle(30, seed=1).batch(6),
                folder=folder,
                identity={},
                resume=resume,
                epochs=3,
                validation_data=tf.data.Dataset.from_tensor_slices(held_out).batch(4),
                callbacks=[StopAt()],
                checkpoint_minutes=1e-9,
            ).history
        except StopError:
            return None
        return [
            v.numpy() for v in [*model.weights, *model.optimizer.variables]
        ], history

    values, history = train(tmp_path / "whole")
    assert train(tmp_path / "stopped", stop=call) is None
    resumed, history_again = train(tmp_path / "stopped", resume=True)
    assert history_again == history
    for value, of_resumed in zip(values, resumed, strict=True):
        np.testing.assert_array_equal(value, of_resumed)
