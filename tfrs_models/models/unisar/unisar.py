"""One model for search and recommendation."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models._keras import FromConfig, register
from tfrs_models.models.unisar.example import with_positive
from tfrs_models.models.unisar.network import (
    RECOMMENDATION,
    SEARCH,
    TASKS,
    UniSARNetwork,
)
from tfrs_models.models.unisar.options import checked_options
from tfrs_models.models.unisar.service_transitions import ENCODERS
from tfrs_models.models.unisar.torch_state import unisar_arrays
from tfrs_models.models.unisar.training import UniSARTraining
from tfrs_models.ops.ranks.corpus_ranks import CorpusRanks
from tfrs_models.ops.ranks.scored_ranks import ranks_by_scorer
from tfrs_models.torch_weights import Arrays, Targets, TorchPort
from tfrs_models.types import Features

CAPTION = "caption"


@register
class UniSAR(FromConfig, TorchPort, UniSARTraining):
    """Scores candidates for a recommendation and for a search, from both histories.

    A user's past items and searches are encoded within each service and across both,
    fused, and summed up for each candidate; experts of each service and shared ones
    make the logit. The recommendation's loss and `search_weight` times the search's are
    trained together. Each is the mean cross-entropy of its candidates, plus a contrast
    that tells what was clicked in a search from what was drawn, plus one that tells a
    user's transitions across the services from those of others.

    Features: an example for each service, `"recommendation"` and `"search"`, and for
    training `"random"`. An example has

    - `user_id` `[batch]`,
    - `item_history` and `item_history_time` `[batch, num_items]`, oldest first, times
      in milliseconds; both are 0 for padding, which comes last,
    - `session_query` `[batch, num_sessions, num_words]`, the words of each search,
      `session_items` `[batch, num_sessions, num_clicks]`, what was clicked in it, and
      `session_time` `[batch, num_sessions]`, likewise; searches come with what is in
      them, so that one of a second ago counts,
    - `item_id` `[batch, num_candidates]`, for training and evaluation the positive in
      column 0; 0 is padding,
    - `query` `[batch, num_words]`, the words of the search, in `"search"` only.

    `"random"` has `item_id` `[n]` and `query` `[m, num_words]`, drawn evenly.

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
        history_length: int = 30,
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
          num_users: Ids are 0 to `num_users - 1`.
          num_items: Ids are 1 to `num_items`.
          num_words: Words are 1 to `num_words`.
          item_categories: Attribute of the items -> its values, 0 (none) among them.
          user_categories: Attribute of the users -> its values.
          caption_length: Words of an item's attribute `caption`; 0 where it has none.
          history_length: Items of a history, at most.
          num_sessions: Searches of a history, at most.
          embedding_dim: Width of ids, words and categories.
          width: Of everything else.
          num_layers: Blocks of each encoder.
          num_heads: Of every attention.
          num_shared: Experts that both services share.
          num_specific: Experts of each service.
          expert_units: Widths of an expert's layers, of which there is one or more.
          tower_units: Widths of a service's layers after its experts.
          head_units: Widths of a service's layers before its logit.
          dropout: Share that training drops.
          encoders: Of `models.unisar.ServiceTransitions`.
          search_weight: Of the search's loss beside the recommendation's.
          pair_weight: Of the contrast of queries and clicked items.
          pair_temperature: Of it, before training.
          transition_weight: Of the contrast of transitions.
          transition_temperature: Of it, before training.
          log_temperature: Whether temperatures are learned by their logarithm.
          l2: Times a weight is added to its gradient; biases, norms and temperatures
            are spared.
          decay_unused_rows: Whether rows of the tables that a batch does not have decay
            too, and norms and temperatures, as in the original: a dense step over all
            tables, in which Adam moves every such row by its full learning rate.
          **kwargs: Of `tf.keras.Model`.

        Raises:
          ValueError: an argument is out of range.
        """
        super().__init__(**kwargs)
        options = {
            "num_users": num_users,
            "num_items": num_items,
            "num_words": num_words,
            "item_categories": item_categories,
            "user_categories": user_categories,
            "caption_length": caption_length,
            "history_length": history_length,
            "num_sessions": num_sessions,
            "embedding_dim": embedding_dim,
            "width": width,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "num_shared": num_shared,
            "num_specific": num_specific,
            "expert_units": expert_units,
            "tower_units": tower_units,
            "head_units": head_units,
            "dropout": dropout,
            "encoders": encoders,
            "search_weight": search_weight,
            "pair_weight": pair_weight,
            "pair_temperature": pair_temperature,
            "transition_weight": transition_weight,
            "transition_temperature": transition_temperature,
            "log_temperature": log_temperature,
            "l2": l2,
            "decay_unused_rows": decay_unused_rows,
        }
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
        """A model that has the attributes of the items and of the users.

        Args:
          items: Attribute -> integers, a row for each item, 0 for padding first:
            `caption` `[num_items, num_words]` or categories `[num_items]`.
          users: Category -> `[num_users]` integers.
          **options: Of the constructor.
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
        """Logits of the candidates of each service that has an example.

        Args:
          features: See the class.
          training: Whether to drop.

        Returns:
          Service -> `[batch, num_candidates]` float32.

        Raises:
          ValueError: a feature is missing or has another shape or dtype.
          InvalidArgumentError: an id is beyond what the model was made for, or a
            history is not oldest first with its padding last.
        """
        return {
            task: self._score(features[task], task, training)[-1]
            for task in self._tasks(features)
        }

    def recommend(self, features: Features) -> dict[str, tf.Tensor]:
        """Ranks candidates for a recommendation.

        Args:
          features: An example of the recommendation, candidates in any order.

        Returns:
          `item_id`, best first, their `score` to rank by, and the `probability` of a
          click, `[batch, num_candidates]` each; padding comes last, with the lowest
          score.
        """
        return self._rank(features, RECOMMENDATION)

    def search(self, features: Features) -> dict[str, tf.Tensor]:
        """Ranks candidates for a search: see `recommend`."""
        return self._rank(features, SEARCH)

    def corpus_ranks(
        self,
        features: Features,
        task: str,
        *,
        excluded: tf.RaggedTensor | None = None,
        block_size: int = 4096,
    ) -> CorpusRanks:
        """Ranks of the positives among all items, for `metrics.RankMetrics`.

        Args:
          features: An example of the service.
          task: `"recommendation"` or `"search"`.
          excluded: `[batch, None]` items that are no candidates of a row.
          block_size: Items that are scored at once.

        Raises:
          ValueError: there is no such service.
          InvalidArgumentError: a positive is padding.
        """
        if task not in TASKS:
            raise ValueError(f"`task` must be one of {list(TASKS)}. Got {task!r}.")
        state = self.network.encode(features, task)
        items = with_positive(self.network.candidates(features)[0])
        padding = tf.zeros([tf.shape(state.user)[0], 1], tf.int64)
        padding = tf.RaggedTensor.from_tensor(padding)
        if excluded is not None:
            padding = tf.concat([padding, tf.cast(excluded, tf.int64)], axis=1)

        def score(items: tf.Tensor) -> tf.Tensor:
            candidates = self.network.item_encoder(items)
            return self.network.score(state, candidates[None], task)

        return ranks_by_scorer(
            score,
            self._options["num_items"] + 1,
            items[:, 0],
            excluded=padding,
            block_size=block_size,
        )

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """All arrays of the original; `unisar_arrays` says where scores differ.

        Args:
          arrays: The original's state dict; what it holds twice (its query encoder) or
            never uses (the layers that it copies) may be left out. The last row of its
            items may be the mask that it never uses, and is dropped.
        """
        contrasts = self.objective.layers_by_name
        return unisar_arrays(self.network, contrasts, arrays)

    def get_config(self) -> dict:
        return {**self._options, "name": self.name}

    def _rank(self, features: Features, task: str) -> dict[str, tf.Tensor]:
        _, items, logits = self._score(features, task, training=False)
        scores = tf.where(items > 0, logits, logits.dtype.min)
        scores, places = tf.math.top_k(scores, k=tf.shape(scores)[1])
        return {
            "item_id": tf.gather(items, places, batch_dims=1),
            "score": scores,
            "probability": tf.sigmoid(scores),
        }
