"""The orders of the epochs that a restored training skips."""

from collections.abc import Callable

import tensorflow as tf


def drawing_orders(
    batches: object, steps_per_epoch: int | None
) -> Callable[[int], None]:
    """A function that draws the orders of some epochs, without training on them.

    A shuffled dataset draws an order whenever it is iterated. Keras's
    `BackupAndRestore` goes on with the epoch that it saved, and would give it the order
    of the first one.

    Args:
      batches: what is trained on; anything but a dataset draws nothing.
      steps_per_epoch: as of `fit`: with it, epochs are parts of one iteration.
    """

    def draw(number: int) -> None:
        if isinstance(batches, tf.data.Dataset) and steps_per_epoch is None:
            for _ in range(number):
                next(iter(batches), None)

    return draw


class EpochOrders:
    """A model whose epochs have their orders where `BackupAndRestore` skips some.

    `fit` sets `_draw_orders`, of what it trains on.
    """

    def _maybe_load_initial_counters_from_ckpt(self, *args: int) -> tuple[int, int]:
        epoch, step = super()._maybe_load_initial_counters_from_ckpt(*args)
        self._draw_orders(epoch - args[1])
        return epoch, step
