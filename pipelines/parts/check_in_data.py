"""Traces of check-ins, planted or from a file."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from tfrs_models.data.checkins import (
    CheckIns,
    Traces,
    make_traces,
    read_foursquare,
    read_gowalla,
)
from tfrs_models.data.formats.recognition import recognise
from tfrs_models.data.splits import SPLIT_NAMES
from tfrs_models.data.synthetic.check_ins import PlantedCheckIns, make_check_ins
from tfrs_models.data.table_files import read_table, suffix_of

from .checkpoints import Fingerprint, sized
from .data import TableConfig, as_flags
from .flags import Positive, Range, Width

SYNTHETIC = "synthetic"
_TRIP_GAP = 240.0  # hours: planted trips are a month apart


@dataclasses.dataclass(frozen=True)
class CheckInConfig(TableConfig):
    """Flags of the data."""

    data: str = SYNTHETIC
    """`synthetic`, or a file of check-ins."""
    format: Literal["auto", "foursquare", "gowalla", "table"] = "auto"
    """Format of the file: Foursquare or Gowalla, with commas and a header too, or
    a .parquet, .csv or .tsv of your own; `auto` finds it out by the first lines."""
    columns: tuple[str, ...] = ()
    """Columns of your own table that are not found by their names: user=guest poi=shop,
    and so on for category, lat, lon, offset and time."""
    offset: Annotated[int, Range(-1440, 1440)] | None = None
    """Minutes ahead of UTC of all rows of your own table, if it has no such column."""
    length: Width = 25
    """Check-ins of a trace of a file; planted trips have their own."""
    min_length: Width | None = None
    """Fewest check-ins of a trace; None for `length`, or for 1 with a session gap."""
    session_gap: Positive | None = None
    """Hours without a check-in after which another session begins; None: never."""
    ties: Literal["random", "file"] = "random"
    """Order of check-ins of a file with equal times: drawn with the seed, or that of a
    file whose rows are in the order of events."""
    past_length: Width = 256
    """Check-ins of a user before the request, of all sessions, that are read as past
    visits: the newest ones."""
    stride: int = 1
    """Check-ins from one target to the next."""
    users: Annotated[int, Range(1, 1_000_000)] = 200
    """Synthetic users, of twelve trips each."""


@dataclasses.dataclass(frozen=True, eq=False)
class CheckInData:
    """Traces of check-ins with their splits, and the truth of synthetic ones.

    Args:
      traces: traces of check-ins in three splits.
      planted: planted check-ins with their periods; None for check-ins of a file.
    """

    traces: Traces
    planted: PlantedCheckIns | None

    @property
    def test_periods(self) -> np.ndarray | None:
        """Planted periods of the test traces, `[num_test]`."""
        return None if self.planted is None else self.planted.period[self._test_trips]

    @property
    def test_returns(self) -> np.ndarray | None:
        """Whether the target of a test trace follows the period, `[num_test]` bool."""
        return None if self.planted is None else self.planted.returns[self._test_trips]

    @property
    def _test_trips(self) -> np.ndarray:
        """Trips of the test traces; users are sorted by name, trips by time."""
        planted = self.planted
        users = planted.check_ins.user[:: planted.trip_length]
        order = np.argsort(users, kind="stable")
        return order[self.traces.rows("test")]


def load_check_ins(config: CheckInConfig, *, seed: int) -> CheckInData:
    """Makes or reads check-ins and cuts them into traces.

    Args:
      config: flags of the data.
      seed: seed of synthetic check-ins and of the order of equal times.

    Raises:
      SystemExit: the flags or the file do not make traces.
    """
    try:
        if config.data == SYNTHETIC:
            planted = make_check_ins(seed, num_users=config.users)
            length = planted.trip_length - 1
            traces = make_traces(
                planted.check_ins,
                length=length,
                min_length=length,
                session_gap=_TRIP_GAP,
                past_length=config.past_length,
            )
            return CheckInData(traces, planted)
        check_ins = _read(config, seed)
        for problem in check_ins.problems[:5]:
            print(problem)
        print(f"{len(check_ins):,} check-ins, {check_ins.num_skipped:,} lines skipped")
        traces = make_traces(
            check_ins,
            length=config.length,
            min_length=config.min_length,
            session_gap=config.session_gap,
            stride=config.stride,
            past_length=config.past_length,
        )
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"`--data` cannot be used: {as_flags(str(error))}") from error
    sizes = {name: len(traces.rows(name)) for name in SPLIT_NAMES}
    if not all(sizes.values()):
        got = ", ".join(f"{size} {name}" for name, size in sizes.items())
        raise SystemExit(
            "`--data` must have a trace for each split, five in all. Got "
            f"{got}: give it more check-ins, or lower `--min-length` or `--stride`."
        )
    return CheckInData(traces, None)


def fingerprint(traces: Traces) -> Fingerprint:
    """Computes sizes and hashes of the check-ins and of the traces that they make."""
    cuts = {name: getattr(traces, name) for name in ("first", "target", "split")}
    parts = {
        "check-ins": (len(traces.columns["poi_id"]), traces.columns),
        "POIs": (traces.num_pois, {"coordinates": traces.coordinates}),
        "traces": (len(traces.first), cuts),
    }
    for name, words in traces.vocabularies.items():
        parts[f"values of {name}"] = (len(words), words)
    return {name: sized(size, arrays) for name, (size, arrays) in parts.items()}


def _pair(text: str) -> tuple[str, str]:
    part, is_there, column = text.partition("=")
    if not is_there:
        raise ValueError(f"`columns` must be like poi=shop. Got {text!r}.")
    return part, column


def _found_format(config: CheckInConfig, path: Path) -> str:
    """A known format of check-ins; with flags of an own table, or Parquet, `table`."""
    usual = CheckInConfig()
    own = ("columns", "offset", "timestamp_unit", "timestamp_format", "encoding")
    is_own = any(getattr(config, name) != getattr(usual, name) for name in own)
    if is_own or suffix_of(path) == ".parquet":
        return "table"
    found = recognise(path) if path.is_file() else None
    kind = "foursquare" if found is None else found.form.name
    if kind not in ("foursquare", "gowalla"):
        raise ValueError(
            f"the file must hold check-ins. Got {path}, which looks like "
            f"{found.form.title}: name its `--format` if that is wrong."
        )
    print(f"{path} is read as {kind} check-ins.")
    return kind


def _read(config: CheckInConfig, seed: int) -> CheckIns:
    path = Path(config.data)
    order = {"ties": config.ties, "seed": seed}
    kind = _found_format(config, path) if config.format == "auto" else config.format
    if kind == "table":
        return CheckIns.from_frame(
            read_table(path, argument="data", encoding=config.encoding),
            name=path.stem,
            columns=dict(_pair(text) for text in config.columns),
            offset=config.offset,
            timestamp_unit=config.timestamp_unit,
            timestamp_format=config.timestamp_format,
            **order,
        )
    read = read_gowalla if kind == "gowalla" else read_foursquare
    return read(path, **order)
