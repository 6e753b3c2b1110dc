"""Answers of the page's server: python -m pipelines.benchmarks.explore.

An exported recommender over histories is loaded as `tfrs-models explore` loads it, and
one client asks its real server on this machine, one request after the other.
"""

import contextlib
import dataclasses
import http.client
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tyro
import uvicorn

import tfrs_models as tm
from pipelines import explore
from pipelines.benchmarks import live_requests, results
from pipelines.explore_page.limits import Rate
from pipelines.explore_page.server import make_app
from pipelines.parts.command import command

_SIGNATURES = ("serving_default", "history", "explain", "similar_items")
_PAGES = {"search": "search of items", "users": "search of users"}


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    items: int = 10_000
    """Number of items of the catalogue."""
    users: int = 1_000
    """Number of users with a known past."""
    length: int = 50
    """Number of items of a history."""
    embedding_dim: int = 64
    """Number of dimensions of an item."""
    k: int = 10
    """Number of items of an answer."""
    queries: int = 200
    """Number of timed requests of each kind in a run."""
    repeats: int = 3
    """Number of runs of each kind, in turns; medians are reported."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    items=40,
    users=5,
    length=4,
    embedding_dim=4,
    k=3,
    queries=3,
    repeats=1,
    write=False,
)


@command
def main(config: Config) -> dict[str, float]:
    """Measures each kind of request and writes `explore`."""
    rng = np.random.default_rng(0)
    made = live_requests.Config(
        **{
            name: getattr(config, name)
            for name in ("items", "users", "length", "embedding_dim", "k")
        }
    )
    module = live_requests.make_recommender(made, rng, explain=True)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        signatures = {name: module.signatures[name] for name in _SIGNATURES}
        path = Path(folder, "retrieval")
        tm.serving.export(module, path, signatures=signatures, samples={})
        exports = explore.load_exports(explore.Config(model=path))
        with _serving(make_app(exports, rate=Rate(1e9, burst=10**9))) as port:
            for _ in range(config.repeats):
                for kind in (*_SIGNATURES, *_PAGES):
                    times = _times(config, kind, port, rng)
                    found.setdefault(kind, []).append(np.percentile(times, [50, 99]))
    if config.write:
        results.write_section("explore", _report(config, found))
    return {
        f"{kind}: {name}, ms": 1e3 * float(value)
        for kind, runs in found.items()
        for name, value in zip(("p50", "p99"), np.median(runs, axis=0), strict=True)
    }


@contextlib.contextmanager
def _serving(app: object) -> Iterator[int]:
    """Serves an app in a thread; the value is its port."""
    with explore.listening(explore.Config(port=0)) as sock:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def _times(
    config: Config, kind: str, port: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns seconds of requests of a kind, after a few that are not timed."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    seconds = []
    for number in range(config.queries + 5):
        if kind in _PAGES:
            letter, most = (
                ("i", config.items) if kind == "search" else ("u", config.users)
            )
            text = f"{letter}{rng.integers(1, most + 1)}"
            method, path, body = "GET", f"/explore/{kind}?text={text}", None
        else:
            row = {"signature_name": kind, "instances": [_row(config, kind, rng)]}
            method, path, body = "POST", "/v1/models/retrieval:predict", json.dumps(row)
        start = time.perf_counter()
        connection.request(method, path, body)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} was answered with {answer.status}.")
        if number >= 5:
            seconds.append(time.perf_counter() - start)
    connection.close()
    return np.array(seconds)


def _row(config: Config, kind: str, rng: np.random.Generator) -> dict:
    items = [f"i{i}" for i in rng.integers(1, config.items + 1, config.length)]
    if kind == "similar_items":
        return {"item_id": items[:1], "k": config.k, "exclusions": [""]}
    row = {
        "user_id": f"u{rng.integers(1, config.users + 1)}",
        "k": config.k,
        "exclude_seen": True,
    }
    if kind == "serving_default":
        return row
    return row | {
        "exclusions": [""],
        "history": items,
        "history_time": [0] * len(items),
        "time": 0,
        "append": False,
    }


def _report(config: Config, found: dict[str, list]) -> str:
    rows = []
    for kind, runs in found.items():
        what = _PAGES.get(kind, f"`{kind}`")
        spread = [1e3 * p50 for p50, _ in runs]
        p50, p99 = 1e3 * np.median(runs, axis=0)
        low, high = min(spread), max(spread)
        rows.append([what, f"{p50:.1f} ({low:.1f}..{high:.1f})", f"{p99:.1f}"])
    header = ["request", "p50, ms", "p99, ms"]
    return f"""\
{config.items:,} items of width {config.embedding_dim} in a `BruteForce` index, a query
tower that pools {config.length} items by recency and times, the best {config.k} of one
request at a time, over HTTP and JSON from a client in the same process, on
{os.cpu_count()} cores. Histories have {config.length} items. Medians of
{config.repeats} runs of {config.queries:,} requests of each kind, in turns.

{results.table(header, rows)}

Command: `python -m pipelines.benchmarks.explore`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config, description=__doc__)))
