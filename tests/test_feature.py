import dataclasses
import json
import math

import pytest

from tfrs_models.data import Feature


@pytest.mark.parametrize(
    "feature",
    [
        Feature("year", "number", mean=1990.5, scale=12.0),
        Feature("text", "vector", dim=3),
    ],
)
def test_a_feature_survives_json(feature):
    again = json.loads(json.dumps(dataclasses.asdict(feature)))
    assert Feature(**again) == feature


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "", "kind": "id"}, "`name` must not be empty"),
        ({"name": "a", "kind": "text"}, "`kind` of feature `a` must be one of"),
        ({"name": "a", "kind": "id", "num_values": -1}, "Got -1"),
        ({"name": "a", "kind": "id", "num_values": 2.5}, "whole number .* Got 2.5"),
        ({"name": "a", "kind": "number", "num_values": 3}, "has no vocabulary. Got 3"),
        (
            {"name": "a", "kind": "vector", "num_values": 3},
            "a vector has no vocabulary",
        ),
        (
            {"name": "a", "kind": "vector"},
            "`dim` of feature `a` must be a whole.* Got 0",
        ),
        ({"name": "a", "kind": "vector", "dim": 2.5}, "whole number .* Got 2.5"),
        ({"name": "a", "kind": "number", "dim": 2}, "`dim` .* must be 0: a number.* 2"),
        ({"name": "a", "kind": "vector", "dim": 2, "scale": 3.0}, "unit length. Got 0"),
        ({"name": "a", "kind": "vector", "dim": 2, "mean": 1.0}, "unit length. Got 1"),
        ({"name": "a", "kind": "number", "scale": 0.0}, "above 0. Got 0.0"),
        ({"name": "a", "kind": "number", "scale": math.inf}, "Got inf"),
        ({"name": "a", "kind": "number", "mean": math.nan}, "finite. Got nan"),
    ],
)
def test_a_feature_no_tower_could_use_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Feature(**arguments)
