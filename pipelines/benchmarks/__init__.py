"""Measurements of RESULTS.md, beside other systems on the same data and threads."""

import tfrs_models._keras  # noqa: F401  upstream refuses the Keras it would bind itself
