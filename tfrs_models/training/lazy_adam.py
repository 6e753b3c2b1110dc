"""Adam that leaves the rows of a table alone that a batch does not have."""

import tensorflow as tf

from tfrs_models._keras import register


@register
class LazyAdam(tf.keras.optimizers.Adam):
    """Adam whose step over a table costs what its rows in the batch cost.

    Keras's Adam goes over whole tables at every step, and moves each row by what is
    left of its older gradients. Here rows without a gradient keep their value and both
    of their moments; all others, and weights that are no tables, move as with Adam.

    Reference:
      Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015.
    """

    def __init__(
        self, learning_rate: float = 0.001, name: str = "LazyAdam", **kwargs
    ) -> None:
        """Initializes the optimizer.

        Args:
          learning_rate: A number or a schedule.
          name: Of the optimizer.
          **kwargs: Of `tf.keras.optimizers.Adam`, but for `amsgrad` and `weight_decay`.

        Raises:
          ValueError: an option goes over all rows of a table.
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
        """Moves one variable.

        Args:
          gradient: Of the loss; where sparse, each row once.
          variable: What is moved.
        """
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        place = self._index_dict[self._var_key(variable)]
        rows, values, dtype = gradient.indices, gradient.values, variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        left = tf.sqrt(1 - tf.pow(tf.cast(self.beta_2, dtype), step))
        rate = tf.cast(self.learning_rate, dtype) * left
        rate /= 1 - tf.pow(tf.cast(self.beta_1, dtype), step)
        epsilon = self.epsilon * (left if self.adaptive_epsilon else 1.0)
        moments = []
        for table, power, beta in (
            (self._momentums[place], values, self.beta_1),
            (self._velocities[place], tf.square(values), self.beta_2),
        ):
            moment = beta * tf.gather(table, rows) + (1 - beta) * power
            table.scatter_update(tf.IndexedSlices(moment, rows))
            moments.append(moment)
        mean, square = moments
        change = rate * mean / (tf.sqrt(square) + epsilon)
        variable.scatter_sub(tf.IndexedSlices(change, rows))
