"""From searches and towers to pairs of ranks."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.clickstream.shared_layers import SharedLayers, shared_layers
from tfrs_models.layers.clickstream.tower_scores import (
    Extraction,
    negatives,
    no_pairs,
    old_and_new,
    rank_results,
)
from tfrs_models.ops.clickstream.aggregation import check_aggregator
from tfrs_models.ops.clickstream.confidences import (
    check_window,
    dummy_confidences,
    windowed_confidences,
)
from tfrs_models.ops.clickstream.packing import Items, Search, pack_pairs
from tfrs_models.ops.clickstream.pair_features import FineTuningFeatures, check_band
from tfrs_models.ops.clickstream.rankers import cosine_rank, euclidean_rank
from tfrs_models.ops.clickstream.search_objects import draw_order, search_objects
from tfrs_models.ops.clickstream.search_pairs import search_pairs
from tfrs_models.ops.clickstream.search_results import ranked_results

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


@register
class FeaturesExtractor(SharedLayers, tf.keras.layers.Layer):
    """Ranks what was clicked and what was not, and pairs the two in each search.

    A batch is ragged integers (`data.clickstream.click_batches`): rows of items,
    objects that they are parts of, clicks, stored ranks. Each tower is called once, the
    item tower on every item once, whatever number of searches showed it. In training a
    part of the objects without a click is drawn; evaluation takes all.
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
          query_tower: Any layer from queries to `[batch, embedding_dim]`.
          item_tower: Any layer from items to `[num_items, embedding_dim]`; None where
            the query tower embeds both.
          ranker: "cosine", "euclidean", or a registered function of queries and items,
            `[n, embedding_dim]` each, to ranks `[n]`.
          is_similarity: Whether a larger rank is nearer.
          not_irrelevant_only: Whether training leaves searches without a click out;
            else their results are negatives of the search that they are paired with.
          negative_downsampling_factor: Share of the objects without a click that a
            training step sees, rounded down, in (0, 1].
          min_groups: Of these objects, so many at least, where there are.
          min_abs_difference_threshold: Pairs whose ranks differ by this or less are
            left out.
          max_abs_difference_threshold: Pairs whose ranks differ by this or more too.
          confidence_calculator: "dummy", "windowed", or a registered function of ranks
            and clicks of the objects, ragged `[batch, (num_objects)]`, to trust.
          window_size: Of "windowed".
          ranks_aggregator: "mean", "max" or "min" of the parts is the object's rank.
          pair_level: "part": an object of several parts is in as many pairs; "object":
            in one with each other object.
          irrelevant_pairing: "truncate": a search without a click gives at most as many
            pairs as the one it is paired with; "cross": each of its results with each
            click.
          item_feature: Name by which the item tower takes rows, where no items are
            given to the call.
          **kwargs: Of `tf.keras.layers.Layer`.

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

    @property
    def is_shared(self) -> bool:
        """Whether one tower embeds queries and items."""
        return self.item_tower is self.query_tower

    def call(
        self, batch: dict, items: object = None, training: bool = False
    ) -> FineTuningFeatures:
        """The pairs of a batch.

        Args:
          batch: `query`, what the query tower takes, `[batch, ...]`; `items`,
            `objects`, `clicked` and `ranks`, ragged `[batch, (num_results)]`; in
            training `places` too, a random order of the objects without a click, or
            `kept`, bool, the results that may be negatives; and optionally
            `irrelevant`, the same for searches without a click.
          items: What the item tower takes, `[num_items, ...]`, whose rows `items` of
            the batch are; where None, the tower is given the rows themselves.
          training: Whether negatives are drawn, and passed on to the towers.

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
        """The pairs of searches that are not packed yet.

        Args:
          batch: Searches with a click (others give no pair), each with one without, or
            None (`data.clickstream.pair_inputs`).
          items: The items that they show (`data.clickstream.ItemSet`).
          training: Whether negatives are drawn.
          seed: Of the draw.
        """
        if not batch:
            return no_pairs()
        unread = 0.0 if self.confidence_calculator == "dummy" else None
        packed = pack_pairs(batch, items, missing_rank=unread)
        for side in (packed, packed.get("irrelevant")):
            if side is not None:
                side["places"] = draw_order(side["objects"], side["clicked"], [seed, 0])
        return self(packed, getattr(items, "features", None), training=training)

    def extract(
        self, batch: dict, items: object = None, *, training: bool = False
    ) -> Extraction:
        """The pairs of a batch, and what metrics want to know of it.

        Args:
          batch: See `call`.
          items: See `call`.
          training: See `call`; evaluation always looks at searches without a click.
        """
        searches = [batch]
        if "irrelevant" in batch and not (training and self.not_irrelevant_only):
            searches.append(batch["irrelevant"])
        owners = [search_objects(s["objects"], s["clicked"]) for s in searches]
        factor = self.negative_downsampling_factor if training else 1
        picked = [
            search["clicked"].values
            | negatives(search, owner, factor=factor, min_groups=self.min_groups)
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
            target=1.0 if self.is_similarity else -1.0,
            band=(
                self.min_abs_difference_threshold,
                self.max_abs_difference_threshold,
            ),
            irrelevant_pairing=self.irrelevant_pairing,
        )
        clicked, *irrelevant = (
            old_and_new(search, mask, new, clicked_only=search is batch)
            for search, mask, new in zip(searches, picked, ranks, strict=True)
        )
        return Extraction(features, formed, clicked, *(irrelevant or [None]))

    def ranks(self, search: dict, items: object = None) -> tf.RaggedTensor:
        """`[batch, (num_results)]` ranks of all results by the towers as they are.

        Args:
          search: `query` and `items` of a batch, see `call`.
          items: See `call`.
        """
        everything = tf.ones_like(search["items"].values, tf.bool)
        (ranks,) = self._ranks([search], [everything], items, training=False)
        return search["items"].with_values(ranks)

    def _ranks(
        self,
        searches: Sequence[dict],
        picked: Sequence[tf.Tensor],
        items: object,
        training: bool,
    ) -> list[tf.Tensor]:
        """Ranks of the picked results of each side, with one call of each tower."""

        def inputs(rows: tf.Tensor) -> object:
            if items is None:
                return {self.item_feature: rows}
            return tf.nest.map_structure(lambda c: tf.gather(c, rows), items)

        return rank_results(
            searches,
            picked,
            query_tower=self.query_tower,
            item_tower=self.item_tower,
            item_inputs=inputs,
            rank=RANKERS[self.ranker] if isinstance(self.ranker, str) else self.ranker,
            training=training,
        )

    def confidences(
        self, ranks: tf.RaggedTensor, clicks: tf.RaggedTensor
    ) -> tf.RaggedTensor:
        """Trust in objects, by their stored ranks and clicks."""
        if self.confidence_calculator == "dummy":
            return dummy_confidences(ranks, clicks)
        if self.confidence_calculator == "windowed":
            return windowed_confidences(ranks, clicks, self.window_size)
        return self.confidence_calculator(ranks, clicks)

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
