"""The section of RESULTS.md about public check-ins."""

from pipelines.benchmarks.check_ins import Config, section
from pipelines.reporting.automtn import METRICS


def test_the_section_sorts_by_ndcg_and_ends_with_the_verdict():
    def figures(mean):
        interval = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}
        return dict.fromkeys(METRICS.values(), interval)

    text = section(
        {
            "summary": "new_york: 9 check-ins",
            "test": {"nearest": figures(0.2), "AutoMTN": figures(0.5)},
            "validation": {"nearest": 0.25},
            "verdict": "The model beats the best.",
        },
        Config(data="nyc.csv", stride=7),
    )
    lines = text.splitlines()
    rows = [line for line in lines if line.startswith("|")][2:]
    assert rows[0].startswith("| **AutoMTN** | 0.500 [0.490, 0.510]")
    assert rows[1].endswith("| 0.250 |")
    assert "The model beats the best." in lines
    assert "--stride 7" in text
