"""AutoMTN, a model of the next check-in of a user."""

import math
from collections.abc import Sequence

import tensorflow as tf

from tfrs_models._keras import FromConfig, UnsavedMean, register
from tfrs_models.layers.attention.auto_correlation import Lags
from tfrs_models.layers.dropout import Dropout
from tfrs_models.metrics.rank_metrics import RankMetrics
from tfrs_models.model import Model, add_total
from tfrs_models.models.automtn.attention_predictor import (
    AttentionPredictor,
    DistanceMode,
    SoftmaxAxis,
)
from tfrs_models.models.automtn.cross_modal_stack import CrossModalStack
from tfrs_models.models.automtn.past_visits import read_past
from tfrs_models.models.automtn.poi_scores import (
    POIScores,
    Traces,
    check_closeness,
    summed_cross_entropy,
)
from tfrs_models.models.automtn.request_time import RequestTime
from tfrs_models.models.automtn.traces import TraceEmbedding, newest_trace, trace_labels
from tfrs_models.ops.ranks.scored_ranks import ranks_of_columns
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort
from tfrs_models.types import Features

_METRICS = ("hit_rate_at_1", "hit_rate_at_5", "hit_rate_at_10", "ndcg_at_10", "mrr")
_TORCH_TABLES = (
    *("user_emb.weight", "poi_emb.weight", "tod_emb.weight", "dow_emb.weight"),
    *("user_embc.weight", "cat_emb.weight", "tod_embc.weight", "dow_embc.weight"),
)
Trace = dict[str, tf.Tensor]


@register
class AutoMTN(TorchPort, FromConfig, Model):
    """Predicts the next POI of users by auto-correlation over their check-ins.

    Each step of a trace of check-ins scores every POI, near ones higher, and a learned
    weighted sum over the steps is the score of the POI. The next category is a second
    task, and the categories of the check-ins are a second series.

    Features: `poi_id` `[batch, num_steps]` integers from 1 (0 is padding or an unknown
    POI at any position: the output is that of the trace without that check-in),
    `category_id` (0 is unknown, and the check-in counts), `hour` (0 to 23) and
    `weekday` (0 to 6) of the same shape, `user_id` `[batch]` or `[batch, num_steps]`
    from 1 (0 is unknown). The newest `seq_len` check-ins count. Training needs
    `next_poi_id` and `next_category_id` `[batch]`, 0 if unknown, and may have
    `sample_weight` `[batch]`.

    Beyond the paper, and off by default: with `past_visits` or `request_time` the model
    reads `past_poi_id` `[batch, num_past]`, all that the user did before the request or
    the newest part of it, oldest first (0 is padding or an unknown POI),
    `past_timestamp` of the same shape and `timestamp` `[batch]`, the time of the
    request, in seconds since 1970; a request at 0, or before the newest visit, is taken
    to be at the time of that visit. `request_time` also reads `request_hour` and
    `request_weekday` `[batch]` of the local clock, -1 if unknown.

    Example:
      >>> model = tm.models.AutoMTN(num_users=3, num_pois=9, num_categories=2, top_k=2)
      >>> trace = {"user_id": [1], "poi_id": [[4, 7, 4]], "category_id": [[1, 2, 1]]}
      >>> trace |= {"hour": [[8, 12, 20]], "weekday": [[0, 0, 0]]}
      >>> scores, categories = model({k: tf.constant(v) for k, v in trace.items()})
      >>> scores.shape, categories.shape
      (TensorShape([1, 9]), TensorShape([1, 2]))
      >>> model.rank({k: tf.constant(v) for k, v in trace.items()})["next_poi_id"].shape
      TensorShape([1, 2])

    Reference:
      Qin et al., Next point-of-interest recommendation with auto-correlation enhanced
      multi-modal transformer network, SIGIR 2022.
    """

    def __init__(
        self,
        num_users: int,
        num_pois: int,
        num_categories: int,
        embedding_dim: int = 128,
        *,
        closeness: tf.keras.layers.Layer | None = None,
        past_visits: tf.keras.layers.Layer | None = None,
        request_time: bool = False,
        seq_len: int = 25,
        num_layers: int = 1,
        num_heads: int = 8,
        factor: float = 1.0,
        shared_lags: bool | None = None,
        use_residual: bool = False,
        dropout: float = 0.0,
        distance_mode: DistanceMode = "multiply",
        softmax: SoftmaxAxis | None = None,
        share_value: bool = True,
        category_weight: float = 1.0,
        top_k: int = 10,
        metrics: Sequence[str] = _METRICS,
        **kwargs,
    ) -> None:
        """Initializes the model. Widths and rates are ours: the paper's are not public.

        Args:
          num_users: largest id of a user.
          num_pois: largest id of a POI.
          num_categories: largest id of a category.
          embedding_dim: width of all vectors.
          closeness: `models.automtn.POICloseness` of the POIs 1 to `num_pois`; None
            leaves distances out.
          past_visits: `models.automtn.PastVisits`, whose scores of the POIs that the
            user visited before are added; None leaves them out, as in the paper.
          request_time: whether hour and weekday of the request and the gap since the
            newest visit enter the scores by `models.automtn.RequestTime`.
          seq_len: number of check-ins of a trace, the steps of the circle.
          num_layers: number of layers of `models.automtn.CrossModalStack`.
          num_heads: number of heads of queries, keys and values.
          factor: lags per natural logarithm of `seq_len`.
          shared_lags: whether the rows of a batch share their lags; None for training
            only.
          use_residual: whether each correlation is a block with residual connections,
            as in the paper; otherwise its output replaces the query, as in the original
            code.
          dropout: share of the embeddings and of the output of blocks that training
            drops.
          distance_mode: "multiply" as in the original code, "add" as in the paper.
          softmax: axis over which the scores of steps are normalised, "time" or
            "candidates"; None for neither, as in the original code.
          share_value: whether POIs and categories share the weights of the steps.
          category_weight: weight of the loss of the category; that of the POI is 1.
          top_k: number of POIs that `rank` returns.
          metrics: names of the metrics of the evaluation over all POIs, as in
            `metrics.RankMetrics`.
          **kwargs: arguments of `tf.keras.Model`.

        Raises:
          ValueError: the closeness has another number of POIs, or a number is out of
            range.
        """
        super().__init__(**kwargs)
        check_closeness(closeness, num_pois)
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Got {dropout}.")
        if not (0 <= category_weight < math.inf and top_k >= 1):
            raise ValueError(
                "`category_weight` must be finite, at least 0, and `top_k` at least 1. "
                f"Got {category_weight} and {top_k}."
            )
        self.num_users = num_users
        self.num_pois = num_pois
        self.num_categories = num_categories
        self.embedding_dim = embedding_dim
        self.closeness = closeness
        self.past_visits = past_visits
        self.request_time = request_time
        self.seq_len = seq_len
        self.dropout = dropout
        self.share_value = share_value
        self.category_weight = float(category_weight)
        self.top_k = top_k
        self.stack = CrossModalStack(
            embedding_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            factor=factor,
            shared_lags=shared_lags,
            use_residual=use_residual,
            dropout=dropout,
        )
        predictors = [
            AttentionPredictor(seq_len, distance_mode=distance_mode, softmax=softmax)
            for _ in range(1 if share_value else 2)
        ]
        self.predictor, self.category_predictor = predictors[0], predictors[-1]
        self.pois = TraceEmbedding(num_users, num_pois, embedding_dim, name="poi_id")
        self.categories = TraceEmbedding(
            num_users, num_categories, embedding_dim, name="category_id"
        )
        self.request = RequestTime(embedding_dim) if request_time else None
        self._drop = Dropout(dropout)
        self._metric_names = list(metrics)
        self._mean = UnsavedMean("loss_per_example")
        self._ranked = RankMetrics(self._metric_names, name="poi")
        self._ranked_categories = RankMetrics(["hit_rate_at_1"], name="category")

    def call(
        self, features: Features, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores all POIs and categories as the next one.

        Args:
          features: features by name, as in the class.
          training: whether dropout is active and, by default, rows share their lags.

        Returns:
          Logits, `[batch, num_pois]` of the POIs from 1 on, and `[batch,
          num_categories]`, float32.

        Raises:
          ValueError: a feature is missing or has the wrong dtype or shape.
          InvalidArgumentError: an id, an hour or a weekday is out of range.
        """
        trace = newest_trace(features, self.seq_len)
        traces, of_categories = self._encode(features, trace, training)
        categories = self._category_scores(of_categories, traces.mask)
        return self._scores.all(traces), categories

    def rank(self, features: Features) -> dict[str, tf.Tensor]:
        """Returns the best POIs and the best category of each trace, as serving does.

        Args:
          features: features by name, as in the class.

        Returns:
          `next_poi_id` and `score` `[batch, top_k]`, `next_category_id` `[batch]`.
        """
        scores, categories = self(features)
        best = tf.math.top_k(scores, min(self.top_k, self.num_pois))
        return {
            "next_poi_id": tf.cast(best.indices, tf.int64) + 1,
            "score": best.values,
            "next_category_id": tf.argmax(categories, axis=1) + 1,
        }

    def predict_step(self, features: Features) -> dict[str, tf.Tensor]:
        """Returns `rank` of a batch, which `predict` yields.

        Args:
          features: features by name, as in the class.
        """
        return self.rank(features)

    def lags(self, features: Features) -> Lags:
        """Computes the lags at which the POIs of traces repeat.

        Args:
          features: features by name, as in the class.
        """
        trace = newest_trace(features, self.seq_len)
        return self.stack.lags(self._embed(self.pois, trace), trace["mask"])

    def compute_loss(self, features: Features, training: bool = False) -> tf.Tensor:
        """Sums both cross-entropies, among all POIs and categories, over the rows.

        Args:
          features: features by name, as in the class; labels and weights are checked
            too.
          training: whether dropout is active and, by default, rows share their lags.

        Returns:
          Scalar loss.
        """
        trace = newest_trace(features, self.seq_len)
        poi, category, weight = trace_labels(
            features,
            trace["mask"][:, 0],
            num_pois=self.num_pois,
            num_categories=self.num_categories,
        )
        traces, of_categories = self._encode(features, trace, training)
        if training:
            loss = self._scores.cross_entropy(traces, poi, weight)
        else:
            scores = self._scores.all(traces)
            loss = summed_cross_entropy(scores, poi, weight)
            self._ranked.update_state(ranks_of_columns(scores, poi), weight)
        logits = self._category_scores(of_categories, traces.mask)
        loss += self.category_weight * summed_cross_entropy(logits, category, weight)
        add_total(self._mean, loss, tf.size(poi))
        if not training:
            ranks = ranks_of_columns(logits, category)
            self._ranked_categories.update_state(ranks, weight)
        return loss

    def reported_metrics(self, *, training: bool) -> list[tf.keras.metrics.Metric]:
        """Returns the model's metrics, without those of ranks in training.

        Args:
          training: whether it is a training step.
        """
        if not training:
            return self.metrics
        ranked = [*self._ranked.metrics, *self._ranked_categories.metrics]
        return [m for m in self.metrics if all(m is not other for other in ranked)]

    def _embed(self, layer: TraceEmbedding, trace: Trace) -> tf.Tensor:
        ids = trace[layer.name]
        found = layer(trace["user_id"], ids, trace["hour"], trace["weekday"])
        return tf.where(trace["mask"][:, :, None], found, 0)

    def _encode(
        self, features: Features, trace: Trace, training: bool
    ) -> tuple[Traces, tf.Tensor]:
        """Returns both series after the stack, that of the POIs as traces."""
        series = [
            self._drop(self._embed(layer, trace), training=training)
            for layer in (self.pois, self.categories)
        ]
        memory, of_categories = self.stack(*series, trace["mask"], training=training)
        visited = tf.maximum(trace["poi_id"] - 1, 0)
        traces = Traces(memory, visited, trace["mask"])
        if self.past_visits is None and self.request is None:
            return traces, of_categories
        last = trace["poi_id"][:, -1]
        past = read_past(features, last, num_pois=self.num_pois)
        if self.past_visits is not None:
            visits = self.past_visits(past.poi, past.age, last)
            traces = traces._replace(past=visits)
        if self.request is not None:
            traces = traces._replace(request=self.request(features, past.gap))
        return traces, of_categories

    @property
    def _scores(self) -> POIScores:
        return POIScores(self.predictor, self.pois.ids, self.closeness)

    def _category_scores(self, memory: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        return self.category_predictor(self.categories.ids, memory, mask=mask)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        if not self.share_value:
            raise ValueError(
                "`share_value` must be True for the weights of the original, which has "
                "one weight for each step. Got False."
            )
        if self.past_visits is not None or self.request is not None:
            raise ValueError(
                "`past_visits` must be None and `request_time` False for the weights "
                "of the original, which reads neither."
            )
        tables = [*self.pois.tables, *self.categories.tables]
        return {
            **dict(zip(_TORCH_TABLES, map(TorchArray, tables), strict=True)),
            **self.stack.torch_arrays(arrays),
            **self.predictor.torch_arrays(arrays),
        }

    def get_config(self) -> dict:
        stack, predictor = self.stack.get_config(), self.predictor.get_config()
        of_stack = ("num_layers", "num_heads", "factor", "shared_lags", "use_residual")
        parts = {
            name: None if part is None else tf.keras.utils.serialize_keras_object(part)
            for name, part in (
                ("closeness", self.closeness),
                ("past_visits", self.past_visits),
            )
        }
        return {
            **{name: stack[name] for name in of_stack},
            **{name: predictor[name] for name in ("distance_mode", "softmax")},
            "num_users": self.num_users,
            "num_pois": self.num_pois,
            "num_categories": self.num_categories,
            "embedding_dim": self.embedding_dim,
            **parts,
            "request_time": self.request_time,
            "seq_len": self.seq_len,
            "dropout": self.dropout,
            "share_value": self.share_value,
            "category_weight": self.category_weight,
            "top_k": self.top_k,
            "metrics": self._metric_names,
            "name": self.name,
        }
