"""Signals that wait until the state of a training is on the disk."""

import signal
import threading
from collections.abc import Callable
from types import TracebackType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class DeferredSignals:
    """Defers SIGTERM and SIGINT inside of a context, in the main thread.

    A signal is remembered, and has its effect when `deliver` is called. If nothing must
    be saved, it has its effect at once, and so has a second signal. Ignored signals
    stay ignored.

    Attributes:
      is_pending: whether a signal waits.
    """

    def __init__(self, must_save: Callable[[], bool]) -> None:
        """Initializes the context.

        Args:
          must_save: function that returns whether something would be lost now.
        """
        self._must_save = must_save
        self._pending = None
        self._handlers = {}

    @property
    def is_pending(self) -> bool:
        return self._pending is not None

    def __enter__(self) -> "DeferredSignals":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):  # None: not one of Python
                    self._handlers[number] = handler
                    signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()
        if self.is_pending:
            self.deliver()

    def deliver(self) -> None:
        """Gives signals their usual effect back, and the pending one its effect."""
        number, self._pending = self._pending, None
        self._restore()
        signal.raise_signal(number)

    def _handle(self, number: int, frame: object) -> None:
        del frame
        is_second = self.is_pending
        self._pending = number
        if is_second or not self._must_save():
            self.deliver()

    def _restore(self) -> None:
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler)
