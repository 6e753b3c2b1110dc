"""The two-tower retrieval model."""

import tensorflow as tf

from tfrs_models._keras import FromConfig, register
from tfrs_models.model import Model
from tfrs_models.tasks.retrieval import Retrieval
from tfrs_models.towers.unit_norm import UnitNorm
from tfrs_models.types import Features


@register
class TwoTower(FromConfig, Model):
    """Independent query and candidate towers joined by a dot product.

    By default both outputs have unit length, the softmax has a temperature, sampled
    candidates are corrected by their popularity (logQ) and accidental hits are no
    negatives: without these, a popular item is punished for being popular.

    Reference:
      Yi et al., Sampling-bias-corrected neural modeling for large corpus item
      recommendations, RecSys 2019.
    """

    def __init__(
        self,
        query_tower: tf.keras.layers.Layer,
        candidate_tower: tf.keras.layers.Layer,
        *,
        task: tf.keras.layers.Layer | None = None,
        temperature: float = 0.2,
        unit_norm: bool = True,
        candidate_id: str = "item_id",
        **kwargs,
    ) -> None:
        """Initializes the model.

        Args:
          query_tower: From the features to `[batch, embedding_dim]`.
          candidate_tower: From the features to `[batch, embedding_dim]`.
          task: A retrieval task; where None, `tasks.Retrieval` with this temperature,
            without accidental hits.
          temperature: Of the default task.
          unit_norm: Whether embeddings are scaled to length one.
          candidate_id: Name of the feature that identifies a candidate.
          **kwargs: Of `tf.keras.Model`.
        """
        super().__init__(**kwargs)
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.query_model = UnitNorm(query_tower) if unit_norm else query_tower
        self.candidate_model = (
            UnitNorm(candidate_tower) if unit_norm else candidate_tower
        )
        self.task = task or Retrieval(
            temperature=temperature, remove_accidental_hits=True
        )
        self.temperature = temperature
        self.unit_norm = unit_norm
        self.candidate_id = candidate_id
        self._loss_per_example = tf.keras.metrics.Mean("loss_per_example")

    def call(
        self, features: Features, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Embeds both sides of each row.

        Args:
          features: What both towers take.
          training: Passed on to the towers.

        Returns:
          Query and candidate embeddings, `[batch, embedding_dim]` each.
        """
        query = self.query_model(features, training=training)
        return query, self.candidate_model(features, training=training)

    def task_inputs(self, features: Features, training: bool = False) -> dict:
        """The arguments of the task for a batch of positives.

        Args:
          features: See `compute_loss`.
          training: Whether this is a training step.

        Returns:
          Keyword arguments of `self.task`.
        """
        if self.candidate_id not in features:
            raise ValueError(
                f"Feature `{self.candidate_id}`, the candidate's id, is missing. "
                f"Got {sorted(features)}."
            )
        query, candidate = self(features, training=training)
        return {
            "query_embeddings": query,
            "candidate_embeddings": candidate,
            "sample_weight": features.get("sample_weight"),
            "candidate_sampling_probability": features.get(
                "candidate_sampling_probability"
            ),
            "candidate_ids": features[self.candidate_id],
            "known_positives": features.get("known_items"),
        }

    def compute_loss(self, features: Features, training: bool = False) -> tf.Tensor:
        """The task's loss of a batch of positives.

        Corpus metrics are left out in training.

        Args:
          features: What both towers take, the candidate's id, and optionally
            `candidate_sampling_probability` `[batch]`, `sample_weight` `[batch]` and
            `known_items` `[batch, None]`: the ids that the user of a row already has,
            which are neither negatives nor ranked against (in training the row's own
            positive may be among them).
          training: Whether this is a training step.

        Returns:
          Scalar loss.
        """
        inputs = self.task_inputs(features, training)
        loss = self.task(**inputs, compute_metrics=not training, training=training)
        batch = tf.cast(tf.shape(inputs["query_embeddings"])[0], loss.dtype)
        mean = tf.math.divide_no_nan(loss, batch)  # a replica may have got no rows
        self._loss_per_example.update_state(mean, sample_weight=batch)
        return loss

    def reported_metrics(self, *, training: bool) -> list[tf.keras.metrics.Metric]:
        """The model's metrics; without those over the corpus in training.

        Args:
          training: Whether it is a training step.
        """
        if not training:
            return self.metrics
        corpus = {
            id(metric)
            for layer in self.task.factorized_metrics
            for metric in layer.metrics
        }
        return [metric for metric in self.metrics if id(metric) not in corpus]

    def embed_candidates(self, candidates: tf.data.Dataset) -> tf.data.Dataset:
        """The corpus as an index or a corpus metric takes it.

        Args:
          candidates: Batches of the candidates' features.

        Returns:
          A dataset of (ids `[batch]`, embeddings `[batch, embedding_dim]`) that follows
          the weights of the tower.
        """
        return candidates.map(
            lambda features: (
                features[self.candidate_id],
                self.candidate_model(features, training=False),
            )
        )

    def get_config(self) -> dict:
        serialize = tf.keras.utils.serialize_keras_object
        return {
            "query_tower": serialize(self.query_tower),
            "candidate_tower": serialize(self.candidate_tower),
            "task": serialize(self.task),
            "temperature": self.temperature,
            "unit_norm": self.unit_norm,
            "candidate_id": self.candidate_id,
            "name": self.name,
        }
