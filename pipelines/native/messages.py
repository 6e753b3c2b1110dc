"""Requests and answers as the native program reads and writes them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2


class Question(NamedTuple):
    """A request, with its answer where one is known."""

    signature: str
    inputs: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray] | None = None


def write_questions(path: Path, questions: Iterable[Question]) -> None:
    """Writes requests for the program: TFRecords of `NameAttrList`."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for question in questions:
            record = attr_value_pb2.NameAttrList(name=question.signature)
            for side in ("inputs", "outputs"):
                values = question.inputs if side == "inputs" else question.expected
                for name, value in (values or {}).items():
                    tensor = tf.make_tensor_proto(value)
                    record.attr[f"{side}/{name}"].tensor.CopyFrom(tensor)
            writer.write(record.SerializeToString())


def read_answers(path: Path) -> list[dict[str, np.ndarray] | str]:
    """What the program answered: output -> array, or the text of an error."""
    answers = []
    for raw in tf.data.TFRecordDataset(str(path)):
        record = attr_value_pb2.NameAttrList.FromString(raw.numpy())
        if "error" in record.attr:
            answers.append(record.attr["error"].s.decode())
            continue
        answers.append(
            {
                name.removeprefix("outputs/"): tf.make_ndarray(value.tensor)
                for name, value in record.attr.items()
            }
        )
    return answers
