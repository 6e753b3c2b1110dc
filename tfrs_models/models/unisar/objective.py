"""The training objective of UniSAR: clicks and two contrasts."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.models.unisar.example import RECOMMENDATION, SEARCH
from tfrs_models.models.unisar.network import UserState
from tfrs_models.models.unisar.transitions import masked_mean
from tfrs_models.ops.replicas import gather_rows, sum_over_replicas
from tfrs_models.ops.softmax.blocked_softmax import blocked_softmax_cross_entropy
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort

PAIRS = "pairs"
TERMS = ("click", "pair", "transition")
Negatives = tuple[tf.Tensor, tf.Tensor]


class Totals(NamedTuple):
    """Numbers of a batch over all replicas, as scalar float32.

    Attributes:
      replicas: number of replicas.
      rows: number of rows.
      candidates: number of candidates without padding.
      clicks: number of clicks in past searches.
    """

    replicas: tf.Tensor
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
            losses["transition"] = tf.add_n(losses_of_services) / totals.replicas
        return losses, totals.rows

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
        totals = sum_over_replicas(tf.stack([1.0, rows, *counts]))
        return Totals(*tf.unstack(totals))

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


def pair_info_nce(
    anchors: tf.Tensor,
    positives: tf.Tensor,
    negatives: tf.Tensor,
    *,
    weight: tf.Tensor,
    temperature: tf.Tensor | float,
    training: bool = True,
) -> tf.Tensor:
    """Sums the cross-entropy of each pair's positive among negatives.

    `-log softmax([s(a, p), s(a, n_1), ...])_0` with `s(a, b) = tanh(a W b) / T`. The
    scores are made block by block and never held all at once.

    Args:
      anchors: `[num_pairs, embedding_dim]` vectors, such as those of searches.
      positives: `[num_pairs, embedding_dim]` vectors, such as those of clicked items.
      negatives: `[num_negatives, embedding_dim]` vectors, the same for all pairs.
      weight: `[embedding_dim, embedding_dim]` matrix `W`.
      temperature: `T`, above 0.
      training: whether gradients will be computed; False is faster.

    Returns:
      Scalar float32, 0 without a pair; differentiable once.

    Raises:
      ValueError: the widths differ.

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """
    tensors = [anchors, positives, negatives, weight, temperature]
    anchors, positives, negatives, weight, temperature = (
        tf.cast(tensor, tf.float32) for tensor in tensors
    )
    widths = [t.shape[-1] for t in (anchors, positives, negatives)]
    if len(set(widths)) > 1:
        raise ValueError(
            "`anchors`, `positives` and `negatives` must have the same width. Got "
            f"{widths}."
        )

    def scores(block: slice, rows: list, shared: list) -> tf.Tensor:
        del block
        (anchor, positive), (negatives, weight, temperature) = rows, shared
        turned = tf.matmul(anchor, weight)
        first = tf.reduce_sum(turned * positive, axis=1, keepdims=True)
        others = tf.matmul(turned, negatives, transpose_b=True)
        return tf.tanh(tf.concat([first, others], axis=1)) / temperature

    return blocked_softmax_cross_entropy(
        scores,
        tf.shape(negatives)[0] + 1,
        positives=tf.zeros(tf.shape(anchors)[:1], tf.int32),
        rows=[anchors, positives],
        shared=[negatives, weight, temperature],
        training=training,
    )


def transition_contrast(
    cross: tf.Tensor,
    within: tf.Tensor,
    mask: tf.Tensor,
    *,
    weight: tf.Tensor,
    temperature: tf.Tensor | float,
) -> tf.Tensor:
    """Computes the cross-entropy of a user's other view among all views of all users.

    With both views below each other, `Z = [cross; within]`, the logits are
    `tanh(Z W Z^T) / T`. The positive of row `i` is the other view of its user, the
    negatives are all other rows but row `i`.

    Args:
      cross: `[batch, embedding_dim]` view of a user's events across the services.
      within: `[batch, embedding_dim]` view of the same events within their service.
      mask: `[batch]` bool, False for users who lack a view: they are neither positives
        nor negatives.
      weight: `[embedding_dim, embedding_dim]` matrix `W`.
      temperature: `T`, above 0.

    Returns:
      `[batch]` float32, the mean of a user's two rows; 0 for masked users, and without
      any other user.

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """
    batch = tf.shape(mask)[0]
    cross, within, weight = (tf.cast(t, tf.float32) for t in (cross, within, weight))
    views = tf.concat([cross, within], axis=0)
    logits = tf.matmul(tf.matmul(views, weight), views, transpose_b=True)
    logits = tf.tanh(logits) / tf.cast(temperature, tf.float32)
    seen = tf.tile(mask, [2])[None, :] & ~tf.eye(2 * batch, dtype=tf.bool)
    # A masked row still has a finite loss, which is dropped below.
    positive = tf.roll(tf.range(2 * batch), batch, axis=0)
    seen |= tf.equal(positive[:, None], tf.range(2 * batch)[None, :])
    log_p = tf.nn.log_softmax(tf.where(seen, logits, logits.dtype.min))
    losses = -tf.gather(log_p, positive, batch_dims=1)
    return tf.where(mask, (losses[:batch] + losses[batch:]) / 2, 0.0)


class BilinearContrast(TorchPort, tf.keras.layers.Layer):
    """Holds `W` and the temperature `T` of the similarity `tanh(a W b) / T`."""

    _temperature_of_original: str

    def __init__(
        self, temperature: float = 0.5, *, log_temperature: bool = True, **kwargs
    ) -> None:
        """Initializes the layer.

        Args:
          temperature: temperature before training, above 0.
          log_temperature: whether the logarithm of the temperature is learned, so that
            it stays above 0; the original learns the temperature itself.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if not temperature > 0:
            raise ValueError(f"`temperature` must be above 0. Got {temperature}.")
        self.initial_temperature = float(temperature)
        self.log_temperature = log_temperature
        start = np.log(temperature) if log_temperature else temperature
        with tf.name_scope(self.name):  # HDF5 files want distinct names
            self.temperature_weight = self.add_weight(
                "temperature",
                (),
                dtype=tf.float32,
                initializer=tf.keras.initializers.Constant(start),
                experimental_autocast=False,
            )

    @property
    def temperature(self) -> tf.Tensor:
        """The temperature as a scalar float32."""
        value = tf.convert_to_tensor(self.temperature_weight)
        return tf.exp(value) if self.log_temperature else value

    def build(self, input_shape: tf.TensorShape | Sequence[int]) -> None:
        width = input_shape[-1]
        self.kernel = self.add_weight(
            "kernel",
            (width, width),
            dtype=tf.float32,
            initializer="glorot_normal",
            experimental_autocast=False,
        )
        super().build(input_shape)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the matrix and the temperature of the original.

        Args:
          arrays: state dict of the original.

        Raises:
          ValueError: the temperature has no logarithm, and `log_temperature` wants it.
        """
        if not self.built:
            self.build(np.shape(arrays["weight_matrix"]))
        name = self._temperature_of_original
        if self.log_temperature and not np.all(arrays.get(name, 1.0) > 0):
            raise ValueError(
                f"`{name}` must be above 0 for its logarithm to be learned. Got "
                f"{arrays[name]}: `log_temperature=False` learns it as it is."
            )
        layout = np.log if self.log_temperature else np.asarray
        return {
            "weight_matrix": TorchArray(self.kernel),
            name: TorchArray(self.temperature_weight, layout),
        }

    def get_config(self) -> dict:
        return super().get_config() | {
            "temperature": self.initial_temperature,
            "log_temperature": self.log_temperature,
        }


@register
class PairInfoNCE(BilinearContrast):
    """Contrasts pairs with random negatives in both directions.

    Queries are matched with their items among random items, and items with their
    queries among random queries, by a learned bilinear similarity.

    Example:
      >>> layer = tm.models.unisar.PairInfoNCE()
      >>> queries, items, others = (tf.random.normal([n, 4]) for n in (3, 3, 7))
      >>> loss = layer(queries, items, others, others, training=True)
      >>> float(loss) > 0
      True
      >>> float(layer(queries[:0], items[:0], others, others))  # there is no pair
      0.0

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """

    _temperature_of_original = "temp"

    def call(
        self,
        queries: tf.Tensor,
        items: tf.Tensor,
        negative_queries: tf.Tensor,
        negative_items: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Sums the mean loss of both directions over the pairs.

        Args:
          queries: `[num_pairs, embedding_dim]` vectors of queries.
          items: `[num_pairs, embedding_dim]` vectors of the clicked items.
          negative_queries: `[num_negative_queries, embedding_dim]` random queries.
          negative_items: `[num_negative_items, embedding_dim]` random items.
          training: whether gradients will be computed.

        Returns:
          Scalar float32, 0 without a pair.
        """
        options = {
            "weight": self.kernel,
            "temperature": self.temperature,
            "training": training,
        }
        of_queries = pair_info_nce(queries, items, negative_items, **options)
        of_items = pair_info_nce(items, queries, negative_queries, **options)
        return (of_queries + of_items) / 2


@register
class TransitionContrast(BilinearContrast):
    """Contrasts two views of the mean event of each user with those of other users.

    Users of all replicas are each other's negatives. The similarity is learned.

    Example:
      >>> layer = tm.models.unisar.TransitionContrast()
      >>> cross, within = tf.random.normal([2, 3, 4]), tf.random.normal([2, 3, 4])
      >>> mask = tf.sequence_mask([3, 1], 3)
      >>> float(layer(cross, within, mask)) > 0
      True
      >>> float(layer(cross[:1], within[:1], mask[:1])) == 0  # no other user
      True

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """

    _temperature_of_original = "infoNCE_temp"

    def call(
        self,
        cross: tf.Tensor,
        within: tf.Tensor,
        mask: tf.Tensor,
        user_mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Computes the mean loss over the users of all replicas.

        Args:
          cross: `[batch, seq_len, embedding_dim]` events as they follow from those of
            another service.
          within: `[batch, seq_len, embedding_dim]` the same events as they follow from
            those of their own service.
          mask: `[batch, seq_len]` bool, False for padding.
          user_mask: `[batch]` bool, False for users who do not count; users without an
            event never count.

        Returns:
          Scalar float32, 0 if no user counts.
        """
        counts = tf.reduce_any(mask, axis=1)
        if user_mask is not None:
            counts &= user_mask
        views = [
            tf.cast(masked_mean(tf.convert_to_tensor(view), mask), tf.float32)
            for view in (cross, within)
        ]
        # One collective operation is faster than three.
        rows = tf.concat([*views, tf.cast(counts, tf.float32)[:, None]], axis=1)
        rows = gather_rows(rows)
        cross, within, counts = tf.split(rows, [*(v.shape[-1] for v in views), 1], 1)
        losses = transition_contrast(
            cross,
            within,
            counts[:, 0] > 0,
            weight=self.kernel,
            temperature=self.temperature,
        )
        count = tf.cast(tf.math.count_nonzero(counts), losses.dtype)
        return tf.math.divide_no_nan(tf.reduce_sum(losses), count)
