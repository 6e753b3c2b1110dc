"""A model that fine-tunes two towers on the clicks of searches."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrs_models._keras import FromConfig, register
from tfrs_models.layers.clickstream.features_extractor import (
    Extraction,
    FeaturesExtractor,
)
from tfrs_models.losses.prob_margin_ranking import (
    check_pair_loss,
    fine_term,
    pair_losses,
)
from tfrs_models.metrics.distance_shifts import IRRELEVANT, DistanceShift
from tfrs_models.model import Model, add_total
from tfrs_models.ops.clickstream.packing import no_searches
from tfrs_models.ops.clickstream.pairs import FineTuningFeatures
from tfrs_models.ops.features.read_features import check_named
from tfrs_models.ops.numbers import whole_number
from tfrs_models.ops.replicas import sum_over_replicas
from tfrs_models.towers.freezing import freeze_first_layers

_PLAIN_QUERY = ""  # key of a query that is not a dict of features
_PAIR_MEANS = (
    "loss_per_pair",
    "mean_confidence",
    "pair_accuracy",
    "mean_gap",
    "clamped_share",
)


@register
class FineTuningModel(FromConfig, Model):
    """Fine-tunes two towers so that clicked results score above unclicked ones.

    Batches come from `data.clickstream.click_batches`. The metrics are means over the
    pairs of an epoch: `loss_per_pair` and `mean_confidence` over the pairs within the
    extractor's band; `pair_accuracy` (the share in the right order), `mean_gap` and
    `clamped_share` (the share outside the band) over all pairs. `num_pairs` is the mean
    over batches. `not_irrelevant_dist_shift` and `irrelevant_dist_shift` are how far
    the results of searches with and without a click have moved from their stored
    scores. The metrics of a training step are computed before the step.

    Attributes:
      query_optimizer: optimizer of the query tower, the first argument of `compile`.
      item_optimizer: optimizer of the item tower, and of a shared tower; None if one
        optimizer trains all.

    Example:
      >>> search = tm.data.clickstream.FineTuningInput(
      ...     {"item_id": 7}, ["b"], list("abc"), dict.fromkeys("abc", 0.5))
      >>> items = tm.data.clickstream.ItemSet(["a", "b", "c"])
      >>> data = tm.data.clickstream.click_batches([(search, None)], items, 1)
      >>> model = tm.models.FineTuningModel(tm.layers.FeaturesExtractor(
      ...     tm.towers.UserId(9, 4, feature="item_id")))  # one tower for both
      >>> model.compile("sgd")
      >>> model.fit(data, verbose=0).history["num_pairs"]
      [1.0]
    """

    def __init__(
        self,
        extractor: FeaturesExtractor,
        *,
        margin: float = 0.05,
        adjust: str = "unit",
        fine_small_difference: bool = False,
        num_fixed_layers: int = 0,
        **kwargs,
    ) -> None:
        """Initializes the model.

        Args:
          extractor: layer with the two towers, which may be any Keras layers, such as
            those of a `TwoTower`.
          margin: difference of scores by which a click should be ahead.
          adjust: "unit" or "cosine", as in `losses.prob_margin_ranking_loss`.
          fine_small_difference: whether the loss also pulls small differences to 0; on
            several replicas the mean of their terms is added.
          num_fixed_layers: number of first layers of each tower that are not trained,
            with all embeddings before them (`towers.freeze_first_layers`).
          **kwargs: arguments of `tf.keras.Model`.

        Raises:
          ValueError: an option out of range.
        """
        super().__init__(**kwargs)
        check_pair_loss(margin, adjust)
        whole_number("num_fixed_layers", num_fixed_layers)
        self.extractor = extractor
        self.margin = margin
        self.adjust = adjust
        self.fine_small_difference = fine_small_difference
        self.num_fixed_layers = num_fixed_layers
        self.item_optimizer = None
        self._is_frozen = False
        self._means = {name: tf.keras.metrics.Mean(name) for name in _PAIR_MEANS}
        self._num_pairs = tf.keras.metrics.Mean("num_pairs")
        self._shifts = [
            DistanceShift(is_similarity=extractor.is_similarity),
            DistanceShift(
                IRRELEVANT, irrelevant=True, is_similarity=extractor.is_similarity
            ),
        ]

    @property
    def query_tower(self) -> tf.keras.layers.Layer:
        """The layer from queries to embeddings `[batch, embedding_dim]`."""
        return self.extractor.query_tower

    @property
    def item_tower(self) -> tf.keras.layers.Layer:
        """The layer from items to embeddings `[num_items, embedding_dim]`."""
        return self.extractor.item_tower

    @property
    def query_optimizer(self) -> tf.keras.optimizers.Optimizer:
        """The optimizer of the query tower."""
        return self.optimizer

    def compile(
        self,
        optimizer: tf.keras.optimizers.Optimizer | str = "rmsprop",
        *,
        item_optimizer: tf.keras.optimizers.Optimizer | str | None = None,
        **kwargs,
    ) -> None:
        """Prepares the model for training.

        Args:
          optimizer: optimizer of the query tower, and of all variables if there is no
            `item_optimizer`.
          item_optimizer: optimizer of the item tower's variables, also of those that
            the query tower shares; must be None if the loss is scaled, as under
            `mixed_float16`.
          **kwargs: arguments of `tf.keras.Model.compile`.

        Raises:
          ValueError: a loss scale with two optimizers.
        """
        super().compile(optimizer, **kwargs)
        self.item_optimizer = item_optimizer and tf.keras.optimizers.get(item_optimizer)
        scaled = tf.keras.mixed_precision.LossScaleOptimizer
        if self.item_optimizer and any(
            isinstance(o, scaled) for o in (self.optimizer, self.item_optimizer)
        ):
            raise ValueError(
                "`item_optimizer` must be None where a loss is scaled: only one "
                "optimizer would skip a step that overflows. Got a LossScaleOptimizer, "
                "which Keras makes under `mixed_float16`. Use `mixed_bfloat16`, or one "
                "optimizer for both towers."
            )

    def call(self, batch: dict, training: bool = False) -> FineTuningFeatures:
        """Extracts the pairs of a batch.

        Args:
          batch: columns of searches, as `data.clickstream.click_batches` makes them.
          training: whether negatives are drawn; the towers receive it, too.
        """
        self._freeze(batch)
        return self.extractor(batch, training=training)

    def compute_loss(self, features: dict, training: bool = False) -> tf.Tensor:
        """Computes the mean loss of the pairs of a batch; 0 without a pair.

        Args:
          features: columns of searches, as `data.clickstream.click_batches` makes them.
          training: whether this is a training step.

        Returns:
          Scalar loss; the losses of all replicas add up to the loss of the batch.
        """
        check_named(features)
        self._freeze(features)
        found = self.extractor.extract(features, training=training)
        losses = pair_losses(found.features, margin=self.margin, adjust=self.adjust)
        self._update_metrics(found, losses)
        count = sum_over_replicas(tf.cast(tf.size(losses), tf.float32))
        loss = tf.math.divide_no_nan(tf.reduce_sum(losses), count)
        if self.fine_small_difference:
            replicas = sum_over_replicas(tf.ones([]))
            loss += fine_term(found.features, self.margin) / replicas
        return loss

    def apply_gradients(
        self, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
    ) -> None:
        """Updates the item tower by its optimizer and all other variables by the first.

        Args:
          gradients: gradients of the loss, one for each variable; None for a variable
            that the loss does not depend on.
          variables: the trained variables.
        """
        found = {v.ref(): g for g, v in zip(gradients, variables, strict=True)}
        for optimizer, share in self._of_optimizers(variables):
            optimizer.apply_gradients(
                [(found[v.ref()], v) for v in share if found[v.ref()] is not None]
            )

    def reported_metrics(self, *, training: bool) -> list[tf.keras.metrics.Metric]:
        """Returns the metrics; in training without those that get no value.

        Args:
          training: whether this is a training step.
        """
        unseen = (
            self._shifts[1] if training and self.extractor.not_irrelevant_only else 0
        )
        return [metric for metric in self.metrics if metric is not unseen]

    def get_compile_config(self) -> dict | None:
        """Returns the configs of both optimizers; None before `compile`."""
        if self.optimizer is None:
            return None
        serialize = tf.keras.utils.serialize_keras_object
        optimizers = {
            "optimizer": self.optimizer,
            "item_optimizer": self.item_optimizer,
        }
        return {name: o and serialize(o) for name, o in optimizers.items()}

    def compile_from_config(self, config: dict) -> None:
        """Makes both optimizers, with the slots of their variables."""
        restore = tf.keras.utils.deserialize_keras_object
        self.compile(**{name: o and restore(o) for name, o in config.items()})
        if self.built:
            for optimizer, variables in self._of_optimizers(self.trainable_variables):
                optimizer.build(variables)

    def _of_optimizers(
        self, variables: Sequence[tf.Variable]
    ) -> list[tuple[tf.keras.optimizers.Optimizer, list[tf.Variable]]]:
        """Returns each optimizer with its variables, without those that have none."""
        items = self.item_tower.trainable_variables if self.item_optimizer else []
        items = {variable.ref() for variable in items}
        shares = (
            (self.item_optimizer, [v for v in variables if v.ref() in items]),
            (self.optimizer, [v for v in variables if v.ref() not in items]),
        )
        return [(optimizer, share) for optimizer, share in shares if share]

    def _no_rows(self, seen: Mapping[str, list]) -> dict:
        queries = super()._no_rows(seen)
        return no_searches(queries.get(_PLAIN_QUERY, queries))

    def _remember(self, features: dict) -> None:
        """Stores the specs of the queries of a batch, to build the towers again."""
        if "query" in features:
            query = features["query"]
            super()._remember(
                query if isinstance(query, Mapping) else {_PLAIN_QUERY: query}
            )

    def _update_metrics(self, found: Extraction, losses: tf.Tensor) -> None:
        pairs, formed = found.features, found.formed
        gap = formed.target * (formed.positive_ranks - formed.negative_ranks)
        trust = tf.minimum(pairs.positive_confidences, pairs.negative_confidences)
        for name, values in (
            ("loss_per_pair", losses),
            ("mean_confidence", trust),
            ("pair_accuracy", tf.cast(gap > 0, tf.float32)),
            ("mean_gap", gap),
        ):
            add_total(self._means[name], tf.reduce_sum(values), tf.size(values))
        count = tf.size(losses)
        out = tf.cast(tf.size(gap) - count, tf.float32)
        add_total(self._means["clamped_share"], out, tf.size(gap))
        self._num_pairs.update_state(tf.cast(count, tf.float32))
        for metric, ranks in zip(
            self._shifts, (found.clicked, found.irrelevant), strict=True
        ):
            if ranks is not None:
                metric.update_state(*ranks)

    def _freeze(self, batch: dict) -> None:
        """Freezes layers once, before the first step: moving averages stay, too."""
        if self.num_fixed_layers and not self._is_frozen:
            towers = [self.query_tower, self.item_tower]
            layers = [layer for t in towers for layer in t._flatten_layers()]
            if not all(layer.built for layer in layers):
                self.extractor.extract(batch)  # makes the weights without an update
                self._clear_losses()  # or regularizers would count the batch twice
            for tower in towers[:1] if self.extractor.is_shared else towers:
                freeze_first_layers(tower, self.num_fixed_layers)
        self._is_frozen = True

    def get_config(self) -> dict:
        return {
            "extractor": tf.keras.utils.serialize_keras_object(self.extractor),
            "margin": self.margin,
            "adjust": self.adjust,
            "fine_small_difference": self.fine_small_difference,
            "num_fixed_layers": self.num_fixed_layers,
            "name": self.name,
        }


class TrainStep(NamedTuple):
    """Loss and gradients of one training step.

    Attributes:
      loss: scalar loss of the pairs before the step; the gradients include
        regularizers, the loss does not.
      query_gradients: one gradient for each trainable variable of the query tower.
      item_gradients: one gradient for each trainable variable of the item tower.
    """

    loss: tf.Tensor
    query_gradients: list[tf.Tensor]
    item_gradients: list[tf.Tensor]


def fine_tuning_train_step(model: FineTuningModel, batch: dict) -> TrainStep:
    """Trains one step and returns its gradients; use `fit` for a whole training.

    Args:
      model: a compiled model.
      batch: columns of searches, as `data.clickstream.click_batches` makes them.

    Returns:
      Loss and gradients of the step.

    Example:
      >>> search = tm.data.clickstream.FineTuningInput(
      ...     {"item_id": 7}, ["b"], list("abc"), dict.fromkeys("abc", 0.5))
      >>> items = tm.data.clickstream.ItemSet(["a", "b", "c"])
      >>> (batch,) = tm.data.clickstream.click_batches([(search, None)], items, 1)
      >>> model = tm.models.FineTuningModel(tm.layers.FeaturesExtractor(
      ...     tm.towers.UserId(9, 4, feature="item_id")))
      >>> model.compile("sgd")
      >>> float(tm.models.fine_tuning_train_step(model, batch).loss) > 0
      True
    """
    with tf.GradientTape() as tape:
        loss, penalty = model.loss_and_penalty(batch, training=True)
        total = loss + penalty
    variables = model.trainable_variables
    gradients = tape.gradient(total, variables)
    model.apply_gradients(gradients, variables)
    found = {v.ref(): g for v, g in zip(variables, gradients, strict=True)}
    return TrainStep(
        loss,
        *(
            [found[variable.ref()] for variable in tower.trainable_variables]
            for tower in (model.query_tower, model.item_tower)
        ),
    )
