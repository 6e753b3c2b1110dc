"""A layer that turns searches with clicks into pairs of scores."""

import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.clickstream.shared_layers import SharedLayers, shared_layers
from tfrs_models.ops.clickstream.confidences import (
    check_window,
    dummy_confidences,
    windowed_confidences,
)
from tfrs_models.ops.clickstream.packing import (
    Items,
    Search,
    draw_order,
    drawn_negatives,
    pack_pairs,
    search_objects,
)
from tfrs_models.ops.clickstream.pairs import (
    FineTuningFeatures,
    RankChange,
    check_band,
    no_pairs,
    rank_change,
    ranked_results,
    search_pairs,
)
from tfrs_models.ops.clickstream.scores import (
    check_aggregator,
    cosine_rank,
    euclidean_rank,
)

RANKERS = {"cosine": cosine_rank, "euclidean": euclidean_rank}
CONFIDENCES = ("dummy", "windowed")
PAIR_LEVELS = ("part", "object")
IRRELEVANT_PAIRINGS = ("truncate", "cross")
_PLAIN = (
    "is_similarity",
    "not_irrelevant_only",
    "negative_downsampling_factor",
    "min_groups",
    "min_abs_difference_threshold",
    "max_abs_difference_threshold",
    "window_size",
    "ranks_aggregator",
    "pair_level",
    "irrelevant_pairing",
    "item_feature",
)


class Params(Protocol):
    """The part of `data.clickstream.FineTuningParams` that an extractor reads."""

    not_irrelevant_only: bool
    negative_downsampling: float
    min_abs_difference_threshold: float
    max_abs_difference_threshold: float


class Extraction(NamedTuple):
    """Pairs of a batch of searches, and the scores that metrics read.

    Attributes:
      features: the pairs within the band.
      formed: all pairs.
      clicked: scores of the clicked results.
      irrelevant: scores of all results of the searches without a click; None if these
        were not scored.
    """

    features: FineTuningFeatures
    formed: FineTuningFeatures
    clicked: RankChange
    irrelevant: RankChange | None


@register
class FeaturesExtractor(SharedLayers, tf.keras.layers.Layer):
    """Scores the results of searches and pairs clicked results with unclicked ones.

    A batch consists of ragged integers (`data.clickstream.click_batches`): rows of
    items, the objects that they are parts of, clicks and stored scores. Each tower is
    called once, and the item tower embeds every item once, however many searches show
    it. Training draws a share of the objects without a click; evaluation takes all.

    Example:
      >>> search = tm.data.clickstream.FineTuningInput(
      ...     [1.0, 0.0], ["a"], ["a", "b"], {"a": 0.0, "b": 0.0})
      >>> vectors = np.array([[0.6, 0.8], [0.0, 1.0]], "float32")
      >>> items = tm.data.clickstream.ItemSet(["a", "b"], vectors)
      >>> extractor = tm.layers.FeaturesExtractor(tf.keras.layers.Activation("linear"))
      >>> pairs = extractor.forward([(search, None)], items)
      >>> pairs.positive_ranks.numpy(), pairs.negative_ranks.numpy()
      (array([0.6], dtype=float32), array([0.], dtype=float32))
    """

    def __init__(
        self,
        query_tower: tf.keras.layers.Layer,
        item_tower: tf.keras.layers.Layer | None = None,
        *,
        ranker: str | Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = "cosine",
        is_similarity: bool = True,
        not_irrelevant_only: bool = True,
        negative_downsampling_factor: float = 0.5,
        min_groups: int = 0,
        min_abs_difference_threshold: float = 0.0,
        max_abs_difference_threshold: float = 1.0,
        confidence_calculator: str | Callable = "dummy",
        window_size: int = 3,
        ranks_aggregator: str = "mean",
        pair_level: str = "part",
        irrelevant_pairing: str = "truncate",
        item_feature: str = "item_id",
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          query_tower: layer from queries to embeddings `[batch, embedding_dim]`.
          item_tower: layer from items to embeddings `[num_items, embedding_dim]`. By
            default the query tower embeds both.
          ranker: how a result is scored: "cosine", "euclidean", or a registered
            function of queries and items, `[n, embedding_dim]` each, to scores `[n]`.
          is_similarity: whether a larger score is better; False for a distance.
          not_irrelevant_only: whether training ignores searches without a click. If
            False, their results are negatives of the search they are paired with.
          negative_downsampling_factor: share of the objects without a click that a
            training step uses, rounded down, in (0, 1].
          min_groups: least number of these objects to use in each search.
          min_abs_difference_threshold: lower bound of the difference of the scores of a
            pair; a pair at or below it is dropped.
          max_abs_difference_threshold: upper bound of the difference of the scores of a
            pair; a pair at or above it is dropped.
          confidence_calculator: "dummy", "windowed", or a registered function from the
            stored scores and clicks of the objects, ragged `[batch, (num_objects)]`, to
            confidences in [0, 1].
          window_size: number of results in a window of "windowed".
          ranks_aggregator: "mean", "max" or "min" of the parts' scores is the score of
            their object.
          pair_level: "part" (an object forms a pair with each of its parts) or "object"
            (an object forms one pair with each other object).
          irrelevant_pairing: "truncate" (a search without a click adds at most as many
            pairs as the search it is paired with has) or "cross" (each of its results
            is paired with each click).
          item_feature: name under which the item tower receives the rows of items if
            the call has no `items`.
          **kwargs: arguments of `tf.keras.layers.Layer`.

        Raises:
          ValueError: an option out of range.
        """
        super().__init__(**kwargs)
        self._autocast = False
        for name, value, choices in (
            ("ranker", ranker, tuple(RANKERS)),
            ("confidence_calculator", confidence_calculator, CONFIDENCES),
            ("pair_level", pair_level, PAIR_LEVELS),
            ("irrelevant_pairing", irrelevant_pairing, IRRELEVANT_PAIRINGS),
        ):
            if not callable(value) and value not in choices:
                raise ValueError(f"`{name}` must be one of {choices}. Got {value!r}.")
        if not 0 < negative_downsampling_factor <= 1:
            raise ValueError(
                "`negative_downsampling_factor` must be in (0, 1]. Got "
                f"{negative_downsampling_factor}."
            )
        check_band(min_abs_difference_threshold, max_abs_difference_threshold)
        check_window(window_size)
        check_aggregator(ranks_aggregator, "ranks_aggregator")
        self.query_tower = query_tower
        self.item_tower = query_tower if item_tower is None else item_tower
        self.ranker = ranker
        self.is_similarity = is_similarity
        self.not_irrelevant_only = not_irrelevant_only
        self.negative_downsampling_factor = negative_downsampling_factor
        self.min_groups = min_groups
        self.min_abs_difference_threshold = min_abs_difference_threshold
        self.max_abs_difference_threshold = max_abs_difference_threshold
        self.confidence_calculator = confidence_calculator
        self.window_size = window_size
        self.ranks_aggregator = ranks_aggregator
        self.pair_level = pair_level
        self.irrelevant_pairing = irrelevant_pairing
        self.item_feature = item_feature

    @classmethod
    def from_params(
        cls,
        query_tower: tf.keras.layers.Layer,
        item_tower: tf.keras.layers.Layer | None,
        params: Params,
        **options: object,
    ) -> "FeaturesExtractor":
        """Makes an extractor with the hyper-parameters of a run.

        Args:
          query_tower: layer from queries to embeddings `[batch, embedding_dim]`.
          item_tower: layer from items to embeddings `[num_items, embedding_dim]`, or
            None if the query tower embeds both.
          params: hyper-parameters of the run, `data.clickstream.FineTuningParams`.
          **options: the other arguments of `FeaturesExtractor`.
        """
        return cls(
            query_tower,
            item_tower,
            not_irrelevant_only=params.not_irrelevant_only,
            negative_downsampling_factor=params.negative_downsampling,
            min_abs_difference_threshold=params.min_abs_difference_threshold,
            max_abs_difference_threshold=params.max_abs_difference_threshold,
            **options,
        )

    @property
    def is_shared(self) -> bool:
        """Whether one tower embeds queries and items."""
        return self.item_tower is self.query_tower

    @property
    def missing_rank(self) -> float | None:
        """Score that replaces an unknown one in a batch; None if that is an error."""
        # Only confidences read the stored scores, and "dummy" does not.
        return 0.0 if self.confidence_calculator == "dummy" else None

    def call(
        self, batch: dict, items: object = None, training: bool = False
    ) -> FineTuningFeatures:
        """Extracts the pairs of a batch.

        Args:
          batch: columns of searches. `query`: input of the query tower, `[batch, ...]`;
            `items`, `objects`, `clicked` and `ranks`, ragged `[batch, (num_results)]`;
            in training also `draw_order`, a random order of the objects without a
            click, or `negative_mask`, True for results that may be negatives; and
            optionally `irrelevant`, the same columns of searches without a click.
          items: input of the item tower, `[num_items, ...]`, in which `items` of the
            batch are rows. By default the tower receives the rows themselves.
          training: whether negatives are drawn; the towers receive it, too.

        Returns:
          Pairs in the order of the searches, positives in the outer loop.
        """
        return self.extract(batch, items, training=training).features

    def forward(
        self,
        batch: Sequence[tuple[Search, Search | None]],
        items: Items,
        *,
        training: bool = False,
        seed: int = 0,
    ) -> FineTuningFeatures:
        """Extracts the pairs of searches that are not packed yet.

        Args:
          batch: pairs of a search with a click (others form no pair) and a search
            without one, or None (`data.clickstream.pair_inputs`).
          items: the items that the searches show (`data.clickstream.ItemSet`).
          training: whether negatives are drawn; the towers receive it, too.
          seed: seed of the draw.

        Returns:
          Pairs in the order of the searches, positives in the outer loop.
        """
        if not batch:
            return no_pairs()
        packed = pack_pairs(batch, items, missing_rank=self.missing_rank)
        for side in (packed, packed.get("irrelevant")):
            if side is not None:
                order = draw_order(side["objects"], side["clicked"], [seed, 0])
                side["draw_order"] = order
        return self(packed, getattr(items, "features", None), training=training)

    def extract(
        self, batch: dict, items: object = None, *, training: bool = False
    ) -> Extraction:
        """Extracts the pairs of a batch, and the scores that metrics read.

        Args:
          batch: columns of searches, as `call` takes them.
          items: input of the item tower, `[num_items, ...]`, or None.
          training: whether negatives are drawn; the towers receive it, too. Evaluation
            always scores searches without a click.
        """
        searches = [batch]
        if "irrelevant" in batch and not (training and self.not_irrelevant_only):
            searches.append(batch["irrelevant"])
        owners = [search_objects(s["objects"], s["clicked"]) for s in searches]
        factor = self.negative_downsampling_factor if training else 1
        picked = [
            search["clicked"].values
            | drawn_negatives(search, owner, factor=factor, min_groups=self.min_groups)
            for search, owner in zip(searches, owners, strict=True)
        ]
        ranks = self._ranks(searches, picked, items, training)
        sides = [
            ranked_results(
                *arguments,
                aggregator=self.ranks_aggregator,
                confidences=self.confidences,
                once=self.pair_level == "object",
            )
            for arguments in zip(searches, owners, picked, ranks, strict=True)
        ]
        other = None if self.not_irrelevant_only or len(sides) < 2 else sides[1]
        features, formed = search_pairs(
            sides[0],
            other,
            batch["items"].nrows(),
            target=self._target,
            band=(
                self.min_abs_difference_threshold,
                self.max_abs_difference_threshold,
            ),
            irrelevant_pairing=self.irrelevant_pairing,
        )
        clicked, *irrelevant = (
            rank_change(search, mask, new, clicked_only=search is batch)
            for search, mask, new in zip(searches, picked, ranks, strict=True)
        )
        return Extraction(features, formed, clicked, *(irrelevant or [None]))

    def ranks(self, search: dict, items: object = None) -> tf.RaggedTensor:
        """Scores all results by the current towers, `[batch, (num_results)]`.

        Args:
          search: the columns `query` and `items` of a batch.
          items: input of the item tower, `[num_items, ...]`, or None.
        """
        everything = tf.ones_like(search["items"].values, tf.bool)
        (ranks,) = self._ranks([search], [everything], items, training=False)
        return search["items"].with_values(ranks)

    def negatives(self, search: dict, items: object = None) -> FineTuningFeatures:
        """Extracts the results without a click, as pairs without positives.

        Args:
          search: columns of searches, `negative_mask` among them if not every result
            without a click is a negative.
          items: input of the item tower, `[num_items, ...]`, or None.

        Returns:
          Scores, targets and confidences of the negatives; positives are absent.
        """
        if "negative_mask" in search:
            picked = search["negative_mask"].values
        else:
            picked = ~search["clicked"].values
        found = ranked_results(
            search,
            search_objects(search["objects"], search["clicked"]),
            picked,
            tf.boolean_mask(self.ranks(search, items).values, picked),
            aggregator=self.ranks_aggregator,
            confidences=self.confidences,
            once=self.pair_level == "object",
        )
        return FineTuningFeatures(
            negative_ranks=found.ranks,
            target=tf.fill(tf.shape(found.ranks), self._target),
            negative_confidences=found.confidences,
        )

    def confidences(
        self, ranks: tf.RaggedTensor, clicks: tf.RaggedTensor
    ) -> tf.RaggedTensor:
        """Computes confidences in objects from their stored scores and clicks.

        Args:
          ranks: `[batch, (num_objects)]` float32 stored scores.
          clicks: `[batch, (num_objects)]` float32, 1 for a click.
        """
        if self.confidence_calculator == "dummy":
            return dummy_confidences(ranks, clicks)
        if self.confidence_calculator == "windowed":
            return windowed_confidences(ranks, clicks, self.window_size)
        return self.confidence_calculator(ranks, clicks)

    @property
    def _target(self) -> float:
        return 1.0 if self.is_similarity else -1.0

    def _ranks(
        self,
        searches: Sequence[dict],
        picked: Sequence[tf.Tensor],
        items: object,
        training: bool,
    ) -> list[tf.Tensor]:
        """Scores the picked results of each side, with one call of each tower."""
        rows = [
            tf.boolean_mask(search["items"].values, mask)
            for search, mask in zip(searches, picked, strict=True)
        ]
        # An item that several searches show is embedded once.
        unique, position = tf.unique(tf.concat(rows, axis=0))
        if items is None:
            features = {self.item_feature: unique}
        else:
            features = tf.nest.map_structure(lambda c: tf.gather(c, unique), items)
        item_embeddings = _embed(self.item_tower, features, training)
        queries = tf.nest.map_structure(
            lambda *sides: tf.concat(sides, axis=0), *(s["query"] for s in searches)
        )
        queries = _embed(self.query_tower, queries, training)
        owners, before = [], tf.zeros([], tf.int64)
        for search, mask in zip(searches, picked, strict=True):
            row = tf.boolean_mask(search["items"].value_rowids(), mask)
            owners.append(row + before)
            before += search["items"].nrows()
        rank = RANKERS[self.ranker] if isinstance(self.ranker, str) else self.ranker
        found = rank(
            tf.gather(queries, tf.concat(owners, axis=0)),
            tf.gather(item_embeddings, position),
        )
        return tf.split(found, [tf.size(side) for side in rows], num=len(rows))

    def get_config(self) -> dict:
        serialize = tf.keras.utils.serialize_keras_object
        return super().get_config() | {
            "query_tower": serialize(self.query_tower),
            "item_tower": None if self.is_shared else serialize(self.item_tower),
            "shared_layers": shared_layers(self.query_tower, self.item_tower),
            "ranker": serialize(self.ranker),
            "confidence_calculator": serialize(self.confidence_calculator),
            **{name: getattr(self, name) for name in _PLAIN},
        }


def make_features_extractor(
    query_tower: tf.keras.layers.Layer,
    item_tower: tf.keras.layers.Layer | None,
    params: Params,
    **options: object,
) -> FeaturesExtractor:
    """Makes an extractor by `FeaturesExtractor.from_params`.

    Args:
      query_tower: layer from queries to embeddings `[batch, embedding_dim]`.
      item_tower: layer from items to embeddings `[num_items, embedding_dim]`, or None
        if the query tower embeds both.
      params: hyper-parameters of a run, `data.clickstream.FineTuningParams`.
      **options: the other arguments of `FeaturesExtractor`.

    Example:
      >>> params = tm.data.clickstream.FineTuningParams(negative_downsampling=0.25)
      >>> tower = tf.keras.layers.Dense(4)
      >>> extractor = tm.layers.make_features_extractor(tower, None, params)
      >>> extractor.negative_downsampling_factor
      0.25
    """
    return FeaturesExtractor.from_params(query_tower, item_tower, params, **options)


def _embed(tower: tf.keras.layers.Layer, features: object, training: bool) -> tf.Tensor:
    """Calls a tower, which may be a layer without an argument `training`."""
    known = inspect.signature(tower.call).parameters
    options = {"training": training} if "training" in known else {}
    return tf.cast(tower(features, **options), tf.float32)
