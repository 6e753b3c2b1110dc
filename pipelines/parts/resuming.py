"""Trainings of commands that go on after an interruption: flags, checks and lines."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tensorflow as tf
import tyro

import tfrs_models as tm
from tfrs_models.training.training_states import DamagedStateError

from .artifacts import finite, module_of, new_run, read_json, write_json
from .checkpoints import Origin, different_data, is_empty
from .command import STATES
from .exports import FallBackConfig
from .flags import Positive

Fit = Callable[..., dict[str, list[float]]]  # of a compiled model and its batches
_VOCABULARIES = "vocabularies-"
# Flags of several commands that leave the training as it is.
MAY_DIFFER = frozenset(
    {
        *("resume", "resume_anyway", "checkpoint_minutes", "fall_back", "output"),
        *("epochs", "patience", "log_to", "baselines", "baseline_seconds", "explain"),
    }
)
_TOLD = "learning_rate"  # may differ, with a line


@dataclasses.dataclass(frozen=True)
class _AutoOrNothing:
    """The rule of --resume."""

    def problem(self, value: object) -> str | None:
        """Returns the rule that a value breaks, in words, or None."""
        is_valid = isinstance(value, bool) or value == "auto"
        return None if is_valid else "be nothing or auto"


def _resume_of(words: list[str]) -> bool | str:
    if words not in ([], ["auto"]):
        raise ValueError("must be nothing or auto")
    return "auto" if words else True


Resume = Annotated[
    bool | Literal["auto"],
    _AutoOrNothing(),
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="[auto]",
        instance_from_str=_resume_of,
        is_instance=lambda value: isinstance(value, bool) or value == "auto",
        str_from_instance=lambda value: ["auto"] if value == "auto" else [],
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResumeConfig(FallBackConfig):
    """Flags of trainings that go on after an interruption."""

    evaluates_checkpoints: ClassVar[bool] = False  # with `--resume --epochs 0`
    resume: Resume = False
    """Go on with the training of an earlier run that was stopped, with the same data
    and flags, as if it had not been: `--resume auto` begins anew where there is none.
    `--epochs` is the number of epochs in all, so a finished run can get more."""
    checkpoint_minutes: Positive = 10.0
    """Minutes between two states of the training within an epoch. There is one after
    each epoch and at Ctrl-C and SIGTERM too; the newest two stay."""
    resume_anyway: bool = False
    """Resume although data or flags differ: the training begins with the weights and
    the optimizer of the earlier run, rows of users and items matched by their ids."""


def folder_of(config: ResumeConfig, name: str = "") -> Path:
    """Returns the folder of the states of a training.

    Args:
      config: flags, with an `output`.
      name: name of one of several trainings of a command.
    """
    slug = re.sub(r"[^\w.-]+", "-", name).strip("-.").lower()
    return Path(config.output) / STATES / slug


def fit_once(
    model: tf.keras.Model, batches: tf.data.Dataset, **options: object
) -> dict[str, list[float]]:
    """Trains a model without states to go on with; returns metric -> values."""
    return model.fit(batches, **{"verbose": 0, **options}).history


def is_to_train(folder: Path, resume: bool | str) -> bool:
    """Tells whether a command trains the model that it starts from, or goes on with it.

    Args:
      folder: output folder of the run of that model.
      resume: `--resume` of the command.
    """
    has_ended = (folder / "metrics.json").exists()
    return is_empty(folder) or (bool(resume) and not has_ended)


def after_start(config: ResumeConfig, *folders: Path) -> ResumeConfig:
    """Lets the training of a command begin if that of its start model goes on.

    Args:
      config: flags.
      folders: output folders of the runs of models that the command starts from.

    Returns:
      Flags with `--resume auto` if such a run was interrupted.
    """
    if config.resume and any(
        (folder / STATES).exists() and is_to_train(folder, config.resume)
        for folder in folders
    ):
        return dataclasses.replace(config, resume="auto")
    return config


def of_several(
    config: ResumeConfig, *, may_differ: Collection[str] = MAY_DIFFER
) -> tuple[ResumeConfig, str]:
    """Prepares a command with several trainings, before it loads anything.

    All states of a run have its identity. `--resume` goes on with the run of the newest
    state: its trainings that have ended are not trained again, and those without a
    state begin. States of earlier runs count as none.

    Args:
      config: flags, with an `output`.
      may_differ: names of flags that may differ from those of the states.

    Returns:
      Flags for `resumable_fit`, and the identity of the run.

    Raises:
      SystemExit: there is no state to go on with, or it is damaged or of other flags.
    """
    if not (config.resume or config.resume_anyway):
        return config, new_run()
    folder = Path(config.output) / STATES
    states = sorted(folder.glob("*/*/about.json"), key=lambda p: p.stat().st_mtime_ns)
    if not states:
        _read(config, "", None)  # ends the program, unless it may begin
        return config, new_run()
    config = dataclasses.replace(config, resume="auto")
    name = states[-1].parents[1].name
    return config, run_of(to_go_on_with(config, name, may_differ=may_differ))


def to_go_on_with(
    config: ResumeConfig,
    name: str = "",
    *,
    run: str | None = None,
    may_differ: Collection[str] = MAY_DIFFER,
) -> tm.training.State | None:
    """Returns the state that --resume goes on with, None to begin anew.

    A command calls it before it loads anything, as flags may be wrong.

    Args:
      config: flags, with an `output`.
      name: name of one of several trainings of a command.
      run: identity of the run that the state must be of; a state of another run counts
        as none. None takes the state of any run.
      may_differ: names of flags that may differ from those of the state.

    Raises:
      SystemExit: there is none, it is damaged, or it is of other flags.
    """
    if not config.resume or config.resume_anyway:  # it is known when the data is
        return None
    state = _read(config, name, run)
    if state is not None:
        _refuse(state, _different_flags(state, config, may_differ))
    return state


def run_of(state: tm.training.State | None) -> str:
    """Returns the identity of the run of a state; a new one without."""
    return new_run() if state is None else state.about["notes"]["run"]


def resumable_fit(
    config: ResumeConfig,
    model: tf.keras.Model,
    batches: tf.data.Dataset,
    *,
    origin: Origin,
    epochs: int,
    name: str = "",
    callbacks: Sequence[tf.keras.callbacks.Callback] = (),
    may_differ: Collection[str] = MAY_DIFFER,
    **fit_options,
) -> dict[str, list[float]]:
    """Trains a model, or goes on with its training, by the flags of a command.

    Args:
      config: flags, with an `output`.
      model: compiled model.
      batches: training data.
      origin: run, flags and data of the weights. `run_of` gives the run of a training
        that goes on.
      epochs: number of epochs in all.
      name: name of one of several trainings of a command, of which each is resumed by
        itself; those that have ended are not trained again.
      callbacks: callbacks of Keras.
      may_differ: names of flags that may differ from those of the state.
      **fit_options: other arguments of `tm.training.fit_resumable`.

    Returns:
      Metric -> value of each epoch.

    Raises:
      SystemExit: there is nothing to resume, or it is of other flags or data.
    """
    folder = folder_of(config, name)
    state = _read(config, name, None if config.resume_anyway else origin.run)
    if state is not None:
        found = [
            *_different_flags(state, config, may_differ),
            *different_data(state.about["identity"]["data"], origin.data),
        ]
        if not config.resume_anyway:
            _refuse(state, found)
        if found:
            _load_rows(model, state, origin, found)
            state = None
        else:
            _tell(state, config, epochs)
    words = _write_vocabularies(folder, origin)
    rate = getattr(config, _TOLD, None)
    history = tm.training.fit_resumable(
        model,
        batches,
        folder=folder,
        identity=identity_of(config, origin, may_differ),
        notes={"run": origin.run, _TOLD: rate, "vocabularies": words.name},
        resume=state is not None,
        fall_back=config.fall_back,
        epochs=epochs,
        callbacks=callbacks,
        checkpoint_minutes=config.checkpoint_minutes,
        **fit_options,
    )
    for path in folder.glob(f"{_VOCABULARIES}*"):
        if path != words:  # of an earlier training, whose states are gone
            path.unlink(missing_ok=True)
    return history.history


def identity_of(
    config: ResumeConfig, origin: Origin, may_differ: Collection[str]
) -> dict:
    """Returns what must be equal to go on with a training.

    Args:
      config: flags.
      origin: flags and data of the weights.
      may_differ: names of flags that may differ.
    """
    return {
        "pipeline": module_of(type(config)),
        "flags": _flags(config, may_differ),
        "data": origin.data,
    }


def _flags(config: ResumeConfig, may_differ: Collection[str]) -> dict:
    """Flags that change the training; those of the data are compared by the data."""
    free = {*may_differ, _TOLD, "data"}
    values = dataclasses.asdict(config)
    kept = {name: value for name, value in values.items() if name not in free}
    return json.loads(json.dumps(finite(kept), default=str))


def _different_flags(
    state: tm.training.State, config: ResumeConfig, may_differ: Collection[str]
) -> list[str]:
    identity = state.about["identity"]
    pipeline = module_of(type(config))
    if identity["pipeline"] != pipeline:
        return [f"it is of {identity['pipeline']} and not of {pipeline}"]
    then, now = identity["flags"], _flags(config, may_differ)
    return [
        f"`--{name.replace('_', '-')}` was {then.get(name)} and is {now.get(name)}"
        for name in dict.fromkeys([*now, *then])
        if name not in may_differ and then.get(name) != now.get(name)
    ]


def _refuse(state: tm.training.State, found: Sequence[str]) -> None:
    if found:
        raise SystemExit(
            f"The training in {state.folder.parent} is another one: "
            f"{'; '.join(found)}. Give what it had, train a new model with another "
            "--output, or begin with its weights all the same: --resume-anyway."
        )


def _tell(state: tm.training.State, config: ResumeConfig, epochs: int) -> None:
    """Prints where a training goes on, and with which learning rate if another."""
    about = state.about
    then, now = about["notes"].get(_TOLD), getattr(config, _TOLD, None)
    if then != now:
        print(f"`--learning-rate` was {then} and is {now} from here on.")
    done = about["epoch"]
    if about["step"]:
        print(f"Going on in epoch {done + 1}, after batch {about['step']:,}.")
    elif done < epochs and not about["stopped"]:
        print(f"Going on after epoch {done}.")
    else:
        print(f"The training has ended after epoch {done}.")


def _read(config: ResumeConfig, name: str, run: str | None) -> tm.training.State | None:
    """Returns the state of --resume; None to begin anew.

    Raises:
      SystemExit: there is none, or it is damaged.
    """
    if not (config.resume or config.resume_anyway):
        return None
    folder = folder_of(config, name)
    try:
        state = tm.training.read_state(folder, fall_back=config.fall_back)
    except DamagedStateError as error:
        advice = "Train again, without --resume"
        if error.older is not None:
            advice = f"Go on with the one before, {error.older.folder}: --fall-back"
        raise SystemExit(f"{error.problem}. {advice}.") from error
    if state is not None and run not in (None, run_of(state)):
        state = None
    if state is None and config.resume != "auto":
        raise SystemExit(
            f"There is no training to --resume in {folder}: run without it, or give "
            "that run's --output."
        )
    return state


def _write_vocabularies(folder: Path, origin: Origin) -> Path:
    """Writes what the rows of the tables stand for, for --resume-anyway, once."""
    words = {k: [*map(str, v)] for k, v in origin.vocabularies.items()}
    text = json.dumps(words, sort_keys=True).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_VOCABULARIES}{hashlib.sha256(text).hexdigest()[:12]}.json"
    if not path.exists():
        write_json(path, words)
    return path


def _load_rows(
    model: tf.keras.Model,
    state: tm.training.State,
    origin: Origin,
    found: Sequence[str],
) -> None:
    """Begins with the weights of another training, and tells what was new."""
    path = state.folder.parent / state.about["notes"]["vocabularies"]
    old = read_json(path, (), "Train again, without --resume-anyway")
    try:
        changes = tm.training.load_rows(
            model, state.tensors, old=old, new=origin.vocabularies, drop_gone=True
        )
    except ValueError as error:
        raise SystemExit(
            f"The weights in {state.folder} do not fit: {error} Train again, without "
            "--resume-anyway."
        ) from error
    for optimizer, _ in model._of_optimizers(model.trainable_variables):
        optimizer.iterations.assign(0)  # a schedule begins anew
    print(f"Beginning with the weights of {state.folder}, although {'; '.join(found)}.")
    for feature, (kept, added, gone) in changes.items():
        print(f"  {feature}: {kept:,} as they were, {added:,} new, {gone:,} dropped")
