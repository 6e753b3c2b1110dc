"""A shallow tower of the position at which an item was shown."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.features.read_features import dense_through, id_feature
from tfrs_models.types import Features


@register
class PositionBias(tf.keras.layers.Layer):
    """Learns a bias of each task's logit from the logged position.

    It is learned beside the ranker and takes the share of a click that the position
    explains, so that the ranker need not. At serving it is 0, or that of one position.

    Example:
      >>> bias = tm.towers.PositionBias(num_positions=10, num_tasks=2)
      >>> bias.logged({"position": np.array([0, 3, 25])}).shape
      TensorShape([3, 2])
      >>> bias({}).numpy()  # at serving, where the position is not known
      array([[0., 0.]], dtype=float32)

    Reference:
      Zhao et al., Recommending what video to watch next: a multitask ranking system,
      RecSys 2019.
    """

    def __init__(
        self,
        num_positions: int,
        num_tasks: int,
        *,
        serving_position: int | None = None,
        feature: str = "position",
        context_feature: str | None = None,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          num_positions: number of positions with a bias of their own; positions after
            the last one share its bias.
          num_tasks: number of biases of a position, one for each task.
          serving_position: position whose bias serving adds, so that probabilities are
            those at this position; None adds nothing.
          feature: name of the position, which counts from 0.
          context_feature: name of dense features that change how far people look, such
            as those of the device.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if num_positions < 1 or num_tasks < 1:
            raise ValueError(
                "`num_positions` and `num_tasks` must be at least 1. "
                f"Got {num_positions} and {num_tasks}."
            )
        if serving_position is not None and not 0 <= serving_position < num_positions:
            raise ValueError(
                "`serving_position` must be None or in [0, `num_positions`). Got "
                f"{serving_position} of {num_positions}."
            )
        self.num_positions = num_positions
        self.num_tasks = num_tasks
        self.serving_position = serving_position
        self.feature = feature
        self.context_feature = context_feature
        self.table = self.add_weight(
            "position_bias", (num_positions, num_tasks), initializer="zeros"
        )
        self.context = None
        if context_feature is not None:
            # One bias of each position for each value of the context.
            self.context = tf.keras.layers.Dense(
                num_positions * num_tasks, use_bias=False, kernel_initializer="zeros"
            )

    def call(self, features: Features) -> tf.Tensor:
        """Computes the biases at serving.

        Args:
          features: batch with the context's features, if a serving position uses them.

        Returns:
          `[batch, num_tasks]`, or `[1, num_tasks]` if all rows have the same bias.

        Raises:
          ValueError: the context's features are missing or of another width.
        """
        if self.serving_position is None:
            return tf.zeros([1, self.num_tasks], self.compute_dtype)
        bias = self.table[None, self.serving_position]
        if self.context is None:
            return bias
        shift = self._shifts(features)[:, self.serving_position]
        return bias + tf.cast(shift, bias.dtype)

    def logged(self, features: Features) -> tf.Tensor:
        """Computes the biases of logged rows.

        Args:
          features: batch with the positions, `[batch]` integers, and the context's
            features if they are used.

        Returns:
          `[batch, num_tasks]`.

        Raises:
          ValueError: a feature is missing or has the wrong dtype or width.
          InvalidArgumentError: a position is below 0.
        """
        position = self._position(features)
        bias = tf.gather(self.table, position)
        if self.context is None:
            return bias
        shift = tf.gather(self._shifts(features), position, batch_dims=1)
        return bias + tf.cast(shift, bias.dtype)

    def _shifts(self, features: Features) -> tf.Tensor:
        """Computes the context's biases, `[batch, num_positions, num_tasks]`."""
        shifts = dense_through(self.context, features, self.context_feature)
        return tf.reshape(shifts, [-1, self.num_positions, self.num_tasks])

    def _position(self, features: Features) -> tf.Tensor:
        position = id_feature(features, self.feature)
        if position.dtype == tf.string:
            raise ValueError(f"Feature `{self.feature}` must be integers. Got string.")
        check = tf.debugging.assert_non_negative(
            position, f"Feature `{self.feature}` must count from 0: below it there is"
        )
        with tf.control_dependencies([check] if check is not None else []):
            return tf.minimum(position, self.num_positions - 1)

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_positions": self.num_positions,
            "num_tasks": self.num_tasks,
            "serving_position": self.serving_position,
            "feature": self.feature,
            "context_feature": self.context_feature,
        }
