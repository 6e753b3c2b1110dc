"""No flag of any pipeline takes a value that no run could use."""

import dataclasses
import importlib
import math
import pkgutil
import typing
from pathlib import Path

import pytest
import tyro

import pipelines
from pipelines import retrieval, unisar
from pipelines.parts import flags
from pipelines.parts.flags import Count, Number, Range, Share, ShareAboveNone

# What a pipeline cannot do without.
NEEDED = {
    "pipelines.benchmarks.check_ins": {"data": "check_ins.csv"},
    "pipelines.compare": {"runs": (Path("one"), Path("two"))},
    "pipelines.gate": {"old": Path("1"), "new": Path("2")},
    "pipelines.native.__main__": {"model": Path("1")},
    "pipelines.recommend": {"user": ("1",)},
    "pipelines.tutorials": {"folder": Path("examples")},
    "pipelines.update": {"dataset": "new.csv"},
}
NONSENSE = {
    int: (0, -1, 10**12),
    float: (0.0, -1.0, math.nan, math.inf, -math.inf, 1e300),
    str: ("", "a\0b"),
    Path: (Path("a\0b"),),
}
# Where 0 is a number like others: none of them, no share, no patience, the first seed.
ZERO = {
    *("alpha", "category_weight", "cold_users", "corpus_rows", "distance_scale"),
    *("dropout", "epochs", "first_seed", "fixed_layers", "history_days", "id_dropout"),
    *("faults", "keep", "kills", "maximum_fall", "replay"),
    *(
        "items_weight_decay",
        "keep_lists",
        "l2",
        "min_rating",
        "mixture_dropout",
        "native_queries",
    ),
    *("num_layers", "padding", "pair_weight", "patience", "port", "quality"),
    *("query_weight_decay", "rate_patience", "refinements", "retrieval_weight"),
    *("search_weight", "seed", "split_seed", "transition_weight", "trials"),
    *("user_value_weights", "validation_fraction"),
}
# Ratings below 0, closeness that repels and the west of Greenwich are numbers too.
NEGATIVE = {"min_rating", "distance_weight", "offset"}
SEEDS = (("seeds",), 0)  # the seeds themselves, of a benchmark that takes several
# Options of the package, which have no end.
PACKAGE = ("raw.", "rules.")


def with_flags():
    """The modules with a `Config` and a `main`."""
    for found in pkgutil.walk_packages(pipelines.__path__, "pipelines."):
        if found.name == "pipelines.benchmarks.__main__":
            continue  # runs the others, without flags
        if found.name.startswith("pipelines.benchmarks.failing."):
            continue  # processes that `faults` starts
        module = importlib.import_module(found.name)
        if dataclasses.is_dataclass(getattr(module, "Config", None)):
            yield module


MODULES = tuple(with_flags())


def config_of(module):
    return module.Config(**NEEDED.get(module.__name__, {}))


def fields(config, path=()):
    """Every flag as its path and its type."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from fields(value, (*path, field.name))
        else:
            yield (*path, field.name), hints[field.name]


def plain_types(hint):
    """`int`, `float`, `str` and `Path` of a type, however they are nested."""
    if hint in NONSENSE:
        return {hint}
    if typing.get_origin(hint) is typing.Literal:
        return set()
    return set().union(*map(plain_types, typing.get_args(hint)))


def put(config, path, value):
    name, *rest = path
    inner = put(getattr(config, name), rest, value) if rest else value
    return dataclasses.replace(config, **{name: inner})


def refusal(config, path, value):
    """What is said of a value; None where it is taken."""
    try:
        return flags.first_problem(put(config, path, value))
    except ValueError as error:  # of an option of the package, which tyro shows
        return str(error)


def is_meant(path, value):
    """Whether the help says what a value of nonsense elsewhere does here."""
    name, dotted = path[-1], ".".join(path)
    if isinstance(value, str):
        return name == "directory"  # "" is the system's own
    if dotted.startswith(PACKAGE) and value >= 0:
        return name in ZERO or value > 0 or dotted.startswith("rules.")
    return (value == 0 and name in ZERO | NEGATIVE) or (
        value == -1 and name in NEGATIVE
    )


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_nonsense_is_refused_by_the_name_of_its_flag(module):
    config = config_of(module)
    assert flags.first_problem(config) is None
    smoke = dataclasses.replace(
        getattr(module, "SMOKE", config), **NEEDED.get(module.__name__, {})
    )
    assert flags.first_problem(smoke) is None
    taken = []
    for path, hint in fields(config):
        is_several = typing.get_origin(hint) is tuple
        if is_several and typing.get_origin(typing.get_args(hint)[0]) is tuple:
            continue
        for value in (v for kind in plain_types(hint) for v in NONSENSE[kind]):
            said = refusal(config, path, (value,) if is_several else value)
            if said is None:
                assert is_several or path != ("seeds",)  # else how many
                taken.append((path, value))
            else:
                assert path[-1].replace("_", "-") in said.replace("_", "-")
                assert "must" in said
                assert "Got" in said
    meant = [one for one in taken if is_meant(*one) or one == SEEDS]
    assert taken == meant


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_pipeline_looks_at_its_flags_before_any_work(module, capsys):
    config = config_of(module)
    path, wrong = next(
        (path, (math.inf,) if typing.get_origin(hint) is tuple else math.inf)
        for path, hint in fields(config)
        if plain_types(hint) in ({int}, {float})
        and not ".".join(path).startswith(PACKAGE)
    )
    with pytest.raises(SystemExit) as refused:
        module.main(put(config, path, wrong))
    assert refused.value.code == 2
    said = capsys.readouterr().err
    assert said.strip() == str(refused.value)
    assert said.count("\n") == 1


@dataclasses.dataclass(frozen=True)
class Own:
    """One flag of each kind."""

    count: Count = 1
    share: Share | None = None
    shares: tuple[ShareAboveNone, ...] = ()
    number: Number = 0.0
    high: typing.Annotated[float, Range(0, 1, open_high=True)] = 0.0
    choice: typing.Literal["a", 3] | None = None
    switch: bool = False
    pair: tuple[int, str] = (1, "x")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"count": 0}, "at least 1"),
        ({"count": 2**31}, "at most 2,147,483,647"),
        ({"count": True}, "a number"),
        ({"count": "1"}, "a number"),
        ({"share": 1.01}, "in [0, 1]"),
        ({"share": math.nan}, "in [0, 1]"),
        ({"shares": (0.5, 0.0)}, "in (0, 1]"),
        ({"shares": [0.5]}, "several values"),
        ({"number": -math.inf}, "finite, at least -1000000000.0"),
        ({"high": 1.0}, "in [0, 1)"),
        ({"choice": "b"}, "one of ['a', 3]"),
        ({"switch": 1}, "True or False"),
        ({"pair": (1, "")}, "not be empty"),
        ({"pair": (0, "x")}, "at least 1"),
    ],
)
def test_a_rule_is_said_in_words(change, rule):
    (name, value), *_ = change.items()
    be = "" if rule.startswith("not") else "be "
    expected = f"`--{name}` must {be}{rule}. Got {value!r}."
    assert flags.first_problem(Own(**change)) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"count": 2**31 - 1},
        {"share": 0.0},
        {"share": 1.0},
        {"share": 1},
        {"shares": (1.0,)},
        {"number": -3.5},
        {"high": 0.999},
        {"choice": 3},
        {"choice": None},
    ],
)
def test_the_ends_of_a_range_are_taken(change):
    assert flags.first_problem(Own(**change)) is None


def test_flags_are_named_as_on_the_command_line():
    data = dataclasses.replace(retrieval.Config().data, user_column="")
    problem = flags.first_problem(retrieval.Config(data=data))
    assert problem.startswith("`--user-column` must not be empty")
    given = tyro.cli(retrieval.Config, args=["--user-column", ""])
    assert flags.first_problem(given) == problem
    with pytest.raises(SystemExit, match="2"):
        tyro.cli(unisar.Config, args=["--raw.k-core", "0"])
