"""The training objective of UniSAR: clicks and two contrasts."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.models.unisar.contrasts import PairInfoNCE, TransitionContrast
from tfrs_models.models.unisar.example import RECOMMENDATION, SEARCH
from tfrs_models.models.unisar.network import UserState
from tfrs_models.ops.replicas import gather_rows, num_replicas, sum_over_replicas

PAIRS = "pairs"
TERMS = ("click", "pair", "transition")
Negatives = tuple[tf.Tensor, tf.Tensor]


class Totals(NamedTuple):
    """Numbers of a batch over all replicas, as scalar float32.

    Attributes:
      rows: number of rows.
      candidates: number of candidates without padding.
      clicks: number of clicks in past searches.
    """

    rows: tf.Tensor
    candidates: tf.Tensor
    clicks: tf.Tensor


class UniSARObjective(tf.keras.layers.Layer):
    """Computes the click loss and the two contrasts of `models.UniSAR`."""

    def __init__(self, options: Mapping, **kwargs) -> None:
        """Initializes the layers; a contrast of weight 0 has none.

        Args:
          options: arguments of `models.UniSAR` by name.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        is_log = {"log_temperature": options["log_temperature"]}
        encoders = options["encoders"]
        self.weights_of_terms = {
            "click": 1.0,
            "pair": options["pair_weight"],
            "transition": options["transition_weight"],
        }
        self.layers_by_name: dict[str, tf.keras.layers.Layer] = {}
        if options["pair_weight"]:
            self.layers_by_name[PAIRS] = PairInfoNCE(
                options["pair_temperature"], name=PAIRS, **is_log
            )
        for service in (RECOMMENDATION, SEARCH):
            if options["transition_weight"] and {"across", service} <= set(encoders):
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
        negatives: Negatives | None,
        training: bool = False,
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Computes the terms of a batch, without their weights.

        Args:
          state: encoded users of the batch.
          logits: `[batch, num_candidates]` logits, the positive in column 0.
          is_candidate: `[batch, num_candidates]` bool, False for padding.
          negatives: vectors of random queries and of random items of all replicas, `[n,
            width]` each.
          training: whether gradients will be computed.

        Returns:
          `"click"`, `"pair"` and `"transition"`, scalars whose sum over the replicas is
          the mean over all their rows (without `negatives` there is no `"pair"`), and
          the number of rows of all replicas.
        """
        totals = self._totals(logits, is_candidate, state.is_click)
        losses = {"click": self._click_loss(logits, is_candidate, totals)}
        if PAIRS in self.layers_by_name and negatives is not None:
            losses["pair"] = self._pair_loss(state, negatives, totals, training)
        if losses_of_services := self._transition_losses(state):
            losses["transition"] = tf.add_n(losses_of_services) / num_replicas()
        return losses, totals.rows

    def negatives(self, vectors: Negatives) -> Negatives:
        """Gathers the negatives of all replicas.

        Args:
          vectors: vectors of random queries and of random items, `[n, width]` each.
        """
        queries, items = vectors
        return gather_rows(queries), gather_rows(items)

    def weighted(self, losses: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Sums the terms of a batch, each times its weight.

        Args:
          losses: terms by name.
        """
        weights = self.weights_of_terms
        return tf.add_n([weights[name] * loss for name, loss in losses.items()])

    def _totals(self, logits: tf.Tensor, *masks: tf.Tensor) -> Totals:
        rows = tf.cast(tf.shape(logits)[0], tf.float32)
        counts = [tf.math.count_nonzero(mask, dtype=tf.float32) for mask in masks]
        return Totals(*tf.unstack(sum_over_replicas(tf.stack([rows, *counts]))))

    def _click_loss(
        self, logits: tf.Tensor, is_candidate: tf.Tensor, totals: Totals
    ) -> tf.Tensor:
        """Mean cross-entropy of all candidates, of which the first is clicked."""
        is_first = tf.equal(tf.range(tf.shape(logits)[1]), 0)
        labels = tf.zeros_like(logits) + tf.cast(is_first, logits.dtype)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        total = tf.reduce_sum(tf.where(is_candidate, losses, 0.0))
        return tf.math.divide_no_nan(total, totals.candidates)

    def _pair_loss(
        self, state: UserState, negatives: Negatives, totals: Totals, training: bool
    ) -> tf.Tensor:
        """Mean over the clicks in searches, each a pair of a query and an item."""
        clicks = tf.where(state.is_click)
        queries = tf.gather_nd(state.session_query, clicks[:, :2])
        items = tf.gather_nd(state.session_items, clicks)
        contrast = self.layers_by_name[PAIRS]
        total = contrast(queries, items, *negatives, training=training)
        return tf.math.divide_no_nan(total, totals.clicks)

    def _transition_losses(self, state: UserState) -> list[tf.Tensor]:
        transitions = state.transitions
        has_both = tf.reduce_any(transitions.item_mask, axis=1)
        has_both &= tf.reduce_any(transitions.session_mask, axis=1)
        views = {
            RECOMMENDATION: (
                transitions.search_to_recommendation,
                transitions.within_recommendation,
                transitions.item_mask,
            ),
            SEARCH: (
                transitions.recommendation_to_search,
                transitions.within_search,
                transitions.session_mask,
            ),
        }
        return [
            layer(*views[service], user_mask=has_both)
            for service, layer in self.layers_by_name.items()
            if service in views
        ]
