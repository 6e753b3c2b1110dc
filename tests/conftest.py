"""What every test process needs."""

import ctypes
import gc
import sys
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

import tfrs_models  # noqa: F401  binds Keras 2 before any test touches `tf.keras`

import tensorflow as tf  # isort: skip
from tensorflow.python.util import tf_stack  # isort: skip

TESTS = Path(__file__).parent

# Two logical processors, so that a MirroredStrategy has its two replicas. It must be
# said before TensorFlow makes its first tensor.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


settings.register_profile("no deadline", deadline=None)  # machines are busy
settings.load_profile("no deadline")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--upstream",
        choices=("quick", "all"),
        default="quick",
        help="how much of TensorFlow Recommenders' own tests runs on our classes",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Imports no file without a slow test where only slow ones run."""
    if config.option.markexpr == "slow" and collection_path.suffix == ".py":
        return "mark.slow" not in collection_path.read_text() or None
    return None


# Folders and files whose tests take longest for their number. They come first, so that
# no worker has a long file left when the other ends (`--no-loadscope-reorder`).
LONG = (
    "test_contracts.py",
    "pipelines",
    "serving",
    "models",
    "replicas",
    "test_examples.py",
    "layers",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        parts = {*item.path.parts[len(TESTS.parts) :][:1]}
        return next((n for n, name in enumerate(LONG) if name in parts), len(LONG))

    items.sort(key=place)  # it is stable: files stay whole and in their order


def pytest_collection_finish() -> None:
    gc.freeze()  # modules stay: no collection need walk through them again
    # Tracing makes objects by the thousand and little garbage: Python's own thresholds
    # took 9% of the time of tests that fit models.
    gc.set_threshold(50_000, 20, 20)
    # No message of an operation is worth 5% of the time: every one of a traced graph
    # would keep the stack of Python, 100 frames deep below pytest and Keras.
    stack = tf_stack.extract_stack()
    tf_stack.extract_stack = lambda *_, **__: stack
    tf.data.Dataset._apply_debug_options = _without_autotuning


def _without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switches off the tuning of parallelism as datasets of the package have it off.

    One in ten iterators that tests leave behind waited up to 60 s for its thread.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


_optimizer: dict[str, bool] = {}  # what is set, for to ask TensorFlow takes time


def _skipped_without_scann() -> Generator[None, object, object]:
    """Skips what needs ScaNN where it is not installed (`make test-matrix`)."""
    try:
        return (yield)
    except ImportError as error:
        if find_spec("scann") or "tfrs-models[scann]" not in str(error):
            raise
        pytest.skip("ScaNN is not installed")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Graphs of tests run once or twice: optimising them takes a tenth of the time.

    Slow tests, which run whole pipelines, have their graphs optimised as users do.
    """
    is_slow = item.get_closest_marker("slow") is not None
    plain = not is_slow or item.path.parent.name == "replicas"
    if _optimizer.get("disable_meta_optimizer") != plain:
        _optimizer["disable_meta_optimizer"] = plain
        tf.config.optimizer.set_experimental_options(_optimizer)
    return (yield from _skipped_without_scann())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    return (yield from _skipped_without_scann())


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is None or nextitem.path != item.path:
        _forget_graphs()


def _forget_graphs() -> None:
    """Frees what TensorFlow holds for the life of the process after a file of tests.

    The default graph keeps every Python function that a dataset or `tf.py_function`
    called, and the registry of gradients every graph with a custom gradient: with them
    go models, their variables and their data. A worker would grow to 7 GB.
    """
    from tensorflow.python.framework import ops

    graph = tf.compat.v1.get_default_graph()
    if hasattr(graph, "_py_funcs_used_in_graph"):
        graph._py_funcs_used_in_graph.clear()
    tf.keras.backend.clear_session()
    gradients = ops.gradient_registry._registry
    for name in [name for name in gradients if name.startswith("CustomGradient-")]:
        del gradients[name]
    gc.collect()
    gc.freeze()  # what is left stays: the next collection need not walk through it
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture
def mixed_policy(request):
    """Sets the global dtype policy of an (indirect) parameter for one test."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(request.param)
    yield request.param
    tf.keras.mixed_precision.set_global_policy(before)


@pytest.fixture(scope="session")
def strategy():
    """Two replicas. One for all tests: the gathers of a second strategy in the same
    process would be taken for those of the first."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
