"""Lookup tables of vocabularies that are saved with a model."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence

import tensorflow as tf


def line_numbers(vocabulary: Sequence[str], *, name: str) -> tf.lookup.StaticHashTable:
    """Makes a table from strings to row numbers, whose file an export includes.

    Args:
      vocabulary: unique, non-empty strings or bytes without line breaks.
      name: name of the vocabulary's file.

    Returns:
      A table from strings to int64: 0, 1, ... in the order of the vocabulary, -1 for
      any other string.

    Raises:
      ValueError: a string is empty, repeats or has a line break.
    """
    values = checked_vocabulary(vocabulary, name=name)
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, f"{name.replace('/', '_')}.txt")
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{value}\n" for value in values)
    lines = tf.lookup.TextFileInitializer(
        path,
        key_dtype=tf.string,
        key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
        value_dtype=tf.int64,
        value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    # An export copies the file, which is removed together with the table.
    weakref.finalize(lines, shutil.rmtree, folder, ignore_errors=True)
    return tf.lookup.StaticHashTable(lines, default_value=-1)


def checked_vocabulary(vocabulary: Sequence[str], *, name: str) -> list[str]:
    """Returns the strings of a vocabulary.

    Args:
      vocabulary: unique, non-empty strings or bytes without line breaks.
      name: name of the vocabulary in messages.

    Raises:
      ValueError: a string is empty, repeats or has a line break.
    """
    values = [v.decode() if isinstance(v, bytes) else str(v) for v in vocabulary]
    wrong = [value for value in values if not value or set(value) & {"\n", "\r"}]
    if not values or wrong or len(set(values)) < len(values):
        raise ValueError(
            f"The vocabulary of `{name}` must be one string or more, each once, none "
            f"empty and none with a line break. Got {len(values)} strings, "
            f"{len(set(values))} of them different; wrong are {wrong[:5]}."
        )
    return values
