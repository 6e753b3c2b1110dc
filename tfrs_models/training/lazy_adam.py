"""Adam that updates only the rows of a table that a batch has."""

import tensorflow as tf

from tfrs_models._keras import register


@register
class LazyAdam(tf.keras.optimizers.Adam):
    """Adam that updates only those rows of a table that have a gradient.

    Keras's Adam updates whole tables at every step, and moves each row by the momentum
    of its older gradients. Here rows without a gradient keep their value and both of
    their moments; all other rows, and other weights, move as with Adam. A step costs as
    much as the rows of the batch, not as the table.

    Example:
      >>> table = tf.Variable(tf.ones([3, 2]))
      >>> gradient = tf.IndexedSlices(tf.ones([1, 2]), tf.constant([1]))
      >>> _ = tm.training.LazyAdam(0.1).apply_gradients([(gradient, table)])
      >>> print(table.numpy().round(1))
      [[1.  1. ]
       [0.9 0.9]
       [1.  1. ]]

    Reference:
      Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015.
    """

    def __init__(
        self, learning_rate: float = 0.001, name: str = "LazyAdam", **kwargs
    ) -> None:
        """Initializes the optimizer.

        Args:
          learning_rate: learning rate, a number or a schedule.
          name: name of the optimizer.
          **kwargs: arguments of `tf.keras.optimizers.Adam` without `amsgrad` and
            `weight_decay`.

        Raises:
          ValueError: an option updates all rows of a table.
        """
        super().__init__(learning_rate, name=name, **kwargs)
        if self.amsgrad:
            raise ValueError("`amsgrad` must be False: its maximum is over all rows.")
        if self.weight_decay is not None:
            raise ValueError(
                "`weight_decay` must be None: Keras decays all rows at every step. Got "
                f"{self.weight_decay}."
            )

    def update_step(
        self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable
    ) -> None:
        """Updates one variable.

        Args:
          gradient: gradient of the loss; a sparse one has each row once.
          variable: variable to update.
        """
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        index = self._index_dict[self._var_key(variable)]
        rows, values, dtype = gradient.indices, gradient.values, variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        left = tf.sqrt(1 - tf.pow(tf.cast(self.beta_2, dtype), step))
        rate = tf.cast(self.learning_rate, dtype) * left
        rate /= 1 - tf.pow(tf.cast(self.beta_1, dtype), step)
        epsilon = self.epsilon * (left if self.adaptive_epsilon else 1.0)
        moments = []
        for table, power, beta in (
            (self._momentums[index], values, self.beta_1),
            (self._velocities[index], tf.square(values), self.beta_2),
        ):
            moment = beta * tf.gather(table, rows) + (1 - beta) * power
            table.scatter_update(tf.IndexedSlices(moment, rows))
            moments.append(moment)
        mean, square = moments
        change = rate * mean / (tf.sqrt(square) + epsilon)
        variable.scatter_sub(tf.IndexedSlices(change, rows))
