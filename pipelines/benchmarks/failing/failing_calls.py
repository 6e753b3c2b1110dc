"""A preloaded library that lets system calls of writing fail, as a Python object."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

SOURCE = Path(__file__).with_name("failing_calls.c")
# In the order of the enumeration in the source.
KINDS = (
    *("open", "write", "sync", "close", "rename", "link", "remove", "mkdir"),
    *("truncate", "chmod"),
)
# What a full disk refuses.
GROWING = ("open", "write", "sync", "link", "mkdir")
_LIBRARY = "FAILING_CALLS_LIBRARY"


class Unavailable(Exception):
    """This machine cannot let system calls fail."""


class Call(NamedTuple):
    """A system call below the folder of a plan.

    Attributes:
      kind: one of `KINDS`.
      function: function of the C library.
      path: path of the file or folder.
    """

    kind: str
    function: str
    path: str


class FailingCalls:
    """The library in this process, which `python_with` has started."""

    def __init__(self, library: str | os.PathLike) -> None:
        """Initializes the functions of the library that is preloaded.

        Args:
          library: path of the library.
        """
        self._library = ctypes.CDLL(os.fspath(library))
        self._library.failing_calls_journal.restype = ctypes.c_char_p
        self._library.failing_calls_counted.restype = ctypes.c_long
        self._library.failing_calls_start.argtypes = [
            *(ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_int)
        ]

    @classmethod
    def preloaded(cls) -> Self:
        """Returns the library of a process that `python_with` has started.

        Raises:
          Unavailable: this process has none.
        """
        if _LIBRARY not in os.environ:
            raise Unavailable("the process was started without the library")
        return cls(os.environ[_LIBRARY])

    def start(
        self,
        folder: Path,
        *,
        at: int = 0,
        error: int = 0,
        kinds: Iterable[str] = KINDS,
        lasting: bool = False,
    ) -> None:
        """Starts a plan: counts the calls below a folder, and lets one of them fail.

        Args:
          folder: folder, without links in its path.
          at: number of the call, from 1; 0 for none.
          error: error of the call as in `errno`; below 0 the negative number of a
            signal that the process gets instead of the call.
          kinds: kinds of calls that are numbered.
          lasting: whether all later calls of these kinds fail too.
        """
        mask = sum(1 << KINDS.index(kind) for kind in kinds)
        error = error if at else 0
        self._library.failing_calls_start(
            os.fsencode(folder), mask, at, error, int(lasting)
        )

    def stop(self) -> int:
        """Ends the plan and returns the number of calls that failed."""
        return self._library.failing_calls_stop()

    def counted(self) -> int:
        """Returns the number of calls of the kinds of the plan so far."""
        return self._library.failing_calls_counted()

    def journal(self) -> list[Call]:
        """Lists the calls below the folder since the start of the plan."""
        lines = os.fsdecode(self._library.failing_calls_journal()).splitlines()
        parts = [line.split(" ", 2) for line in lines]
        return [Call(KINDS[int(kind)], *rest) for kind, *rest in parts]


def compiled(folder: Path) -> Path:
    """Compiles the library.

    Args:
      folder: folder of the library.

    Raises:
      Unavailable: there is no Linux or no compiler, or it fails.
    """
    compiler = shutil.which("cc")
    if not sys.platform.startswith("linux") or compiler is None:
        raise Unavailable("system calls fail on Linux only, with the compiler `cc`")
    library = folder / "failing_calls.so"
    flags = ["-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(
        [compiler, *flags], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unavailable(f"`cc` cannot compile {SOURCE.name}: {done.stderr.strip()}")
    return library


def python_with(library: Path, module: str, *arguments: str) -> tuple[Sequence, dict]:
    """Returns the command and the environment of a Python process with the library.

    Args:
      library: compiled library.
      module: module to run.
      *arguments: arguments of the module.
    """
    # One thread, so that two runs sum in the same order.
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        _LIBRARY: str(library),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }
    return [sys.executable, "-m", module, *arguments], environment
