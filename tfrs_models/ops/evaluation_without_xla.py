"""Evaluation under `jit_compile`."""

from collections.abc import Callable, Iterator

import tensorflow as tf


class EvaluationWithoutXla:
    """A part of `Model`: `jit_compile` is of training alone."""

    def make_test_function(self, force: bool = False) -> Callable:
        """As Keras's, without XLA, which cannot compile metrics over a corpus.

        Args:
          force: whether to make another one.
        """
        if self.test_function is None or force:
            step = super().make_test_function(force)

            def without_xla(iterator: Iterator) -> dict[str, tf.Tensor]:
                # Keras looks as it traces.
                jit_compile, self._jit_compile = self._jit_compile, False
                try:
                    return step(iterator)
                finally:
                    self._jit_compile = jit_compile

            self.test_function = without_xla if self._jit_compile else step
        return self.test_function
