"""An index with a table of its candidates, read while it changes."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from tfrs_models.layers.index.checks import EMPTY, check_k, keep_precision
from tfrs_models.layers.index.hooks import search_then_exclude, takes_exclusions
from tfrs_models.layers.index.live import Snapshot, Turns
from tfrs_models.types import Features, Tensor


class TableIndex:
    """An index whose candidates are listed in a `SlotTable`, which `index` makes.

    Any number of threads may query it while another changes it: every answer comes
    from one snapshot, in which an update is seen as a whole or not at all.

    Attributes:
      generation: number that grows when graphs that were traced before are out of date.
    """

    generation = 0

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        keep_precision(self)
        self._turns = Turns()
        self._table = None

    def __setattr__(self, name: str, value: object) -> None:
        turns = self.__dict__.get("_turns")
        with contextlib.nullcontext() if turns is None else turns.swapping:
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> object:
        """Returns an attribute that was not there: Keras deletes it to replace it."""
        if (turns := self.__dict__.get("_turns")) is None:
            return object.__getattribute__(self, name)
        with turns.swapping:  # until the new value is there
            return object.__getattribute__(self, name)

    def snapshot(self, *, lists: bool = True) -> Snapshot:
        """Returns the present state of the index; in a graph, that when it runs.

        Args:
          lists: whether to query it with exclusions, allowed ids or filters.

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
        values = self._turns.read_whole([*variables.values()], table.begun, table.done)
        return Snapshot(table, dict(zip(variables, values, strict=True)))

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Blocks updates by other threads, so that what is saved is of one moment."""
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
        """Number of candidates; None before `index`."""
        if self._table is None:
            return None
        with tf.init_scope():  # the number now, where a graph is traced too
            return int(self._table.num_candidates)

    def count(self) -> tf.Tensor:
        """Counts the candidates when a graph runs, scalar int32."""
        return self._table.num_candidates.read_value()

    @property
    def id_dtype(self) -> tf.DType | None:
        """Type of the identifiers; None before `index`."""
        return None if self._table is None else self._table.id_dtype

    @property
    def attributes(self) -> dict[str, str]:
        """Types of the attributes that `filters` can ask for, by attribute."""
        kinds = {} if self._table is None else self._table.attributes
        return {name: dtype for name, (dtype, _) in kinds.items()}

    def _searched(self, *, lists: bool) -> dict[str, tf.Variable]:
        """Returns the variables that a query reads, by their names in a snapshot."""
        return self._table.variables_by_name(lists=lists)

    def _reset_tf_function_cache(self) -> None:
        super()._reset_tf_function_cache()
        self._turns.forget()
        self.generation += 1

    @tf.function
    def query_with_exclusions(
        self,
        queries: tf.Tensor | Features,
        exclusions: Tensor,
        k: int | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the best candidates of each query that are not excluded for it.

        Args:
          queries: `[batch, embedding_dim]` or `[embedding_dim]` embeddings, or the
            input of `query_model`.
          exclusions: `[batch, None]` ids, dense or ragged, that a query must not be
            answered with; repeats and unknown ids are harmless.
          k: number of candidates to return; the constructor's `k` if None.

        Returns:
          Scores and identifiers `[batch, k]`, best first. A position without a
          candidate has the score `-inf` and the id -1, or "" for strings.
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
