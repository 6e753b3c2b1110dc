"""Commands that train, evaluate and serve models: `tfrs-models <name>`.

Commands are the modules of this folder and the rows of the table in `cli`; a wheel
carries them as `tfrs_models.pipelines`. `parts` holds what several commands share,
`reporting` their reports, `benchmarks` the measurements of RESULTS.md and `native` a
C++ program that runs exports.
"""

import os
import sys

from .parts.stand_ins import install_for_help

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

if sys.argv[:1] == ["-m"]:  # python -m pipelines.retrieval --help
    install_for_help(sys.argv)
