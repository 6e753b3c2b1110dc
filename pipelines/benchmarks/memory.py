"""Peak memory of one case, and its growth, in a process of its own."""

import ctypes
import gc
import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parents[2]


def peak_memory(
    target: str, flags: Mapping[str, object], *, runs: int = 2, imports: bool = False
) -> float:
    """Measures the megabytes by which a case raises the peak of a fresh process.

    Args:
      target: "module:function"; the function takes the module's `Config` and returns
        the function to run.
      flags: values of that `Config`, which JSON can hold.
      runs: number of runs.
      imports: whether to include the memory of the imports.

    Returns:
      Peak resident memory after the runs, data included, minus that after the imports
      unless they are included; NaN if the system does not report peaks.
    """
    flags = json.dumps(dict(flags))
    command = [sys.executable, "-m", __name__, target, flags, str(runs)]
    command += ["imports"] if imports else []
    done = subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


class Growth(NamedTuple):
    """Memory of a case that is repeated.

    Attributes:
      first: resident megabytes after the first half of the runs.
      last: resident megabytes after all runs.
      per_run: kilobytes by which one run of the second half raises it.
    """

    first: float
    last: float
    per_run: float


def growth(target: str, flags: Mapping[str, object], *, runs: int) -> Growth:
    """Measures the memory that a fresh process gains by repeating a case.

    The first half of the runs is left out: it traces graphs and fills caches.

    Args:
      target: "module:function"; the function takes the module's `Config` and returns
        the function to run.
      flags: values of that `Config`, which JSON can hold.
      runs: number of runs, at least 2.
    """
    flags = json.dumps(dict(flags))
    command = [sys.executable, "-m", __name__, target, flags, str(runs), "growth"]
    done = subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, check=True
    )
    first, last = map(float, done.stdout.split()[-2:])
    return Growth(first, last, 1000 * (last - first) / (runs - runs // 2))


def _measure_growth(target: str, flags: str, runs: str) -> str:
    module_name, function = target.split(":")
    module = importlib.import_module(module_name)
    run = getattr(module, function)(module.Config(**json.loads(flags)))
    number = int(runs)
    measured = []
    for share in (number // 2, number - number // 2):
        for _ in range(share):
            run()
        measured.append(_resident())
    return " ".join(map(str, measured))


def _resident() -> float:
    """Returns resident megabytes, without what Python and C have freed."""
    gc.collect()
    if sys.platform != "linux":
        return float("nan")
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def _measure(target: str, flags: str, runs: str, imports: str = "") -> float:
    module_name, function = target.split(":")
    module = importlib.import_module(module_name)
    before = 0.0 if imports else _peak()
    run = getattr(module, function)(module.Config(**json.loads(flags)))
    for _ in range(int(runs)):
        run()
    return _peak() - before


def _peak() -> float:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return peaks[0] / 1000 if peaks else float("nan")


if __name__ == "__main__":
    if sys.argv[-1] == "growth":
        print(_measure_growth(*sys.argv[1:-1]))
    else:
        print(_measure(*sys.argv[1:]))
