"""Towers that learn from what was clicked among what was shown."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfrs_models._keras import FromConfig, register
from tfrs_models.layers.clickstream.features_extractor import FeaturesExtractor
from tfrs_models.layers.clickstream.tower_scores import Extraction, no_searches
from tfrs_models.losses.prob_margin_ranking import (
    check_pair_loss,
    fine_term,
    pair_losses,
)
from tfrs_models.metrics.distance_shift import IRRELEVANT, DistanceShift
from tfrs_models.model import Model, add_total
from tfrs_models.ops.clickstream.pair_features import FineTuningFeatures
from tfrs_models.ops.features.read_features import check_named
from tfrs_models.ops.numbers import whole_number
from tfrs_models.ops.replicas import sum_over_replicas
from tfrs_models.towers.freezing import freeze_first_layers

_PLAIN_QUERY = ""  # name of a query that is no dict of features
_PAIR_MEANS = (
    "loss_per_pair",
    "mean_confidence",
    "pair_accuracy",
    "mean_gap",
    "clamped_share",
)


@register
class FineTuningModel(FromConfig, Model):
    """Fine-tunes towers on clicks: what was clicked should rank above what was not.

    Batches are those of `data.clickstream.click_batches`. Reported are means over the
    pairs of the epoch: `loss_per_pair` and `mean_confidence` of those that are learned
    from, `pair_accuracy`, the share in the right order, and `mean_gap` of all, and
    `clamped_share`, how many are out of the extractor's band; then `num_pairs` of a
    batch, and how far searches with and without a click have moved from their stored
    ranks. The figures of a training step are those before it.

    Attributes:
      query_optimizer: Of the query tower; that of `compile`.
      item_optimizer: Of the item tower, and of a shared one; None where there is one
        optimizer for all.
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
          extractor: With the towers: any Keras layers, those of a `TwoTower` among
            them.
          margin: Of the loss.
          adjust: Of the loss.
          fine_small_difference: Of the loss; over several replicas its mean is taken.
          num_fixed_layers: Layers of each tower that do not learn, with all embeddings
            before them; see `towers.freeze_first_layers`.
          **kwargs: Of `tf.keras.Model`.

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
        """From queries to `[batch, embedding_dim]`."""
        return self.extractor.query_tower

    @property
    def item_tower(self) -> tf.keras.layers.Layer:
        """From items to `[num_items, embedding_dim]`."""
        return self.extractor.item_tower

    @property
    def query_optimizer(self) -> tf.keras.optimizers.Optimizer:
        """Of the query tower."""
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
          optimizer: Of the query tower, and of all where there is no other.
          item_optimizer: Of what the item tower is made of, also where the query tower
            uses it too; not where a loss is scaled, as under `mixed_float16`.
          **kwargs: Of `tf.keras.Model.compile`.

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
        """The pairs of a batch.

        Args:
          batch: See `layers.FeaturesExtractor`.
          training: Whether negatives are drawn, and passed on to the towers.
        """
        self._freeze(batch)
        return self.extractor(batch, training=training)

    def compute_loss(self, features: dict, training: bool = False) -> tf.Tensor:
        """The mean loss of the pairs of a batch; 0 without a pair.

        Args:
          features: A batch, see `layers.FeaturesExtractor`.
          training: Whether this is a training step.

        Returns:
          Scalar loss; replicas add up to that of all.
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
        """Moves the item tower by its optimizer and the rest by the other.

        Args:
          gradients: Of the loss, one for each variable; None where there is none.
          variables: What is trained.
        """
        found = {v.ref(): g for g, v in zip(gradients, variables, strict=True)}
        for optimizer, own in self._of_optimizers(variables):
            optimizer.apply_gradients(
                [(found[v.ref()], v) for v in own if found[v.ref()] is not None]
            )

    def reported_metrics(self, *, training: bool) -> list[tf.keras.metrics.Metric]:
        """The model's metrics; in training without those that are not looked at.

        Args:
          training: Whether it is a training step.
        """
        unseen = (
            self._shifts[1] if training and self.extractor.not_irrelevant_only else 0
        )
        return [metric for metric in self.metrics if metric is not unseen]

    def get_compile_config(self) -> dict | None:
        """Both optimizers; None before `compile`."""
        if self.optimizer is None:
            return None
        serialize = tf.keras.utils.serialize_keras_object
        optimizers = {
            "optimizer": self.optimizer,
            "item_optimizer": self.item_optimizer,
        }
        return {name: o and serialize(o) for name, o in optimizers.items()}

    def compile_from_config(self, config: dict) -> None:
        """Makes both optimizers, with what they remember of their variables."""
        restore = tf.keras.utils.deserialize_keras_object
        self.compile(**{name: o and restore(o) for name, o in config.items()})
        if self.built:
            for optimizer, variables in self._of_optimizers(self.trainable_variables):
                optimizer.build(variables)

    def _of_optimizers(
        self, variables: Sequence[tf.Variable]
    ) -> list[tuple[tf.keras.optimizers.Optimizer, list[tf.Variable]]]:
        """Which optimizer moves which variables; none that moves nothing."""
        items = self.item_tower.trainable_variables if self.item_optimizer else []
        items = {variable.ref() for variable in items}
        shares = (
            (self.item_optimizer, [v for v in variables if v.ref() in items]),
            (self.optimizer, [v for v in variables if v.ref() not in items]),
        )
        return [(optimizer, own) for optimizer, own in shares if own]

    def _no_rows(self, seen: Mapping[str, list]) -> dict:
        queries = super()._no_rows(seen)
        return no_searches(queries.get(_PLAIN_QUERY, queries))

    def _remember(self, features: dict) -> None:
        """Keeps what the queries of a batch look like, to build the towers again."""
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
        """Once, and before a step: a frozen layer keeps its moving averages too."""
        if self.num_fixed_layers and not self._is_frozen:
            towers = [self.query_tower, self.item_tower]
            layers = [layer for t in towers for layer in t._flatten_layers()]
            if not all(layer.built for layer in layers):
                self.extractor.extract(batch)  # makes the weights, and moves nothing
                self._clear_losses()  # the batch costs once
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
