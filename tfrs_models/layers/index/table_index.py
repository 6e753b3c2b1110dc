"""What every index with a table of its candidates knows."""

import tensorflow as tf

from tfrs_models.layers.index.checks import check_k
from tfrs_models.layers.index.hooks import search_then_exclude, takes_exclusions
from tfrs_models.types import Features, Tensor


class TableIndex:
    """An index whose `_table`, a `SlotTable`, says what is in it; None before `index`.

    Attributes:
      generation: Of its graphs: those of an earlier one are out of date.
    """

    generation = 0

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
        self(queries, k=k)  # Keras saves only what was called; the graph prunes it
        return self(queries, k=k, exclusions=exclusions)
