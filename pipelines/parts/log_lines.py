"""The standard error without the log lines of C++ code."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# A process of its own forwards lines even if this one crashes. A line such as
# "I0000 00:00:1796071187.140365 ..." is information, W a warning; errors pass.
_FILTER = r"""
import re, sys
drop = re.compile(rb"[IW]\d{4} \d\d:\d\d:\d+\.\d+ |WARNING: All log messages before")
for line in iter(sys.stdin.buffer.readline, b""):
    if not drop.match(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""
_active = False
_writing: list[subprocess.Popen] = []


@contextlib.contextmanager
def without_log_lines() -> Iterator[None]:
    """Drops what TensorFlow, XLA and ScaNN log to the standard error, but not errors.

    Their logging has no switch that holds for all of them. Lines of Python pass.
    """
    global _active
    if _active:  # a command that runs another one
        yield
        return
    sys.stderr.flush()
    try:
        filtering = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _FILTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not for it
        )
    except OSError:  # no memory or no process is left
        yield
        return
    kept = os.dup(2)
    os.dup2(filtering.stdin.fileno(), 2)
    filtering.stdin.close()
    _active = True
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        try:
            filtering.wait(timeout=2)
        except subprocess.TimeoutExpired:  # another process still writes to it
            _writing[:] = [one for one in _writing if one.poll() is None]
            _writing.append(filtering)  # without a reference Python would warn of it
        _active = False
