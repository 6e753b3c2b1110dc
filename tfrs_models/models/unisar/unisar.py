"""UniSAR, one model for search and recommendation."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models._keras import FromConfig, register
from tfrs_models.models.unisar.example import (
    RECOMMENDATION,
    SEARCH,
    TASKS,
)
from tfrs_models.models.unisar.network import UniSARNetwork
from tfrs_models.models.unisar.torch_state import unisar_arrays
from tfrs_models.models.unisar.training import UniSARTraining
from tfrs_models.models.unisar.transitions import ENCODERS
from tfrs_models.ops.numbers import is_whole, real_number, true_or_false, whole_number
from tfrs_models.ops.ranks.corpus_ranks import CorpusRanks
from tfrs_models.ops.ranks.scored_ranks import ranks_by_scorer
from tfrs_models.torch_weights import Arrays, Targets, TorchPort
from tfrs_models.types import Features

CAPTION = "caption"
_SIZES = (
    "num_users",
    "num_items",
    "num_words",
    "seq_len",
    "num_sessions",
    "embedding_dim",
    "width",
    "num_layers",
    "num_heads",
    "num_shared",
    "num_specific",
)
_UNITS = ("expert_units", "tower_units", "head_units")
_TEMPERATURES = ("pair_temperature", "transition_temperature")
_WEIGHTS = ("search_weight", "pair_weight", "transition_weight", "l2")


@register
class UniSAR(FromConfig, TorchPort, UniSARTraining):
    """Scores candidates for a recommendation and for a search, from both histories.

    A user's past items and searches are encoded within each service and across both,
    fused, and summed up for each candidate; experts of each service and shared ones
    compute the logit. The loss is that of the recommendation plus `search_weight` times
    that of the search. Each is the mean cross-entropy of its candidates, plus a
    contrast of the items clicked in searches with random ones, plus a contrast of a
    user's transitions across the services with those of others.

    Features: an example for each service, `"recommendation"` and `"search"`, and for
    training `"random"`. An example has

    - `user_id` `[batch]`,
    - `item_history` and `item_history_time` `[batch, seq_len]`, oldest first, times in
      milliseconds; both are 0 for padding, which comes last,
    - `session_query` `[batch, num_sessions, num_words]`, the words of each search,
      `session_items` `[batch, num_sessions, num_clicks]`, the items clicked in it, and
      `session_time` `[batch, num_sessions]`, in the same order; searches come with
      their clicks, so that a search of a second ago counts,
    - `item_id` `[batch, num_candidates]`, for training and evaluation the positive in
      column 0; 0 is padding,
    - `query` `[batch, num_words]`, the words of the search, in `"search"` only.

    `"random"` has `item_id` `[n]` and `query` `[m, num_words]`, drawn evenly.

    Example:
      >>> model = tm.models.UniSAR(num_users=9, num_items=50, num_words=30)
      >>> row = {"user_id": [4], "item_history": [[7, 2]], "item_id": [[5, 6, 7]]}
      >>> row |= {"item_history_time": [[1_000, 9_000]], "session_time": [[5_000]]}
      >>> row |= {"session_query": [[[3, 8]]], "session_items": [[[2, 0]]]}
      >>> model.recommend(row)["item_id"].shape  # the three candidates, best first
      TensorShape([1, 3])
      >>> model.search(row | {"query": [[8]]})["probability"].shape
      TensorShape([1, 3])

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024; Tang et al., Progressive layered extraction, RecSys
      2020 (the experts).
    """

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        num_words: int,
        item_categories: Mapping[str, int] | None = None,
        user_categories: Mapping[str, int] | None = None,
        caption_length: int = 0,
        seq_len: int = 30,
        num_sessions: int = 30,
        embedding_dim: int = 32,
        width: int = 64,
        num_layers: int = 1,
        num_heads: int = 2,
        num_shared: int = 4,
        num_specific: int = 4,
        expert_units: Sequence[int] = (64,),
        tower_units: Sequence[int] = (128, 64),
        head_units: Sequence[int] = (200, 80),
        dropout: float = 0.1,
        encoders: Sequence[str] = ENCODERS,
        search_weight: float = 0.1,
        pair_weight: float = 1e-3,
        pair_temperature: float = 0.5,
        transition_weight: float = 0.1,
        transition_temperature: float = 0.1,
        log_temperature: bool = True,
        l2: float = 3e-5,
        decay_unused_rows: bool = False,
        **kwargs,
    ) -> None:
        """Initializes the model; the defaults are those of the paper on KuaiSAR.

        Args:
          num_users: number of users; ids are 0 to `num_users - 1`.
          num_items: number of items; ids are 1 to `num_items`.
          num_words: number of words; ids are 1 to `num_words`.
          item_categories: number of values of each category of the items by name, 0
            (none) among them.
          user_categories: number of values of each category of the users by name.
          caption_length: words of the items' attribute `caption`; 0 without captions.
          seq_len: items of a history, at most.
          num_sessions: searches of a history, at most.
          embedding_dim: width of the vectors of ids, words and categories.
          width: width of all other vectors.
          num_layers: number of blocks of each encoder.
          num_heads: number of heads of every attention.
          num_shared: number of experts that both services share.
          num_specific: number of experts of each service.
          expert_units: widths of an expert's layers, at least one.
          tower_units: widths of a service's layers after its experts.
          head_units: widths of a service's layers before its logit.
          dropout: share of values that training drops.
          encoders: names of the encoders of events, among `"across"`,
            `"recommendation"` and `"search"`.
          search_weight: weight of the search's loss; that of the recommendation is 1.
          pair_weight: weight of the contrast of queries and clicked items.
          pair_temperature: temperature of that contrast before training.
          transition_weight: weight of the contrast of transitions.
          transition_temperature: temperature of that contrast before training.
          log_temperature: whether temperatures are learned by their logarithm.
          l2: factor by which a weight is added to its gradient; biases, norms and
            temperatures are left out.
          decay_unused_rows: whether rows of the tables that a batch does not have decay
            too, and norms and temperatures, as in the original: a dense step over all
            tables, in which Adam moves every such row by its full learning rate.
          **kwargs: arguments of `tf.keras.Model`.

        Raises:
          ValueError: an argument is out of range.
        """
        options = dict(locals())  # first of all: nothing but the arguments is there yet
        for name in ("self", "kwargs", "__class__"):
            del options[name]
        super().__init__(**kwargs)
        self._options = checked_options(options)
        self.network = UniSARNetwork(self._options, name="network")
        self._prepare_training()

    @classmethod
    def from_attributes(
        cls,
        *,
        items: Mapping[str, np.ndarray],
        users: Mapping[str, np.ndarray],
        **options,
    ) -> "UniSAR":
        """Makes a model with the attributes of the items and of the users.

        Args:
          items: integers of each attribute by name, a row for each item after row 0 of
            padding: `caption` `[num_items + 1, num_words]`, or categories `[num_items +
            1]`.
          users: `[num_users]` integers of each category by name.
          **options: arguments of the constructor.
        """

        def values(columns: Mapping[str, np.ndarray]) -> dict[str, int]:
            return {
                name: int(np.max(column)) + 1
                for name, column in columns.items()
                if name != CAPTION
            }

        model = cls(
            item_categories=values(items),
            user_categories=values(users),
            caption_length=np.shape(items[CAPTION])[1] if CAPTION in items else 0,
            **options,
        )
        model.network.item_encoder.set_attributes(items)
        model.network.user_encoder.set_attributes(users)
        return model

    def call(self, features: Features, training: bool = False) -> dict[str, tf.Tensor]:
        """Computes the logits of the candidates of each service that has an example.

        Args:
          features: features by name, as in the class.
          training: whether dropout is active.

        Returns:
          `[batch, num_candidates]` float32 by the name of the service.

        Raises:
          ValueError: a feature is missing or has another shape or dtype.
          InvalidArgumentError: an id is beyond the number that the model was made for,
            or a history is not oldest first with its padding last.
        """
        return {
            task: self.network.run(features[task], task, training)[-1]
            for task in self._tasks(features)
        }

    def recommend(self, features: Features) -> dict[str, tf.Tensor]:
        """Ranks candidates for a recommendation.

        Args:
          features: example of the recommendation, candidates in any order.

        Returns:
          `item_id`, best first, their `score` to rank by, and the `probability` of a
          click, `[batch, num_candidates]` each; padding comes last, with the lowest
          score.
        """
        return self._rank(features, RECOMMENDATION)

    def search(self, features: Features) -> dict[str, tf.Tensor]:
        """Ranks candidates for a search, as `recommend` does for a recommendation.

        Args:
          features: example of the search, candidates in any order.

        Returns:
          `item_id`, `score` and `probability`, `[batch, num_candidates]` each.
        """
        return self._rank(features, SEARCH)

    def corpus_ranks(
        self,
        features: Features,
        task: str,
        *,
        exclusions: tf.RaggedTensor | None = None,
        block_size: int = 4096,
    ) -> CorpusRanks:
        """Ranks the positives among all items, for `metrics.RankMetrics`.

        Args:
          features: example of the service.
          task: `"recommendation"` or `"search"`.
          exclusions: `[batch, None]` items that are no candidates of a row.
          block_size: number of items that are scored at once.

        Raises:
          ValueError: the service is unknown.
          InvalidArgumentError: a positive is padding.
        """
        if task not in TASKS:
            raise ValueError(f"`task` must be one of {list(TASKS)}. Got {task!r}.")
        example = self.network.read(features, task, positive_first=True)
        state = self.network.encode(example)
        padding = tf.zeros([tf.shape(state.user)[0], 1], tf.int64)
        padding = tf.RaggedTensor.from_tensor(padding)
        if exclusions is not None:
            padding = tf.concat([padding, tf.cast(exclusions, tf.int64)], axis=1)

        def score(items: tf.Tensor) -> tf.Tensor:
            candidates = self.network.item_encoder(items)
            return self.network.score(state, candidates[None], task)

        return ranks_by_scorer(
            score,
            self._options["num_items"] + 1,
            example.item_id[:, 0],
            excluded=padding,
            block_size=block_size,
        )

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps all arrays of the original; see `unisar_arrays` for the differences.

        Args:
          arrays: state dict of the original; duplicates (of its query encoder) and
            arrays that it never uses (layers that it copies) may be left out. The last
            row of its items may be the mask that it never uses, and is dropped.
        """
        contrasts = self.objective.layers_by_name
        return unisar_arrays(self.network, contrasts, arrays)

    def get_config(self) -> dict:
        return {**self._options, "name": self.name}

    def _rank(self, features: Features, task: str) -> dict[str, tf.Tensor]:
        _, items, logits = self.network.run(features, task)
        scores = tf.where(items > 0, logits, logits.dtype.min)
        scores, order = tf.math.top_k(scores, k=tf.shape(scores)[1])
        return {
            "item_id": tf.gather(items, order, batch_dims=1),
            "score": scores,
            "probability": tf.sigmoid(scores),
        }


def checked_options(options: Mapping[str, object]) -> dict[str, object]:
    """Checks the arguments of `models.UniSAR`, and makes them plain dicts and lists.

    Args:
      options: the arguments by name.

    Raises:
      ValueError: an argument is out of range; the layers check some more.
    """
    for name in _SIZES:
        whole_number(name, options[name], least=1)
    whole_number("caption_length", options["caption_length"])
    for name in _WEIGHTS:
        real_number(name, options[name], least=0)
    for name in _TEMPERATURES:
        real_number(name, options[name], above=0)
    real_number("dropout", options["dropout"], least=0)
    for name in ("log_temperature", "decay_unused_rows"):
        true_or_false(name, options[name])
    for name in _UNITS:
        if not all(is_whole(width, 1) for width in options[name]):
            raise ValueError(
                f"`{name}` must be at least 1 each. Got {list(options[name])}."
            )
    if not list(options["expert_units"]):
        raise ValueError("`expert_units` must have a layer. Got [].")
    if isinstance(options["encoders"], str):
        raise ValueError(
            f"`encoders` must be a sequence of names. Got {options['encoders']!r}."
        )
    categories = {
        name: dict(options[name] or {})
        for name in ("item_categories", "user_categories")
    }
    lists = {name: list(options[name]) for name in (*_UNITS, "encoders")}
    return {**options, **categories, **lists}
