"""Names that are imported when they are first used look like all others."""

import ast
import inspect
import pathlib

import pytest

import tfrs_models as tm
from tfrs_models._lazy import lookup


def names_for_type_checkers(module):
    """Name -> module that defines it, as type checkers read them."""
    tree = ast.parse(pathlib.Path(inspect.getfile(module)).read_text(encoding="utf-8"))
    checked = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        alias.name: node.module
        for block in checked
        for node in block.body
        for alias in node.names
    }


@pytest.mark.parametrize("module", [tm, tm.metrics], ids=["tfrs_models", "metrics"])
def test_type_checkers_see_what_is_found_at_run_time(module):
    names = names_for_type_checkers(module)
    assert len(names) > 8
    for name, owner in names.items():
        value = getattr(module, name)
        assert getattr(value, "__module__", owner) == owner
        assert name in dir(module)


def test_a_name_is_looked_up_once():
    module = tm.metrics
    vars(module).pop("GateEntropy", None)
    metric = module.GateEntropy
    assert vars(module)["GateEntropy"] is metric


def test_other_names_are_attribute_errors_that_name_the_module():
    find = lookup("tfrs_models.metrics", {"GateEntropy": "tfrs_models.metrics.usage"})
    with pytest.raises(AttributeError, match="'tfrs_models.metrics'.*'GateEntropi'"):
        find("GateEntropi")
