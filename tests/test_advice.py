"""Names of TensorFlow Recommenders and Keras RS lead to what to use here."""

import importlib
import types

import pytest
import tensorflow_recommenders as tfrs

import tfrs_models
from tfrs_models._advice import ADVICE

KERAS_RS = {
    "layers": (
        "BruteForceRetrieval DistributedEmbedding DotInteraction EmbedReduce "
        "FeatureConfig FeatureCross HardNegativeMining RemoveAccidentalHits Retrieval "
        "SamplingProbabilityCorrection TableConfig"
    ),
    "losses": (
        "ListMLELoss PairwiseHingeLoss PairwiseLogisticLoss PairwiseMeanSquaredError "
        "PairwiseSoftZeroOneLoss"
    ),
    "metrics": (
        "DCG MeanAveragePrecision MeanReciprocalRank NDCG PrecisionAtK RecallAtK"
    ),
}


def public(module, path=""):
    """Dotted names of what upstream defines, at each path that leads to it."""
    for name, value in vars(module).items():
        dotted = f"{path}{name}"
        if name.startswith("_"):
            continue
        if isinstance(value, types.ModuleType):
            # `layers.dcn` is a second name of a module; further down they are imports
            is_own = value.__name__ == f"tensorflow_recommenders.{dotted}"
            if is_own or dotted == "layers.dcn":
                yield dotted
                yield from public(value, f"{dotted}.")
        elif getattr(value, "__module__", "").startswith("tensorflow_recommenders"):
            yield dotted


NAMES = sorted(
    {"types.Activation", *public(tfrs)}
    | {f"{part}.{name}" for part, names in KERAS_RS.items() for name in names.split()}
)


def find(dotted):
    value = tfrs_models
    for name in dotted.split("."):
        value = getattr(value, name)
    return value


def test_upstreams_names_are_walked():
    assert {
        "Model",
        "experimental.models.Ranking",
        "layers.dcn.Cross",
        "layers.embedding.TPUEmbedding",
        "layers.factorized_top_k.ScaNN",
        "tasks.Ranking",
    } <= set(NAMES)


@pytest.mark.parametrize("dotted", NAMES)
def test_a_name_of_upstreams_is_here_or_leads_to_what_to_use(dotted):
    text = None
    try:
        find(dotted)
    except AttributeError as error:
        text = str(error)
    assert text is None or "has no `" in text, f"advise on `{dotted}` in _advice.py"


@pytest.mark.parametrize("dotted", sorted(ADVICE))
def test_lookups_and_imports_give_the_same_advice(dotted):
    owner, _, name = f"tfrs_models.{dotted}".rpartition(".")
    with pytest.raises(AttributeError) as lookup:
        find(dotted)
    assert "import tfrs_models.compat as tfrs" in str(lookup.value)
    if not hasattr(importlib.import_module(owner), "__path__"):
        return  # Python replaces the error of a module without submodules
    for program in (f"from {owner} import {name}", f"import {owner}.{name}"):
        with pytest.raises(ImportError) as imported:
            exec(program, {})
        assert ADVICE[dotted] in str(imported.value) == str(lookup.value)


def test_a_part_of_a_module_that_is_not_here_is_advised_on_too():
    with pytest.raises(ImportError, match=r"has no `dcn`: .*models\.DCN"):
        exec("from tfrs_models.layers.dcn import Cross", {})


def test_the_advice_names_what_exists():
    for advice in ADVICE.values():
        for text in advice.split("`")[1::2]:
            if text.startswith("tfrs_models."):
                find(text.removeprefix("tfrs_models."))
            elif text.startswith("tensorflow_recommenders."):
                module, _, name = text.rpartition(".")
                package, *rest = module.split(".")
                value = importlib.import_module(package)
                for part in [*rest, name]:
                    value = getattr(value, part)


def test_other_names_fail_as_ever():
    with pytest.raises(AttributeError, match=r"'tfrs_models.layers' has no attr.*'M'"):
        tfrs_models.layers.M  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'M'"):
        exec("from tfrs_models.layers import M", {})
    assert not hasattr(tfrs_models, "nothing")
