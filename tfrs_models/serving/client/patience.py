"""How long to wait for an answer, and how often to ask."""

import dataclasses
import random
import time
from collections.abc import Callable
from typing import TypeVar

from tfrs_models.serving.client.errors import DeadlineExceeded, Unavailable

Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patience:
    """Asks again where the server was not there, and only then.

    Attributes:
      timeout: Seconds for all attempts together.
      retries: Attempts after the first.
      backoff: Seconds of the first pause; each is twice the one before, less a random
        part of up to a half, so that clients do not come back all at once.

    Raises:
      ValueError: a timeout or pause that is not positive, retries below 0.
    """

    timeout: float = 10.0
    retries: int = 3
    backoff: float = 0.1

    def __post_init__(self) -> None:
        if self.timeout <= 0 or self.backoff <= 0 or self.retries < 0:
            raise ValueError(
                "`timeout` and `backoff` must be above 0 seconds and `retries` at "
                f"least 0. Got {self.timeout}, {self.backoff} and {self.retries}."
            )

    def call(self, attempt: Callable[[float], Answer]) -> Answer:
        """The answer of the first attempt that reaches the server.

        Args:
          attempt: Takes the seconds that are left.

        Raises:
          Unavailable: no attempt did, or no time is left for another.
          DeadlineExceeded: an attempt took too long.
        """
        deadline = time.monotonic() + self.timeout
        for turn in range(self.retries + 1):
            left = deadline - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded(f"There was no answer in {self.timeout} s.")
            try:
                return attempt(left)
            except Unavailable:
                pause = self.backoff * 2**turn * random.uniform(0.5, 1.0)
                no_time = time.monotonic() + pause >= deadline
                if turn == self.retries or no_time:
                    raise
                time.sleep(pause)
        raise AssertionError("the last turn returns or raises")
