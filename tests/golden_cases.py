"""Cases of the specification of clickstreams, by the function they are about."""

import json
from pathlib import Path

import numpy as np
import pytest

_FILE = json.loads(
    (Path(__file__).parent / "golden/clickstream_cases.json").read_text()
)
TOLERANCE = _FILE["tolerance"]


def cases(api):
    """A parameter `case` for each golden case of a function."""
    found = [case for case in _FILE["cases"] if case["api"] == api]
    assert found, f"no golden case of {api}"
    return pytest.mark.parametrize("case", found, ids=lambda case: case["id"])


def fails(case):
    """Whether the case expects a `ValueError`."""
    return case["expected"] == {"raises": "ValueError"}


def assert_close(found, expected):
    """Within the tolerance of the file."""
    np.testing.assert_allclose(found, expected, **TOLERANCE)
