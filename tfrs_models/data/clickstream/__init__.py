"""Searches with clicks: from logged sessions to pairs to learn from."""

from tfrs_models.data.clickstream.batches import (
    click_batches,
    cycle_to_equal_length,
    pair_inputs,
    stream_batches,
)
from tfrs_models.data.clickstream.extraction import (
    calculate_ranks,
    extract_batch_features,
    extract_features,
    fill_ranks,
)
from tfrs_models.data.clickstream.fine_tuning_input import (
    FineTuningInput,
    downsample_not_events,
    remove_results,
)
from tfrs_models.data.clickstream.items import ItemSet
from tfrs_models.data.clickstream.params import (
    ExamplesType,
    FineTuningParams,
    fine_tuning_params,
)
from tfrs_models.data.clickstream.sessions import read_sessions, session_to_input
from tfrs_models.data.clickstream.splitting import split_inputs
from tfrs_models.ops.clickstream.confidences import (
    dummy_confidences,
    windowed_confidences,
)
from tfrs_models.ops.clickstream.pairs import (
    FineTuningFeatures,
    clamp_diff,
    concat_features,
    make_features,
    use_positive_from,
)
from tfrs_models.ops.clickstream.scores import (
    aggregate_clicks,
    aggregate_ranks,
    cosine_rank,
    differentiable_extreme,
    differentiable_mean_small_values,
    soft_indicator,
)

__all__ = [
    "ExamplesType",
    "FineTuningFeatures",
    "FineTuningInput",
    "FineTuningParams",
    "ItemSet",
    "aggregate_clicks",
    "aggregate_ranks",
    "calculate_ranks",
    "clamp_diff",
    "click_batches",
    "concat_features",
    "cosine_rank",
    "cycle_to_equal_length",
    "differentiable_extreme",
    "differentiable_mean_small_values",
    "downsample_not_events",
    "dummy_confidences",
    "extract_batch_features",
    "extract_features",
    "fill_ranks",
    "fine_tuning_params",
    "make_features",
    "pair_inputs",
    "read_sessions",
    "remove_results",
    "session_to_input",
    "soft_indicator",
    "split_inputs",
    "stream_batches",
    "use_positive_from",
    "windowed_confidences",
]
