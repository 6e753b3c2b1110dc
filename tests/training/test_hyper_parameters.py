import builtins

import pytest

from tfrs_models.training import random_search

SPACE = {"a": [1, 2, 3, 4], "b": ["x", "y"], "c": [True]}


def value(params):
    return params["a"] * (2 if params["b"] == "y" else 1)


@pytest.mark.parametrize(("maximize", "best"), [(True, (4, "y")), (False, (1, "x"))])
def test_the_best_choice_is_found_and_no_choice_is_measured_twice(maximize, best):
    seen = []

    def objective(params):
        seen.append(tuple(params.values()))
        return value(params)

    result = random_search(SPACE, objective, 100, 0, maximize=maximize)
    assert len(seen) == len(set(seen)) == 8  # all there are
    assert (result.params["a"], result.params["b"]) == best
    assert result.value == value(result.params)
    assert len(result.trials) == 8


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf"), None])
def test_a_trial_that_fails_never_wins(maximize, wrong):
    """Our own semantics: a failed evaluation of the original has quality 0."""

    def objective(params):
        if params["a"] == 2:
            raise RuntimeError("out of memory")
        if params["a"] == 3:
            return wrong
        return 5.0 + params["a"]

    result = random_search({"a": [1, 2, 3, 4]}, objective, 9, 0, maximize=maximize)
    assert result.params == {"a": 4 if maximize else 1}
    assert [t["params"] for t in result.failed if t["params"]["a"] == 2]
    assert {t["params"]["a"] for t in result.failed} == {2, 3}
    assert any("RuntimeError: out of memory" in t["error"] for t in result.failed)


def test_where_all_trials_fail_the_first_reason_is_told():
    def objective(params):
        raise RuntimeError(f"no luck with {params['a']}")

    with pytest.raises(ValueError, match=r"No trial finished.*2 failed.*no luck with"):
        random_search({"a": [1, 2]}, objective, 9, 0)


def test_finished_trials_are_not_repeated_by_a_later_call(tmp_path):
    storage = f"sqlite:///{tmp_path / 'trials.db'}"
    seen = []

    def objective(params):
        seen.append(tuple(params.values()))
        if len(seen) == 2:
            raise RuntimeError("the machine was taken away")
        return value(params)

    first = random_search(SPACE, objective, 5, 0, storage=storage)
    second = random_search(SPACE, objective, 100, 1, storage=storage)
    assert len(first.trials) == 4
    assert len(second.trials) == 8
    assert len(seen) == 9  # the one that failed was tried again
    assert len(set(seen)) == 8
    assert second.value == 8


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        (SPACE, {"maximize": False}, "`maximize=False` must be that .* maximize"),
        (SPACE | {"d": [1]}, {}, "`space` must be that .* for 'd'"),
        ({"a": SPACE["a"], "b": SPACE["b"]}, {}, r"Got \(\) for 'c'"),
        (SPACE | {"a": [1, 2, 3]}, {}, r"Got \(1, 2, 3\) for 'a', .* \(1, 2, 3, 4\)"),
    ],
)
def test_trials_of_another_search_are_not_used(tmp_path, space, options, message):
    storage = f"sqlite:///{tmp_path / 'trials.db'}"
    random_search(SPACE, value, 2, 0, storage=storage)
    with pytest.raises(ValueError, match=message):
        random_search(space, value, 2, 0, storage=storage, **options)
    assert len(random_search(SPACE, value, 1, 0, storage=storage).trials) == 3


def test_the_same_seed_draws_the_same_choices():
    orders = []
    for seed in (3, 3, 4):
        seen = []
        space = {"a": list(range(20)), "b": list(range(20))}
        random_search(
            space, lambda p, seen=seen: seen.append(tuple(p.values())) or 1, 6, seed
        )
        orders.append(seen)
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, value), "`space` must have a choice for each name"),
        (({"a": []}, value), "`space` must have a choice for each name"),
        ((SPACE, value, 0), "`max_evals` must be at least 1. Got 0"),
    ],
)
def test_a_search_of_nothing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        random_search(*arguments)


def test_without_optuna_it_says_what_to_install(monkeypatch):
    load = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "optuna":
            raise ImportError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r'pip install "tfrs-models\[tuning\]"'):
        random_search(SPACE, value)
