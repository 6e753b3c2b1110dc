"""The retry policy of a client: deadline, number of attempts and pauses."""

import contextlib
import contextvars
import dataclasses
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from tfrs_models.serving.client.errors import DeadlineExceeded, Unavailable

Answer = TypeVar("Answer")

_DEADLINE = contextvars.ContextVar("deadline", default=math.inf)


def seconds_left() -> float:
    """Returns the seconds until the deadline of this thread's call, above 0.

    Raises:
      TimeoutError: the deadline has passed.
    """
    left = _DEADLINE.get() - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time is left")
    return left


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Repeats a request while the server is unavailable, until a deadline.

    Attributes:
      timeout: seconds for all attempts together.
      retries: number of attempts after the first one.
      backoff: seconds of the first pause. Each later pause is twice as long, minus a
        random part of up to one half, so that clients do not return all at once. The
        seconds that the server asks for are added.

    Raises:
      ValueError: a timeout or pause is not positive and finite, or `retries` is
        negative.
    """

    timeout: float = 10.0
    retries: int = 3
    backoff: float = 0.1

    def __post_init__(self) -> None:
        longest = threading.TIMEOUT_MAX
        seconds = (self.timeout, self.backoff)
        if (
            not all(0 < value <= longest for value in seconds)
            or not isinstance(self.retries, int)
            or self.retries < 0
        ):
            raise ValueError(
                f"`timeout` and `backoff` must be above 0 seconds and at most "
                f"{longest:.0f}, and `retries` at least 0. Got {self.timeout}, "
                f"{self.backoff} and {self.retries}."
            )

    @contextlib.contextmanager
    def one_deadline(self) -> Iterator[None]:
        """Gives all calls inside the block one common deadline."""
        deadline = min(_DEADLINE.get(), time.monotonic() + self.timeout)
        token = _DEADLINE.set(deadline)
        try:
            yield
        finally:
            _DEADLINE.reset(token)

    def call(self, attempt: Callable[[float], Answer]) -> Answer:
        """Returns the answer of the first attempt that reaches the server.

        Args:
          attempt: function that sends one request, given the seconds that are left.

        Raises:
          Unavailable: no attempt reached the server, or there is no time for another.
          DeadlineExceeded: an attempt took too long.
        """
        with self.one_deadline():
            for turn in range(self.retries + 1):
                try:
                    left = seconds_left()
                except TimeoutError as error:
                    raise DeadlineExceeded(
                        f"There was no answer in {self.timeout} s."
                    ) from error
                try:
                    return attempt(left)
                except Unavailable as error:
                    pause = self.backoff * 2.0 ** min(turn, 60)
                    pause = error.retry_after + pause * random.uniform(0.5, 1.0)
                    no_time = time.monotonic() + pause >= _DEADLINE.get()
                    if turn == self.retries or no_time:
                        raise
                    time.sleep(pause)
        raise AssertionError("the last turn returns or raises")
