"""The two-tower retrieval model."""

from typing import Protocol

import tensorflow as tf

from tfrs_models._keras import FromConfig, UnsavedMean, register
from tfrs_models.model import Model, add_total
from tfrs_models.ops.features.read_features import check_named
from tfrs_models.ops.numbers import true_or_false
from tfrs_models.ops.ranks.lookup import comparable
from tfrs_models.tasks.retrieval import Retrieval
from tfrs_models.towers.trends import TRENDS, TrendWeights, WithTrends
from tfrs_models.towers.unit_norm import UnitNorm
from tfrs_models.types import Features, VocabularyRows

EXTRA_CANDIDATES = "extra_candidates"
SAMPLING_PROBABILITY = "candidate_sampling_probability"
REQUEST_TIME = "timestamp"
_EARLIER_NAMES = {"query_model": "query_tower", "candidate_model": "candidate_tower"}


class TrendFeatures(Protocol):
    """Trend features of items at any time, as `data.TrendTable` has them."""

    num_trends: int

    def features(self, item_id: tf.Tensor, timestamp: tf.Tensor) -> tf.Tensor:
        """Computes `[..., num_trends]` features of items at times.

        Args:
          item_id: indices of items.
          timestamp: whole seconds since 1970, of a shape that broadcasts.
        """


@register
class TwoTower(FromConfig, Model):
    """Independent query and candidate towers joined by a dot product.

    By default both outputs have unit length, the softmax has a temperature, sampled
    candidates are corrected by their popularity (logQ) and accidental hits are no
    negatives: without these, a popular item is punished for being popular.

    Attributes:
      query_tower: layer from features to query embeddings, ready to query an index.
      candidate_tower: layer from features to candidate embeddings, ready to be indexed.

    Example:
      >>> users = tm.towers.FeatureTower([tm.data.Feature("user_id", "id", 3)], 4)
      >>> items = tm.towers.FeatureTower([tm.data.Feature("item_id", "id", 5)], 4)
      >>> model = tm.models.TwoTower(users, items)
      >>> index = tm.layers.BruteForce(model.query_tower, k=2)
      >>> _ = index.index(model.candidate_tower({"item_id": np.arange(6)}))
      >>> scores, ids = index({"user_id": np.array([1, 2])})
      >>> ids.shape, bool((scores <= 1 + 1e-6).numpy().all())  # cosines
      (TensorShape([2, 2]), True)

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
        query_id: str = "user_id",
        frequency_estimator: tf.keras.layers.Layer | None = None,
        mined_negatives: tf.keras.layers.Layer | None = None,
        num_trends: int = 0,
        trend_table: TrendFeatures | None = None,
        **kwargs,
    ) -> None:
        """Initializes the model.

        Args:
          query_tower: layer from the features to `[batch, embedding_dim]`.
          candidate_tower: layer from the features to `[batch, embedding_dim]`.
          task: retrieval task; where None, `tasks.Retrieval` with this temperature,
            without accidental hits.
          temperature: divisor of the scores in the default task.
          unit_norm: True to scale embeddings to length one.
          candidate_id: name of the feature that identifies a candidate.
          query_id: name of the feature that identifies a query to `mined_negatives`.
          frequency_estimator: layer from candidate ids to their sampling probabilities
            (`layers.FrequencyEstimator`), if the features do not carry them.
          mined_negatives: layer from query ids to candidate ids
            (`layers.MinedNegatives`), which training takes as negatives of their row.
          num_trends: number of trend features of an item, by which the embeddings of
            both towers are extended (`towers.TrendWeights` and `towers.WithTrends`); 0
            for a model without trends.
          trend_table: trend features of the items at any time, `data.TrendTable`; only
            training and evaluation need it, so it is not saved. Rows then have the
            time of their request, the feature `timestamp`.
          **kwargs: arguments of `tf.keras.Model`.

        Raises:
          ValueError: the table has another number of trend features.
        """
        super().__init__(**kwargs)
        unit_norm = true_or_false("unit_norm", unit_norm)
        # One path to each tower: a second one would name its weights in checkpoints.
        self.query_tower = UnitNorm(query_tower) if unit_norm else query_tower
        self.candidate_tower = (
            UnitNorm(candidate_tower) if unit_norm else candidate_tower
        )
        self.num_trends = num_trends
        if num_trends:
            self.query_tower = TrendWeights(self.query_tower, num_trends)
            self.candidate_tower = WithTrends(self.candidate_tower, num_trends)
        self.trend_table = trend_table
        self.task = task or Retrieval(
            temperature=temperature, remove_accidental_hits=True
        )
        self.temperature = temperature
        self.unit_norm = unit_norm
        self.candidate_id = candidate_id
        self.query_id = query_id
        self.frequency_estimator = frequency_estimator
        self.mined_negatives = mined_negatives
        self._loss_per_example = UnsavedMean("loss_per_example")

    def __getattr__(self, name: str) -> object:
        if name in _EARLIER_NAMES:
            raise AttributeError(
                f"`{name}` is now `{_EARLIER_NAMES[name]}`, whose embeddings are ready "
                "to be indexed. With `unit_norm`, the tower before its outputs are "
                f"scaled is `{_EARLIER_NAMES[name]}.tower`."
            )
        raise AttributeError(f"{type(self).__name__} has no attribute `{name}`.")

    @property
    def _query_tower(self) -> tf.keras.layers.Layer:
        """The query tower that the model was made with."""
        return self._made_with(self.query_tower)

    @property
    def _candidate_tower(self) -> tf.keras.layers.Layer:
        """The candidate tower that the model was made with."""
        return self._made_with(self.candidate_tower)

    def _made_with(self, tower: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        tower = tower.tower if self.num_trends else tower
        return tower.tower if self.unit_norm else tower

    @property
    def _embed_items(self) -> tf.keras.layers.Layer:
        """The candidate tower without trends."""
        return self.candidate_tower.tower if self.num_trends else self.candidate_tower

    @property
    def trend_table(self) -> TrendFeatures | None:
        """Trend features of the items at any time, for training and evaluation."""
        return self._trend_table[0]

    @trend_table.setter
    def trend_table(self, table: TrendFeatures | None) -> None:
        if table is not None and table.num_trends != self.num_trends:
            raise ValueError(
                f"`trend_table` must have the {self.num_trends} trend features of the "
                f"model, its `num_trends`. Got {table.num_trends}."
            )
        self._trend_table = (table,)  # in a tuple: Keras does not track it

    def call(
        self, features: Features, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Embeds both sides of each row.

        Args:
          features: features of both towers.
          training: True in a training step, where towers may drop values.

        Returns:
          Query and candidate embeddings, `[batch, embedding_dim]` each.
        """
        query = self.query_tower(features, training=training)
        if self.num_trends and TRENDS not in features:
            ids, times = self._ids_and_times(features)
            features = {**features, TRENDS: self._trends_of(ids, times)}
        return query, self.candidate_tower(features, training=training)

    def task_inputs(self, features: Features, training: bool = False) -> dict:
        """Computes the arguments of the task for a batch of positives.

        Args:
          features: features of both towers, and the optional ones that `compute_loss`
            lists.
          training: True in a training step.

        Returns:
          Keyword arguments of `self.task`.
        """
        check_named(features)
        if self.candidate_id not in features:
            raise ValueError(
                f"Feature `{self.candidate_id}`, the candidate's id, is missing. "
                f"Got {sorted(features)}."
            )
        query, candidate = self(features, training=training)
        if self.num_trends:  # the task gets the trends of all pairs beside
            candidate = candidate[:, : -self.num_trends]
        ids = features[self.candidate_id]
        probability = None
        if self.task.correction is not None:
            probability = self._sampling_probability(features, training)
        inputs = self._row_negatives(features, training)
        if EXTRA_CANDIDATES in features:
            extra = self._extra_candidates(features, probability)
            embedding = self._embed_items(extra, training=training)
            candidate = tf.concat([candidate, embedding], axis=0)
            ids = tf.concat([ids, extra[self.candidate_id]], axis=0)
            if probability is not None:
                probability = tf.concat(
                    [probability, extra[SAMPLING_PROBABILITY]], axis=0
                )
        if self.num_trends:
            _, times = self._ids_and_times(features)
            query, offsets = self.trend_scores(query, ids, times)
            inputs["score_offsets"] = offsets
        return inputs | {
            "query_embeddings": query,
            "candidate_embeddings": candidate,
            "sample_weight": features.get("sample_weight"),
            "candidate_sampling_probability": probability,
            "candidate_ids": ids,
            "known_positives": features.get("known_items"),
            "positive_ids": features.get("positive_items"),
        }

    def trend_scores(
        self, queries: tf.Tensor, ids: tf.Tensor, times: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Separates the part of the scores that trends have at the time of each query.

        Args:
          queries: `[batch, embedding_dim + num_trends]` outputs of the query tower.
          ids: `[num_candidates]` ids of the candidates.
          times: `[batch]` seconds since 1970, the times of the queries.

        Returns:
          `[batch, embedding_dim]` queries without weights of trends, and
          `[batch, num_candidates]` scores by the trends of the candidates.

        Raises:
          ValueError: the model has no `trend_table`.
        """
        queries, weights = (
            queries[:, : -self.num_trends],
            queries[:, -self.num_trends :],
        )
        trends = self._trends_of(ids[None, :], times[:, None])
        return queries, tf.linalg.matvec(trends, weights)

    def _trends_of(self, ids: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
        return self._known_trends().features(ids, times)

    def _known_trends(self) -> TrendFeatures:
        if self.trend_table is None:
            raise ValueError(
                "`trend_table` must be given to train or evaluate a model with trends: "
                "`model.trend_table = data.trend_table(interactions, split)`. Got None."
            )
        return self.trend_table

    def _ids_and_times(self, features: Features) -> tuple[tf.Tensor, tf.Tensor]:
        for name in (self.candidate_id, REQUEST_TIME):
            if name not in features:
                raise ValueError(
                    f"Feature `{name}` is missing, which trends depend on. Got "
                    f"{sorted(features)}."
                )
        return features[self.candidate_id], features[REQUEST_TIME]

    def _row_negatives(self, features: Features, training: bool) -> dict:
        """Returns arguments of the task for negatives of single rows, if any."""
        positive = tf.convert_to_tensor(features[self.candidate_id])
        ids = {}
        if "negative_items" in features:
            ids["negative_items"] = features["negative_items"]
        if self.mined_negatives is not None and training:
            if self.query_id not in features:
                raise ValueError(
                    f"Feature `{self.query_id}`, the query's id, must be given for "
                    f"`mined_negatives`. Got {sorted(features)}."
                )
            ids["mined_negatives"] = self.mined_negatives(features[self.query_id])
        if not ids:
            return {}
        if self.num_trends:
            raise ValueError(
                f"`{next(iter(ids))}`, negatives of single rows, cannot be used with "
                "trends: leave them out, or make the model with `num_trends=0`."
            )
        for name, values in ids.items():
            if (values.dtype == tf.string) != (positive.dtype == tf.string):
                raise ValueError(
                    f"`{name}` must be ids like those of the feature "
                    f"`{self.candidate_id}`, {positive.dtype.name}. Got "
                    f"{values.dtype.name}."
                )
        ids = tf.concat([comparable(i, positive.dtype) for i in ids.values()], axis=1)
        nothing = tf.constant("" if ids.dtype == tf.string else 0, ids.dtype)
        given = ids != nothing if ids.dtype == tf.string else ids > 0
        flat = tf.reshape(tf.where(given, ids, nothing), [-1])
        embeddings = self.candidate_tower({self.candidate_id: flat}, training=training)
        shape = tf.concat([tf.shape(ids), tf.shape(embeddings)[1:]], axis=0)
        return {
            "negative_embeddings": tf.ensure_shape(
                tf.reshape(embeddings, shape), [None, None, embeddings.shape[-1]]
            ),
            "negative_mask": given & (ids != comparable(positive, ids.dtype)[:, None]),
        }

    def _extra_candidates(
        self, features: Features, probability: tf.Tensor | None
    ) -> Features:
        """Checks the features of additional candidates and adds their probabilities."""
        extra = features[EXTRA_CANDIDATES]
        if self.candidate_id not in extra:
            raise ValueError(
                f"Feature `{EXTRA_CANDIDATES}/{self.candidate_id}`, the id of the "
                f"extra candidates, is missing. Got {sorted(extra)}."
            )
        if probability is None:
            return extra
        if self.task.num_items is None:
            raise ValueError(
                f"Feature `{EXTRA_CANDIDATES}` holds uniform draws, whose correction "
                "needs the size of the catalogue: give the model a "
                "`task=tasks.Retrieval(num_items=...)`."
            )
        # These are no draws of the stream whose popularity the estimator counts.
        found = self._sampling_probability(extra, training=False)
        if found is None:
            raise ValueError(
                f"Feature `{EXTRA_CANDIDATES}/{SAMPLING_PROBABILITY}` is "
                "missing although the batch has the probabilities of its own "
                "candidates. Give `data.mixed_negatives` the "
                "`candidate_probabilities`, or the model a "
                f"`frequency_estimator`. Got {sorted(extra)}."
            )
        return {**extra, SAMPLING_PROBABILITY: found}

    def _sampling_probability(
        self, features: Features, training: bool
    ) -> tf.Tensor | None:
        """Returns probabilities of the features, else of the estimator, else None."""
        if SAMPLING_PROBABILITY in features or self.frequency_estimator is None:
            return features.get(SAMPLING_PROBABILITY)
        return self.frequency_estimator(features[self.candidate_id], training=training)

    def compute_loss(self, features: Features, training: bool = False) -> tf.Tensor:
        """Computes the task's loss of a batch of positives.

        Training does not update the metrics over the corpus.

        Args:
          features: features of both towers, the candidate's id, and optionally
            `candidate_sampling_probability` `[batch]`, `sample_weight` `[batch]`,
            `known_items` `[batch, None]`, the ids that the user of a row already has,
            which are neither negatives nor ranked against (in training the row's own
            positive may be among them), `positive_items` `[batch, None]`, the ids of
            additional positives, where the batch has them, `negative_items` `[batch,
            n]`, ids that are negatives of their row, such as impressions without a
            click (0 or "" for none), and `extra_candidates`, the features of additional
            negatives for all rows (`data.mixed_negatives`).
          training: True in a training step.

        Returns:
          Scalar loss.
        """
        inputs = self.task_inputs(features, training)
        loss = self.task(**inputs, compute_metrics=not training, training=training)
        batch = tf.shape(inputs["query_embeddings"])[0]
        add_total(self._loss_per_example, loss, batch)
        return loss

    def reported_metrics(self, *, training: bool) -> list[tf.keras.metrics.Metric]:
        """Returns the model's metrics; without those over the corpus in training.

        Args:
          training: True in a training step.
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
        """Embeds the corpus for an index or a corpus metric.

        Args:
          candidates: batches of the candidates' features. Where they have no `trends`
            and the model reads them, they get those after the newest row of the
            `trend_table`.

        Returns:
          A dataset of (ids `[batch]`, embeddings `[batch, embedding_dim]`) that follows
          the weights of the tower.
        """
        if self.num_trends and TRENDS not in candidates.element_spec:
            table = self._known_trends()
            candidates = table.add_to(candidates, table.next_period(table.newest_time))
        return candidates.map(
            lambda features: (
                features[self.candidate_id],
                self.candidate_tower(features, training=False),
            )
        )

    def vocabulary_rows(self) -> list[VocabularyRows]:
        """Returns what refers to items by number: estimator, queue, mined negatives."""
        layers = (
            self.frequency_estimator,
            self.mined_negatives,
            getattr(self.task, "queue", None),
        )
        return [
            VocabularyRows(variable, self.candidate_id, "anew")
            for layer in layers
            if layer is not None
            for variable in layer.variables
        ]

    def get_config(self) -> dict:
        serialize = tf.keras.utils.serialize_keras_object
        return {
            "query_tower": serialize(self._query_tower),
            "candidate_tower": serialize(self._candidate_tower),
            "task": serialize(self.task),
            "temperature": self.temperature,
            "unit_norm": self.unit_norm,
            "candidate_id": self.candidate_id,
            "frequency_estimator": (
                None
                if self.frequency_estimator is None
                else serialize(self.frequency_estimator)
            ),
            "query_id": self.query_id,
            "num_trends": self.num_trends,
            "mined_negatives": (
                None
                if self.mined_negatives is None
                else serialize(self.mined_negatives)
            ),
            "name": self.name,
        }
