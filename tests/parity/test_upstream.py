"""TensorFlow Recommenders' own tests, out of its wheel, run on our classes.

`--upstream=all` runs all of them, otherwise the slow file gives a few of each kind.
"""

import contextlib
import importlib.util
import pathlib
import unittest

import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
from tensorflow_recommenders.layers import loss as upstream_loss
from tensorflow_recommenders.tasks import retrieval as upstream_retrieval

from tfrs_models import layers, metrics, tasks

WHEEL = pathlib.Path(tfrs.__file__).parent
FILES = {
    "retrieval": "tasks/retrieval_test.py",
    "metric": "metrics/factorized_top_k_test.py",
    "loss": "layers/loss_test.py",
    "index": "layers/factorized_top_k_test.py",
}
# Of the slow file, what runs without `--upstream=all`: every option once.
QUICK = {
    "test_streaming0", "test_streaming41", "test_streaming95",
    "test_brute_force0", "test_brute_force41", "test_brute_force95",
    "test_scann_top_k0", "test_scann_top_k41", "test_scann_top_k95",
    "test_scann1", "test_scann_dataset_arg_with_identifiers",
    "test_raise_on_incorrect_input_shape0", "test_raise_on_incorrect_input_shape1",
}  # fmt: skip
NAMED_EXCEPTIONS = (
    "test_remove_accidental_hits",
    "test_sampling_probability_correction",
)


@contextlib.contextmanager
def substituted(**others):
    """Our classes in the place of upstream's, for as long as it lasts."""
    index, patch = tfrs.layers.factorized_top_k, pytest.MonkeyPatch()
    corrections = others.pop("correction", layers.SamplingProbabilityCorrection)
    for name in ("BruteForce", "ScaNN", "Streaming"):
        patch.setattr(index, name, getattr(layers, name))
    patch.setattr(tfrs.metrics, "FactorizedTopK", metrics.FactorizedTopK)
    patch.setattr(tfrs.tasks, "Retrieval", tasks.Retrieval)
    patch.setattr(upstream_retrieval, "Retrieval", tasks.Retrieval)
    for name in ("HardNegativeMining", "RemoveAccidentalHits"):
        patch.setattr(upstream_loss, name, getattr(layers, name))
    patch.setattr(upstream_loss, "SamplingProbablityCorrection", corrections)
    for name, value in others.items():
        patch.setattr(upstream_loss, name, value)
    try:
        yield
    finally:
        patch.undo()


def load(name):
    """A copy of a test file of the wheel, whose decorators saw our classes."""
    spec = importlib.util.spec_from_file_location(
        f"upstream_{name}", WHEEL / FILES[name]
    )
    module = importlib.util.module_from_spec(spec)
    with substituted():
        spec.loader.exec_module(module)
    return module


def cases():
    """All tests of the files, each with its name and class."""
    for name in FILES:
        module = load(name)
        for case in vars(module).values():
            if isinstance(case, type) and issubclass(case, unittest.TestCase):
                for test in unittest.defaultTestLoader.getTestCaseNames(case):
                    if test != "test_session":  # of TensorFlow's TestCase, deprecated
                        yield name, case, test


CASES = list(cases())


def run(case, test):
    case(test).debug()


def selected(option):
    for name, case, test in CASES:
        if test.startswith(NAMED_EXCEPTIONS):
            continue
        if option == "all" or name != "index" or test in QUICK:
            yield pytest.param(case, test, id=f"{name}-{test}")


def pytest_generate_tests(metafunc):
    if metafunc.function is test_upstreams_test_passes_with_our_classes:
        option = metafunc.config.getoption("--upstream")
        metafunc.parametrize(("case", "test"), selected(option))


def test_upstreams_test_passes_with_our_classes(case, test):
    with substituted():
        run(case, test)


def named(prefix):
    return pytest.mark.parametrize(
        ("case", "test"),
        [
            pytest.param(case, test, id=test)
            for _, case, test in CASES
            if test.startswith(prefix)
        ],
    )


@named("test_remove_accidental_hits")
def test_accidental_hits_differ_from_upstreams_in_the_fill_value_only(case, test):
    run(case, test)
    with substituted(MIN_FLOAT=tf.float32.min):
        run(case, test)


@named("test_sampling_probability_correction")
def test_probabilities_of_zero_pass_with_upstreams_floor_or_a_warning(case, test):
    class WithFloor(layers.SamplingProbabilityCorrection):
        def __init__(self):
            super().__init__(probability_floor=1e-6)

    run(case, test)
    with substituted(correction=WithFloor):
        run(case, test)
    with substituted(), pytest.warns(UserWarning, match="probability` of 0.*1e-06"):
        run(case, test)


def test_the_files_are_where_they_were_and_hold_what_they_held():
    counts = {name: sum(n == name for n, *_ in CASES) for name in FILES}
    assert counts == {"retrieval": 4, "metric": 9, "loss": 15, "index": 297}
    assert {test for name, _, test in CASES if name == "index"} >= QUICK


def test_upstreams_classes_are_back_afterwards():
    with substituted():
        pass
    assert tfrs.layers.factorized_top_k.BruteForce.__module__.startswith("tensorflow_")
    assert tfrs.tasks.Retrieval.__module__.startswith("tensorflow_")
    assert tfrs.metrics.FactorizedTopK.__module__.startswith("tensorflow_")
    assert upstream_loss.RemoveAccidentalHits.__module__.startswith("tensorflow_")
