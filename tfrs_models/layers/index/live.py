"""Variables that are read while they change: an update is seen whole or not at all."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

_MOST_READS = 100_000  # about a second; an update writes for less than a millisecond


class Update:
    """New values of variables, which become visible together."""

    def __init__(self, variables: Mapping[str, tf.Variable]) -> None:
        self._variables = variables
        self._new = {}

    def __getitem__(self, name: str) -> tf.Tensor:
        """The value that a variable is going to have."""
        if name in self._new:
            return self._new[name]
        return self._variables[name].read_value()

    def __setitem__(self, name: str, value: tf.Tensor) -> None:
        self._new[name] = tf.convert_to_tensor(value, self._variables[name].dtype)

    def scatter(self, name: str, rows: np.ndarray, values: tf.Tensor) -> None:
        """Gives some rows of a variable other values.

        A new tensor, never `scatter_update` of the variable: readers hold the old one,
        and every later read of such a variable would copy it.
        """
        self[name] = tf.tensor_scatter_nd_update(self[name], rows[:, None], values)

    def write(self) -> None:
        """Assigns the values of variables that nobody reads yet."""
        for name, value in self._new.items():
            self._variables[name].assign(value)

    def all(self) -> tuple[list[tf.Variable], list[tf.Tensor]]:
        """All variables, in one order, and what they are going to hold."""
        return [*self._variables.values()], [self[name] for name in self._variables]


class Turns:
    """Whose turn it is to read or to write the variables of an index.

    Eager readers and writers of a process take a lock, for as long as it takes to hand
    tensors over and not for a computation. A traced graph knows no lock: an update
    counts up `begun`, writes and counts up `done`. A reader reads `done`, the values
    and `begun`; where they differ, an update came in between, and it reads again.

    Attributes:
      writing: Lock that an update holds from its first check to its end.
      swapping: Lock that is held while values are handed over.
    """

    def __init__(self) -> None:
        self.writing = threading.RLock()
        self.swapping = threading.RLock()
        self._swap = tf.function(_swap)

    def __deepcopy__(self, memo: dict) -> "Turns":
        return Turns()

    def finish(self, update: Update, begun: tf.Variable, done: tf.Variable) -> None:
        """Makes an update visible."""
        variables, values = update.all()
        with self.swapping:
            # One call, in which Python gives its turn to no other thread.
            self._swap(begun, done, variables, values)


def read_whole(
    variables: Sequence[tf.Variable], begun: tf.Variable, done: tf.Variable
) -> list[tf.Tensor]:
    """Values that the variables had at one moment, inside a graph.

    Args:
      variables: What to read.
      begun: `[]` int64, how many updates were begun.
      done: `[]` int64, how many of them are done.
    """

    def read(*_: tf.Tensor) -> tuple[tf.Tensor, ...]:
        before = done.value()
        with tf.control_dependencies([before]):
            values = [variable.value() for variable in variables]
        with tf.control_dependencies(values):
            return begun.value() != before, *values

    # Not inlined: a branch that is hardly ever taken costs a query next to nothing.
    @tf.function(experimental_attributes={"_noinline": True})
    def read_again() -> tuple[tf.Tensor, ...]:
        still_torn = read()
        return tf.while_loop(
            lambda torn, *_: torn, read, still_torn, maximum_iterations=_MOST_READS
        )[1:]

    torn, *values = read()
    return [*tf.cond(torn, read_again, lambda: tuple(values))]


def _swap(
    begun: tf.Variable,
    done: tf.Variable,
    variables: list[tf.Variable],
    values: list[tf.Tensor],
) -> None:
    with tf.control_dependencies([begun.assign_add(1)]):
        written = [
            variable.assign(value)
            for variable, value in zip(variables, values, strict=True)
        ]
    with tf.control_dependencies(written):
        done.assign_add(1)
