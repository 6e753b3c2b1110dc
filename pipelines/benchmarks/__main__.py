"""Runs all benchmarks and writes RESULTS.md: python -m pipelines.benchmarks."""

import subprocess
import sys

NAMES = (
    "tutorial",
    "corpus_evaluation",
    "quality",
    "sequences",
    "cold_start",
    "softmax",
    "negatives",
    "frequency",
    "deep_hash",
    "rating",
    "pairwise",
    "baselines_speed",
    "interactions",
    "auto_correlation",
    "approximate_search",
    "live_index",
    "live_stress",
    "flat_memory",
    "live_requests",
    "live_trends",
    "faults",
    "explore",
    "serving_load",
    "trends",
    "clickstream",
    "conversion",
    "unisar",
    "yardstick",
    "cascade",
)


def main() -> None:
    """Runs each benchmark in a process of its own, with fresh memory."""
    for name in NAMES:
        module = f"pipelines.benchmarks.{name}"
        print(f"python -m {module}", flush=True)
        subprocess.run([sys.executable, "-m", module], check=True)


if __name__ == "__main__":
    main()
