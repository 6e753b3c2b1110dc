"""Tuning of hyper-parameters."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class SearchResult(NamedTuple):
    """Result of `random_search`.

    Attributes:
      params: choices of the best trial by name.
      value: value of the best trial.
      trials: trials that finished, with `params` and `value`.
      failed: trials that did not finish, with `params` and `error`.
    """

    params: dict[str, Any]
    value: float
    trials: list[dict[str, Any]]
    failed: list[dict[str, Any]]


def random_search(
    space: Mapping[str, Sequence],
    objective: Callable[[dict[str, Any]], float],
    max_evals: int = 100,
    seed: int | None = None,
    *,
    maximize: bool = True,
    storage: str | None = None,
) -> SearchResult:
    """Tries choices at random, then choices like the best ones (`optuna`'s TPE).

    A choice that was measured before is not measured again, even in a later call with
    the same storage. A trial that raises an error, or whose value is not finite, is
    stored as failed and is never the best.

    Args:
      space: name of a hyper-parameter -> its choices: numbers, strings, booleans or
        None.
      objective: function from one choice of each hyper-parameter, by name, to a value.
      max_evals: largest number of choices that are measured in this call.
      seed: seed of the draws.
      maximize: whether a larger value is better.
      storage: address of `optuna`'s storage, such as "sqlite:///trials.db"; None keeps
        the trials in memory.

    Returns:
      The best trial and all others.

    Raises:
      ImportError: `optuna` is not installed.
      ValueError: the space is empty, no trial finished, or the storage has trials of
        another space or direction.

    Example:
      >>> space = {"rate": [0.1, 0.01, 0.001], "layers": [1, 2]}
      >>> def objective(params):
      ...     return params["layers"] - params["rate"]
      >>> tm.training.random_search(space, objective, seed=0).params
      {'rate': 0.001, 'layers': 2}
    """
    if not space or not all(len(choices) for choices in space.values()):
        raise ValueError(f"`space` must have a choice for each name. Got {space}.")
    if max_evals < 1:
        raise ValueError(f"`max_evals` must be at least 1. Got {max_evals}.")
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "`random_search` needs optuna. Install it with "
            '`pip install "tfrs-models[tuning]"`.'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = "maximize" if maximize else "minimize"
    study = optuna.create_study(
        study_name="random_search",
        storage=storage,
        load_if_exists=True,
        direction=direction,
        sampler=optuna.samplers.TPESampler(seed=seed),
    )
    if study.direction.name.lower() != direction:
        raise ValueError(
            f"`maximize={maximize}` must be that of the trials in `storage`, which "
            f"{study.direction.name.lower()}. Give another storage than {storage!r}."
        )
    complete, fail = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL
    _check_space(space, study.trials, storage)
    known = {_key(t.params): t.value for t in study.trials if t.state == complete}
    size = int(np.prod([len(choices) for choices in space.values()]))
    evals, draws, tried = 0, 0, set(known)
    while evals < max_evals and len(tried) < size and draws < 50 * max_evals:
        draws += 1
        trial = study.ask()
        params = {n: trial.suggest_categorical(n, list(v)) for n, v in space.items()}
        key = _key(params)
        if key in tried:  # the sampler likes what was good
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        tried.add(key)
        evals += 1
        try:
            value = float(objective(params))
            if not np.isfinite(value):
                raise ValueError(f"The value of a trial must be finite. Got {value}.")
        except Exception as error:
            trial.set_user_attr("error", f"{type(error).__name__}: {error}")
            study.tell(trial, state=fail)
        else:
            study.tell(trial, value)
    finished = [t for t in study.trials if t.state == complete]
    failed = [
        {"params": t.params, "error": t.user_attrs.get("error", "it was interrupted")}
        for t in study.trials
        if t.state == fail
    ]
    if not finished:
        raise ValueError(
            f"No trial finished. The first of {len(failed)} failed with: "
            f"{failed[0]['error']}"
        )
    best = study.best_trial
    trials = [{"params": t.params, "value": t.value} for t in finished]
    return SearchResult(best.params, best.value, trials, failed)


def _check_space(
    space: Mapping[str, Sequence], trials: Sequence, storage: str | None
) -> None:
    for trial in trials:
        drawn = {n: tuple(d.choices) for n, d in trial.distributions.items()}
        # A trial that was interrupted may have drawn only some of its choices.
        is_whole = trial.state.name == "COMPLETE"
        names = drawn.keys() | (space.keys() if is_whole else set())
        for name in sorted(names):
            own = tuple(space.get(name, ()))
            if own != drawn.get(name):
                raise ValueError(
                    f"`space` must be that of the trials in `storage`. Got {own} for "
                    f"{name!r}, and trials that chose from {drawn.get(name, ())}. Give "
                    f"another storage than {storage!r}."
                )


def _key(params: Mapping[str, Any]) -> tuple:
    return tuple(sorted((name, repr(value)) for name, value in params.items()))
