"""Numbers that become integers only where they are some."""

import numpy as np


def whole_numbers(
    values: object,
    name: str,
    *,
    first: int | None = 0,
    last: int | None = None,
    dtype: type = np.int64,
    axes: tuple[int, ...] = (1,),
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Values as integers; what a cast would change is refused.

    Args:
      values: Numbers, in an array, a list or a column.
      name: Of the values, with the file that has them.
      first: The least that is allowed; None: that of the dtype.
      last: The most that is allowed; None: that of the dtype.
      dtype: Of the integers.
      axes: How many axes there may be.
      rows: Numbers of the rows in the file; None: 0, 1, ...

    Raises:
      ValueError: a value that is no whole number in that range, or another rank.
    """
    limits = np.iinfo(dtype)
    first = limits.min if first is None else first
    last = int(limits.max) if last is None else last
    found = _array(values)
    check_axes(name, found, axes)
    if found.dtype.kind == "O":
        flat = [is_whole(value, first, last) for value in found.ravel()]
        whole = np.array(flat, bool).reshape(found.shape)
    else:
        whole = (found >= first) & (found < last + 1)
        if found.dtype.kind == "f":
            whole &= found == np.floor(found)
    if not whole.all():
        place = tuple(np.argwhere(~whole)[0])
        row = place[0] if rows is None else rows[place[0]]
        raise ValueError(
            f"{name} must hold whole numbers from {first} to {last}. Got "
            f"{found.item(place)!r:.200} in row {row}."
        )
    return found.astype(dtype)


def is_whole(value: object, first: int, last: int) -> bool:
    """Whether a value is a number without a fraction in that range."""
    number = isinstance(value, (int, float, np.integer, np.floating))
    if not number or isinstance(value, bool) or not first <= value <= last:
        return False
    return value == int(value)


def check_axes(name: str, values: np.ndarray, axes: tuple[int, ...]) -> None:
    """Raises a `ValueError` where an array has another rank than one of `axes`."""
    if values.ndim not in axes:
        wanted = " or ".join(map(str, axes))
        raise ValueError(f"{name} must be of rank {wanted}. Got {values.shape}.")


def _array(values: object) -> np.ndarray:
    """Of ints or floats where all are; of objects where one is something else."""
    try:
        found = np.asarray(values)
    except ValueError:  # lists of several lengths
        found = None
    if found is None or found.dtype.kind not in "iuf":
        found = np.asarray(values, object)
    return found
