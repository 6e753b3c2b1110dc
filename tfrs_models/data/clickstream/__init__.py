"""Searches with clicks: from logged sessions to pairs to learn from."""

from tfrs_models.data.clickstream.batches import click_batches, stream_batches
from tfrs_models.data.clickstream.downsampling import (
    downsample_not_events,
    unclicked_objects,
)
from tfrs_models.data.clickstream.fine_tuning_input import (
    FineTuningInput,
    known_results,
    remove_results,
)
from tfrs_models.data.clickstream.items import ItemSet, RankingData, ranking_data
from tfrs_models.data.clickstream.pairing import (
    PairedInputs,
    cycle_to_equal_length,
    pair_inputs,
    stream_pairs,
)
from tfrs_models.data.clickstream.params import (
    ExamplesType,
    FineTuningParams,
    fine_tuning_params,
)
from tfrs_models.data.clickstream.parts import part_items, split_into_parts
from tfrs_models.data.clickstream.reader import SessionReader, read_sessions
from tfrs_models.data.clickstream.sessions import session_to_input
from tfrs_models.data.clickstream.splitting import SplitInputs, split_inputs
from tfrs_models.ops.clickstream.aggregation import (
    aggregate_clicks,
    aggregate_ranks,
    differentiable_extreme,
    differentiable_mean_small_values,
    soft_indicator,
)
from tfrs_models.ops.clickstream.confidences import (
    dummy_confidences,
    windowed_confidences,
)
from tfrs_models.ops.clickstream.pair_features import (
    FineTuningFeatures,
    clamp_diff,
    concat_features,
    make_features,
    use_positive_from,
)
from tfrs_models.ops.clickstream.rankers import cosine_rank, euclidean_rank

__all__ = [
    "ExamplesType",
    "FineTuningFeatures",
    "FineTuningInput",
    "FineTuningParams",
    "ItemSet",
    "PairedInputs",
    "RankingData",
    "SessionReader",
    "SplitInputs",
    "aggregate_clicks",
    "aggregate_ranks",
    "clamp_diff",
    "click_batches",
    "concat_features",
    "cosine_rank",
    "cycle_to_equal_length",
    "differentiable_extreme",
    "differentiable_mean_small_values",
    "downsample_not_events",
    "dummy_confidences",
    "euclidean_rank",
    "fine_tuning_params",
    "known_results",
    "make_features",
    "pair_inputs",
    "part_items",
    "ranking_data",
    "read_sessions",
    "remove_results",
    "session_to_input",
    "soft_indicator",
    "split_inputs",
    "split_into_parts",
    "stream_batches",
    "stream_pairs",
    "unclicked_objects",
    "use_positive_from",
    "windowed_confidences",
]
