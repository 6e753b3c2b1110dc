"""Golden cases of the specification of clickstreams, by function."""

import json
from pathlib import Path

import numpy as np
import pytest

_FILE = json.loads(
    (Path(__file__).parent / "golden/clickstream_cases.json").read_text()
)
TOLERANCE = _FILE["tolerance"]


def cases(api):
    """Parametrises a test with the golden cases of a function, as `case`."""
    found = [case for case in _FILE["cases"] if case["api"] == api]
    assert found, f"no golden case of {api}"
    return pytest.mark.parametrize("case", found, ids=lambda case: case["id"])


def fails(case):
    """Returns True if the case expects a `ValueError`."""
    return case["expected"] == {"raises": "ValueError"}


def assert_close(found, expected):
    """Compares within the tolerance of the golden cases."""
    np.testing.assert_allclose(found, expected, **TOLERANCE)
