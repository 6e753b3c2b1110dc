"""Commands that train, evaluate and serve models; `python -m pipelines.<name>`.

Commands are the modules of this folder. `parts` holds what several commands share,
`reporting` their reports, `benchmarks` the measurements of RESULTS.md and `native` a
C++ program that runs exports.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
