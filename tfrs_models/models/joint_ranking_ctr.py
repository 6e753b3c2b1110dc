"""A model that orders a list and predicts the probability of each click."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tfrs_models._keras import FromConfig, UnsavedMean, register
from tfrs_models.layers.mlp import MLP
from tfrs_models.losses.pairwise import pairwise_logistic_loss
from tfrs_models.losses.regression_compatible import regression_compatible_loss
from tfrs_models.model import Model, add_total
from tfrs_models.ops.features.declared_features import pick_declared
from tfrs_models.ops.features.list_features import (
    check_lists,
    flat_lists,
    of_every_item,
    split_lists,
)
from tfrs_models.ops.features.read_features import check_named, required
from tfrs_models.ops.lists.list_shapes import read_lists
from tfrs_models.tasks.multi_task import MultiTask
from tfrs_models.types import Features

CTR, SCORE, PADDING = "ctr", "score", -1.0


@register
class JointRankingCTR(FromConfig, Model):
    """Predicts a ranking score and a click probability of every item of a list.

    The score is the product of the user's and the item's embedding, plus an interaction
    layer's where there is one. The logit of the click comes from dense layers of both
    embeddings and of their product by elements. A list costs
    `alpha * ranking + (1 - alpha) * mean BCE of its items`, and both train the towers.

    Calibrated, there is one number instead of two: the sum of score and logit ranks,
    and its sigmoid is the probability of the click. Its ranking loss is compatible with
    that (`losses.regression_compatible_loss`).

    Features: those of the user tower `[batch, ...]`, those of the item tower `[batch,
    list_size, ...]`, and for training `labels` `[batch, list_size]`: 0, 1 or graded, -1
    for padding. Optionally `clicks` `[batch, list_size]`, 0 or 1 where a label above 0
    is not a click, `mask` `[batch, list_size]`, False for padding, and `sample_weight`
    `[batch]` of the lists.

    Example:
      >>> users = tm.towers.FeatureTower([tm.data.Feature("user_id", "id", 3)], 4)
      >>> items = tm.towers.FeatureTower([tm.data.Feature("item_id", "id", 5)], 4)
      >>> model = tm.models.JointRankingCTR(users, items, calibrated=True)
      >>> lists = {"user_id": np.array([1]), "item_id": np.array([[2, 5, 3]])}
      >>> loss = model.compute_loss(lists | {"labels": np.array([[1, 0, -1]])})
      >>> answer = model.rank(lists)
      >>> bool(np.allclose(tf.sigmoid(answer["score"]), answer["ctr"]))  # calibrated
      True

    Reference:
      Bai et al., Regression compatible listwise objectives for calibrated ranking with
      binary relevance, CIKM 2023.
    """

    def __init__(
        self,
        user_tower: tf.keras.layers.Layer,
        item_tower: tf.keras.layers.Layer,
        *,
        list_loss: tf.keras.losses.Loss | Callable | None = None,
        alpha: float = 0.5,
        calibrated: bool = False,
        item_features: Sequence[str] | None = None,
        hidden_units: Sequence[int] = (64,),
        interaction: tf.keras.layers.Layer | None = None,
        **kwargs,
    ) -> None:
        """Initializes the model.

        Args:
          user_tower: layer from the features of users to `[batch, embedding_dim]`.
          item_tower: layer from the features of items to `[batch, embedding_dim]`.
          list_loss: function from labels and scores `[batch, list_size]`, labels -1 for
            padding, to `[batch]`, 0 for a list with nothing to compare; or a Keras loss
            whose `call` is this function. A function of your own must be registered
            with Keras to be in a config. None for `losses.pairwise_logistic_loss`, or
            if calibrated.
          alpha: weight of the ranking loss, in [0, 1].
          calibrated: True if one number both ranks and predicts.
          item_features: names of the features that are lists; where None, those that
            the item tower declares (`towers.FeatureTower`).
          hidden_units: widths of the ReLU layers before the logit.
          interaction: layer with declared `fields` of users and items, from them to
            `[batch]` (`layers.FactorizationMachine`), added to the score.
          **kwargs: arguments of `tf.keras.Model`.
        """
        super().__init__(**kwargs)
        if not 0 <= alpha <= 1:
            raise ValueError(f"`alpha` must be in [0, 1]. Got {alpha}.")
        if calibrated and list_loss is not None:
            raise ValueError(
                "`list_loss` must be None where `calibrated` is True, which has its "
                f"own. Got {list_loss}."
            )
        if item_features is None:
            declared = getattr(item_tower, "features", ())
            item_features = [feature.name for feature in declared]
        if not item_features:
            raise ValueError(
                "`item_features` must name the features that are lists, where "
                "`item_tower` declares none. Got none."
            )
        self.user_tower = user_tower
        self.item_tower = item_tower
        self.list_loss = list_loss
        self.alpha = float(alpha)
        self.calibrated = calibrated
        self.item_features = tuple(item_features)
        self.hidden_units = tuple(hidden_units)
        self.interaction = interaction
        self.ctr_layers = MLP([*self.hidden_units, 1])
        self.task = MultiTask([CTR])
        self._means = [
            UnsavedMean(name)
            for name in ("loss_per_example", "ranking_loss", "ctr_loss")
        ]

    def call(
        self, features: Features, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores every item of every list.

        Args:
          features: features of both towers, as listed for the class.
          training: True in a training step, where towers may drop values.

        Returns:
          The ranking score and the logit of the click, `[batch, list_size]` float32
          each; twice the same if calibrated.

        Raises:
          ValueError: a feature is missing, or lists differ in length.
        """
        items, others = split_lists(features, self.item_features)
        flat = {name: flat_lists(values) for name, values in items.items()}
        shape = tf.shape(items[self.item_features[0]])[:2]
        user = self.user_tower(others, training=training)
        item = self.item_tower(flat, training=training)
        if not user.shape[1:].is_compatible_with(item.shape[1:]):
            raise ValueError(
                "`user_tower` and `item_tower` must have the same width. Got shapes "
                f"{user.shape} and {item.shape}."
            )
        user = of_every_item(user, shape[1])  # [batch * list_size, embedding_dim]
        item = tf.cast(item, user.dtype)
        product = tf.cast(user, tf.float32) * tf.cast(item, tf.float32)
        score = tf.reduce_sum(product, axis=1)
        if self.interaction is not None:
            score += tf.cast(self._interact(flat, others, shape[1]), tf.float32)
        parts = [user, item, tf.cast(product, user.dtype)]
        logit = self.ctr_layers(tf.concat(parts, axis=1))[:, 0]
        logit = tf.cast(logit, tf.float32)
        if self.calibrated:
            score = logit = score + logit
        return tf.reshape(score, shape), tf.reshape(logit, shape)

    def rank(self, features: Features) -> dict[str, tf.Tensor]:
        """Computes the answer of a server.

        Args:
          features: features of both towers, and optionally `mask`.

        Returns:
          `ctr`, the probability of a click, and `score` to rank by, `[batch,
          list_size]` float32; a padded item's are 0 and the lowest number.
        """
        score, logit = self(features)
        ctr = self.task.predictions(logit)
        if "mask" in features:
            valid = self._mask(features, score)
            ctr = tf.where(valid, ctr, 0.0)
            score = tf.where(valid, score, score.dtype.min)
        return {CTR: ctr, SCORE: score}

    def predict_step(self, features: Features) -> dict[str, tf.Tensor]:
        """Returns the outputs of `rank` for a batch of `predict`."""
        return self.rank(features)

    def compute_loss(self, features: Features, training: bool = False) -> tf.Tensor:
        """Sums the losses of the lists.

        Args:
          features: features of both towers and labels, as listed for the class.
          training: True in a training step, where towers may drop values.

        Returns:
          Scalar loss.

        Raises:
          ValueError: a feature is missing or does not fit, or `list_loss` does not
            return one number for each list.
        """
        check_named(features)
        score, logit = self(features, training=training)
        labels = self._labels(features, score)
        valid = labels >= 0
        weight = tf.ones_like(labels[:, 0])
        if "sample_weight" in features:
            weight = tf.cast(features["sample_weight"], tf.float32)
        # Padding has no influence on loss or gradient, whatever its features are.
        score, logit = (tf.where(valid, values, 0.0) for values in (score, logit))
        clicks = tf.cast(labels > 0, tf.float32)
        if "clicks" in features:
            clicks = tf.cast(features["clicks"], tf.float32)
            check_lists("clicks", clicks, self.item_features[0], score)
        clicks = tf.where(valid, clicks, PADDING)
        ranking = self._list_losses(clicks if self.calibrated else labels, score)
        ranking = tf.reduce_sum(weight * ranking)
        size = tf.reduce_sum(tf.cast(valid, tf.float32), axis=1)
        per_item = of_every_item(
            tf.math.divide_no_nan(weight, size), tf.shape(valid)[1]
        )
        rows = flat_lists(clicks)[:, None], flat_lists(logit)[:, None]
        ctr = self.task(*rows, sample_weight=per_item, compute_metrics=False)
        # The metrics are over items: the loss alone weighs by lists.
        self.task(*rows, sample_weight=of_every_item(weight, tf.shape(valid)[1]))
        loss = self.alpha * ranking + (1 - self.alpha) * ctr
        num_lists = tf.math.count_nonzero(size)
        for mean, total in zip(self._means, (loss, ranking, ctr), strict=True):
            add_total(mean, total, num_lists)
        return loss

    def _interact(
        self, flat: Features, others: Features, list_size: tf.Tensor
    ) -> tf.Tensor:
        """Computes the interaction layer's logit of every item."""
        fields = self.interaction.fields
        repeated = {
            field.name: of_every_item(others[field.name], list_size)
            for field in fields
            if field.name in others
        }
        return self.interaction(pick_declared({**repeated, **flat}, fields))

    def _list_losses(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        own = regression_compatible_loss if self.calibrated else pairwise_logistic_loss
        loss = self.list_loss or own
        if isinstance(loss, tf.keras.losses.Loss):
            loss = loss.call  # not reduced
        losses = tf.cast(loss(labels, scores), tf.float32)
        if losses.shape.rank != 1:
            raise ValueError(
                "`list_loss` must return one number for each list, [batch]. Got shape "
                f"{losses.shape}."
            )
        return losses

    def _labels(self, features: Features, score: tf.Tensor) -> tf.Tensor:
        """Returns `[batch, list_size]` float32 labels, -1 for all padding."""
        labels = tf.cast(required(features, "labels"), tf.float32)
        check_lists("labels", labels, self.item_features[0], score)
        mask = self._mask(features, score) if "mask" in features else None
        labels, _, valid = read_lists(labels, score, mask)
        return tf.where(valid, labels, PADDING)

    def _mask(self, features: Features, score: tf.Tensor) -> tf.Tensor:
        mask = tf.cast(features["mask"], tf.bool)
        check_lists("mask", mask, self.item_features[0], score)
        return mask

    def get_config(self) -> dict:
        serialize = tf.keras.utils.serialize_keras_object
        return {
            "user_tower": serialize(self.user_tower),
            "item_tower": serialize(self.item_tower),
            "list_loss": None if self.list_loss is None else serialize(self.list_loss),
            "alpha": self.alpha,
            "calibrated": self.calibrated,
            "item_features": list(self.item_features),
            "hidden_units": list(self.hidden_units),
            "interaction": (
                None if self.interaction is None else serialize(self.interaction)
            ),
            "name": self.name,
        }
