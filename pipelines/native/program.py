"""Compiles run_saved_model.cc against the installed TensorFlow, and runs it.

The program reads requests and writes answers as TFRecords of `NameAttrList`.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2

SOURCE = Path(__file__).with_name("run_saved_model.cc")
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


class ProgramError(Exception):
    """The program could not be compiled, or could not load the model."""


class Question(NamedTuple):
    """A request and, if known, its answer.

    Attributes:
      signature: name of the signature.
      inputs: input -> array.
      expected: output -> array, None if unknown.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds from the time a query was due to its answer.

    Attributes:
      offered: number of queries that were due.
      answered: number of queries with an answer.
      errors: number of queries with an error.
      abandoned: number of queries that were not sent because the program was too late;
        above 0 the rate is higher than the model can serve.
      seconds: seconds from the first query to the last answer.
      p50: median.
      p99: 99th percentile.
      max: largest latency.
    """

    offered: int
    answered: int
    errors: int
    abandoned: int
    seconds: float
    p50: float | None
    p99: float | None
    max: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """Result of a run of the program.

    Attributes:
      signatures: name -> "inputs" and "outputs" -> tensor -> dtype and shape.
      load_seconds: seconds to load the model.
      answered: number of requests with an answer.
      problems: number of a request -> its error, or the difference of its answer.
      latency: latency of the timed queries, None without any.
    """

    signatures: dict[str, dict]
    load_seconds: float
    answered: int
    problems: dict[int, str]
    latency: Latency | None


def missing_tools() -> str | None:
    """Returns the reason why the program cannot be compiled here, or None."""
    if shutil.which("g++") is None:
        return "there is no g++ to compile the native program with"
    if not _libraries()[0].is_file():
        return f"TensorFlow has no {_libraries()[0].name}: the program is for Linux"
    return None


def compile_program(cache: Path | None = None) -> Path:
    """Compiles the program (half a minute), unless the cache has it.

    Args:
      cache: folder of compiled programs; by default one in the user's cache.

    Returns:
      Path of the program.

    Raises:
      ProgramError: it cannot be compiled; with the compiler's message.
    """
    if reason := missing_tools():
        raise ProgramError(f"The native program cannot be compiled: {reason}.")
    flags = ["-O1", "-pthread", *tf.sysconfig.get_compile_flags()]
    links = [
        "-Wl,--no-as-needed",  # sessions and kernels register when they are loaded
        f"-Wl,-rpath,{tf.sysconfig.get_lib()}",
        *map(str, _libraries()),
    ]
    made_of = [SOURCE.read_text(encoding="utf-8"), tf.__version__, *flags, *links]
    digest = hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:16]
    if cache is None:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        cache = Path(home, "tfrs_models")
    program = cache / f"run_saved_model-{digest}"
    if program.is_file():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        unfinished = Path(folder, "program")
        made = subprocess.run(
            ["g++", *flags, str(SOURCE), "-o", str(unfinished), *links],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise ProgramError(f"g++ failed:\n{made.stderr[-4000:]}")
        unfinished.replace(program)  # two processes may compile at once
    return program


def run(
    program: Path,
    model: Path,
    requests: Path,
    *,
    answers: Path | None = None,
    threads: int = 1,
    clients: int = 1,
    queries: int = 0,
    rate: float = 0.0,
    seconds: float = 10.0,
    seed: int = 0,
    latencies: Path | None = None,
) -> Found:
    """Loads a version, sends every request once, and measures latency if wanted.

    Args:
      program: path from `compile_program`.
      model: folder of the version.
      requests: path of requests from `write_questions`.
      answers: path for the answers, which `read_answers` reads.
      threads: number of threads of TensorFlow, within and between operations.
      clients: number of queries at the same time.
      queries: number of timed queries of each client, in turns over the requests.
      rate: queries per second of a Poisson process that does not wait for answers,
        instead of `queries`; a query waits while all clients are busy.
      seconds: length of the process. Five seconds later the rest is abandoned.
      seed: seed of the process.
      latencies: path for the seconds of all queries, float64; -1 if abandoned.

    Raises:
      ProgramError: the model does not load, or the program ended early; with its
        message.
    """
    flags = {
        "answers": answers,
        "threads": threads,
        "clients": clients,
        "queries": queries,
        "rate": rate,
        "seconds": seconds,
        "seed": seed,
        "latencies": latencies,
    }
    words = [
        word
        for name, value in flags.items()
        if value is not None
        for word in (f"--{name}", str(value))
    ]
    done = subprocess.run(
        [program, model, requests, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **_QUIET},
    )
    if done.returncode:
        try:
            message = json.loads(done.stdout)["error"]
        except ValueError:
            message = f"exit code {done.returncode}\n{done.stderr[-4000:]}"
        raise ProgramError(f"{model} cannot be run: {message}")
    return _found(json.loads(done.stdout))


def _found(values: dict) -> Found:
    for signature in values["signatures"].values():
        for side in signature.values():
            for tensor in side.values():
                tensor["dtype"] = tf.as_dtype(tensor["dtype"]).name
    latency = values.get("latency")
    return Found(
        signatures=values["signatures"],
        load_seconds=values["load_seconds"],
        answered=values["answered"],
        problems={p["request"]: p["problem"] for p in values["problems"]},
        latency=Latency(**latency) if latency else None,
    )


def _libraries() -> list[Path]:
    folder = Path(tf.sysconfig.get_lib())
    return [folder / f"libtensorflow_{name}.so.2" for name in ("cc", "framework")]


def write_questions(path: Path, questions: Iterable[Question]) -> None:
    """Writes requests for the program, as TFRecords of `NameAttrList`."""
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
    """Reads the answers of the program: output -> array, or the text of an error."""
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
