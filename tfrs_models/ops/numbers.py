"""Checks of options: whole numbers, numbers, True or False."""

import math
import numbers

import numpy as np


def is_whole(value: object, least: int) -> bool:
    """Checks that a value is a whole number, of Python or NumPy, of at least `least`.

    Args:
      value: any object; True is not a number.
      least: smallest number that is allowed.

    Returns:
      True or False.
    """
    is_number = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_number and value >= least


def whole_number(name: str, value: object, *, least: int = 0) -> int:
    """Returns a whole number, or raises an error that names the option.

    Args:
      name: name of the option in the message.
      value: value of the option; 2.5, True and "2" are not whole numbers.
      least: smallest number that is allowed.

    Raises:
      ValueError: the value is not a whole number, or too small.
    """
    if not is_whole(value, least):
        is_number = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        rule = f"at least {least}" if is_number else f"a whole number from {least}"
        raise ValueError(f"`{name}` must be {rule}. Got {value!r}.")
    return int(value)


def real_number(
    name: str,
    value: object,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """Returns a finite number, or raises an error that names the option.

    Args:
      name: name of the option in the message.
      value: value of the option; True and "1" are not numbers.
      above: number that the value must exceed.
      least: smallest number that is allowed.
      most: largest number that is allowed.

    Raises:
      ValueError: the value is not a number, NaN, infinite or out of range.
    """
    bounds = {"above": above, "at least": least, "at most": most}
    rules = [f"{rule} {b:g}" for rule, b in bounds.items() if math.isfinite(b)]
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        rules = ["a number", *rules]
    elif math.isinf(value):
        rules = ["finite", *rules]
    elif value > above and least <= value <= most:  # false for NaN
        return float(value)
    rule = " and ".join(rules or ["finite"])
    raise ValueError(f"`{name}` must be {rule}. Got {value!r}.")


def true_or_false(name: str, value: object) -> bool:
    """Returns True or False; refuses "no", which Python takes for True.

    Args:
      name: name of the option in the message.
      value: value of the option.

    Raises:
      ValueError: the value is neither.
    """
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise ValueError(f"`{name}` must be True or False. Got {value!r}.")
