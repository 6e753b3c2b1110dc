"""Peak memory of one case, in a process of its own."""

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

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
    print(_measure(*sys.argv[1:]))
