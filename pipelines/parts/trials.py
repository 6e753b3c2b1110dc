"""Trials of flags on validation rows, stored on the disk so that they resume."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from .progress import step

Flags = dict[str, object]
Report = Callable[[int, float], None]
FINISHED, STOPPED, FAILED = "finished", "stopped early", "failed"
_STATES = {"COMPLETE": FINISHED, "PRUNED": STOPPED, "FAIL": FAILED}


@dataclasses.dataclass(frozen=True)
class Study:
    """Trials of flags.

    Args:
      trials: the trials in the order in which they ended, the given flags first: dicts
        of `flags`, `state` ("finished", "stopped early" or "failed"), `value` (None
        unless finished), `values` of the epochs, `seconds` and `error`.
    """

    trials: list[dict]

    @property
    def best(self) -> dict:
        """Finished trial with the largest value; the earliest of equal ones."""
        finished = [trial for trial in self.trials if trial["state"] == FINISHED]
        return max(finished, key=lambda trial: trial["value"])

    @property
    def given(self) -> dict:
        """Trial of the flags that were given."""
        return self.trials[0]

    @property
    def verdict(self) -> str:
        """Sentence on the best trial beside the given flags."""
        best, given = self.best, self.given
        said = (
            f"Best of {len(self.trials)} trials on validation rows: {best['value']:.4f}"
        )
        if given["value"] is None:
            return f"{said}; the given flags failed: {given['error']}."
        if best is given:
            return f"{said}, with the flags that were given."
        gain = best["value"] - given["value"]
        return (
            f"{said}, {gain:+.4f} beside {given['value']:.4f} with the flags that were "
            f"given: {in_words(best['flags'])}. The largest of several values is "
            "optimistic: test rows, which chose nothing, give the honest figure."
        )

    def described(self) -> dict:
        """Returns the part of metrics.json about the trials."""
        value = self.given["value"]
        return {
            "verdict": self.verdict,
            "best": self.best,
            "given": self.given,
            "gain": None if value is None else self.best["value"] - value,
            "trials": self.trials,
        }


def in_words(flags: Mapping[str, object]) -> str:
    """Writes flags as on the command line, numbers to three digits."""
    words = []
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            text = f"{value:.3g}" if isinstance(value, float) else value
            words.append(f"--{flag} {text}")
    return " ".join(words)


@contextlib.contextmanager
def stored_trials(path: Path) -> Iterator[None]:
    """Ends the program with a line if the file of trials is damaged, or the disk full.

    Args:
      path: SQLite file of the trials.
    """
    try:
        yield
    except Exception as error:
        library = type(error).__module__.partition(".")[0]
        if library != "sqlalchemy" and type(error).__name__ != "StorageInternalError":
            raise
        text = str(error.__cause__ or error).splitlines()[0]
        raise SystemExit(
            f"The trials in {path} cannot be read or written: {text}. Free some disk, "
            "or remove the file to begin the trials again."
        ) from error


def run_trials(
    path: Path,
    suggest: Callable[..., Flags],
    quality: Callable[[Flags, Report], float],
    *,
    trials: int,
    seed: int,
    given: Flags,
    of: Mapping[str, object],
    minutes: float | None = None,
) -> Study:
    """Tries the given flags, then others at random, then such as the best (TPE).

    A trial that was interrupted is tried again by the next call; with the same seed,
    interrupted and uninterrupted calls try the same flags.

    Args:
      path: SQLite file of the trials.
      suggest: function from a trial of optuna to flags.
      quality: function from flags to a value, larger is better; it calls its second
        argument with the epoch and its value, which may stop the trial.
      trials: number of trials in all, with those of earlier calls.
      seed: seed of the draws.
      given: flags of the first trial.
      of: what the trials depend on, by name; other trials are not mixed with them.
      minutes: time of this call after which no trial starts, except the first of all;
        None for no limit.

    Raises:
      SystemExit: optuna is not installed, no trial finished, or the file has trials
        that depend on something else.
    """
    try:
        import optuna
    except ImportError as error:
        raise SystemExit(
            '`--trials` needs optuna: pip install "tfrs-models[tuning]".'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="trials",
        storage=f"sqlite:///{path.resolve()}",
        load_if_exists=True,
        direction="maximize",
        # A median of few trials, or of a first epoch, would stop good ones.
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
    )
    _check_same(study, of, path)
    states = optuna.trial.TrialState
    for trial in study.get_trials(states=(states.RUNNING,)):  # its process was killed
        study.tell(trial.number, state=states.FAIL)
    start = time.monotonic()
    while (ended := len(_ended(study))) < trials:
        is_over = minutes is not None and time.monotonic() - start > 60 * minutes
        if ended and is_over:
            break
        study.sampler = optuna.samplers.TPESampler(seed=seed + ended)
        if not ended and not study.get_trials(states=(states.WAITING,)):
            study.enqueue_trial(given)
        trial = study.ask()
        flags = suggest(trial)
        trial.set_user_attr("flags", flags)

        def report(epoch: int, value: float, trial: object = trial) -> None:
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        with step(f"Trial {ended + 1} of {trials}") as trying:
            try:
                value = float(quality(flags, report))
                if not np.isfinite(value):
                    raise ValueError(f"its value is {value}")
            except optuna.TrialPruned:
                study.tell(trial, state=states.PRUNED)
                trying.note = STOPPED
            except (Exception, SystemExit) as error:
                text = str(error).splitlines() or [""]
                trial.set_user_attr("error", f"{type(error).__name__}: {text[0]}")
                study.tell(trial, state=states.FAIL)
                trying.note = f"{FAILED}: {text[0]}"
            else:
                study.tell(trial, value)
                trying.note = f"{value:.4f}"
            trying.note += f"   {in_words(flags)}"
    found = Study([_described(trial) for trial in _ended(study)])
    if not any(trial["state"] == FINISHED for trial in found.trials):
        error = found.given["error"]
        raise SystemExit(f"No trial finished: the first ended with {error}.")
    return found


def release() -> None:
    """Lets go of the graphs of a trial's model."""
    tf.keras.backend.clear_session()


def _ended(study: object) -> list:
    """Trials that ended by themselves, in that order."""
    return sorted(
        (
            trial
            for trial in study.get_trials(deepcopy=False)
            if trial.state.name in ("COMPLETE", "PRUNED")
            or (trial.state.name == "FAIL" and "error" in trial.user_attrs)
        ),
        key=lambda trial: trial.number,
    )


def _described(trial: object) -> dict:
    state = _STATES[trial.state.name]
    return {
        "flags": trial.user_attrs["flags"],
        "state": state,
        "value": trial.value if state == FINISHED else None,
        "values": [
            trial.intermediate_values[e] for e in sorted(trial.intermediate_values)
        ],
        "seconds": trial.duration.total_seconds(),
        "error": trial.user_attrs.get("error"),
    }


def _check_same(study: object, of: Mapping[str, object], path: Path) -> None:
    now = json.loads(json.dumps(of, default=str))
    then = study.user_attrs.setdefault("of", None)
    if then is None:
        study.set_user_attr("of", now)
        return
    found = [
        f"{name} was {then.get(name)} and is {now.get(name)}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    if found:
        raise SystemExit(
            f"`--trials` must not mix two studies. {path} has trials of another one: "
            f"{'; '.join(found)}. Give what they had, remove {path}, or choose another "
            "--output."
        )
