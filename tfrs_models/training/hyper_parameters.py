"""A search over hyper-parameters that keeps what it has measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class SearchResult(NamedTuple):
    """What a search has found.

    Attributes:
      params: Of the best trial, name -> choice.
      value: Of the best trial.
      trials: All that finished, with `params` and `value`.
      failed: All that did not, with `params` and `error`.
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
    """Tries choices at random, then those like the best ones (`optuna`'s TPE).

    A choice that was measured before is not measured again, also not in a later call
    with the same storage. A trial that raises an error, or whose value is not finite,
    is remembered as failed and is never the best.

    Args:
      space: Name -> the choices: numbers, strings, booleans or None.
      objective: From a choice of each to a value.
      max_evals: Choices that are measured in this call; fewer where there are not so
        many.
      seed: Of the draws.
      maximize: Whether a larger value is better.
      storage: Where `optuna` keeps the trials, such as "sqlite:///trials.db"; None
        keeps them in memory.

    Returns:
      The best trial and all others.

    Raises:
      ImportError: `optuna` is not installed.
      ValueError: an empty space, no trial that finished, or a storage with trials of
        another space or direction.
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
