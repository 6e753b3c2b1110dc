"""From the strings of a vocabulary to their numbers, inside a SavedModel."""

import os
import tempfile
from collections.abc import Sequence

import tensorflow as tf


def line_numbers(vocabulary: Sequence[str], *, name: str) -> tf.lookup.StaticHashTable:
    """A table of a vocabulary's strings, whose file becomes an asset of the export.

    Args:
      vocabulary: Strings, each once.
      name: Of the file.

    Returns:
      A table from strings to int64: 0, 1, ... in the order of the vocabulary, -1 for
      any other string.
    """
    path = os.path.join(tempfile.mkdtemp(), f"{name}.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{value}\n" for value in vocabulary)
    lines = tf.lookup.TextFileInitializer(
        path,
        key_dtype=tf.string,
        key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
        value_dtype=tf.int64,
        value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    return tf.lookup.StaticHashTable(lines, default_value=-1)
