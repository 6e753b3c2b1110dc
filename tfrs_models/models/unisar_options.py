"""The arguments of UniSAR, checked."""

from collections.abc import Mapping

_SIZES = (
    "num_users",
    "num_items",
    "num_words",
    "history_length",
    "num_sessions",
    "embedding_dim",
    "width",
    "num_layers",
)
_UNITS = ("expert_units", "tower_units", "head_units")
_WEIGHTS = ("search_weight", "pair_weight", "transition_weight", "l2")


def checked_options(options: Mapping[str, object]) -> dict[str, object]:
    """The arguments as a config holds them: dicts and lists.

    Args:
      options: The arguments of `models.UniSAR`, by name.

    Raises:
      ValueError: one is out of range; its layers check the others.
    """
    for name in _SIZES:
        if options[name] < 1:
            raise ValueError(f"`{name}` must be at least 1. Got {options[name]}.")
    for name in _WEIGHTS:
        if not options[name] >= 0:
            raise ValueError(f"`{name}` must be at least 0. Got {options[name]}.")
    for name in _UNITS:
        if min(options[name], default=1) < 1:
            raise ValueError(
                f"`{name}` must be at least 1 each. Got {list(options[name])}."
            )
    if not list(options["expert_units"]):
        raise ValueError("`expert_units` must have a layer. Got [].")
    if isinstance(options["encoders"], str):
        raise ValueError(
            f"`encoders` must be a sequence of names. Got {options['encoders']!r}."
        )
    categories = {
        name: dict(options[name] or {})
        for name in ("item_categories", "user_categories")
    }
    lists = {name: list(options[name]) for name in (*_UNITS, "encoders")}
    return {**options, **categories, **lists}
