"""Keeps AutoGraph from rewriting this package."""

from tensorflow.python.autograph.core import config

# AutoGraph rewrites the source of every function that a graph calls, before the first
# step. Nothing here needs it: loops and choices by tensors are written as operations.
# Layers and models of users are rewritten as ever, inside of ours too.
config.CONVERSION_RULES = (
    config.DoNotConvert("tfrs_models"),
    *config.CONVERSION_RULES,
)
