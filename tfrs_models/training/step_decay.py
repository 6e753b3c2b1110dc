"""Learning rates that fall in steps."""

import tensorflow as tf


def step_decay_schedule(
    initial_lr: float, step_size: int | None = 500, gamma: float = 0.9
) -> float | tf.keras.optimizers.schedules.LearningRateSchedule:
    """Makes a learning rate `initial_lr * gamma ** floor(step / step_size)`.

    Args:
      initial_lr: learning rate of the first steps.
      step_size: number of steps between two changes; None for a constant rate.
      gamma: factor of the rate at each change.

    Returns:
      A number or a schedule, the `learning_rate` of an optimizer.

    Raises:
      ValueError: a number is out of range.

    Example:
      >>> schedule = tm.training.step_decay_schedule(1.0, step_size=2, gamma=0.5)
      >>> [float(schedule(step)) for step in range(5)]
      [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    if not initial_lr > 0:
        raise ValueError(f"`initial_lr` must be above 0. Got {initial_lr}.")
    if step_size is None:
        return initial_lr
    if step_size < 1:
        raise ValueError(f"`step_size` must be at least 1, or None. Got {step_size}.")
    if not 0 < gamma <= 1:
        raise ValueError(f"`gamma` must be in (0, 1]. Got {gamma}.")
    return tf.keras.optimizers.schedules.ExponentialDecay(
        initial_lr, step_size, gamma, staircase=True
    )
