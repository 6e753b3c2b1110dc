"""The requirements of a SavedModel on the server that loads it."""

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import saved_model_pb2

# Every server knows these operations, but they call the Python process of the export.
_PYTHON_OPS = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}
_COMPILED = "_XlaMustCompile"


class CustomOpsError(ValueError):
    """The model needs operations that stock TensorFlow Serving lacks."""


class Needs(NamedTuple):
    """Requirements of a SavedModel; all but `ops` are empty for a stock server."""

    ops: tuple[str, ...]
    """Names of all operations, including those inside functions, ascending."""
    custom_ops: tuple[str, ...]
    """Names of the operations that stock TensorFlow lacks."""
    python_ops: tuple[str, ...]
    """Names of the operations that call back into Python, which no server can run."""
    compiled_functions: tuple[str, ...]
    """Names of the functions that XLA must compile (`jit_compile=True`)."""

    def reasons(self) -> list[str]:
        """Returns the requirements in words."""
        reasons = []
        if self.custom_ops:
            names = ", ".join(self.custom_ops)
            reasons.append(f"the library of the custom operations {names}")
        if self.python_ops:
            names = ", ".join(self.python_ops)
            reasons.append(f"the Python process that made {names}: no server has it")
        if self.compiled_functions:
            names = ", ".join(self.compiled_functions)
            reasons.append(
                f"--xla_cpu_compilation_enabled=true for functions with jit_compile, "
                f"{names}"
            )
        return reasons


def preflight(directory: str | os.PathLike) -> Needs:
    """Reads the requirements of a SavedModel from its graphs and their functions."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(Path(directory, "saved_model.pb").read_bytes())
    ops, functions, compiled = set(), set(), set()
    for meta_graph in saved.meta_graphs:
        graph = meta_graph.graph_def
        nodes = [*graph.node]
        for function in graph.library.function:
            functions.add(function.signature.name)
            nodes += function.node_def
            if _COMPILED in function.attr and function.attr[_COMPILED].b:
                compiled.add(_plain(function.signature.name))
        ops.update(node.op for node in nodes)
    ops -= functions  # a call node may have its function's name as operation
    return Needs(
        ops=tuple(sorted(ops)),
        custom_ops=tuple(sorted(ops - stock_ops() - _PYTHON_OPS)),
        python_ops=tuple(sorted(ops & _PYTHON_OPS)),
        compiled_functions=tuple(sorted(compiled)),
    )


def check_stock(needs: Needs) -> None:
    """Checks that stock TensorFlow Serving can run a model.

    Raises:
      CustomOpsError: it cannot; the message names the operations and a remedy.
    """
    if reasons := needs.reasons():
        raise CustomOpsError(
            f"Stock TensorFlow Serving cannot run this model. It needs "
            f"{'; '.join(reasons)}. Export stock operations only (an exact "
            "`layers.BruteForce` in place of `layers.ScaNN`, TensorFlow in place of "
            "`tf.py_function`, no `jit_compile`), or build such a server and pass "
            "`allow_custom_ops=True`."
        )


def _plain(function: str) -> str:
    """Shortens `__inference_double_17` to `double`."""
    return function.removeprefix("__inference_").rstrip("0123456789").rstrip("_")


# Runs in a separate process: this one may have loaded custom libraries, as `import
# scann` does, and the registry does not record the library of an operation.
# TensorFlow's C library alone loads in a third of a second.
_SCRIPT = """
import ctypes, glob, sys

class Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t)]

for name in ("framework", "cc"):
    path = sorted(glob.glob(f"{sys.argv[1]}/libtensorflow_{name}.*"))[0]
    library = ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
library.TF_GetAllOpList.restype = ctypes.POINTER(Buffer)
ops = library.TF_GetAllOpList().contents
sys.stdout.buffer.write(ctypes.string_at(ops.data, ops.length))
"""


@functools.cache
def stock_ops() -> frozenset[str]:
    """Returns the names of the operations of TensorFlow without custom libraries.

    The Python package registers a hundred more (of TensorFlow Lite, DTensor and tests)
    that are not in its C++ library, and so not in a server.
    """
    child = subprocess.run(
        [sys.executable, "-c", _SCRIPT, tf.sysconfig.get_lib()],
        capture_output=True,
        check=True,
    )
    registered = op_def_pb2.OpList.FromString(child.stdout)
    return frozenset(op.name for op in registered.op)
