"""What is repeated for days takes no more memory: each case in a process of its own."""

import sys

import pytest

from pipelines.benchmarks.memory import growth

FLAGS = {"candidates": 3_000, "embedding_dim": 32}  # 384 kB of embeddings
INDEX = 384


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("case", "runs", "most"),
    [
        ("fit", 40, 100),
        ("evaluate", 150, 20),
        ("scann_anew", 60, INDEX / 3),
        pytest.param(
            *("ivf_anew", 30, INDEX / 3),
            marks=pytest.mark.xfail(
                reason="IVF keeps about 0.35 MB each time it is indexed anew; the "
                "cause is not found yet",
                strict=False,
            ),
        ),
        ("updates", 300, 20),
    ],
)
def test_memory_is_flat(case, runs, most):
    measured = growth(f"pipelines.benchmarks.flat_memory:{case}", FLAGS, runs=runs)
    assert measured.per_run < most, measured


def test_growth_is_measured():
    """A case that keeps a megabyte a run is seen to grow by as much."""
    target = "tests.pipelines.test_flat_memory:leak"
    assert growth(target, {}, runs=20).per_run == pytest.approx(1_000, rel=0.2)


def Config():  # noqa: N802  the flags that `growth` makes
    return None


def leak(_):
    kept = []
    return lambda: kept.append(b"x" * 1_000_000)
