"""What every index with a table of its candidates knows."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from tfrs_models.layers.index.checks import EMPTY, check_k
from tfrs_models.layers.index.hooks import search_then_exclude, takes_exclusions
from tfrs_models.layers.index.live import Turns, read_whole
from tfrs_models.layers.index.precision import keep_precision
from tfrs_models.layers.index.snapshot import Snapshot
from tfrs_models.types import Features, Tensor


class TableIndex:
    """An index whose `_table`, a `SlotTable`, says what is in it; None before `index`.

    Any number of threads may ask it while another changes it: every answer comes from
    one snapshot, in which an update is there whole or not at all.

    Attributes:
      generation: Of its graphs: those of an earlier one are out of date.
    """

    generation = 0

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        keep_precision(self)
        self._table = None
        self._turns = Turns()

    def snapshot(self, *, lists: bool = True) -> Snapshot:
        """What the index holds now, or, in a graph, when it runs.

        Args:
          lists: whether it must answer with exclusions, allowed ids or filters too.

        Raises:
          ValueError: nothing is indexed.
        """
        with self._turns.swapping:
            table = self._table
            if table is None:
                raise ValueError(EMPTY)
            variables = self._searched(lists=lists)
            if tf.executing_eagerly():
                values = [variable.value() for variable in variables.values()]
                return Snapshot(table, dict(zip(variables, values, strict=True)))
        values = read_whole([*variables.values()], table.begun, table.done)
        return Snapshot(table, dict(zip(variables, values, strict=True)))

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Holds updates by other threads up, so that what is saved is of one moment."""
        with self._turns.writing:
            yield

    def save(self, *args, **kwargs) -> None:
        with self.unchanged():
            super().save(*args, **kwargs)

    def save_weights(self, *args, **kwargs) -> None:
        with self.unchanged():
            super().save_weights(*args, **kwargs)

    def get_weights(self) -> list:
        with self.unchanged():
            return super().get_weights()

    @property
    def num_candidates(self) -> int | None:
        """How many candidates there are; None before `index`."""
        if self._table is None:
            return None
        with tf.init_scope():  # the number now, where a graph is traced too
            return int(self._table.num_candidates)

    def count(self) -> tf.Tensor:
        """How many candidates there are when a graph runs, scalar int32."""
        return self._table.num_candidates.read_value()

    @property
    def id_dtype(self) -> tf.DType | None:
        """Of the identifiers; None before `index`."""
        return None if self._table is None else self._table.id_dtype

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes that `filters` can ask for, and their types."""
        kinds = {} if self._table is None else self._table.attributes
        return {name: dtype for name, (dtype, _) in kinds.items()}

    def _searched(self, *, lists: bool) -> dict[str, tf.Variable]:
        """Variables that a search reads, by their names in a snapshot."""
        return self._table.variables_by_name(lists=lists)

    def _reset_tf_function_cache(self) -> None:
        super()._reset_tf_function_cache()
        self.generation += 1

    @tf.function
    def query_with_exclusions(
        self,
        queries: tf.Tensor | Features,
        exclusions: Tensor,
        k: int | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates of each query that are not excluded for it.

        Args:
          queries: As in `call`.
          exclusions: As in `call`.
          k: As in `call`.

        Returns:
          As `call`.
        """
        if not takes_exclusions(self):  # a subclass with the `call` of upstream's
            return search_then_exclude(
                self,
                queries,
                exclusions,
                k=check_k(self._k if k is None else k, self.num_candidates),
                num_candidates=self.num_candidates,
                num_copies=1 if self._table is None else self._table.num_copies,
            )
        self._set_save_spec(queries, (), {"k": k})  # Keras saves only what was called
        return self(queries, k=k, exclusions=exclusions)
