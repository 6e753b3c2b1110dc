"""Random draws of layers and losses that go on where a checkpoint left them."""

import tensorflow as tf

from tfrs_models.ops.replicas import num_replicas


class Draws:
    """A layer or loss whose random draws are numbered by a variable.

    TensorFlow's `tf.random.uniform` keeps its state in the process, where no checkpoint
    finds it. The draws of this class are a function of a key, which follows
    `tf.random.set_seed`, and of the number of draws before. Both are in a
    `tf.train.Checkpoint` of the object, and so of its model; they are no weight, and no
    part of a SavedModel. A class that mixes this in must be a `Trackable`.
    """

    _draws = None

    def next_seed(self, key: int | None = None) -> tf.Tensor:
        """Makes the seed of the next draw: call it where something is drawn.

        Args:
          key: number that determines the sequence of draws. None follows
            `tf.random.set_seed`.

        Returns:
          `[2]` int64 seed of a stateless random op; replicas have different ones.
        """
        if _is_saving():  # a graph without the variable, which has its own draws
            return tf.random.uniform([2], maxval=tf.int64.max, dtype=tf.int64)
        if self._draws is None:
            self._make_draws(key)
        seed = tf.convert_to_tensor(self._draws.assign_add([0, 1]))
        if num_replicas() == 1:
            return seed
        context = tf.distribute.get_replica_context()
        replica = tf.cast(context.replica_id_in_sync_group, tf.int64)
        return seed + tf.stack([replica, 0])

    @tf.__internal__.tracking.no_automatic_dependency_tracking  # Keras: a weight
    def _make_draws(self, key: int | None) -> None:
        """Makes the variable; a checkpoint that was restored before sets it.

        Inference draws nothing: its models have no such variable.
        """
        with tf.init_scope():
            if key is None:
                key = tf.random.uniform([], maxval=tf.int64.max, dtype=tf.int64)
            self._draws = tf.Variable(
                tf.stack([tf.cast(key, tf.int64), 0]),
                trainable=False,
                name="draws",
                # Each replica counts for itself, and all count alike.
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            self._track_trackable(self._draws, "draws")

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs) -> dict:
        children = super()._trackable_children(save_type, **kwargs)
        if save_type != "checkpoint":
            children.pop("draws", None)
        return children


def _is_saving() -> bool:
    from tensorflow.python.saved_model.save_context import in_save_context

    return in_save_context()
