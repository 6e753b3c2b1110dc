"""State of an index that is read while it changes: every update is seen as a whole."""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.ops.ranks.lookup import IdIndex, find_copies, find_rows

_MOST_READS = 100_000  # about a second; an update writes for less than a millisecond


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """Tensors of an index at one moment, which no update changes.

    Attributes:
      table: the `SlotTable` of the index; only its types and sizes are read.
      tensors: values of the variables of the index, by name.
    """

    table: tf.keras.layers.Layer
    tensors: Mapping[str, tf.Tensor]

    def __getitem__(self, name: str) -> tf.Tensor:
        return self.tensors[name]

    @property
    def num_candidates(self) -> tf.Tensor:
        """Number of candidates, scalar int32."""
        return self["num_candidates"]

    @property
    def id_dtype(self) -> tf.DType:
        """Type of the ids."""
        return self.table.id_dtype

    @property
    def attributes(self) -> dict[str, list]:
        """Type and largest number of values of a candidate, by attribute."""
        return self.table.attributes

    @property
    def num_copies(self) -> int:
        """Largest number of candidates with the same id."""
        return self.table.num_copies

    def find(self, identifiers: tf.Tensor) -> tf.Tensor:
        """Finds the int32 slot of each id, in the shape of the ids; -1 for others."""
        flat = find_rows(self._index(), tf.reshape(identifiers, [-1]))
        flat = tf.where(self.num_candidates > 0, flat, -1)
        return tf.reshape(flat, tf.shape(identifiers))

    def find_all(self, identifiers: tf.Tensor) -> tf.Tensor:
        """Finds all int32 slots of each id, `[..., num_copies]`, padded with -1."""
        if self.num_copies == 1:
            return self.find(identifiers)[..., None]
        slots = find_copies(self._index(), tf.reshape(identifiers, [-1]))
        slots = slots.to_tensor(-1, shape=[None, self.num_copies])
        slots = tf.where(self.num_candidates > 0, slots, -1)
        shape = tf.concat([tf.shape(identifiers), [self.num_copies]], axis=0)
        return tf.reshape(slots, shape)

    def names(self, slots: tf.Tensor) -> tf.Tensor:
        """Returns the id in each slot."""
        return tf.gather(self["ids"], slots)

    def values(self, name: str) -> tf.Tensor:
        """Returns the `[num_slots, width]` int64 keys of an attribute.

        A slot with fewer values than the attribute's width is padded with `NO_VALUE`.
        """
        return self[f"attribute_{name}"]

    def _index(self) -> IdIndex:
        # Never empty, so that there is something to search; a free slot has no score.
        used = tf.maximum(self.num_candidates, 1)
        return IdIndex(self["keys"][:used], self["slots"][:used], self["ids"])


class Update:
    """New values of variables, which become visible together."""

    def __init__(self, variables: Mapping[str, tf.Variable]) -> None:
        self._variables = variables
        self._new = {}

    def __getitem__(self, name: str) -> tf.Tensor:
        """Returns the value that a variable is going to have."""
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
        """Assigns the values of variables that no query reads yet."""
        for name, value in self._new.items():
            self._variables[name].assign(value)

    def all(self) -> tuple[list[tf.Variable], list[tf.Tensor]]:
        """Returns all variables and their new values, in the same order."""
        return [*self._variables.values()], [self[name] for name in self._variables]


class Turns:
    """Locks and counters by which readers and updates of an index take turns.

    Eager readers and updates of a process take a lock, for as long as it takes to hand
    tensors over and not for a computation. A traced graph takes no lock: an update
    counts up `begun`, writes and counts up `done`. A reader reads `done`, the values
    and `begun`; if they differ, an update came in between, and it reads again.

    Attributes:
      writing: lock that an update holds from its first check to its end.
      swapping: lock that is held while values are handed over.
    """

    def __init__(self) -> None:
        self.writing = threading.RLock()
        self.swapping = threading.RLock()
        self._swap = tf.function(_swap)
        self._again = {}  # the variables that are read -> a function that reads them

    def __deepcopy__(self, memo: dict) -> "Turns":
        return Turns()

    def finish(self, update: Update, begun: tf.Variable, done: tf.Variable) -> None:
        """Makes an update visible.

        Args:
          update: new values.
          begun: `[]` int64, number of updates that have begun.
          done: `[]` int64, number of updates that are done.
        """
        variables, values = update.all()
        with self.swapping:
            # One call, in which Python gives its turn to no other thread.
            self._swap(begun, done, variables, values)

    def forget(self) -> None:
        """Lets go of the variables that graphs have read."""
        self._again = {}

    def read_whole(
        self, variables: Sequence[tf.Variable], begun: tf.Variable, done: tf.Variable
    ) -> list[tf.Tensor]:
        """Reads variables at one moment, inside a graph.

        Args:
          variables: variables to read.
          begun: `[]` int64, number of updates that have begun.
          done: `[]` int64, number of updates that are done.

        Returns:
          The values of the variables, in their order.
        """
        torn, *values = _read(variables, begun, done)
        key = tuple(variable.ref() for variable in (begun, done, *variables))
        again = self._again.get(key)
        if again is None:
            again = _reader(variables, begun, done)
            self._again[key] = again  # traced once for all graphs of an index
        return [*tf.cond(torn, again, lambda: tuple(values))]


def _read(
    variables: Sequence[tf.Variable], begun: tf.Variable, done: tf.Variable
) -> tuple[tf.Tensor, ...]:
    before = done.value()
    with tf.control_dependencies([before]):
        values = [variable.value() for variable in variables]
    with tf.control_dependencies(values):
        return begun.value() != before, *values


def _reader(
    variables: Sequence[tf.Variable], begun: tf.Variable, done: tf.Variable
) -> Callable[[], tuple[tf.Tensor, ...]]:
    """Makes a function that reads until no update comes in between."""

    # Not inlined: a branch that is hardly ever taken costs a query next to nothing.
    @tf.function(experimental_attributes={"_noinline": True})
    def read_again() -> tuple[tf.Tensor, ...]:
        return tf.while_loop(
            lambda torn, *_: torn,
            lambda *_: _read(variables, begun, done),
            _read(variables, begun, done),
            maximum_iterations=_MOST_READS,
        )[1:]

    return read_again


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
