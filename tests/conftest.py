"""What every test process needs."""

import pytest
from hypothesis import settings

import tfrs_models  # noqa: F401  binds Keras 2 before any test touches `tf.keras`

import tensorflow as tf  # isort: skip

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
