"""What UniSAR is trained for."""

from collections.abc import Mapping

import tensorflow as tf

from tfrs_models.layers.contrast import PairInfoNCE, TransitionContrast
from tfrs_models.models.unisar.network import RECOMMENDATION, SEARCH, UserState
from tfrs_models.ops.replicas import gather_rows, num_replicas, sum_over_replicas

PAIRS = "pairs"
TERMS = ("click", "pair", "transition")


class UniSARObjective(tf.keras.layers.Layer):
    """The clicks and the two contrasts of `models.UniSAR`."""

    def __init__(self, options: Mapping, **kwargs) -> None:
        """Initializes the layers; a contrast of weight 0 has none.

        Args:
          options: The arguments of `models.UniSAR`, by name.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        is_log = {"log_temperature": options["log_temperature"]}
        encoders = options["encoders"]
        self.pair_weight = options["pair_weight"]
        self.transition_weight = options["transition_weight"]
        self.layers_by_name: dict[str, tf.keras.layers.Layer] = {}
        if self.pair_weight:
            self.layers_by_name[PAIRS] = PairInfoNCE(
                options["pair_temperature"], name=PAIRS, **is_log
            )
        for service in (RECOMMENDATION, SEARCH):
            if self.transition_weight and {"across", service} <= set(encoders):
                self.layers_by_name[service] = TransitionContrast(
                    options["transition_temperature"], name=service, **is_log
                )

        for layer in self.layers_by_name.values():
            with tf.name_scope(layer.name):  # HDF5 files want distinct names
                layer.build((None, options["width"]))

    def call(
        self,
        state: UserState,
        logits: tf.Tensor,
        is_candidate: tf.Tensor,
        negatives: tuple[tf.Tensor, tf.Tensor] | None,
        training: bool = False,
    ) -> dict[str, tf.Tensor]:
        """The terms of a batch, not weighed.

        Args:
          state: Of the batch.
          logits: `[batch, num_candidates]`, the positive in column 0.
          is_candidate: `[batch, num_candidates]` bool, False for padding.
          negatives: Vectors of drawn queries and of drawn items, `[n, width]` each.
          training: Whether a gradient will be asked for.

        Returns:
          `"click"`, `"pair"` and `"transition"`, scalars whose sum over the replicas is
          the mean over all their rows; without `negatives` there is no `"pair"`.
        """
        losses = {"click": self._clicks(logits, is_candidate)}
        if PAIRS in self.layers_by_name and negatives is not None:
            losses["pair"] = self._pairs(state, negatives, training)
        if losses_of_services := self._transitions(state):
            losses["transition"] = tf.add_n(losses_of_services)
        return losses

    def weighed(self, losses: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The sum of what `call` returns, each times its weight."""
        weights = (1.0, self.pair_weight, self.transition_weight)
        weights = dict(zip(TERMS, weights, strict=True))
        return tf.add_n([weights[name] * loss for name, loss in losses.items()])

    def _clicks(self, logits: tf.Tensor, is_candidate: tf.Tensor) -> tf.Tensor:
        """Mean cross-entropy of all candidates, of which the first is clicked."""
        is_first = tf.equal(tf.range(tf.shape(logits)[1]), 0)
        labels = tf.zeros_like(logits) + tf.cast(is_first, logits.dtype)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        total = tf.reduce_sum(tf.where(is_candidate, losses, 0.0))
        count = tf.math.count_nonzero(is_candidate, dtype=total.dtype)
        return tf.math.divide_no_nan(total, sum_over_replicas(count))

    def _pairs(
        self,
        state: UserState,
        negatives: tuple[tf.Tensor, tf.Tensor],
        training: bool,
    ) -> tf.Tensor:
        """A pair for each click: what was searched and what was clicked."""
        clicks = tf.where(state.is_click)
        queries = tf.gather_nd(state.session_query, clicks[:, :2])
        items = tf.gather_nd(state.session_items, clicks)
        drawn = [gather_rows(vectors) for vectors in negatives]
        total = self.layers_by_name[PAIRS](queries, items, *drawn, training=training)
        count = sum_over_replicas(tf.cast(tf.shape(clicks)[0], total.dtype))
        return tf.math.divide_no_nan(total, count)

    def _transitions(self, state: UserState) -> list[tf.Tensor]:
        transitions = state.transitions
        has_both = tf.reduce_any(transitions.valid_items, axis=1)
        has_both &= tf.reduce_any(transitions.valid_sessions, axis=1)
        views = {
            RECOMMENDATION: (
                transitions.search_to_recommendation,
                transitions.within_recommendation,
                transitions.valid_items,
            ),
            SEARCH: (
                transitions.recommendation_to_search,
                transitions.within_search,
                transitions.valid_sessions,
            ),
        }
        return [
            layer(*views[service], include=has_both) / num_replicas()
            for service, layer in self.layers_by_name.items()
            if service in views
        ]
