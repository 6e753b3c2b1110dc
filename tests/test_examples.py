"""The example in the docstring of every public class and function runs as written."""

import doctest
import inspect
import types

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm

# Beginnings of names whose examples are still to be written.
LONGEST = 8


def public(module):
    """(`package.name`, object) of everything that a package exports."""
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            if value.__name__.startswith("tfrs_models") and hasattr(value, "__all__"):
                yield from public(value)
        elif callable(value):
            yield f"{module.__name__.removeprefix('tfrs_models.')}.{name}", value


OBJECTS = {id(value): (name, value) for name, value in public(tm)}.values()


def examples(value):
    docstring = inspect.cleandoc(value.__doc__ or "")
    return doctest.DocTestParser().get_examples(docstring)


def lines(example):
    return len(example.source.splitlines())


@pytest.mark.parametrize(
    ("name", "value"), [pytest.param(*row, id=row[0]) for row in OBJECTS]
)
def test_the_example_of_a_public_object_runs(name, value, tmp_path, monkeypatch):
    found = examples(value)
    assert found, f"`{name}` has no example: add `>>>` lines to its docstring"
    written = sum(map(lines, found))
    assert written <= LONGEST, f"{written} lines; a reader wants at most {LONGEST}"

    monkeypatch.chdir(tmp_path)
    tf.keras.utils.set_random_seed(0)
    said = []
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    names = {"np": np, "tf": tf, "tm": tm}
    runner.run(doctest.DocTest(found, names, name, None, 0, None), out=said.append)
    assert not runner.failures, "".join(said)


def failing():
    """Adds one and one.

    >>> 1 + 1
    3
    """


def test_a_wrong_example_fails(tmp_path, monkeypatch):
    with pytest.raises(AssertionError, match="Expected"):
        test_the_example_of_a_public_object_runs(
            "failing", failing, tmp_path, monkeypatch
        )


def test_a_missing_example_fails(tmp_path, monkeypatch):
    with pytest.raises(AssertionError, match="has no example"):
        test_the_example_of_a_public_object_runs("len", len, tmp_path, monkeypatch)
