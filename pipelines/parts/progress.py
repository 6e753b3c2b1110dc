"""Lines on the screen while a command works: steps with seconds, and one line an epoch.

A terminal shows a line while its work goes on. Elsewhere, as in a file, a line appears
when the work is done, so that nothing has to be erased.
"""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping

import tensorflow as tf

_NAME = 28  # width of the column of names
_ERASE = "\r\033[K"


@dataclasses.dataclass
class Step:
    """A part of a command's work.

    Args:
      note: result in a few words, printed behind the seconds.
    """

    note: str = ""


@contextlib.contextmanager
def step(name: str) -> Iterator[Step]:
    """Prints what is being done, and behind it the seconds that it took.

    Args:
      name: work in a few words.
    """
    made, start = Step(), time.monotonic()
    _show(f"{name} ...")
    try:
        yield made
    except BaseException:
        _show("")  # the message of the error has a line of its own
        raise
    _show("")
    print(_line(name, time.monotonic() - start, made.note), flush=True)


class EpochLines(tf.keras.callbacks.Callback):
    """Prints a table of the training with one line for each epoch.

    The first batch, whose time is mostly that of TensorFlow's tracing, has its own line
    before the table.
    """

    _supports_tf_logs = True  # no batch waits for its metrics

    def __init__(self, columns: Mapping[str, str], *, refresh: float = 0.25) -> None:
        """Initializes the callback.

        Args:
          columns: header of a column -> name of its metric.
          refresh: shortest time between two lines about batches, in seconds.
        """
        super().__init__()
        self.refresh = refresh
        self.columns = dict(columns)
        self._batches = 0
        self._start = self._shown = 0.0

    def on_train_begin(self, *_: object) -> None:
        """Starts the clock of the first batch."""
        self._batches, self._start = 0, time.monotonic()
        _show("Tracing the training step ...")

    def on_epoch_begin(self, *_: object) -> None:
        """Starts the clock of an epoch."""
        self._start = time.monotonic()

    def on_train_batch_end(self, batch: int, *_: object) -> None:
        """Shows a terminal how far the epoch is."""
        now = time.monotonic()
        self._batches += 1
        if self._batches == 1:
            _show("")
            print(_line("Tracing the training step", now - self._start))
            heads = "".join(f"{head:>{len(head) + 3}}" for head in self.columns)
            print(f"\n  {'epoch':>7}{heads}{'seconds':>10}", flush=True)
        if now - self._shown >= self.refresh:
            self._shown = now
            of = self.params.get("steps")
            _show(f"  batch {batch + 1:,}" + (f" of {of:,}" if of else ""))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Prints the line of an epoch."""
        cells = "".join(
            f"{(logs or {}).get(name, float('nan')):>{len(head) + 3}.4f}"
            for head, name in self.columns.items()
        )
        _show("")
        seconds = time.monotonic() - self._start
        print(f"  {epoch + 1:>7}{cells}{seconds:>10.1f}", flush=True)

    def on_train_end(self, *_: object) -> None:
        """Ends the table."""
        print(flush=True)


def _line(name: str, seconds: float, note: str = "") -> str:
    return f"{name:<{_NAME}}{seconds:7.1f} s" + (f"   {note}" if note else "")


def _show(text: str) -> None:
    """Replaces the unfinished line of a terminal; elsewhere nothing."""
    if sys.stdout.isatty():
        print(_ERASE + text, end="", flush=True)
