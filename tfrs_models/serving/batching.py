"""How TensorFlow Serving joins requests into batches."""

import dataclasses
import numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batching:
    """Parameters of a server that joins requests.

    Attributes:
      max_batch_size: Rows of a batch at most.
      timeout_micros: How long a row waits for others.
      threads: How many batches run at once; the server's processors are a good number.
      max_enqueued_batches: How many wait before the server answers "unavailable".
      allowed_batch_sizes: Sizes that batches are padded to, ascending; the last is
        `max_batch_size`. None where empty.

    Raises:
      ValueError: numbers that are not whole or below 1 (the time: below 0), or sizes
        that do not ascend.
    """

    max_batch_size: int = 64
    timeout_micros: int = 1000
    threads: int = 2
    max_enqueued_batches: int = 100
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        given = [
            self.max_batch_size,
            self.timeout_micros,
            self.threads,
            self.max_enqueued_batches,
            *self.allowed_batch_sizes,
        ]
        if not all(map(is_whole, given)):
            raise ValueError(f"Batching needs whole numbers. Got {self}.")
        least = min(self.max_batch_size, self.threads, self.max_enqueued_batches)
        if least < 1 or self.timeout_micros < 0:
            raise ValueError(f"Batching needs positive numbers. Got {self}.")
        sizes = self.allowed_batch_sizes
        if sizes and (
            sizes[0] < 1
            or list(sizes) != sorted(set(sizes))
            or sizes[-1] != self.max_batch_size
        ):
            raise ValueError(
                "`allowed_batch_sizes` must ascend from 1 or more to `max_batch_size` "
                f"{self.max_batch_size}. Got {sizes}."
            )

    def text(self) -> str:
        """The text of the server's `BatchingParameters`."""
        values = {
            "max_batch_size": self.max_batch_size,
            "batch_timeout_micros": self.timeout_micros,
            "num_batch_threads": self.threads,
            "max_enqueued_batches": self.max_enqueued_batches,
        }
        lines = [f"{name} {{ value: {value} }}" for name, value in values.items()]
        lines += [f"allowed_batch_sizes: {size}" for size in self.allowed_batch_sizes]
        return "\n".join([*lines, ""])


def is_whole(value: object) -> bool:
    """Whether a value is a whole number; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
