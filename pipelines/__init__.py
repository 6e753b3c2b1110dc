"""Scripts that train, evaluate and serve: flags and files, no mathematics."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
