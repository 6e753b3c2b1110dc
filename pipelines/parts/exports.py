"""Opens exported models: their files must be as they were exported."""

import dataclasses
import sys
from pathlib import Path

import tensorflow as tf

from tfrs_models.serving import contract

_INPUTS = {"user_id", "k", "exclude_seen"}
_OUTPUTS = {"item_id", "title", "score", "known_user"}


@dataclasses.dataclass(frozen=True)
class FallBackConfig:
    """Flag of commands that read versions, checkpoints or states of a training."""

    # By name only: the flags of a command keep their positions.
    fall_back: bool = dataclasses.field(default=False, kw_only=True)
    """If files of the newest one are damaged, take the newest older one that is whole,
    and say so."""


def whole_export(
    model: Path, *, flag: str = "--model", fall_back: bool | None = False
) -> Path:
    """Returns the newest version, whose files are as they were exported.

    Args:
      model: SavedModel or a folder of numbered ones.
      flag: flag that names it, for the error.
      fall_back: whether to take an older version, with a line, if the newest is
        damaged; None if the command has no flag --fall-back for it.

    Raises:
      SystemExit: there is none, or its files are damaged; the line names the file, and
        an older version that is whole.
    """
    try:
        return contract.whole_version(model)
    except ValueError as error:
        raise SystemExit(f"`{flag}`: {error}") from error
    except contract.ContractError as error:
        if error.folder == model and not (model / "saved_model.pb").is_file():
            raise SystemExit(
                f"`{flag}` must be a SavedModel or a folder of numbered ones, as "
                "`tfrs-models retrieval` writes to artifacts/retrieval/export. "
                f"Got {model}."
            ) from error
        problem = f"{error.folder} is not as it was exported: "
        problem += "; ".join(error.problems)
        if error.older is None:
            advice = "Take another version, or export it again."
            raise SystemExit(f"{problem}. {advice}") from error
        if not fall_back:
            way = "name it" if fall_back is None else "take it by --fall-back"
            raise SystemExit(
                f"{problem}. {error.older} is whole: {way}, or export the model again."
            ) from error
        print(f"{problem}. {error.older} is used in its place.", file=sys.stderr)
        return error.older


def load_export(
    model: Path,
    *,
    flag: str = "--model",
    fall_back: bool = False,
    further_inputs: bool = False,
) -> tuple[Path, tf.Module]:
    """Loads a recommender, or the newest one in a folder of numbered ones.

    Args:
      model: SavedModel or a folder of numbered ones.
      flag: flag that names it, for the error.
      fall_back: whether to take an older version, with a line, if the newest is
        damaged.
      further_inputs: whether the signature may take more than user_id, k and
        exclude_seen, as that of a cascade does.

    Returns:
      The folder of the version, and the module.

    Raises:
      SystemExit: there is none, it is damaged, or it is no recommender.
    """
    path = whole_export(model, flag=flag, fall_back=fall_back)
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # whatever a broken file makes TensorFlow raise
        raise SystemExit(
            f"{path} does not load: {first_line(error)} Take another version, or "
            "export it again."
        ) from error
    inputs, outputs = set(), set()
    if "serving_default" in getattr(loaded, "signatures", {}):
        signature = loaded.signatures["serving_default"]
        inputs = set(signature.structured_input_signature[1])
        outputs = set(signature.structured_outputs)
    takes = inputs >= _INPUTS if further_inputs else inputs == _INPUTS
    if not takes or not outputs >= _OUTPUTS:
        raise SystemExit(
            f"`{flag}` must have a signature of user_id, k and exclude_seen. {path} "
            f"takes {sorted(inputs)} and answers {sorted(outputs)}."
        )
    return path, loaded


def first_line(error: Exception) -> str:
    """Returns the first line of an error as a sentence."""
    text = str(error).splitlines()
    return f"{text[0].rstrip('.')}." if text else f"{type(error).__name__}."
