"""The arguments of UniSAR, checked."""

from collections.abc import Mapping

from tfrs_models.ops.numbers import is_whole, real_number, true_or_false, whole_number

_SIZES = (
    "num_users",
    "num_items",
    "num_words",
    "history_length",
    "num_sessions",
    "embedding_dim",
    "width",
    "num_layers",
    "num_heads",
    "num_shared",
    "num_specific",
)
_UNITS = ("expert_units", "tower_units", "head_units")
_TEMPERATURES = ("pair_temperature", "transition_temperature")
_WEIGHTS = ("search_weight", "pair_weight", "transition_weight", "l2")


def checked_options(options: Mapping[str, object]) -> dict[str, object]:
    """The arguments as a config holds them: dicts and lists.

    Args:
      options: The arguments of `models.UniSAR`, by name.

    Raises:
      ValueError: one is out of range; its layers check the others.
    """
    for name in _SIZES:
        whole_number(name, options[name], least=1)
    whole_number("caption_length", options["caption_length"])
    for name in _WEIGHTS:
        real_number(name, options[name], least=0)
    for name in _TEMPERATURES:
        real_number(name, options[name], above=0)
    real_number("dropout", options["dropout"], least=0)
    for name in ("log_temperature", "decay_unused_rows"):
        true_or_false(name, options[name])
    for name in _UNITS:
        if not all(is_whole(width, 1) for width in options[name]):
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
