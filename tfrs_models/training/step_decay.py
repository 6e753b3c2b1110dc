"""A learning rate that falls in steps."""

import tensorflow as tf


def step_decay_schedule(
    initial_lr: float, step_size: int | None = 500, gamma: float = 0.9
) -> float | tf.keras.optimizers.schedules.LearningRateSchedule:
    """`initial_lr * gamma ** floor(step / step_size)`.

    Args:
      initial_lr: Of the first steps.
      step_size: Steps between two changes; None keeps the rate.
      gamma: What the rate is multiplied with.

    Returns:
      What an optimizer takes as its learning rate.

    Raises:
      ValueError: a number out of range.
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
