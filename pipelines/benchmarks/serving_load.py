"""Latency under load: python -m pipelines.benchmarks.serving_load.

Single queries arrive at an exported IVF by a Poisson process. They are answered by the
program without Python, and by a test double of TensorFlow Serving through `GrpcClient`.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import tyro
from matplotlib.figure import Figure

import tfrs_models as tm
from pipelines import native
from pipelines.benchmarks import results
from pipelines.benchmarks.open_loop import Load, arrivals, climb, drive, highest_held
from pipelines.benchmarks.search_corpora import gaussian_mixture
from pipelines.parts.command import command
from pipelines.parts.flags import CountOrNone
from tfrs_models.serving.client import GrpcClient

NATIVE = "program without Python"
GRPC = "gRPC, Python double"
COLOURS = {NATIVE: "#1d4ed8", GRPC: "#c2410c"}
_NAME = "ivf"


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    candidates: int = 200_000
    """Number of candidates of the Gaussian mixture of `approximate_search`."""
    embedding_dim: int = 64
    """Number of dimensions of a candidate."""
    k: int = 100
    """Number of candidates of an answer."""
    num_probes: int = 32
    """Number of probes of the IVF."""
    limit: float = 0.02
    """Largest 99th percentile, in seconds."""
    first_rate: float = 50.0
    """First rate in queries per second; it is doubled until the limit is passed."""
    refinements: CountOrNone = 3
    """Number of times that the gap between good and bad rates is halved."""
    seconds: float = 5.0
    """Seconds during which queries arrive."""
    repeats: int = 3
    """Number of runs of each rate with other arrivals; medians are reported."""
    clients: int = 16
    """Number of queries that wait for answers at the same time."""
    native: bool = True
    """Whether to measure the program without Python, which needs a compiler."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    candidates=500,
    embedding_dim=8,
    k=5,
    limit=1e-9,
    refinements=0,
    seconds=0.2,
    repeats=1,
    clients=2,
    native=False,
    write=False,
)


@command
def main(config: Config) -> dict[str, float]:
    """Raises the rate on both until it is too high, and writes `serving_load`."""
    candidates, queries = gaussian_mixture(
        config.candidates, config.embedding_dim, num_queries=256
    )
    index = tm.layers.IVF(num_probes=config.num_probes).index(candidates)
    requests = [{"query": query[None], "k": np.int32([config.k])} for query in queries]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        versions = Path(folder, _NAME)
        version = tm.serving.export(
            tm.serving.Retriever(index),
            versions,
            samples={"serving_default": requests[0]},
        )
        if config.native:
            found[NATIVE] = _climb(config, _native(config, version, requests))
        with _double(versions) as address, GrpcClient(address, model=_NAME) as client:
            found[GRPC] = _climb(config, _grpc(config, client, requests))
    highest = {
        name: held.rate if (held := highest_held(loads, config.limit)) else 0.0
        for name, loads in found.items()
    }
    if config.write:
        results.write_section("serving_load", _report(config, found, highest))
    return {f"{name}: queries/s": rate for name, rate in highest.items()}


def _climb(config: Config, run: Callable[[float, int], Load]) -> list[Load]:
    def measure(rate: float) -> Load:
        runs = [run(rate, seed) for seed in range(config.repeats)]
        median = Load(
            rate,
            float(np.median([load.p50 for load in runs])),
            float(np.median([load.p99 for load in runs])),
            sum(load.abandoned for load in runs),
        )
        print(median, flush=True)
        return median

    return climb(
        measure,
        first=config.first_rate,
        limit=config.limit,
        refinements=config.refinements,
    )


def _native(
    config: Config, version: Path, requests: Sequence[Mapping[str, np.ndarray]]
) -> Callable[[float, int], Load]:
    questions = version.with_name("questions")
    native.write_questions(
        questions, (native.Question("serving_default", r) for r in requests)
    )

    def run(rate: float, seed: int) -> Load:
        latency = native.run(
            native.compile_program(),
            version,
            questions,
            threads=os.cpu_count(),
            clients=config.clients,
            rate=rate,
            seconds=config.seconds,
            seed=seed,
        ).latency
        return Load(rate, latency.p50, latency.p99, latency.abandoned)

    return run


def _grpc(
    config: Config, client: GrpcClient, requests: Sequence[Mapping[str, np.ndarray]]
) -> Callable[[float, int], Load]:
    def ask(number: int) -> None:
        client.predict(requests[number % len(requests)])

    for number in range(2 * config.clients):  # connections, metadata, first runs
        ask(number)

    def run(rate: float, seed: int) -> Load:
        due = arrivals(rate, config.seconds, seed=seed)
        latencies = drive(ask, due, clients=config.clients)
        p50, p99 = np.nanquantile(latencies, [0.5, 0.99])
        return Load(rate, float(p50), float(p99), int(np.isnan(latencies).sum()))

    return run


@contextlib.contextmanager
def _double(versions: Path) -> Iterator[str]:
    """Serves the versions from a process of its own and yields the address."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(versions, there))
    process.start()
    try:
        yield here.recv()
    finally:
        here.send("stop")
        process.join()


def _serve(versions: Path, connection: Connection) -> None:
    from pipelines.benchmarks.prediction_service_double import serve

    with serve(_NAME, versions) as address:
        connection.send(address)
        connection.recv()


def _report(
    config: Config, found: Mapping[str, Sequence[Load]], highest: Mapping[str, float]
) -> str:
    rows = [
        [
            name,
            f"{load.rate:,.0f}",
            f"{1e3 * load.p50:.2f}",
            f"{1e3 * load.p99:.2f}",
            load.abandoned or "",
        ]
        for name, loads in found.items()
        for load in loads
    ]
    header = ["", "queries a second", "p50, ms", "p99, ms", "given up"]
    held = "\n".join(
        f"- {name}: **{rate:,.0f} queries a second** with p99 below "
        f"{1e3 * config.limit:g} ms"
        for name, rate in highest.items()
    )
    picture = results.save_plot(_curves(config, found), "serving_load")
    return f"""\
{config.candidates:,} candidates of width {config.embedding_dim} (the Gaussian mixture
of `approximate_search`), an exported `IVF` with {config.num_probes} probes, the best
{config.k} for one query at a time. Queries arrive as a Poisson process for
{config.seconds:g} seconds, whether or not earlier ones are answered; {config.clients}
can wait at once; latency counts from when a query was due. Medians of {config.repeats}
runs with arrivals of their own. The load doubles until p99 passes the limit or queries
are given up, then the gap is halved {config.refinements} times.

{held}

{results.table(header, rows)}

The first is the loader and the operations of TensorFlow Serving without its server, and
draws the arrivals itself. The second is `GrpcClient` and a test double of the server on
its generated stubs, both in Python, on the same {os.cpu_count()} cores: it says what
Python's gRPC takes, not what TensorFlow Serving does.

{picture}

Command: `python -m pipelines.benchmarks.serving_load`
"""


def _curves(config: Config, found: Mapping[str, Sequence[Load]]) -> Figure:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, loads in found.items():
        rates = [load.rate for load in loads]
        for share, style in (("p50", "o--"), ("p99", "o-")):
            axes.loglog(
                rates,
                [1e3 * getattr(load, share) for load in loads],
                style,
                color=COLOURS[name],
                label=f"{name}, {share}",
            )
    axes.axhline(1e3 * config.limit, color="#6b7280", ls=":", lw=1)
    axes.set(xlabel="queries a second", ylabel="milliseconds")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.suptitle(
        f"Latency under load, {config.candidates:,} candidates", fontsize=11
    )
    return figure


if __name__ == "__main__":
    print(main(tyro.cli(Config, description=__doc__)))
